//! Creates app credentials with a user name and password, and saves them to the file of the official Python
//! client.
//!
//! `SPATIAFI_USERNAME=… SPATIAFI_PASSWORD=… cargo run --example spatiafi_login [-- --force]`
//!
//! With `--force`, existing app credentials are replaced, and a backup is kept.

use std::process::ExitCode;

use keyfob::CredentialsFile;
use keyfob::spatiafi::{Registration, credentials_file};

fn main() -> ExitCode {
    let force = std::env::args().skip(1).any(|argument| argument == "--force");
    match login(force) {
        Ok(answer) => {
            println!("{answer}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            rescue(&error);
            ExitCode::from(error.kind().exit_status())
        }
    }
}

/// The server shows the credentials only once. If they could not be saved to their file, they are saved to
/// the current folder.
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
    let credentials = Registration::from_env()?.run(&file, force)?;
    Ok(format!("app credentials {} are in {}", credentials.client_id(), file.path().display()))
}
