//! The other side of `compare`: bare ureq with the same settings as keyfob, and an assertion that was made in
//! advance.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use std::{env, fs, io};

use keyfob_benches::{CALL, CALLBACK, Outcome, logins, work};
use serde::Deserialize;
use ureq::config::ConfigBuilder;
use ureq::http::Uri;
use ureq::tls::{PemItem, RootCerts, TlsConfig};
use ureq::typestate::AgentScope;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

/// A resolver without threads. ureq's own resolver starts a thread for each call with a deadline; keyfob's
/// starts none for an IP address.
#[derive(Debug)]
struct Addresses;

impl Resolver for Addresses {
    fn resolve(
        &self,
        uri: &Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let ip: IpAddr = uri.host().and_then(|host| host.parse().ok()).ok_or(Error::HostNotFound)?;
        let mut found = self.empty();
        found.push(SocketAddr::new(ip, uri.port_u16().unwrap_or(443)));
        Ok(found)
    }
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "what a program would read")]
struct LoginAnswer {
    access_token: String,
    refresh_token: String,
    expires_in: u64,
    token_type: String,
    scope: Option<String>,
}

fn main() -> Outcome<()> {
    let tls = tls()?;
    let tokens = config(0, &tls).timeout_global(Some(Duration::from_secs(30)));
    let tokens = Agent::with_parts(tokens.build(), DefaultConnector::default(), Addresses);
    if let Some(count) = logins()? {
        return log_in(&tokens, count);
    }
    let calls = config(16, &tls).timeout_per_call(Some(Duration::from_secs(60)));
    let calls = Agent::with_parts(calls.build(), DefaultConnector::default(), Addresses);

    let answer: Answer = tokens
        .post(format!("{}/api/v1/auth/jwt/token", env::var("SPATIAFI_AUTH_URL")?))
        .header("Accept", "application/json")
        .send_form([
            ("grant_type", "client_credentials"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", &env::var("CLIENT_ASSERTION")?),
        ])?
        .body_mut()
        .read_json()?;
    let authorization = format!("Bearer {}", answer.access_token);
    let url = format!("{}{CALL}", env::var("SPATIAFI_API_URL")?);
    work(|| calls.get(&url).header("Authorization", &authorization).call())
}

/// Reads a code and a verifier for each login.
fn log_in(tokens: &Agent, count: u64) -> Outcome<()> {
    let (id, secret) = (env::var("SPACEBRING_CLIENT_ID")?, env::var("SPACEBRING_CLIENT_SECRET")?);
    let url = format!("{}/oauth2/token", env::var("SPACEBRING_API_URL")?);
    let mut lines = io::stdin().lines();
    for _ in 0..count {
        let line = lines.next().ok_or("no code")??;
        let (code, verifier) = line.split_once(' ').ok_or("no verifier")?;
        let _: LoginAnswer = tokens
            .post(&url)
            .header("Accept", "application/json")
            .send_form([
                ("client_id", id.as_str()),
                ("client_secret", &secret),
                ("grant_type", "authorization_code"),
                ("code", code),
                ("redirect_uri", CALLBACK),
                ("code_verifier", verifier),
            ])?
            .body_mut()
            .read_json()?;
    }
    Ok(())
}

fn config(max_idle: usize, tls: &TlsConfig) -> ConfigBuilder<AgentScope> {
    Agent::config_builder()
        .max_redirects(0)
        .proxy(None)
        .user_agent(concat!("keyfob/", env!("CARGO_PKG_VERSION")))
        .input_buffer_size(16 * 1024)
        .output_buffer_size(16 * 1024)
        .max_response_header_size(16 * 1024 - 1)
        .max_idle_connections(max_idle)
        .max_idle_connections_per_host(max_idle)
        .timeout_connect(Some(Duration::from_secs(10)))
        .tls_config(tls.clone())
}

fn tls() -> Outcome<TlsConfig> {
    let Ok(path) = env::var("KEYFOB_CA_FILE") else { return Ok(TlsConfig::default()) };
    let pem = fs::read(path)?;
    let authorities = ureq::tls::parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    });
    let roots: Vec<_> = authorities.collect::<Result<_, _>>()?;
    Ok(TlsConfig::builder().root_certs(RootCerts::from(roots)).build())
}
