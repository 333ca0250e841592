//! The sandbox as a program: prints the variables that point a client at it and runs until it is stopped.

mod client;
mod config_file;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use clap::Parser;
use keyfob_sandbox::{AcmeSandbox, Endpoint, Sandbox, Servers, SpacebringSandbox};

/// SpatiaFi, Spacebring and the OAuth 2.0 server Acme in memory, on loopback, for offline work.
///
/// Prints `export` lines for a shell and serves until Ctrl-C, a signal or the time limit.
#[derive(Parser)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[command(name = "keyfob-sandbox")]
struct Options {
    /// Serves at fixed ports: SpatiaFi at PORT and PORT+1 (its API), Spacebring at PORT+2, Acme at PORT+3 and PORT+4 (its API)
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..=i64::from(u16::MAX - 4)))]
    port: Option<u16>,

    /// Registers this client at all three services, in place of one with a random id and secret. Do not give a real secret
    #[arg(long, value_name = "ID:SECRET")]
    client: Option<String>,

    /// Writes config.toml for the command keyfob, with Acme in it, and acme-secret beside it
    #[arg(long, value_name = "FOLDER")]
    config: Option<PathBuf>,

    /// How long access tokens live [default: SpatiaFi's 900, others' 3600]
    #[arg(long, value_name = "SECONDS")]
    lifetime: Option<u64>,

    /// Delays every answer
    #[arg(long, value_name = "MS", default_value_t = 0)]
    delay: u64,

    /// Serves over TLS, with a certificate from a fresh authority (`KEYFOB_CA_FILE`)
    #[arg(long)]
    tls: bool,

    /// Stops after this time; 0 for never
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
    let client = options.client.as_deref().map(client::parse).transpose();
    let client = client.map_err(|error| format!("--client: {error}"))?;
    if let Some(folder) = &options.config {
        config_file::check(folder).map_err(|error| format!("--config: {error}"))?;
    }
    let listeners = options.port.map(listen).transpose()?;

    let (stop, stopped) = mpsc::channel();
    let on_signal = stop.clone();
    ctrlc::set_handler(move || {
        // The receiver is gone if the program is ending already.
        let _ = on_signal.send(());
    })?;

    let (mut spatiafi, mut spacebring, mut acme) = start(options.tls, listeners);
    if let Some((id, secret)) = client {
        spatiafi.set_client(&id, &secret);
        spacebring.set_client(&id, &secret);
        acme.set_client(&id, &secret);
    }
    if let Some(seconds) = options.lifetime {
        spatiafi.set_token_lifetime(Duration::from_secs(seconds));
        spacebring.set_token_lifetime(Duration::from_secs(seconds));
        acme.set_token_lifetime(Duration::from_secs(seconds));
    }
    let all: [&Servers; 3] = [&spatiafi, &spacebring, &acme];
    for servers in all {
        for endpoint in Endpoint::ALL {
            servers.set_delay(endpoint, Duration::from_millis(options.delay));
        }
        if options.verbose {
            servers.observe(|request| eprintln!("{request}"));
        }
    }
    let config = options.config.as_deref().map(|folder| config_file::write(folder, &acme)).transpose();
    let config = config.map_err(|error| format!("--config: {error}"))?;
    print_settings(&spatiafi, &spacebring, &acme, config.as_deref(), options.json)?;

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

/// Binds the port and the four after it.
fn listen(first: u16) -> Result<[TcpListener; 5], String> {
    let bind = |offset| {
        let port = first + offset;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| {
            format!("--port {first}: port {port} of 127.0.0.1 cannot be used: {error}; name another port")
        })
    };
    Ok([bind(0)?, bind(1)?, bind(2)?, bind(3)?, bind(4)?])
}

fn start(with_tls: bool, listeners: Option<[TcpListener; 5]>) -> (Sandbox, SpacebringSandbox, AcmeSandbox) {
    if let Some([auth, api, spacebring, acme, acme_api]) = listeners {
        let spatiafi = Sandbox::start_at([auth, api], with_tls);
        let spacebring = SpacebringSandbox::beside_at(&spatiafi, [spacebring]);
        let acme = AcmeSandbox::beside_at(&spatiafi, [acme, acme_api]);
        return (spatiafi, spacebring, acme);
    }
    let spatiafi = if with_tls { Sandbox::start_tls() } else { Sandbox::start() };
    let (spacebring, acme) = (SpacebringSandbox::beside(&spatiafi), AcmeSandbox::beside(&spatiafi));
    (spatiafi, spacebring, acme)
}

fn print_settings(
    spatiafi: &Sandbox,
    spacebring: &SpacebringSandbox,
    acme: &AcmeSandbox,
    config: Option<&Path>,
    json: bool,
) -> io::Result<()> {
    // All name the same certificate.
    let mut settings: BTreeMap<_, _> =
        [spatiafi.env(), spacebring.env(), acme.env()].into_iter().flatten().collect();
    if let Some(path) = config {
        settings.insert("KEYFOB_CONFIG", std::path::absolute(path)?.display().to_string());
    }
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
            ("Acme", acme.username(), acme.password()),
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
