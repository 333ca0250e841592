//! `keyfob <service> token`.

use std::time::{Duration, SystemTime};

use keyfob::Secret;

use crate::args::Format;
use crate::failure::Failure;
use crate::output;
use crate::service::Service;

#[derive(serde::Serialize)]
struct Printed<'a> {
    access_token: &'a str,
    token_type: &'a str,
    /// Seconds, from now.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
    /// Unix seconds, by the server's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
}

pub fn run(service: &dyn Service) -> Result<(), Failure> {
    let settings = service.settings();
    match settings.format.unwrap_or(Format::Text) {
        Format::Text => line(&[service.token()?.access_token().expose()]),
        Format::Header => line(&[b"Authorization: ", service.authorization()?.expose()]),
        Format::Json => {
            let token = service.token()?;
            let expires_at = token.expires_at();
            let printed = Printed {
                access_token: token.access_token().expose_str().unwrap_or_default(),
                token_type: "Bearer",
                expires_in: expires_at.map(|_| token.remaining(settings.http.clock().now()).as_secs()),
                expires_at: expires_at.map(unix_seconds),
                scope: token.scope(),
            };
            let mut json = Vec::with_capacity(32 * 1024);
            serde_json::to_writer(&mut json, &printed).map_err(|e| Failure::unexpected(e.to_string()))?;
            line(&[&json])
        }
    }
}

pub fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

/// In one buffer, which is wiped.
fn line(parts: &[&[u8]]) -> Result<(), Failure> {
    let mut line = Vec::with_capacity(parts.iter().map(|part| part.len()).sum::<usize>() + 1);
    for part in parts {
        line.extend_from_slice(part);
    }
    line.push(b'\n');
    output::print(Secret::from(line).expose())
}
