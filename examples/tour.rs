//! A tour from a user name and password, a login in a browser, or a login on a device, to an API call. It starts its own services,
//! so it needs no account and no network.
//!
//! `cargo run --example tour`

use std::error::Error;
use std::path::Path;
use std::time::{Duration, SystemTime};

use keyfob::flow::ClientCredentials;
use keyfob::spacebring::{Customer, Pages, Partner, scope};
use keyfob::spatiafi::{BasicToken, CreateClient};
use keyfob::{ClientAuth, CredentialsFile, Service, SpatiaFi, Token, TokenSource as _, Transport, ureq};
use keyfob_sandbox::{AcmeSandbox, Endpoint, Fault, Sandbox, SpacebringSandbox};

const ITEM: &str = "ce-wildfire-risk-static-us-and-canada-v3.0";

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("keyfob-tour-{}", std::process::id()));
    let result = spatiafi(&folder);
    let _ = std::fs::remove_dir_all(&folder);
    result?;
    println!();
    spacebring()?;
    println!();
    acme()
}

fn spatiafi(folder: &Path) -> Result<(), Box<dyn Error>> {
    let sandbox = Sandbox::start();
    let http = Transport::new();
    println!("SpatiaFi, in memory at {} and {}", sandbox.auth_url(), sandbox.api_url());

    let temporary =
        BasicToken::new(&sandbox.basic_token_url(), sandbox.username(), sandbox.password())?.run(&http)?;
    let minutes_left = minutes(&temporary, http.clock().now());
    println!("1  name and password   → a temporary token, good for {minutes_left} minutes");

    let file = CredentialsFile::new(folder.join("app_credentials.json"));
    let target = file.prepare(false)?;
    let credentials =
        CreateClient::new(&sandbox.clients_url())?.run(&http, &temporary, |answer| target.save(answer))?;
    println!("2  temporary token     → app credentials {}, saved for good", credentials.client_id());

    let assertion = ClientCredentials::new(
        sandbox.token_url(),
        ClientAuth::secret_jwt(credentials.client_id(), credentials.client_secret().clone()),
    );
    let token = assertion.run(&http)?;
    let minutes_left = minutes(&token, http.clock().now());
    println!(
        "3  app credentials     → a signed assertion → an access token, good for {minutes_left} minutes"
    );

    let spatiafi = SpatiaFi::builder(&credentials)
        .set("auth_url", sandbox.auth_url())
        .api_url(sandbox.api_url())
        .build()?;
    let (source, agent) = (spatiafi.source(), spatiafi.agent());
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

    let (id, secret) = (sandbox.client_id(), sandbox.client_secret());
    let customer = Customer::builder(id, secret).api_url(sandbox.api_url()).build()?;
    println!(
        "1  a customer          → {} locations, with HTTP Basic",
        count(&customer.agent(), "locations")?
    );

    let partner = Partner::builder(id, secret, "http://127.0.0.1:0/callback")
        .api_url(sandbox.api_url())
        .set("network_id", sandbox.network_id())
        .scope(format!("{} {}", scope::LOCATIONS_READONLY, scope::PLANS_READONLY))
        .build()?;
    let login = partner.start_login()?;
    // A person would open this URL in a browser, and the program would `wait`.
    let callback = sandbox.approve(login.url());
    let token = login.finish(&callback)?;
    let now = Transport::new().clock().now();
    println!("2  a partner           → a login, a code, a token good for {} minutes", minutes(&token, now));

    partner.finish_login(token)?;
    let agent = partner.agent();
    println!("3  the token           → {} plans, from page to page", count(&agent, "plans")?);

    sandbox.end_access_tokens();
    count(&agent, "locations")?;
    println!("4  the refresh token   → a new token, without the person (renewals: {})", sandbox.refreshes());

    println!("\nand when something is wrong:");
    let login = partner.start_login()?;
    let callback = sandbox.deny(login.url());
    if let Err(error) = login.finish(&callback) {
        println!("-  a denied login      → {error}");
    }

    partner.revoke()?;
    if let Err(error) = count(&agent, "locations") {
        println!("-  a revoked login     → {error}");
    }
    Ok(())
}

fn acme() -> Result<(), Box<dyn Error>> {
    let sandbox = AcmeSandbox::start();
    println!("Acme, any OAuth 2.0 server, in memory at {} and {}", sandbox.issuer(), sandbox.api_url());

    let auth = ClientAuth::secret_basic(sandbox.client_id(), sandbox.client_secret());
    let acme = Service::builder("acme")
        .issuer(sandbox.issuer())
        .api_url(sandbox.api_url())
        .scope("things.read")
        .client_credentials(auth)
        .build()?;
    let things =
        acme.agent().get(format!("{}/things", sandbox.api_url())).call()?.body_mut().read_to_string()?;
    println!("1  the issuer          → its endpoints, a token, and {things}");

    sandbox.set_poll_interval(Duration::from_secs(1));
    let device = Service::builder("acme")
        .issuer(sandbox.issuer())
        .api_url(sandbox.api_url())
        .device_code(ClientAuth::none(sandbox.public_client_id()))
        .build()?;
    let login = device.start_login()?;
    let user_code = login.user_code().unwrap_or_default();
    println!("2  a device            → open {} and enter {user_code}", login.verification_uri());
    // A person would do so in a browser.
    sandbox.approve_device(user_code);
    let token = login.wait(Duration::from_secs(60))?;
    println!(
        "3  the person allows   → a token good for {} minutes",
        minutes(&token, Transport::new().clock().now())
    );

    println!("\nand when something is wrong:");
    let login = device.start_login()?;
    sandbox.deny_device(login.user_code().unwrap_or_default());
    if let Err(error) = login.wait(Duration::from_secs(60)) {
        println!("-  a denied device     → {error}");
    }
    Ok(())
}

/// Seconds, rounded up.
fn minutes(token: &Token, now: SystemTime) -> u64 {
    token.remaining(now).as_secs().div_ceil(60)
}
