//! Results on standard output, everything else on standard error.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::UNIX_EPOCH;

use keyfob::{Clock, ErrorKind, one_line};
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

/// Standard input, likewise.
pub fn stdin() -> Result<File, Failure> {
    #[cfg(unix)]
    let own = std::os::fd::AsFd::as_fd(&io::stdin()).try_clone_to_owned();
    #[cfg(windows)]
    let own = std::os::windows::io::AsHandle::as_handle(&io::stdin()).try_clone_to_owned();
    own.map(File::from).map_err(|e| unreadable("standard input", &e))
}

/// Prints a result, all of it at once.
pub fn print(result: &[u8]) -> Result<(), Failure> {
    write(&mut stdout()?, result).map_err(|e| unwritable("standard output", &e))
}

/// Writes all bytes. Waits for a pipe or terminal that another program has made non-blocking.
pub fn write(to: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(len) => bytes = &bytes[len..],
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            #[cfg(unix)]
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
                let mut wanted = [PollFd::new(std::os::fd::AsFd::as_fd(to), PollFlags::POLLOUT)];
                poll(&mut wanted, PollTimeout::NONE)
                    .map_or_else(|e| if e == nix::errno::Errno::EINTR { Ok(0) } else { Err(e) }, Ok)?;
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
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

/// Returns the reason of an error, without the operating system's number.
pub fn why(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error ").next().unwrap_or_default().to_lowercase()
}

/// As [`why`], for a process or thread that could not be started.
pub fn why_not_started(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock => {
            "no more processes and threads are allowed; raise the limit on them (ulimit -u)".to_owned()
        }
        _ => why(error),
    }
}

/// Prints one line for the person.
pub fn say(text: &str) {
    line("", text);
}

pub fn warn(text: &str) {
    line(&(colored("33", "warning:") + " "), text);
}

pub fn error(text: &str) {
    line(&(colored("31", "error:") + " "), text);
}

/// The text may repeat a text of a server, a file, the environment or the command line. Only printable characters of it reach the terminal.
fn line(start: &str, text: &str) {
    // If standard error is closed, there is nowhere else to report that.
    let _ = writeln!(io::stderr(), "keyfob: {start}{}", one_line(text));
}

/// Escapes the characters in JSON that a terminal would not show as text. A parser reads the same values.
pub fn printable_json(json: &str) -> String {
    use std::fmt::Write as _;

    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        let mut utf8 = [0; 4];
        let text: &str = c.encode_utf8(&mut utf8);
        if one_line(text) == text {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

/// Returns the text in this colour on a terminal, unless `NO_COLOR` is set to something.
fn colored(color: &str, text: &str) -> String {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb")
        || !io::stderr().is_terminal();
    if plain { text.to_owned() } else { format!("\x1b[{color}m{text}\x1b[0m") }
}

/// Prints records on standard error.
struct Narration {
    /// Whether those of ureq are printed too.
    all: bool,
}

impl Log for Narration {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        target.starts_with("keyfob") || self.all && target.starts_with("ureq")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let now = Clock::system().now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, millis) = (now.as_secs() % 86_400, now.subsec_millis());
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let who = if record.target().starts_with("keyfob") { "" } else { "ureq: " };
        let text = record.args().to_string();
        // A server can repeat a secret in a header field that ureq shows.
        let text = if !who.is_empty() && keyfob::repeats_secret(&text) {
            "a record is withheld, because it repeats a secret"
        } else {
            &text
        };
        say(&format!("{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z {who}{text}"));
    }

    fn flush(&self) {}
}

/// Prints log records from now on, those of ureq too if `all` is set. Never at `trace`, where ureq shows whole requests.
pub fn narrate(all: bool) {
    static OWN: Narration = Narration { all: false };
    static ALL: Narration = Narration { all: true };
    if log::set_logger(if all { &ALL } else { &OWN }).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
}
