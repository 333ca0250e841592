//! `keyfob <service> token`.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use keyfob::{Secret, Token, env_var};
use serde::{Deserialize, Serialize};

use crate::args::Format;
use crate::failure::Failure;
use crate::output;
use crate::service::Client;

#[derive(Serialize)]
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

pub fn run(client: &Client) -> Result<(), Failure> {
    let settings = &client.settings;
    match settings.format.unwrap_or(Format::Text) {
        Format::Text => line(&[client.token()?.access_token().expose()]),
        Format::Header => line(&[b"Authorization: ", client.authorization()?.expose()]),
        Format::Curl => {
            let header = escaped(&client.authorization()?, b"\"\\", b"\\");
            line(&[b"header = \"Authorization: ", &header, b"\""])
        }
        Format::Env => {
            // Nothing but the quote itself has a meaning between single quotes (POSIX.1-2024, Shell Command Language, 2.2.2).
            let token = escaped(client.token()?.access_token(), b"'", b"'\\'");
            line(&[b"export ", client.variable("access_token").as_bytes(), b"='", &token, b"'"])
        }
        Format::ExecCredential => {
            let version = exec_version()?;
            let token = client.token()?;
            let expiry = match local_expiry(client, &token) {
                Some(at) => format!("\"expirationTimestamp\":\"{}\",", rfc_3339(at)),
                None => String::new(),
            };
            let start = format!(
                "{{\"apiVersion\":\"{GROUP}{version}\",\"kind\":\"ExecCredential\",\"status\":{{{expiry}\"token\":\""
            );
            line(&[start.as_bytes(), &escaped(token.access_token(), b"\"\\", b"\\"), b"\"}}"])
        }
        Format::Json => {
            let token = client.token()?;
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

/// Returns the expiry in Unix seconds by the clock of this machine, for a program that compares the two.
pub fn local_expiry(client: &Client, token: &Token) -> Option<u64> {
    let behind = client.settings.http.clock().offset();
    Some(unix_seconds(token.expires_at()?).saturating_add_signed(behind.saturating_neg()))
}

/// Writes `before` before each of the special bytes. A token is visible ASCII, so it holds no line end.
fn escaped(secret: &Secret, special: &[u8], before: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(secret.expose().len() * 2);
    for byte in secret.expose() {
        if special.contains(byte) {
            text.extend_from_slice(before);
        }
        text.push(*byte);
    }
    text
}

/// The API group of Kubernetes that describes how kubectl obtains credentials from a program.
const GROUP: &str = "client.authentication.k8s.io/";

/// Returns the version that kubectl asks for.
fn exec_version() -> Result<&'static str, Failure> {
    #[derive(Deserialize)]
    struct Info<'a> {
        #[serde(rename = "apiVersion", borrow)]
        api_version: Cow<'a, str>,
        #[serde(borrow)]
        kind: Cow<'a, str>,
    }
    let Some(info) = env_var("KUBERNETES_EXEC_INFO")? else { return Ok("v1") };
    let info: Option<Info<'_>> = serde_json::from_str(&info).ok();
    let info = info.filter(|info| info.kind == "ExecCredential").ok_or_else(|| {
        Failure::invalid(
            "KUBERNETES_EXEC_INFO is not the JSON of an ExecCredential, which kubectl sets: unset it, or set what \
             kubectl would",
        )
    })?;
    let version = info.api_version.strip_prefix(GROUP);
    ["v1", "v1beta1"].into_iter().find(|known| version == Some(known)).ok_or_else(|| {
        Failure::invalid(
            "KUBERNETES_EXEC_INFO names no apiVersion that keyfob has: write client.authentication.k8s.io/v1 or \
             client.authentication.k8s.io/v1beta1 in the kubeconfig",
        )
    })
}

/// Returns the time in the form of RFC 3339, 5.6, in UTC.
fn rfc_3339(unix_seconds: u64) -> String {
    /// The last second of the year 9999, after which the form has no date.
    const LAST: u64 = 253_402_300_799;
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(unix_seconds.min(LAST));
    // As in `Sun, 06 Nov 1994 08:49:37 GMT`.
    let date = httpdate::fmt_http_date(time);
    let month = "JanFebMarAprMayJunJulAugSepOctNovDec".find(&date[8..11]).unwrap_or_default() / 3 + 1;
    format!("{}-{month:02}-{}T{}Z", &date[12..16], &date[5..7], &date[17..25])
}

/// Prints a line from one buffer, which is wiped.
fn line(parts: &[&[u8]]) -> Result<(), Failure> {
    let mut line = Vec::with_capacity(parts.iter().map(|part| part.len()).sum::<usize>() + 1);
    for part in parts {
        line.extend_from_slice(part);
    }
    line.push(b'\n');
    output::print(Secret::from(line).expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_has_the_form_of_rfc_3339() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (784_111_777, "1994-11-06T08:49:37Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (u64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc_3339(seconds), text);
        }
    }
}
