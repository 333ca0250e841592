//! Name and password → app credentials, saved where the official Python client looks for them.
//!
//! `SPATIAFI_USERNAME=… SPATIAFI_PASSWORD=… cargo run --example spatiafi_login [-- --force]`
//!
//! With `--force`, app credentials that are there already are replaced; a backup is kept.

use std::process::ExitCode;

use keyfob::spatiafi::{Login, credentials_file};

fn main() -> ExitCode {
    let force = std::env::args().skip(1).any(|argument| argument == "--force");
    match login(force) {
        Ok(told) => {
            println!("{told}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(error.kind().exit_status())
        }
    }
}

fn login(force: bool) -> Result<String, keyfob::Error> {
    let file = credentials_file()?;
    let credentials = Login::from_env()?.run(&file, force)?;
    Ok(format!("app credentials {} are in {}", credentials.client_id(), file.path().display()))
}
