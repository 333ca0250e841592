//! Reads the input that a person types or pastes.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use keyfob::{ErrorKind, Secret, one_line};
use keyfob_config::clock::Deadline;

use crate::failure::Failure;
use crate::line::MAX_LEN;
#[cfg(unix)]
use crate::line::{End, Line};
use crate::output::unreadable;
#[cfg(unix)]
use crate::signals;

/// Whether there is a person to ask.
pub fn is_there() -> bool {
    io::stdin().is_terminal()
}

/// Asks for a line and shows what is typed.
pub fn ask(question: &str) -> Result<String, Failure> {
    let answer = asked(question, true)?;
    let answer = answer.expose_str().ok_or_else(|| {
        Failure::invalid(
            "the input is not UTF-8: set the terminal to UTF-8 and try again, or set the variable",
        )
    })?;
    if answer.trim().is_empty() {
        return Err(Failure::new(
            ErrorKind::NoCredentials,
            "nothing but white space was typed, so nothing was done",
        ));
    }
    if let Some(at) = answer.bytes().position(|byte| byte.is_ascii_control()) {
        return Err(Failure::invalid(format!(
            "the input holds a control character at byte {at}: type it again"
        )));
    }
    Ok(answer.to_owned())
}

/// Asks for a line and does not show what is typed.
pub fn ask_secretly(question: &str) -> Result<Secret, Failure> {
    let answer = asked(question, false)?;
    if answer.expose_str().is_none() {
        return Err(Failure::invalid(
            "the input is not UTF-8: set the terminal to UTF-8 and try again, or set the variable",
        ));
    }
    Ok(answer)
}

fn asked(question: &str, is_shown: bool) -> Result<Secret, Failure> {
    let forever = Deadline::after(Duration::MAX);
    let typed = with_input(is_shown, |input| {
        input.show(&one_line(question));
        input.line(&forever, false)
    })?;
    match typed {
        Typed::Line(line) if !line.expose().is_empty() => Ok(line),
        Typed::Line(_) | Typed::End | Typed::Late => {
            Err(Failure::new(ErrorKind::NoCredentials, "nothing was typed, so nothing was done"))
        }
        Typed::TooLong => Err(Failure::invalid(too_long())),
    }
}

pub fn too_long() -> String {
    format!("more than {} KiB were typed or pasted at once", MAX_LEN / 1024)
}

/// The input that was read from standard input.
pub enum Typed {
    Line(Secret),
    /// The line was too long.
    TooLong,
    End,
    /// No whole line arrived before the deadline.
    Late,
}

/// Calls `read` with standard input. During the call, a terminal passes on each byte as it arrives. Its settings are restored even if
/// `read` fails.
#[cfg(unix)]
pub fn with_input<T>(
    is_shown: bool,
    read: impl FnOnce(&mut Input) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let result = Input::open(is_shown).and_then(|mut input| read(&mut input));
    match signals::that_came() {
        Some(signal) => Err(Failure::Signal(signal)),
        None => result,
    }
}

/// Standard input, without the buffer of the standard library, which is never wiped. Like a shell, it reads byte by byte and leaves the
/// bytes after the line to the next reader.
#[cfg(unix)]
pub struct Input {
    from: std::fs::File,
    terminal: Option<unix::Terminal>,
}

#[cfg(unix)]
enum Byte {
    Read(u8),
    /// Another program used the terminal for a while.
    Interrupted,
    End,
    Late,
}

#[cfg(unix)]
mod unix {
    use std::fs::File;
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    use nix::fcntl::OFlag;
    use nix::sys::termios::{
        LocalFlags, SetArg, SpecialCharacterIndices as Special, Termios, tcgetattr, tcsetattr,
    };
    use nix::unistd::ttyname;

    use crate::failure::Failure;
    use crate::line::Keys;
    use crate::signals::{self, Held};

