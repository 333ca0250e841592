//! keyfob's side of `compare`. Tokens are kept in memory, or in a store if `KEYFOB_STORE` names one.

use std::{env, io};

use keyfob::spacebring::{Partner, scope};
use keyfob::{AppCredentials, Service, SpatiaFi, Transport};
use keyfob_benches::{CALL, CALLBACK, Outcome, logins, work};

fn main() -> Outcome<()> {
    if let Some(count) = logins()? {
        return log_in(count);
    }
    let spatiafi = match env::var_os("KEYFOB_STORE") {
        Some(_) => Service::clone(&*SpatiaFi::from_env()?),
        None => without_store()?,
    };
    let agent = spatiafi.agent();
    let url = format!("{}{CALL}", spatiafi.api_url());
    work(|| agent.get(&url).call())
}

fn without_store() -> Outcome<Service> {
    let credentials = AppCredentials::from_env("SPATIAFI_CLIENT_ID", "SPATIAFI_CLIENT_SECRET")?;
    Ok(SpatiaFi::builder(&credentials.ok_or("no credentials")?)
        .transport(Transport::from_env()?)
        .set("auth_url", env::var("SPATIAFI_AUTH_URL")?)
        .api_url(env::var("SPATIAFI_API_URL")?)
        .build()?)
}

/// Prints the URL of each login and reads the URL of its callback.
fn log_in(count: u64) -> Outcome<()> {
    let (id, secret) = (env::var("SPACEBRING_CLIENT_ID")?, env::var("SPACEBRING_CLIENT_SECRET")?);
    let partner = Partner::builder(&id, secret, CALLBACK)
        .transport(Transport::from_env()?)
        .api_url(env::var("SPACEBRING_API_URL")?)
        .build()?;
    let mut lines = io::stdin().lines();
    for _ in 0..count {
        let login = partner.start_login_for(scope::LOCATIONS_READONLY)?;
        println!("{}", login.url());
        login.finish(lines.next().ok_or("no callback")??.as_str())?;
    }
    Ok(())
}
