//! A customer of Spacebring: reads id and secret from the environment, and prints the customer's locations.
//!
//! `SPACEBRING_CLIENT_ID=… SPACEBRING_CLIENT_SECRET=… cargo run --example spacebring_customer`

use std::process::ExitCode;

use keyfob::Error;
use keyfob::spacebring::{Customer, Pages};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(error.kind().exit_status())
        }
    }
}

fn run() -> Result<(), Error> {
    let customer = Customer::from_env()?;
    for page in Pages::new(&customer.agent(), &format!("{}/locations/v1", customer.api_url()))? {
        for location in page?["locations"].as_array().into_iter().flatten() {
            println!("{location}");
        }
    }
    Ok(())
}
