//! Name and password → app credentials, saved where the official Python client looks for them.
//!
//! `SPATIAFI_USERNAME=… SPATIAFI_PASSWORD=… cargo run --example spatiafi_login [-- --force]`
//!
//! With `--force`, app credentials that are there already are replaced; a backup is kept.

use std::process::ExitCode;

use keyfob::CredentialsFile;
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
            rescue(&error);
            ExitCode::from(error.kind().exit_status())
        }
    }
}

/// What the server will not show again goes to the current folder, if it could not go where it belongs.
fn rescue(error: &keyfob::Error) {
    let Some(answer) = error.unsaved() else { return };
    let file = CredentialsFile::new("app_credentials.rescued.json");
    match file.prepare(true).map(|target| target.save(answer.expose())) {
        Ok(Ok(())) => eprintln!("they are in {}: move them", file.path().display()),
        Ok(Err(error)) => eprintln!("nor could they be saved in {}: {error}", file.path().display()),
        Err(error) => eprintln!("{error}"),
    }
}

fn login(force: bool) -> Result<String, keyfob::Error> {
    let file = credentials_file()?;
    let credentials = Login::from_env()?.run(&file, force)?;
    Ok(format!("app credentials {} are in {}", credentials.client_id(), file.path().display()))
}
