//! From name and password to an API call, against a SpatiaFi of its own: needs no account and no network.
//!
//! `cargo run --example tour`

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keyfob::flow::{AppCredentials, BasicToken, ClientAssertion};
use keyfob::{CredentialsFile, Http, SpatiaFi, TokenSource as _};
use keyfob_sandbox::{Endpoint, Fault, Sandbox};

const ITEM: &str = "ce-wildfire-risk-static-us-and-canada-v3.0";

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("keyfob-tour-{}", std::process::id()));
    let result = spatiafi(&folder);
    std::fs::remove_dir_all(&folder)?;
    result
}

fn spatiafi(folder: &Path) -> Result<(), Box<dyn Error>> {
    let sandbox = Sandbox::start();
    let http = Http::new();
    println!("SpatiaFi, in memory at {} and {}", sandbox.auth_url(), sandbox.api_url());

    let temporary =
        BasicToken::new(&sandbox.basic_token_url(), sandbox.username(), sandbox.password())?.run(&http)?;
    let minutes = temporary.remaining(http.clock().now()).as_secs().div_ceil(60);
    println!("1  name and password   → a temporary token, good for {minutes} minutes");

    let file = CredentialsFile::new(folder.join("app_credentials.json"));
    let target = file.prepare(false)?;
    let credentials =
        AppCredentials::new(&sandbox.clients_url())?.run(&http, &temporary, |answer| target.save(answer))?;
    println!("2  temporary token     → app credentials {}, saved for good", credentials.client_id());

    let assertion = ClientAssertion::new(
        &sandbox.token_url(),
        credentials.client_id(),
        credentials.client_secret().clone(),
    )?;
    let token = assertion.run(&http)?;
    let minutes = token.remaining(http.clock().now()).as_secs().div_ceil(60);
    println!("3  app credentials     → a signed assertion → an access token, good for {minutes} minutes");

    let spatiafi =
        SpatiaFi::new(credentials).with_auth_url(&sandbox.auth_url())?.with_api_url(&sandbox.api_url())?;
    let source = Arc::new(spatiafi.source()?);
    let agent = spatiafi.agent_builder(source.clone())?.build()?;
    let info = || -> Result<serde_json::Value, ureq::Error> {
        let url = format!("{}/api/info", spatiafi.api_url());
        agent.get(url).query("item_id", ITEM).call()?.body_mut().read_json()
    };
    println!("4  access token        → {}", info()?);

    println!("\nand when something is wrong:");
    let wrong = BasicToken::new(&sandbox.basic_token_url(), sandbox.username(), "not the password")?;
    if let Err(error) = wrong.run(&http) {
        println!("-  a wrong password    → {error}");
    }

    let before = source.token(Duration::ZERO)?;
    sandbox.revoke_tokens();
    info()?;
    let renewed = !source.token(Duration::ZERO)?.access_token().expose().eq(before.access_token().expose());
    println!("-  an expired token    → refused, replaced ({renewed}), and the call answered all the same");

    sandbox.fault(Endpoint::Token, Fault::status(500));
    let asked = sandbox.count(Endpoint::Token);
    assertion.run(&http)?;
    println!("-  one HTTP 500        → a token after {} tries", sandbox.count(Endpoint::Token) - asked);
    Ok(())
}
