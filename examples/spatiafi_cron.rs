//! A cron job: app credentials from the environment or the file → one API call → its answer on standard output.
//!
//! The access token is kept in `KEYFOB_STORE`, or in the user's own folder, so the next run makes no token request.
//!
//! `cargo run --example spatiafi_cron`

use std::process::ExitCode;

use keyfob::{Error, SpatiaFi, classify};

fn main() -> ExitCode {
    match run() {
        Ok(answer) => {
            println!("{answer}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(error.kind().exit_status())
        }
    }
}

fn run() -> Result<String, Error> {
    let spatiafi = SpatiaFi::from_env()?;
    for warning in spatiafi.warnings() {
        eprintln!("warning: {warning}");
    }
    spatiafi
        .agent()?
        .get(format!("{}/api/info", spatiafi.api_url()))
        .query("item_id", "ce-wildfire-risk-static-us-and-canada-v3.0")
        .call()
        .and_then(|mut response| response.body_mut().read_to_string())
        .map_err(classify)
}
