//! Makes the same two requests as `cron_keyfob.rs` with bare ureq: a token request with an assertion, and one
//! API call. It has no store, no retry and no renewal, and wipes nothing.

use std::env;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

const TOKEN_URL: &str = "https://auth.spatiafi.com/api/v1/auth/jwt/token";

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
    jti: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .max_redirects(0)
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_per_call(Some(Duration::from_secs(60)))
        .build()
        .into();
    let assertion = assertion(&env::var("SPATIAFI_CLIENT_ID")?, &env::var("SPATIAFI_CLIENT_SECRET")?)?;
    let answer: Answer = agent
        .post(TOKEN_URL)
        .send_form([
            ("grant_type", "client_credentials"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", &assertion),
        ])?
        .body_mut()
        .read_json()?;
    let info = agent
        .get("https://api.spatiafi.com/api/info")
        .query("item_id", "ce-wildfire-risk-static-us-and-canada-v3.0")
        .header("Authorization", format!("Bearer {}", answer.access_token))
        .call()?
        .body_mut()
        .read_to_string()?;
    println!("{info}");
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "benchmarks read the clock by themselves")]
fn assertion(id: &str, secret: &str) -> Result<String, Box<dyn std::error::Error>> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| "no random bytes")?;
    let jti = URL_SAFE_NO_PAD.encode(random);
    let claims = Claims { iss: id, sub: id, aud: TOKEN_URL, iat: now - 10, exp: now + 300, jti: &jti };
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims)?));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?;
    mac.update(signed.as_bytes());
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())))
}
