//! The answer of a device authorization endpoint (RFC 8628 3.2).

use std::time::Duration;

use ureq::http::Uri;

use crate::check;
use crate::clock::LONGEST;
use crate::encode::json::{object, unescape};
use crate::encode::loose::rounded_up;
use crate::secret::{Known, Secret};
use crate::text::printable;

/// The default pause between two requests (RFC 8628 3.2).
const INTERVAL: Duration = Duration::from_secs(5);

/// The shortest pause between two requests, even if the server allows a shorter one.
const SHORTEST: Duration = Duration::from_secs(1);

/// The longest pause that is accepted, in seconds. No person waits longer, so a larger number must have another unit.
const LONGEST_INTERVAL: i64 = 3600;

/// The longest code that is accepted, in bytes: a person has to enter it.
const MAX_USER_CODE: usize = 64;

/// The checked answer.
pub(crate) struct DeviceAnswer {
    pub(crate) device_code: Known,
    pub(crate) user_code: String,
    pub(crate) verification_uri: String,
    /// `verification_uri_complete`: the URL that contains the user code.
    pub(crate) complete: Option<String>,
    pub(crate) expires_in: Duration,
    pub(crate) interval: Duration,
}

impl DeviceAnswer {
    /// Returns the answer, or the problem with it.
    pub(crate) fn parse(body: &Secret) -> Result<Self, &'static str> {
        const NAMES: [&str; 7] = [
            "device_code",
            "user_code",
            "verification_uri",
            // Google's name for `verification_uri`.
            "verification_url",
            "verification_uri_complete",
            "expires_in",
            "interval",
        ];
        let [device, user, uri, url, complete, expires_in, interval] =
            object(body.expose(), NAMES).ok_or("it is not a JSON object")?;
        let text = |json: Option<&str>| json.and_then(unescape);
        let device_code = text(device).ok_or("it has no device_code")?;
        check::value("", device_code.expose())
            .map_err(|_| "its device_code is empty, too long or no text")?;
        let user_code = text(user).ok_or("it has no user_code")?;
        if user_code.expose().len() > MAX_USER_CODE {
            return Err("its user_code is longer than 64 bytes");
        }
        let user_code =
            shown(&user_code).ok_or("its user_code is empty or has characters that cannot be shown")?;
        let verification_uri = text(uri).or_else(|| text(url)).ok_or("it has no verification_uri")?;
        let verification_uri =
            web_url(&verification_uri).ok_or("its verification_uri is no http or https URL")?;
        let complete = text(complete).as_ref().and_then(web_url);
        let expires_in = match expires_in.map(rounded_up) {
            None => return Err("it has no expires_in"),
            Some(Some(seconds @ 1..)) => Duration::from_secs(seconds.unsigned_abs()),
            Some(Some(_)) => return Err("its expires_in is not positive"),
            Some(None) => return Err("its expires_in is no number"),
        };
        let interval = match interval.and_then(rounded_up) {
            Some(seconds) if seconds > LONGEST_INTERVAL => return Err("its interval is more than an hour"),
            Some(seconds @ 0..) => Duration::from_secs(seconds.unsigned_abs()).max(SHORTEST),
            _ => INTERVAL,
        };
        let device_code = Known::new(device_code);
        let expires_in = expires_in.min(LONGEST);
        Ok(Self { device_code, user_code, verification_uri, complete, expires_in, interval })
    }
}

/// A text that can be shown to a person as it is, and that shows something.
fn shown(text: &Secret) -> Option<String> {
    check::value("", text.expose()).ok()?;
    let text = text.expose_str()?;
    (!printable(text).is_empty()).then(|| text.to_owned())
}

/// A URL that a person can open. User info is refused, because it looks like a host (RFC 9110 4.2.4).
fn web_url(text: &Secret) -> Option<String> {
    let text = shown(text)?;
    let uri: Uri = text.parse().ok()?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    let authority = uri.authority()?;
    (is_web && !authority.host().is_empty() && !authority.as_str().contains('@')).then_some(text)
}
