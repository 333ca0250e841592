//! Ends the process while threads are still at work, so that nothing that they hold stays in memory.
//!
//! A thread that waits for a server cannot be interrupted, and no other thread can wipe its memory. So the process replaces itself
//! with a new run of this program (`execve`), which ends all threads and releases all memory. The new run ends at once, in the way
//! that its arguments say.

use std::process::ExitCode;

use crate::catalog;
use crate::failure::Failure;
use crate::output;

/// The first argument of a run that only has to end. No person types it.
#[cfg(unix)]
const ONLY_END: &str = "--end-in-place-of-another";

/// Prints the failure, if there is one, and ends the process and its threads with the status of this result.
pub fn leave(note: Option<&str>, result: &Result<(), Failure>) -> ! {
    let error = result.as_ref().err().map(ToString::to_string).filter(|text| !text.is_empty());
    let status = result.as_ref().map_or_else(Failure::exit_status, |()| 0);
    #[cfg(unix)]
    in_place(status, note.unwrap_or_default(), error.as_deref().unwrap_or_default());
    // `execve` is not possible here, or not allowed.
    say(note.unwrap_or_default(), error.as_deref().unwrap_or_default());
    #[cfg(unix)]
    if let Err(Failure::Signal(signal)) = result {
        let _ = signal_hook::low_level::emulate_default_handler(*signal);
    }
    std::process::exit(status.into());
}

/// Replaces this process with a run that only ends. Returns only if that failed.
#[cfg(unix)]
fn in_place(status: u8, note: &str, error: &str) {
    use std::os::unix::process::CommandExt as _;
    // The file of this program, even if another file has its name by now.
    let own = std::path::PathBuf::from("/proc/self/exe");
    let program = if own.exists() { Ok(own) } else { std::env::current_exe() };
    if let Ok(program) = program {
        let mut command = std::process::Command::new(program);
        // The environment may hold secrets.
        catalog::secrets().keep_from(&mut command);
        let failed = command.arg0("keyfob").args([ONLY_END, &status.to_string(), note, error]).exec();
        log::debug!("could not end in place: {}", output::why(&failed));
    }
}

/// Does the work, and then overwrites the part of the stack that it used. Even code that copies no secret leaves some there: the dynamic
/// linker saves the vector registers on the stack when it looks up a function.
pub fn on_wiped_stack<T>(work: impl FnOnce() -> T) -> T {
    /// Is not inlined, so that its frames lie where that of [`wipe_stack`] will be.
    #[inline(never)]
    fn below<T>(work: impl FnOnce() -> T) -> T {
        work()
    }

    #[inline(never)]
    #[expect(clippy::large_stack_arrays, reason = "the stack is what it is about")]
    fn wipe_stack() {
        std::hint::black_box(&mut [0_u8; 128 * 1024]);
    }

    let result = below(work);
    wipe_stack();
    result
}

fn say(note: &str, error: &str) {
    if !note.is_empty() {
        output::say(note);
    }
    if !error.is_empty() {
        output::error(error);
    }
}

/// Returns the exit status that [`leave`] has asked for, if this run was started by it.
#[cfg(unix)]
pub fn requested_status() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != ONLY_END {
        return None;
    }
    let status: u8 = arguments.next()?.to_str()?.parse().ok()?;
    let (note, error) = (arguments.next()?, arguments.next()?);
    say(&note.to_string_lossy(), &error.to_string_lossy());
    if let Some(signal) = status.checked_sub(128) {
        let _ = signal_hook::low_level::emulate_default_handler(signal.into());
    }
    Some(ExitCode::from(status))
}

#[cfg(not(unix))]
pub fn requested_status() -> Option<ExitCode> {
    None
}
