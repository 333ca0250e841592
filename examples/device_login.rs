//! Logs a person in on another device (RFC 8628) and makes one API call, at any OAuth 2.0 server that its issuer names.
//!
//! `ACME_ISSUER`, `ACME_API_URL` and `ACME_CLIENT_ID` hold the issuer, the URL of the API and the client. `ACME_CLIENT_SECRET` may
//! hold a secret of the client, and `ACME_SCOPE` a scope. `cargo run -p keyfob-sandbox` prints the first four for the server of the sandbox.
//! The argument is the path of the call. Default: `/things`.
//!
//! A file holds the tokens, so later runs need no person.

use std::time::Duration;

use keyfob::{ClientAuth, Error, ErrorKind, FileStore, Service, Transport, env_var};

fn required(name: &str) -> Result<String, Error> {
    env_var(name)?.ok_or_else(|| Error::new(ErrorKind::NoCredentials, format!("{name} is not set")))
}

fn main() -> Result<(), Error> {
    let client_id = required("ACME_CLIENT_ID")?;
    let auth = match env_var("ACME_CLIENT_SECRET")? {
        Some(secret) => ClientAuth::secret_basic(client_id, secret),
        None => ClientAuth::none(client_id),
    };
    let acme = Service::builder("acme")
        .issuer(required("ACME_ISSUER")?)
        .api_url(required("ACME_API_URL")?)
        .device_code(auth)
        .transport(Transport::from_env()?)
        .store(FileStore::from_env()?)
        .build()?;
    if let Err(error) = acme.authorization() {
        // Nobody has logged in yet, or the login has ended.
        if error.kind() != ErrorKind::LoginRequired {
            return Err(error);
        }
        let scope = env_var("ACME_SCOPE")?;
        let login = scope.map_or_else(|| acme.start_login(), |scope| acme.start_login_for(&scope))?;
        let code = login.user_code().unwrap_or_default();
        eprintln!("open {} and enter {code}\nor open {}", login.verification_uri(), login.url());
        acme.finish_login(login.wait(Duration::from_secs(900))?)?;
    }
    let path = std::env::args().nth(1).unwrap_or_else(|| "/things".to_owned());
    let mut answer = acme.agent().get(format!("{}{path}", acme.api_url())).call()?;
    // The agent does not follow redirects.
    if let Some(redirect) = Error::from_response(&answer) {
        return Err(redirect);
    }
    println!("{}", answer.body_mut().read_to_string()?);
    Ok(())
}
