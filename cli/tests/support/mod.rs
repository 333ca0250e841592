//! The real binary against the sandbox.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod git;
pub mod home;

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use keyfob_sandbox::{Sandbox, SpacebringSandbox};
use tempfile::TempDir;

pub const INFO: &str = "/api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0";

/// Both services, and a home folder of the test's own.
pub struct Services {
    pub spatiafi: Sandbox,
    pub spacebring: SpacebringSandbox,
    pub home: TempDir,
}

impl Services {
    pub fn start() -> Self {
        Self::beside(Sandbox::start())
    }

    pub fn start_tls() -> Self {
        Self::beside(Sandbox::start_tls())
    }

    fn beside(spatiafi: Sandbox) -> Self {
        let spacebring = SpacebringSandbox::beside(&spatiafi);
        Self { spatiafi, spacebring, home: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a file with this content, mode 0600.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::PermissionsExt::set_mode(&mut path.metadata().unwrap().permissions(), 0o600);
        #[cfg(unix)]
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        path
    }

    /// Runs the command with the environment of both sandboxes, and no other variables.
    pub fn keyfob(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = bare(self.home.path());
        command.args(arguments).envs(self.spatiafi.env()).envs(self.spacebring.env());
        command
    }

    /// The same with arguments in words, without these variables.
    pub fn without(&self, unset: &[&str], words: &str) -> Command {
        let mut command = self.keyfob(words.split_whitespace());
        for name in unset {
            command.env_remove(name);
        }
        command
    }

    /// The same with arguments in words.
    pub fn run(&self, words: &str) -> Output {
        self.without(&[], words).output().unwrap()
    }

    /// Runs a line of shell, which finds the command by its name.
    #[cfg(unix)]
    pub fn shell(&self, line: &str) -> Output {
        let folder = Path::new(env!("CARGO_BIN_EXE_keyfob")).parent().unwrap();
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).env_clear().env("HOME", self.home.path()).env("PATH", path);
        shell.envs(self.spatiafi.env()).envs(self.spacebring.env());
        shell.current_dir(self.home.path()).stdin(Stdio::null()).output().unwrap()
    }

    /// Logs in to Spacebring like a person who pastes the address.
    pub fn log_in(&self, more: &str) -> Output {
        self.log_in_with(&mut self.without(&[], &format!("spacebring login --no-browser {more}")))
    }

    pub fn log_in_with(&self, command: &mut Command) -> Output {
        let mut child = piped(command);
        let url = url_of(&mut child);
        let callback = self.spacebring.approve(&url);
        writeln!(child.stdin.take().unwrap(), "{callback}").unwrap();
        child.wait_with_output().unwrap()
    }

    pub fn requests(&self) -> u64 {
        self.spatiafi.total() + self.spacebring.total()
    }
}

/// Runs the command with only a home folder in its environment.
pub fn bare(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyfob"));
    command.env_clear().env("HOME", home).env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.current_dir(home).stdin(Stdio::null());
    command
}

pub fn piped(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Returns the login URL, as soon as it is on standard error. The rest stays unread.
pub fn url_of(child: &mut Child) -> String {
    use std::io::Read as _;
    let stderr = child.stderr.as_mut().unwrap();
    let mut said = Vec::new();
    let mut byte = [0];
    loop {
        assert_eq!(stderr.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&said));
        said.push(byte[0]);
        let line = String::from_utf8_lossy(said.split_inclusive(|&byte| byte == b'\n').next_back().unwrap());
        if let Some(url) = line.strip_prefix("keyfob: open ").and_then(|url| url.strip_suffix('\n')) {
            return url.to_owned();
        }
    }
}

pub fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

pub fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// Checks that it ended with this status, with this text on standard error and nothing on standard output.
#[track_caller]
pub fn fails(output: &Output, status: i32, says: &str) {
    assert_eq!(output.status.code(), Some(status), "{}{}", out(output), err(output));
    assert!(err(output).contains(says), "{says:?} is not in: {}", err(output));
    assert_eq!(out(output), "");
}

/// Checks that it succeeded, with nothing on standard error.
#[track_caller]
pub fn succeeds(output: &Output) -> &str {
    assert_eq!((output.status.code(), err(output)), (Some(0), ""), "{}", out(output));
    out(output)
}

/// Checks that it succeeded, with any output.
#[track_caller]
pub fn ends_well(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}{}", out(output), err(output));
}
