//! Makes one API call with client credentials, at any OAuth 2.0 server that its issuer names.
//!
//! `ACME_ISSUER`, `ACME_API_URL`, `ACME_CLIENT_ID` and `ACME_CLIENT_SECRET` hold the issuer, the URL of the API and the client. `cargo run
//! -p keyfob-sandbox` prints them for the server of the sandbox. `ACME_SCOPE` may hold a scope. The argument is the path of the call.
//! Default: `/things`.
//!
//! A file holds the token, so the next run makes the API call alone.

use keyfob::{ClientAuth, Definition, Error, Setting};

static ACME: Definition = Definition {
    settings: &[Setting::ISSUER.required(), Setting::API_URL.required(), Setting::SCOPE],
    ..Definition::new("acme", "", |builder, id, secret| {
        builder.client_credentials(ClientAuth::secret_basic(id, secret))
    })
};

fn main() -> Result<(), Error> {
    let acme = ACME.from_env()?.build()?;
    let path = std::env::args().nth(1).unwrap_or_else(|| "/things".to_owned());
    let mut answer = acme.agent().get(format!("{}{path}", acme.api_url())).call()?;
    // The agent does not follow redirects.
    if let Some(redirect) = Error::from_response(&answer) {
        return Err(redirect);
    }
    println!("{}", answer.body_mut().read_to_string()?);
    Ok(())
}
