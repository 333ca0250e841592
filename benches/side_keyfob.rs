//! keyfob's side of `compare`. Tokens are kept in memory, or in the store if `KEYFOB_STORE` names one.

use std::{env, io};

use keyfob::spacebring::{Partner, scope};
use keyfob::{ClientCredentials, Http, SpatiaFi};
use keyfob_benches::{CALL, CALLBACK, Outcome, logins, work};

fn main() -> Outcome<()> {
    if let Some(count) = logins()? {
        return log_in(count);
    }
    let spatiafi =
        if env::var_os("KEYFOB_STORE").is_some() { SpatiaFi::from_env()? } else { without_store()? };
    let agent = spatiafi.agent()?;
    let url = format!("{}{CALL}", spatiafi.api_url());
    work(|| agent.get(&url).call())
}

fn without_store() -> Outcome<SpatiaFi> {
    let credentials = ClientCredentials::from_env("SPATIAFI_CLIENT_ID", "SPATIAFI_CLIENT_SECRET")?;
    Ok(SpatiaFi::new(credentials.ok_or("no credentials")?)
        .with_http(Http::from_env()?)
        .with_auth_url(&env::var("SPATIAFI_AUTH_URL")?)?
        .with_api_url(&env::var("SPATIAFI_API_URL")?)?)
}

/// Prints the URL of each login and reads the callback's.
fn log_in(count: u64) -> Outcome<()> {
    let (id, secret) = (env::var("SPACEBRING_CLIENT_ID")?, env::var("SPACEBRING_CLIENT_SECRET")?);
    let partner = Partner::new(&id, secret, CALLBACK)?
        .with_http(Http::from_env()?)
        .with_api_url(&env::var("SPACEBRING_API_URL")?)?;
    let mut lines = io::stdin().lines();
    for _ in 0..count {
        let login = partner.login([scope::LOCATIONS_READONLY])?;
        println!("{}", login.url());
        login.finish(lines.next().ok_or("no callback")??.as_str())?;
    }
    Ok(())
}
