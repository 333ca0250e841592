//! Results on standard output, everything else on standard error.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};

use keyfob::ErrorKind;
use log::{LevelFilter, Log, Metadata, Record};

use crate::failure::Failure;

/// Standard output without the buffer of the standard library, which is never wiped.
pub fn stdout() -> Result<File, Failure> {
    #[cfg(unix)]
    let own = std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned();
    #[cfg(windows)]
    let own = std::os::windows::io::AsHandle::as_handle(&io::stdout()).try_clone_to_owned();
    own.map(File::from).map_err(|e| unwritable("standard output", &e))
}

/// Prints a result, all of it at once.
pub fn print(result: &[u8]) -> Result<(), Failure> {
    stdout()?.write_all(result).map_err(|e| unwritable("standard output", &e))
}

pub fn unwritable(what: &str, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::BrokenPipe;
    }
    Failure::new(ErrorKind::Store, format!("could not write to {what}: {}", why(error)))
}

pub fn unreadable(what: &str, error: &io::Error) -> Failure {
    Failure::new(ErrorKind::Store, format!("could not read {what}: {}", why(error)))
}

/// The reason, without the number that the operating system has for it.
pub fn why(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error ").next().unwrap_or_default().to_lowercase()
}

/// Says something to the person, in one line.
pub fn say(text: &str) {
    // Where nobody listens there is nobody to tell.
    let _ = writeln!(io::stderr(), "keyfob: {text}");
}

pub fn warn(text: &str) {
    say(&format!("{} {text}", colored("33", "warning:")));
}

pub fn error(text: &str) {
    say(&format!("{} {text}", colored("31", "error:")));
}

/// In colour on a terminal, unless `NO_COLOR` is set to something.
fn colored(color: &str, text: &str) -> String {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb")
        || !io::stderr().is_terminal();
    if plain { text.to_owned() } else { format!("\x1b[{color}m{text}\x1b[0m") }
}

struct Narration;

impl Log for Narration {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if record.target().starts_with("keyfob") {
            say(&record.args().to_string());
        } else {
            say(&format!("{}: {}", record.target(), record.args()));
        }
    }

    fn flush(&self) {}
}

/// Narrates from now on. Never at `trace`, where ureq shows whole requests.
pub fn narrate() {
    if log::set_logger(&Narration).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
}
