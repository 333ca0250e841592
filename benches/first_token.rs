//! A new process that obtains a token of Acme. Its endpoint is found by the issuer, or with the argument `url` it is given.

use std::{env, time::Duration};

use keyfob::{ClientAuth, Service, TokenSource as _, Transport};
use keyfob_benches::Outcome;

fn main() -> Outcome<()> {
    let issuer = env::var("ACME_ISSUER")?;
    let auth = ClientAuth::secret_basic(env::var("ACME_CLIENT_ID")?, env::var("ACME_CLIENT_SECRET")?);
    let acme = Service::builder("acme").api_url(env::var("ACME_API_URL")?).transport(Transport::from_env()?);
    let acme = match env::args().nth(1).as_deref() {
        Some("url") => acme.token_url(format!("{issuer}/token")),
        _ => acme.issuer(issuer),
    };
    acme.client_credentials(auth).build()?.source().token(Duration::ZERO)?;
    Ok(())
}
