//! Runs a command that prints a secret, and leaves no process of it behind when it has to end early.

use std::env;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use keyfob::ErrorKind;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::{Pid, getpgid, getpgrp, tcgetpgrp};

use super::{Host, Secrets, TIME, read, unreadable};
use crate::clock::{Deadline, within};
use crate::problem::{Problem, why, why_not_started};

/// The variable that marks the processes of a command, because their parents may have ended. Its value is the number of the process that
/// has started the command.
const OF: &str = "KEYFOB_COMMAND_OF";

/// How long a command that is asked to end may take, for example to restore a terminal.
const END_TIME: Duration = Duration::from_secs(1);

/// Returns what the command prints. `variable` is the name of the variable that holds the command, for errors.
pub fn output(variable: &str, command: &str, secrets: &Secrets<'_>) -> Result<Vec<u8>, Problem> {
    let host = secrets.host;
    let mut shell = shell(secrets);
    shell.arg("-c").arg(command).stdout(Stdio::piped());
    // This program reads no other secret after this.
    let [_, _, error_leads_to_secret] = secrets.close_descriptors();
    if error_leads_to_secret {
        shell.stderr(Stdio::null());
    }
    if !is_runnable(command, secrets) {
        let text =
            format!("the command in {variable} gave no secret: sh does not find it, or cannot read it");
        return Err(Problem::new(ErrorKind::NoCredentials, text));
    }
    let held = host
        .hold_signals()
        .map_err(|e| Problem::Unexpected(format!("could not listen for signals: {}", why(&e))))?;
    let mut running = Running::start(shell)?;
    let result = running.output(variable, host);
    let result = match (host.signal(), result) {
        // Passes the same signal on to the command, to ask it to end.
        (Some(signal), _) => {
            running.end(Signal::try_from(signal).unwrap_or(Signal::SIGTERM), host);
            Err(Problem::Signal(signal))
        }
        (None, Err(failure)) => {
            running.end(Signal::SIGTERM, host);
            Err(failure)
        }
        (None, Ok(secret)) => Ok(secret),
    };
    drop(held);
    match host.signal() {
        Some(signal) => Err(Problem::Signal(signal)),
        None => result,
    }
}

/// Returns a shell that sees no secret. The rest of the environment stays: `pass`, `gpg`, `op` and `vault` need much of it.
fn shell(secrets: &Secrets<'_>) -> Command {
    let mut shell = Command::new("sh");
    secrets.keep_from(&mut shell);
    shell.stdin(Stdio::null());
    shell
}