    /// A terminal that hands over each byte. If it handed over lines, it would cut them at 4,095 bytes.
    pub struct Terminal {
        from: File,
        before: Termios,
        screen: Option<File>,
        pub is_shown: bool,
        _held: Held,
    }

    impl Terminal {
        /// Returns `None` if it is not a terminal.
        pub fn open(from: &File, is_shown: bool) -> Result<Option<Self>, Failure> {
            let failed = |e| Failure::unexpected(format!("could not set up the terminal: {e}"));
            let Ok(before) = tcgetattr(from) else { return Ok(None) };
            let from = from.try_clone().map_err(failed)?;
            // With `O_NONBLOCK`, writing does not wait for a terminal that was stopped with Ctrl-S.
            let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
            let screen = ttyname(&from).unwrap_or_else(|_| "/dev/tty".into());
            let screen = File::options().write(true).custom_flags(flags.bits()).open(screen).ok();
            let held = Held::new().map_err(failed)?;
            let terminal = Self { from, before, screen, is_shown, _held: held };
            terminal.take_bytes();
            Ok(Some(terminal))
        }

        pub fn keys(&self) -> Keys {
            let key = |special: Special| self.before.control_chars[special as usize];
            Keys {
                erase: key(Special::VERASE),
                erase_word: key(Special::VWERASE),
                erase_line: key(Special::VKILL),
                end: key(Special::VEOF),
            }
        }

        fn take_bytes(&self) {
            let mut each = self.before.clone();
            each.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ECHONL);
            each.control_chars[Special::VMIN as usize] = 1;
            each.control_chars[Special::VTIME as usize] = 0;
            let _ = tcsetattr(&self.from, SetArg::TCSANOW, &each);
        }

        fn restore(&self) {
            let _ = tcsetattr(&self.from, SetArg::TCSANOW, &self.before);
        }

        /// Stops the program if it was asked to. Returns whether another program may have used the terminal meanwhile.
        pub fn heeds_signals(&self) -> bool {
            let stops = signals::stops();
            if stops {
                self.restore();
                signals::stop();
            }
            let goes_on = signals::goes_on() || stops;
            if goes_on {
                self.take_bytes();
            }
            goes_on
        }

        /// Shows text. Drops it if the terminal does not accept it at once.
        pub fn show(&self, bytes: &[u8]) {
            if let Some(mut screen) = self.screen.as_ref() {
                let _ = screen.write_all(bytes);
            }
        }
    }

    impl Drop for Terminal {
        fn drop(&mut self) {
            self.restore();
        }
    }
}

#[cfg(unix)]
impl Input {
    fn open(is_shown: bool) -> Result<Self, Failure> {
        use std::os::fd::AsFd as _;
        let from = io::stdin().as_fd().try_clone_to_owned();
        let from = std::fs::File::from(from.map_err(|e| unreadable("standard input", &e))?);
        let terminal = unix::Terminal::open(&from, is_shown)?;
        Ok(Self { from, terminal })
    }

    /// Whether this is no input at all, such as `/dev/null`, in contrast to input that ends.
    pub fn is_nothing(&self) -> bool {
        use std::os::unix::fs::FileTypeExt as _;
        self.terminal.is_none() && self.from.metadata().is_ok_and(|file| file.file_type().is_char_device())
    }

    pub fn show(&self, text: &str) {
        if let Some(terminal) = &self.terminal {
            terminal.show(text.as_bytes());
        }
    }

