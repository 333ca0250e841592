//! Questions to a person, where there is one.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use keyfob::{ErrorKind, Secret};

use crate::clock::Deadline;
use crate::failure::Failure;
use crate::output::unreadable;
use crate::secrets;
#[cfg(unix)]
use crate::signals;

/// Whether somebody can be asked.
pub fn is_there() -> bool {
    io::stdin().is_terminal()
}

pub fn ask(question: &str) -> Result<String, Failure> {
    let failed = |e| unreadable("the terminal", &e);
    let mut to = io::stderr();
    write!(to, "{question}").and_then(|()| to.flush()).map_err(failed)?;
    // As long as it takes.
    let answer = secrets::read_line(&Deadline::after(Duration::MAX)).map_err(failed)?;
    let answer = answer.as_ref().and_then(Secret::expose_str).unwrap_or_default();
    match answer.trim_end_matches(['\r', '\n']) {
        "" => Err(nothing()),
        answer => Ok(answer.to_owned()),
    }
}

/// What is typed is not shown.
pub fn ask_secretly(question: &str) -> Result<Secret, Failure> {
    let config = rpassword::ConfigBuilder::new().build();
    let answer = restored(|| rpassword::prompt_password_with_config(question, config))?
        .map_err(|e| unreadable("the terminal", &e))?;
    if answer.is_empty() { Err(nothing()) } else { Ok(Secret::from(answer)) }
}

/// A signal that ends the program while it asks leaves the terminal as it was: without echo a shell would be of no use.
#[cfg(unix)]
fn restored<T>(ask: impl FnOnce() -> T) -> Result<T, Failure> {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::sync::mpsc::{self, RecvTimeoutError};

    use nix::sys::termios::{SetArg, tcgetattr, tcsetattr};
    use signal_hook::low_level::{emulate_default_handler, unregister};

    let Ok(terminal) = std::fs::File::open("/dev/tty").map(Arc::new) else { return Ok(ask()) };
    let Ok(before) = tcgetattr(&terminal) else { return Ok(ask()) };
    let came = Arc::<AtomicUsize>::default();
    let signal = came.clone();
    let end = move || {
        if let Some(signal) = i32::try_from(signal.load(Relaxed)).ok().filter(|signal| *signal != 0) {
            let _ = tcsetattr(&terminal, SetArg::TCSANOW, &before);
            let _ = emulate_default_handler(signal);
        }
    };
    let mut listening = Vec::new();
    for signal in signals::that_end() {
        let number = usize::try_from(signal).unwrap_or_default();
        let id = signal_hook::flag::register_usize(signal, came.clone(), number);
        listening.push(id.map_err(|e| Failure::unexpected(format!("could not listen for signals: {e}")))?);
    }
    let (answered, is_answered) = mpsc::channel::<()>();
    let watch = end.clone();
    let answer = std::thread::scope(|scope| {
        // What reads the terminal goes on reading after a signal.
        scope.spawn(move || {
            while is_answered.recv_timeout(Duration::from_millis(20)) == Err(RecvTimeoutError::Timeout) {
                watch();
            }
        });
        let answer = ask();
        drop(answered);
        answer
    });
    // Ctrl-C comes as a character, and is made a signal.
    end();
    for id in listening {
        unregister(id);
    }
    Ok(answer)
}

#[cfg(not(unix))]
fn restored<T>(ask: impl FnOnce() -> T) -> Result<T, Failure> {
    Ok(ask())
}

fn nothing() -> Failure {
    Failure::new(ErrorKind::NoCredentials, "nothing was typed, so nothing was done")
}
