//! A program that uses one flow. `compare` looks for parts of other flows in it.

use std::env;

use keyfob::{ClientAuth, Transport, flow::ClientCredentials};
use keyfob_benches::Outcome;

fn main() -> Outcome<()> {
    let auth = ClientAuth::secret_basic(env::var("ACME_CLIENT_ID")?, env::var("ACME_CLIENT_SECRET")?);
    let flow = ClientCredentials::new(format!("{}/token", env::var("ACME_ISSUER")?), auth);
    println!("{:?}", flow.run(&Transport::from_env()?)?);
    Ok(())
}