    /// Returns a line, or its part before the end of the input. With `as_pasted`, lines that follow at once belong to it.
    pub fn line(&mut self, deadline: &Deadline, as_pasted: bool) -> Result<Typed, Failure> {
        /// A pause longer than this ends a paste.
        const PAUSE: Duration = Duration::from_millis(100);
        let mut line = Line::new(self.terminal.as_ref().map(unix::Terminal::keys));
        let mut shown = Vec::new();
        loop {
            let end = match self.byte(deadline, &mut shown)? {
                Byte::Read(byte) => line.take(byte, &mut shown),
                Byte::Interrupted => {
                    line.show(&mut shown);
                    None
                }
                Byte::End if line.is_empty() => Some(End::Input),
                Byte::End => Some(End::Line),
                Byte::Late => return Ok(Typed::Late),
            };
            let Some(end) = end else { continue };
            self.echo(&mut shown);
            if as_pasted && end == End::Line && self.terminal.is_some() && self.is_readable(PAUSE)? {
                line.go_on();
                continue;
            }
            return Ok(match end {
                End::Input => Typed::End,
                End::Line if line.is_too_long() => Typed::TooLong,
                End::Line => Typed::Line(Secret::from(line.into_bytes())),
            });
        }
    }

    fn byte(&mut self, deadline: &Deadline, shown: &mut Vec<u8>) -> Result<Byte, Failure> {
        use io::Read as _;
        /// How often signals are checked.
        const SLICE: Duration = Duration::from_millis(50);
        let mut byte = [0];
        loop {
            if let Some(terminal) = &self.terminal {
                if signals::that_came().is_some() {
                    terminal.show(b"\n");
                    // `with_input` reports the signal.
                    return Ok(Byte::Late);
                }
                if terminal.heeds_signals() {
                    return Ok(Byte::Interrupted);
                }
            }
            if shown.len() > 1024 || !self.is_readable(Duration::ZERO)? {
                self.echo(shown);
            }
            let remaining = deadline.remaining();
            if !self.is_readable(SLICE.min(remaining))? {
                if remaining.is_zero() {
                    return Ok(Byte::Late);
                }
                continue;
            }
            match self.from.read(&mut byte) {
                Ok(0) => return Ok(Byte::End),
                Ok(_) => return Ok(Byte::Read(byte[0])),
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(e) => return Err(unreadable("standard input", &e)),
            }
        }
    }

    fn echo(&self, shown: &mut Vec<u8>) {
        if let Some(terminal) = &self.terminal {
            if terminal.is_shown {
                terminal.show(shown);
            } else if shown.contains(&b'\n') {
                terminal.show(b"\n");
            }
        }
        shown.clear();
    }

    fn is_readable(&self, within: Duration) -> Result<bool, Failure> {
        keyfob_config::clock::is_readable(&self.from, &Deadline::after(within))
            .map_err(|e| unreadable("standard input", &e))
    }
}

/// On other systems a terminal is read by lines.
#[cfg(not(unix))]
pub struct Input {
    is_shown: bool,
}

#[cfg(not(unix))]
pub fn with_input<T>(
    is_shown: bool,
    read: impl FnOnce(&mut Input) -> Result<T, Failure>,
) -> Result<T, Failure> {
    read(&mut Input { is_shown })
}

#[cfg(not(unix))]
impl Input {
    pub fn is_nothing(&self) -> bool {
        !is_there()
    }

    pub fn show(&self, text: &str) {
        use io::Write as _;
        let _ = io::stderr().write_all(text.as_bytes()).and_then(|()| io::stderr().flush());
    }

    pub fn line(&mut self, _: &Deadline, _: bool) -> Result<Typed, Failure> {
        use io::BufRead as _;
        let failed = |e| unreadable("standard input", &e);
        let mut line = Vec::new();
        if self.is_shown {
            if io::stdin().lock().read_until(b'\n', &mut line).map_err(failed)? == 0 {
                return Ok(Typed::End);
            }
        } else {
            let config = rpassword::ConfigBuilder::new().build();
            line = rpassword::prompt_password_with_config("", config).map_err(failed)?.into_bytes();
        }
        while matches!(line.last(), Some(b'\r' | b'\n')) {
            line.pop();
        }
        if line.len() > MAX_LEN {
            return Ok(Typed::TooLong);
        }
        Ok(Typed::Line(Secret::from(line)))
    }
}
