//! `keyfob <service> exec`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::Command;

use crate::catalog;
use crate::failure::Failure;
use crate::output::{self, why};
use crate::service::Client;

/// The exit statuses are those of `env` and the shells.
const NOT_FOUND: u8 = 127;
const NOT_RUNNABLE: u8 = 126;

pub fn run(client: &Client, command: &[OsString]) -> Result<(), Failure> {
    let (program, arguments) =
        command.split_first().ok_or_else(|| Failure::invalid("there is no command to run"))?;
    let token = client.token()?;
    let mut command = Command::new(program);
    command.args(arguments);
    let secrets = catalog::secrets();
    secrets.keep_from(&mut command);
    secrets.replace_descriptors()?;
    command.env(client.variable("access_token"), token.access_token().expose_str().unwrap_or_default());
    become_it(&mut command).map_err(|e| failed(program, &e))
}

/// Replaces this process, so signals and the exit status are those of the command.
#[cfg(unix)]
fn become_it(command: &mut Command) -> io::Result<()> {
    use std::os::unix::process::CommandExt as _;
    Err(command.exec())
}

#[cfg(not(unix))]
fn become_it(command: &mut Command) -> io::Result<()> {
    let status = command.status()?;
    std::process::exit(status.code().unwrap_or(1))
}

fn failed(program: &OsStr, error: &io::Error) -> Failure {
    output::error(&format!("could not run {}: {}", program.display(), why(error)));
    Failure::Reported(if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_RUNNABLE })
}
