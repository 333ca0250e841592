//! A cron job: reads app credentials from the environment or the file, makes one API call, and prints the
//! answer.
//!
//! The access token is kept in `KEYFOB_STORE`, or in the user's own folder, so the next run makes no token
//! request.
//!
//! `cargo run --example spatiafi_cron`

use std::process::ExitCode;

use keyfob::{Error, SpatiaFi};

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
    let mut response = spatiafi
        .agent()
        .get(format!("{}/api/info", spatiafi.api_url()))
        .query("item_id", "ce-wildfire-risk-static-us-and-canada-v3.0")
        .call()?;
    Ok(response.body_mut().read_to_string()?)
}
