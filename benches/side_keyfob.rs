//! keyfob's side of `compare`. Tokens are kept in memory, or in the store if `KEYFOB_STORE` names one.

use std::env;

use keyfob::{ClientCredentials, Http, SpatiaFi};
use keyfob_benches::{CALL, Outcome, work};

fn main() -> Outcome<()> {
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
