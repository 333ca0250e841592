//! The signals that end this program, and how they wait while a terminal has changed settings.
#![cfg(unix)]

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, OnceLock, PoisonError};

use signal_hook::consts::{
    SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGPROF, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGVTALRM,
    SIGXCPU,
};
use signal_hook::flag::{register, register_conditional_default, register_usize};
use signal_hook::low_level::emulate_default_handler;

use crate::output::warn;

/// Returns the signals that are not ignored. A signal that was ignored at the start stays ignored, as `nohup` and `trap ''` expect.
pub fn that_end() -> impl Iterator<Item = i32> {
    not_ignored([SIGINT, SIGTERM, SIGHUP])
}

fn not_ignored<const N: usize>(signals: [i32; N]) -> impl Iterator<Item = i32> {
    let ignored = ignored();
    signals.into_iter().filter(move |signal| ignored >> (signal - 1) & 1 == 0)
}

/// Returns the ignored signals, one bit each from the lowest on. Linux tells them without unsafe code; elsewhere there are none.
fn ignored() -> u64 {
    static IGNORED: OnceLock<u64> = OnceLock::new();
    *IGNORED.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        if mask.is_none() && cfg!(target_os = "linux") {
            warn("/proc does not tell which signals were ignored at the start: each of them ends this run");
        }
        mask.unwrap_or_default()
    })
}

/// While a value of this type exists, signals that end this program are only noted. So are those that stop it, if asked for.
pub struct Held(());

static IS_LISTENING: Mutex<bool> = Mutex::new(false);
/// The number of values that hold signals now.
static HOLDERS: AtomicUsize = AtomicUsize::new(0);
/// Whether signals have their default effect.
static IS_DEFAULT: AtomicBool = AtomicBool::new(true);
/// Whether signals that stop the program have their default effect.
static IS_STOP_DEFAULT: AtomicBool = AtomicBool::new(true);
static ENDS: AtomicUsize = AtomicUsize::new(0);
static STOPS: AtomicBool = AtomicBool::new(false);
static GOES_ON: AtomicBool = AtomicBool::new(false);

impl Held {
    pub fn new() -> io::Result<Self> {
        let held = Self::that_end()?;
        STOPS.store(false, SeqCst);
        GOES_ON.store(false, SeqCst);
        IS_STOP_DEFAULT.store(false, SeqCst);
        Ok(held)
    }

    /// Holds only the signals that end the program.
    pub fn that_end() -> io::Result<Self> {
        let mut is_listening = IS_LISTENING.lock().unwrap_or_else(PoisonError::into_inner);
        // Registered once and for all: a signal without its handler would be ignored.
        if !*is_listening {
            let others = [SIGQUIT, SIGALRM, SIGUSR1, SIGUSR2, SIGXCPU, SIGVTALRM, SIGPROF];
            for signal in that_end().chain(not_ignored(others)) {
                register_conditional_default(signal, &IS_DEFAULT)?;
                register_usize(signal, &ENDS, usize::try_from(signal).unwrap_or_default())?;
            }
            for signal in not_ignored([SIGTSTP]) {
                register_conditional_default(signal, &IS_STOP_DEFAULT)?;
                register(signal, &STOPS)?;
            }
            register(SIGCONT, &GOES_ON)?;
            *is_listening = true;
        }
        HOLDERS.fetch_add(1, SeqCst);
        IS_DEFAULT.store(false, SeqCst);
        Ok(Self(()))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        IS_STOP_DEFAULT.store(true, SeqCst);
        let _no_other = IS_LISTENING.lock().unwrap_or_else(PoisonError::into_inner);
        if HOLDERS.fetch_sub(1, SeqCst) == 1 {
            IS_DEFAULT.store(true, SeqCst);
        }
    }
}

/// Returns the signal that was received while signals were held and that ends this program.
pub fn that_came() -> Option<i32> {
    i32::try_from(ENDS.load(SeqCst)).ok().filter(|signal| *signal != 0)
}

/// Whether the program was asked to stop for a while (Ctrl-Z).
pub fn stops() -> bool {
    STOPS.swap(false, SeqCst)
}

/// Stops the program until it is continued.
pub fn stop() {
    let _ = emulate_default_handler(SIGTSTP);
}

/// Whether the program continues after a stop. By then the terminal may have been changed.
pub fn goes_on() -> bool {
    GOES_ON.swap(false, SeqCst)
}
