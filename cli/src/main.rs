//! The `keyfob` command: tokens and authenticated requests for cron jobs, shell scripts and people.
#![forbid(unsafe_code)]

mod args;
mod batch;
mod catalog;
mod check;
mod exec;
mod failure;
mod git_credential;
mod introspect;
mod leave;
mod line;
mod login;
mod logout;
mod output;
mod request;
mod service;
mod services;
mod settings;
mod signals;
mod spatiafi;
mod status;
mod target;
mod terminal;
mod token;
mod usage;

use std::alloc::System;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};
use keyfob::ureq::http::Method;
use keyfob_config::KnownService;
use zeroizing_alloc::ZeroAlloc;

use args::{Action, Cli, Command, Common, Format, Later, OfService, Other};
use failure::Failure;
use service::Client;
use settings::Settings;

/// Wipes all memory that it frees, including the copies of secrets in ureq, rustls and the parsers.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    if let Some(status) = leave::requested_status() {
        return status;
    }
    let is_private = keep_memory_private();
    match parse() {
        Ok(cli) => {
            if cli.common.verbose > 0 {
                output::narrate(cli.common.verbose > 1);
            }
            if let Err(error) = is_private {
                let why = output::why(&error);
                output::warn(&format!(
                    "other programs of this user can read the memory of this one, as the system did not close it: {why}"
                ));
            }
            end(leave::on_wiped_stack(|| run(cli)))
        }
        Err(status) => status,
    }
}

fn end(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let text = failure.to_string();
            if !text.is_empty() {
                output::error(&text);
            }
            #[cfg(unix)]
            if let Failure::Signal(signal) = failure {
                // Ends like a program that does not handle the signal, because shells check that.
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
            ExitCode::from(failure.exit_status())
        }
    }
}

/// Returns the parsed command line, or the exit status if there is nothing to run.
fn parse() -> Result<Cli, ExitCode> {
    let mut command = Cli::command();
    let cli = command
        .try_get_matches_from_mut(std::env::args_os())
        .and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches))
        .map_err(|error| {
            let error = error.format(&mut command);
            end(if error.use_stderr() {
                usage::refuse(&error)
            } else {
                // Help and version go to standard output.
                output::print(error.render().to_string().as_bytes())
            })
        });
    // Freeing it takes as long as building it, and it holds no secret.
    std::mem::forget(command);
    cli
}

/// Forbids core dumps, and closes the memory to other programs of the same user. `exec` ends both.
fn keep_memory_private() -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_dumpable(false)?;
    Ok(())
}

fn run(cli: Cli) -> Result<(), Failure> {
    check_format(&cli)?;
    match cli.command {
        Command::Service(known, command) => {
            let format = cli.common.format;
            let client = match client(known, cli.common) {
                Err(failure) if matches!(command, OfService::Action(Action::Check { .. })) => {
                    return check::without_service(failure, format);
                }
                client => client?,
            };
            match command {
                OfService::Register { force } => spatiafi::log_in(&client, force),
                OfService::Login(options) => login::log_in(&client, &options),
                OfService::Revoke => login::revoke(&client),
                OfService::Action(action) => act(&client, &action),
            }
        }
        Command::Other(Other::Services) => services::run(cli.common.format),
        Command::Other(Other::Status) => status::run_all(Settings::new(cli.common)?),
        Command::Other(Other::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "keyfob", &mut script);
            output::print(&script)
        }
    }
}

fn client(known: KnownService<'static>, options: Common) -> Result<Client, Failure> {
    catalog::check()?;
    Ok(Client { known, settings: Settings::new(options)? })
}

/// Refuses an option that would have no effect.
fn check_format(cli: &Cli) -> Result<(), Failure> {
    let is_report = match &cli.command {
        Command::Service(_, OfService::Action(Action::Token)) => return Ok(()),
        Command::Service(_, OfService::Action(Action::Status | Action::Check { .. }))
        | Command::Other(Other::Services | Other::Status) => true,
        _ => false,
    };
    match cli.common.format {
        None => Ok(()),
        Some(Format::Text | Format::Json) if is_report => Ok(()),
        Some(_) if is_report => {
            Err(Failure::invalid("this --format is for `token`: reports have text and json"))
        }
        Some(_) => {
            Err(Failure::invalid("--format is for `token`, `status`, `check` and `services`: leave it out"))
        }
    }
}

fn act(client: &Client, action: &Action) -> Result<(), Failure> {
    match action {
        Action::Token => token::run(client),
        Action::Get(Later(given)) => request::get(client, given),
        Action::Post(Later(given)) => request::with_body(client, Method::POST, given),
        Action::Put(Later(given)) => request::with_body(client, Method::PUT, given),
        Action::Patch(Later(given)) => request::with_body(client, Method::PATCH, given),
        Action::Delete(Later(given)) => request::with_body(client, Method::DELETE, given),
        Action::Batch(Later(given)) => batch::run(client, given),
        Action::Exec { command } => exec::run(client, command),
        Action::Logout { credentials } => logout::run(client, *credentials),
        Action::Status => status::run(client),
        Action::Check { offline } => check::run(client, *offline),
        Action::GitCredential { operation } => git_credential::run(client, operation),
        Action::Introspect => introspect::run(client),
    }
}