/// Whether the command begins with something that can be run, as far as keyfob can know. If not, the text may be the secret itself in the
/// wrong variable, and `sh` would print it.
fn is_runnable(command: &str, secrets: &Secrets<'_>) -> bool {
    const SYNTAX: &str = r#"printf '%s\n' "$KEYFOB_WORD" | sh -n"#;
    let accepts = |script, text| accepts(script, text, secrets);
    let command = command.trim_start();
    let end = command.find(|c: char| c.is_ascii_whitespace() || ";&|<>()`".contains(c));
    let (word, rest) = command.split_at(end.unwrap_or(command.len()));
    // A substitution, a function or a comment.
    let is_other = word.is_empty() || rest.starts_with(['(', '`']) || word.starts_with('#');
    if !is_other && word.chars().all(|c| c.is_alphanumeric() || "_-+./:@,%^".contains(c)) {
        let path = env::var_os("PATH").unwrap_or_default();
        let is_file = if word.contains('/') {
            fs::exists(word).unwrap_or(false)
        } else {
            env::split_paths(&path).any(|folder| folder.join(word).is_file())
        };
        return is_file || accepts(r#"command -v -- "$KEYFOB_WORD""#, word);
    }
    let name = word.split_once('=').map_or("", |(name, _)| name);
    let is_assignment = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    accepts(SYNTAX, command)
        && (is_other
            || is_assignment
            // A quoted word with a space in it.
            || !accepts(SYNTAX, word)
            || accepts(r#"eval "command -v -- $KEYFOB_WORD""#, word))
}

/// Whether a script of keyfob's own succeeds with this text. The script receives the text in the environment, because everyone can read
/// a command line.
fn accepts(script: &str, text: &str, secrets: &Secrets<'_>) -> bool {
    let mut shell = shell(secrets);
    shell.arg("-c").arg(script).env("KEYFOB_WORD", text);
    shell.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

struct Running {
    shell: Child,
    /// Whether there is a terminal. Then the command may ask on it and Ctrl-C must end it, so it stays in the group of this process.
    terminal: Option<Terminal>,
    /// The pipe that it prints to, by device and inode.
    pipe: Option<(u64, u64)>,
    status: Option<ExitStatus>,
}

struct Terminal {
    file: fs::File,
    before: Option<Termios>,
}

impl Terminal {
    fn open() -> Option<Self> {
        let file = fs::File::open("/dev/tty").ok()?;
        let before = tcgetattr(&file).ok();
        Some(Self { file, before })
    }

    /// Restores the terminal, unless another program is in the foreground by now.
    fn restore(&self) {
        if let Some(before) = self.before.as_ref().filter(|_| tcgetpgrp(&self.file) == Ok(getpgrp())) {
            let _ = tcsetattr(&self.file, SetArg::TCSANOW, before);
        }
    }
}

impl Running {
    fn start(mut shell: Command) -> Result<Self, Problem> {
        let terminal = Terminal::open();
        shell.env(OF, std::process::id().to_string());
        if terminal.is_none() {
            shell.process_group(0);
        }
        let shell = shell
            .spawn()
            .map_err(|e| Problem::Unexpected(format!("could not run sh: {}", why_not_started(&e))))?;
        Ok(Self { shell, terminal, pipe: None, status: None })
    }

    /// Returns what the command prints. Gives up at a signal and at the end of its time.
    fn output(&mut self, variable: &str, host: &dyn Host) -> Result<Vec<u8>, Problem> {
        const IT: &str = "the command in";
        let deadline = Deadline::after(TIME);
        let gives_up = || host.signal().is_some();
        let late = |what: &str| {
            let time = TIME.as_secs();
            let text = format!(
                "{what} {variable} did not end within {time} s: run it by hand to see what it waits for"
            );
            Problem::new(ErrorKind::Timeout, text)
        };
        let pipe = self.shell.stdout.take().ok_or_else(|| late(IT))?;
        let pipe = fs::File::from(OwnedFd::from(pipe));
        self.pipe = pipe.metadata().ok().map(|pipe| (pipe.dev(), pipe.ino()));
        // A process that it leaves behind, such as an agent, may keep its output open.
        let mut is_enough = |text: &[u8]| text.contains(&b'\n') && self.has_ended();
        let secret = read(pipe, &deadline, &gives_up, &mut is_enough).map_err(|e| match e.kind() {
            io::ErrorKind::FileTooLarge => Problem::invalid(format!(
                "the command in {variable} printed more than 64 KiB: let it print nothing but the secret"
            )),
            _ => unreadable(&format!("the output of the command in {variable}"), &why(&e)),
        })?;
        let Some(secret) = secret else {
            return Err(late(if self.has_ended() { "what was started by the command in" } else { IT }));
        };
        within(deadline.remaining(), || self.has_ended() || gives_up());
        // Ctrl-C also ends the shell. Then the shell did not end by itself, so the processes that it has started must end too.
        if !self.has_ended() || gives_up() {
            return Err(late(IT));
        }
        let status = self.shell.wait().map_err(|e| unreadable(variable, &why(&e)))?;
        self.status = Some(status);
        if status.success() {
            return Ok(secret);
        }
        let text = format!("the command in {variable} gave no secret: it ended with {status}");
        Err(Problem::new(ErrorKind::NoCredentials, text))
    }

    /// Waits without reaping the process where that is possible, so that no other process can receive its number.
    fn has_ended(&mut self) -> bool {
        #[cfg(target_os = "linux")]
        {
            use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
            !matches!(waitid(Id::Pid(self.id()), flags), Ok(WaitStatus::StillAlive))
        }
        #[cfg(not(target_os = "linux"))]
        !matches!(self.shell.try_wait(), Ok(None))
    }

    fn id(&self) -> Pid {
        Pid::from_raw(self.shell.id().cast_signed())
    }

    /// Asks the shell and the processes that it has started to end, kills those that are left, and restores the terminal. If the shell has
    /// ended by itself, does nothing: the processes that it left, such as an agent, are meant to stay.
    fn end(mut self, signal: Signal, host: &dyn Host) {
        if self.status.is_none() {
            self.end_all(signal, host);
        }
        if let Some(terminal) = &self.terminal {
            terminal.restore();
        }
    }

    fn end_all(&mut self, signal: Signal, host: &dyn Host) {
        let id = self.id();
        let has_own_group = self.terminal.is_none();
        let group = if has_own_group { id } else { getpgrp() };
        // Leaves out daemons: they have left the group and print nothing to this program.
        let started = started_by(id, host).into_iter().filter(|one| {
            one.is_child
                || getpgid(Some(one.id)) == Ok(group)
                || self.pipe.is_some_and(|pipe| holds(one.id, pipe))
        });
        let started: Vec<_> = started.map(|one| one.id).collect();
        let send = |signal| {
            if has_own_group {
                let _ = killpg(id, signal);
            }
            for &one in &started {
                let _ = kill(one, signal);
            }
        };
        send(signal);
        // A stopped process ends only when it continues.
        send(Signal::SIGCONT);
        within(END_TIME, || self.has_ended() && !started.iter().any(|one| *one != id && is_alive(*one)));
        send(Signal::SIGKILL);
        let _ = self.shell.wait();
    }
}

/// Whether the process is still running. Unknown without `/proc`.
fn is_alive(id: Pid) -> bool {
    let stat = fs::read(format!("/proc/{id}/stat")).unwrap_or_default();
    String::from_utf8_lossy(&stat).rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Whether a process has this file open.
fn holds(id: Pid, file: (u64, u64)) -> bool {
    let open = fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().flatten();
    open.filter_map(|entry| entry.path().metadata().ok()).any(|other| (other.dev(), other.ino()) == file)
}

struct Started {
    id: Pid,
    /// The shell or one of its descendants.
    is_child: bool,
}

/// Returns the shell and its descendants, including those whose parents have ended. Without `/proc`, the shell alone.
fn started_by(shell: Pid, host: &dyn Host) -> Vec<Started> {
    let number = |text: Option<&str>| text?.parse().ok().map(Pid::from_raw);
    let mark = format!("\0{OF}={}\0", std::process::id());
    let mut marked = Vec::new();
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = number(entry.file_name().to_str()) else { continue };
        let read = |name| fs::read(entry.path().join(name)).unwrap_or_default();
        let environment = [b"\0", &*read("environ")].concat();
        if environment.windows(mark.len()).any(|window| window == mark.as_bytes()) {
            marked.push(id);
        }
        // The name of the program comes first, and may hold any character.
        let stat = String::from_utf8_lossy(&read("stat")).into_owned();
        if let Some(parent) = stat.rsplit_once(')').and_then(|(_, rest)| number(rest.split(' ').nth(2))) {
            children.push((parent, id));
        }
    }
    // This program itself is not listed.
    if children.is_empty() && cfg!(target_os = "linux") {
        host.warn(
            "/proc lists no processes: one that the command for a secret has started may still be running",
        );
    }
    let mut found = vec![Started { id: shell, is_child: true }];
    let mut looked_at = 0;
    loop {
        while let Some(&Started { id: parent, is_child }) = found.get(looked_at) {
            let more = children.iter().filter(|(of, _)| *of == parent).map(|(_, id)| *id);
            let more: Vec<_> = more.filter(|id| !found.iter().any(|one| one.id == *id)).collect();
            found.extend(more.into_iter().map(|id| Started { id, is_child }));
            looked_at += 1;
        }
        // Adds marked processes whose parents have ended.
        let Some(id) = marked.pop() else { return found };
        if !found.iter().any(|one| one.id == id) {
            found.push(Started { id, is_child: false });
        }
    }
}
