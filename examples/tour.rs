//! From name and password, or a login in a browser, to an API call: against services of its own, without an account
//! or a network.
//!
//! `cargo run --example tour`

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use keyfob::flow::{AppCredentials, BasicToken, ClientAssertion};
use keyfob::spacebring::{Customer, Pages, Partner, scope};
use keyfob::{CredentialsFile, Http, SpatiaFi, Token, TokenSource as _, ureq};
use keyfob_sandbox::{Endpoint, Fault, Sandbox, SpacebringSandbox};

const ITEM: &str = "ce-wildfire-risk-static-us-and-canada-v3.0";

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("keyfob-tour-{}", std::process::id()));
    let result = spatiafi(&folder);
    let _ = std::fs::remove_dir_all(&folder);
    result?;
    println!();
    spacebring()
}

fn spatiafi(folder: &Path) -> Result<(), Box<dyn Error>> {
    let sandbox = Sandbox::start();
    let http = Http::new();
    println!("SpatiaFi, in memory at {} and {}", sandbox.auth_url(), sandbox.api_url());

    let temporary =
        BasicToken::new(&sandbox.basic_token_url(), sandbox.username(), sandbox.password())?.run(&http)?;
    let minutes_left = minutes(&temporary, http.clock().now());
    println!("1  name and password   → a temporary token, good for {minutes_left} minutes");

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
    let minutes_left = minutes(&token, http.clock().now());
    println!(
        "3  app credentials     → a signed assertion → an access token, good for {minutes_left} minutes"
    );

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

fn spacebring() -> Result<(), Box<dyn Error>> {
    let sandbox = SpacebringSandbox::start();
    println!("Spacebring, in memory at {}", sandbox.api_url());
    let count = |agent: &ureq::Agent, list: &str| -> Result<usize, keyfob::Error> {
        let mut count = 0;
        for page in Pages::new(agent, &format!("{}/{list}/v1", sandbox.api_url()))? {
            count += page?[list].as_array().map_or(0, Vec::len);
        }
        Ok(count)
    };

    let customer =
        Customer::new(sandbox.client_id(), sandbox.client_secret())?.with_api_url(&sandbox.api_url())?;
    println!(
        "1  a customer          → {} locations, with HTTP Basic",
        count(&customer.agent()?, "locations")?
    );

    let partner = Partner::new(sandbox.client_id(), sandbox.client_secret(), "http://127.0.0.1:0/callback")?
        .with_api_url(&sandbox.api_url())?
        .with_network(sandbox.network_id())?;
    let login = partner.login([scope::LOCATIONS_READONLY, scope::PLANS_READONLY])?;
    // A person would open this URL in a browser, and the program would `wait`.
    let callback = sandbox.approve(login.url());
    let token = login.finish(&callback)?;
    let now = Http::new().clock().now();
    println!("2  a partner           → a login, a code, a token good for {} minutes", minutes(&token, now));

    let source = partner.source(token);
    let agent = partner.agent(&source)?;
    println!("3  the token           → {} plans, from page to page", count(&agent, "plans")?);

    sandbox.end_access_tokens();
    count(&agent, "locations")?;
    println!("4  the refresh token   → a new token, without the person (renewals: {})", sandbox.refreshes());

    println!("\nand when something is wrong:");
    let login = partner.login([scope::LOCATIONS_READONLY])?;
    let callback = sandbox.deny(login.url());
    if let Err(error) = login.finish(&callback) {
        println!("-  a denied login      → {error}");
    }

    partner.revoke(&source)?;
    if let Err(error) = count(&agent, "locations") {
        println!("-  a revoked login     → {error}");
    }
    Ok(())
}

/// Rounded up.
fn minutes(token: &Token, now: SystemTime) -> u64 {
    token.remaining(now).as_secs().div_ceil(60)
}
