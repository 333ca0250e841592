//! Passes the records of the library on to a callback.

use std::sync::{PoisonError, RwLock};

use log::{LevelFilter, Log, Metadata, Record};

use crate::failure::Failure;

/// Receives the level, from 1 (error) to 4 (debug), and the text of a record.
pub type OnRecord = Box<dyn Fn(usize, &str) + Send + Sync>;

struct Receiver {
    /// With the highest level that it receives.
    on_record: RwLock<Option<(LevelFilter, OnRecord)>>,
}

static RECEIVER: Receiver = Receiver { on_record: RwLock::new(None) };

/// Records of other libraries may hold a URL with its query, or a token.
fn is_own(metadata: &Metadata<'_>) -> bool {
    metadata.target() == "keyfob"
}

impl Log for Receiver {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_own(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !is_own(record.metadata()) {
            return;
        }
        let on_record = self.on_record.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((highest, on_record)) = &*on_record
            && record.level() <= *highest
        {
            on_record(record.level() as usize, &record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// Replaces the callback. Waits until no thread runs the old one.
pub fn set(level: i32, on_record: Option<OnRecord>) -> Result<(), Failure> {
    let filter = match level {
        0 => LevelFilter::Off,
        1 => LevelFilter::Error,
        2 => LevelFilter::Warn,
        3 => LevelFilter::Info,
        4 => LevelFilter::Debug,
        _ => {
            return Err(Failure::invalid(format!(
                "the level of the log is {level}: pass a number from 0 (nothing) to 4 (debug)"
            )));
        }
    };
    // Fails after the first call, which has set the same receiver.
    let _ = log::set_logger(&RECEIVER);
    let mut current = RECEIVER.on_record.write().unwrap_or_else(PoisonError::into_inner);
    *current = on_record.map(|on_record| (filter, on_record));
    log::set_max_level(current.as_ref().map_or(LevelFilter::Off, |(highest, _)| *highest));
    Ok(())
}
