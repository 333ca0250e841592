//! The API, which the tokens are for: step 4, and endpoints for tests.

use std::sync::Arc;

use serde_json::{Value, json};

use super::SpatiaFi;
use crate::Endpoint;
use crate::answer::Answer;
use crate::origin::Service;
use crate::request::Request;
use crate::sync::lock;
use crate::tokens::TokenKind;

/// The items that [`Endpoint::Info`] and [`Endpoint::Point`] know.
pub const ITEMS: [&str; 3] = [
    "ce-wildfire-risk-static-us-and-canada-v3.0",
    "ce-drought-risk-global-v1.0",
    "ce-extreme-heat-global-v2.1",
];

const POINT: &str = "/api/point/";
const STATUS: &str = "/api/status/";

/// How the API refuses a token that is missing, unknown, expired or revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The status, 401 or 403. Default: 401.
    pub status: u16,
    /// Whether the refusal has `WWW-Authenticate: Bearer error="invalid_token"` (RFC 6750, section 3).
    /// Default: true.
    pub challenge: bool,
}

impl Default for Denial {
    fn default() -> Self {
        Self { status: 401, challenge: true }
    }
}

pub(crate) struct Api(pub(crate) Arc<SpatiaFi>);

impl Service for Api {
    fn endpoint(&self, path: &str) -> Endpoint {
        match path {
            "/api/info" => Endpoint::Info,
            "/api/echo" => Endpoint::Echo,
            _ if path.starts_with(POINT) => Endpoint::Point,
            _ if path.starts_with(STATUS) => Endpoint::Status,
            _ => Endpoint::Unknown,
        }
    }

    fn answer(&self, endpoint: Endpoint, request: &Request<'_>) -> Answer {
        if endpoint == Endpoint::Unknown {
            return Answer::detail(404, "Not Found");
        }
        if !self.0.admits(request, TokenKind::Access) {
            return self.deny(request);
        }
        let answer = match endpoint {
            Endpoint::Info => info(request),
            Endpoint::Point => point(request),
            Endpoint::Echo => Ok(echo(request)),
            _ => status(request),
        };
        answer.unwrap_or_else(|refusal| refusal)
    }
}

impl Api {
    fn deny(&self, request: &Request<'_>) -> Answer {
        let denial = *lock(&self.0.denial);
        let answer = Answer::detail(denial.status, "Access Denied");
        if !denial.challenge {
            return answer;
        }
        // RFC 6750, section 3.1: no error code for a request without any token.
        let has_token = matches!(request.header("authorization"), Ok(Some(_)));
        let challenge = if has_token { r#"Bearer error="invalid_token""# } else { "Bearer" };
        answer.with_header("WWW-Authenticate", challenge)
    }
}

fn info(request: &Request<'_>) -> Result<Answer, Answer> {
    request.expect_method("GET")?;
    request.expect_no_body()?;
    let item_id = known_item(request)?;
    let info = json!({
        "item_id": item_id,
        "title": item_id.replace('-', " "),
        "bands": ["mean", "min", "max"],
        "resolution_m": 90,
        "updated": "2024-01-01T00:00:00Z",
    });
    Ok(Answer::json(200, &info))
}

fn point(request: &Request<'_>) -> Result<Answer, Answer> {
    request.expect_method("GET")?;
    request.expect_no_body()?;
    let item_id = known_item(request)?;
    let (lon, lat) = coordinates(&request.path()[POINT.len()..]).ok_or_else(|| {
        Answer::unprocessable(
            "coordinates",
            &["path", "lon,lat"],
            "Longitude and latitude in degrees expected",
        )
    })?;
    // Made up, but always the same for the same place, so that tests can recognize the answers.
    let mean = ((lon + 180.0) * 7.0 + (lat + 90.0) * 13.0) % 100.0;
    let answer = json!({
        "item_id": item_id,
        "point": { "lon": lon, "lat": lat },
        "values": { "mean": mean, "min": mean / 2.0, "max": f64::midpoint(mean, 100.0) },
    });
    Ok(Answer::json(200, &answer))
}

fn known_item<'r>(request: &'r Request<'_>) -> Result<&'r str, Answer> {
    let item_id = request.query_parameter("item_id")?;
    if ITEMS.contains(&item_id) { Ok(item_id) } else { Err(Answer::detail(404, "Item not found")) }
}

fn coordinates(text: &str) -> Option<(f64, f64)> {
    let (lon, lat) = text.split_once(',').or_else(|| text.split_once("%2C"))?;
    let in_range = |text: &str, limit: f64| text.parse::<f64>().ok().filter(|degrees| degrees.abs() <= limit);
    Some((in_range(lon, 180.0)?, in_range(lat, 90.0)?))
}

/// Returns the received request, for tests of authenticated requests with bodies.
fn echo(request: &Request<'_>) -> Answer {
    let header = |name| request.header(name).ok().flatten().map_or(Value::Null, Value::from);
    let echo = json!({
        "method": request.method(),
        "body": String::from_utf8_lossy(request.body()),
        "body_length": request.body().len(),
        "content_type": header("content-type"),
        "content_length": header("content-length"),
        "transfer_encoding": header("transfer-encoding"),
    });
    Answer::json(200, &echo)
}

fn status(request: &Request<'_>) -> Result<Answer, Answer> {
    let status = request.path()[STATUS.len()..].parse().ok().filter(|status| (200..600).contains(status));
    match status {
        Some(status @ (204 | 205 | 304)) => Ok(Answer::empty(status)),
        Some(status) => Ok(Answer::detail(status, "As you asked")),
        None => {
            Err(Answer::unprocessable("status", &["path", "status"], "A status from 200 to 599 expected"))
        }
    }
}
