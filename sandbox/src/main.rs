//! The sandbox as a program: prints the variables that point a client at it and runs until told to stop.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use clap::Parser;
use keyfob_sandbox::{Endpoint, Sandbox, Servers, SpacebringSandbox};

/// SpatiaFi and Spacebring in memory, on loopback, for offline work.
///
/// Prints `export` lines for a shell and serves until Ctrl-C, a signal or the time limit.
#[derive(Parser)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[command(name = "keyfob-sandbox")]
struct Options {
    /// How long access tokens live [default: SpatiaFi's 900, Spacebring's 3600]
    #[arg(long, value_name = "SECONDS")]
    lifetime: Option<u64>,

    /// Holds every answer back
    #[arg(long, value_name = "MS", default_value_t = 0)]
    delay: u64,

    /// Serves over TLS, with a certificate from a fresh authority (`KEYFOB_CA_FILE`)
    #[arg(long)]
    tls: bool,

    /// Stops after so long; 0 for never
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    seconds: u64,

    /// Stops when standard input closes, for programs that start this one
    #[arg(long)]
    until_stdin_closes: bool,

    /// Prints one line of JSON instead of `export` lines
    #[arg(long)]
    json: bool,

    /// Prints each request to standard error, secrets masked
    #[arg(long, short)]
    verbose: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("keyfob-sandbox: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let (stop, stopped) = mpsc::channel();
    let on_signal = stop.clone();
    ctrlc::set_handler(move || {
        // Nobody listens any more if the program is ending already.
        let _ = on_signal.send(());
    })?;

    let spatiafi = if options.tls { Sandbox::start_tls() } else { Sandbox::start() };
    let spacebring = SpacebringSandbox::beside(&spatiafi);
    if let Some(seconds) = options.lifetime {
        spatiafi.set_token_lifetime(Duration::from_secs(seconds));
        spacebring.set_token_lifetime(Duration::from_secs(seconds));
    }
    let both: [&Servers; 2] = [&spatiafi, &spacebring];
    for servers in both {
        for endpoint in Endpoint::ALL {
            servers.set_delay(endpoint, Duration::from_millis(options.delay));
        }
        if options.verbose {
            servers.observe(|request| eprintln!("{request}"));
        }
    }
    print_settings(&spatiafi, &spacebring, options.json)?;

    if options.until_stdin_closes {
        thread::spawn(move || {
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            let _ = stop.send(());
        });
    }
    match options.seconds {
        0 => stopped.recv()?,
        seconds => match stopped.recv_timeout(Duration::from_secs(seconds)) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => eprintln!("keyfob-sandbox: stopped after {seconds} s"),
            Err(error) => return Err(error.into()),
        },
    }
    Ok(())
}

fn print_settings(spatiafi: &Sandbox, spacebring: &SpacebringSandbox, json: bool) -> io::Result<()> {
    // Both name the same certificate.
    let settings: BTreeMap<_, _> = spatiafi.env().into_iter().chain(spacebring.env()).collect();
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(&settings)?)?;
    } else {
        for (name, value) in settings {
            writeln!(out, "export {name}={}", shell_quoted(&value))?;
        }
        let accounts = [
            ("SpatiaFi", spatiafi.username(), spatiafi.password()),
            ("Spacebring", spacebring.username(), spacebring.password()),
        ];
        for (service, username, password) in accounts {
            writeln!(out, "# {service} demo account: user name {username}, password {password}")?;
        }
    }
    out.flush()
}

/// In single quotes, where a shell takes every character but the quote itself as it is.
fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
