//! The `keyfob` command: tokens and signed requests for cron jobs, shell scripts and people.
#![forbid(unsafe_code)]

mod args;
mod batch;
mod clock;
mod exec;
mod failure;
mod logout;
mod output;
mod request;
mod secrets;
mod service;
mod settings;
mod signals;
mod spacebring;
mod spatiafi;
mod status;
mod target;
mod terminal;
mod token;

use std::alloc::System;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};
use keyfob::ureq::http::Method;
use zeroizing_alloc::ZeroAlloc;

use args::{Action, Cli, Command, Format, Later, Spacebring, Spatiafi};
use failure::Failure;
use service::Service;
use settings::Settings;

/// Wipes what it frees: what ureq, rustls and the parsers keep of secrets too.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    keep_memory_private();
    match parse() {
        Ok(cli) => {
            if cli.common.verbose {
                output::narrate();
            }
            end(run(cli))
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
                // Ends as every program does that does not know the signal: shells look at that.
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
            ExitCode::from(failure.exit_status())
        }
    }
}

/// The command line, or the exit status if there is nothing to run.
fn parse() -> Result<Cli, ExitCode> {
    let mut command = Cli::command();
    let cli = command
        .try_get_matches_from_mut(std::env::args_os())
        .and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches))
        .map_err(|error| {
            let error = error.format(&mut command);
            if error.use_stderr() {
                error.exit();
            }
            // Help and version are results too.
            end(output::print(error.render().to_string().as_bytes()))
        });
    // To take it apart takes as long as to put it together, and it holds no secret.
    std::mem::forget(command);
    cli
}

/// No core dump, and no look into the memory for other programs of the same user. `exec` ends it.
fn keep_memory_private() {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_dumpable(false);
}

fn run(cli: Cli) -> Result<(), Failure> {
    check(&cli)?;
    match cli.command {
        Command::Spatiafi(Later(command)) => {
            let client = spatiafi::Client { settings: Settings::new(cli.common)? };
            match command {
                Spatiafi::Login { force } => client.login(force),
                Spatiafi::Action(action) => act(&client, &action),
            }
        }
        Command::Spacebring(Later(command)) => {
            let client = spacebring::Client { settings: Settings::new(cli.common)? };
            match command {
                Spacebring::Login(Later(options)) => client.login(&options),
                Spacebring::Revoke => client.revoke(),
                Spacebring::Action(action) => act(&client, &action),
            }
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "keyfob", &mut script);
            output::print(&script)
        }
    }
}

/// An option that would have no effect is a mistake.
fn check(cli: &Cli) -> Result<(), Failure> {
    let action = match &cli.command {
        Command::Spatiafi(Later(Spatiafi::Action(action)))
        | Command::Spacebring(Later(Spacebring::Action(action))) => Some(action),
        _ => None,
    };
    match (cli.common.format, action) {
        (None, _) | (_, Some(Action::Token)) | (Some(Format::Text | Format::Json), Some(Action::Status)) => {
            Ok(())
        }
        (Some(Format::Header), Some(Action::Status)) => {
            Err(Failure::invalid("--format header is for `token`: `status` has text and json"))
        }
        _ => Err(Failure::invalid("--format is for `token` and `status`: leave it out")),
    }
}

fn act(service: &dyn Service, action: &Action) -> Result<(), Failure> {
    match action {
        Action::Token => token::run(service),
        Action::Get(Later(given)) => request::get(service, given),
        Action::Post(Later(given)) => request::with_body(service, Method::POST, given),
        Action::Put(Later(given)) => request::with_body(service, Method::PUT, given),
        Action::Patch(Later(given)) => request::with_body(service, Method::PATCH, given),
        Action::Delete(Later(given)) => request::with_body(service, Method::DELETE, given),
        Action::Batch(Later(given)) => batch::run(service, given),
        Action::Exec { command } => exec::run(service, command),
        Action::Logout { credentials } => logout::run(service, *credentials),
        Action::Status => status::run(service),
    }
}
