//! The API that the tokens are for (RFC 6750).

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Acme, READ, WRITE};
use crate::Endpoint;
use crate::answer::Answer;
use crate::origin::Service;
use crate::request::Request;
use crate::sync::lock;

const THINGS: &str = "/things";

pub(super) struct Api(pub(super) Arc<Acme>);

impl Service for Api {
    fn endpoint(&self, path: &str) -> Endpoint {
        if path == THINGS { Endpoint::Things } else { Endpoint::Unknown }
    }

    fn answer(&self, endpoint: Endpoint, request: &Request<'_>) -> Answer {
        let answer = match (endpoint, request.method()) {
            (Endpoint::Things, "GET") => self.list(request),
            (Endpoint::Things, "POST") => self.add(request),
            (Endpoint::Things, _) => {
                Err(Answer::detail(405, "Method Not Allowed").with_header("Allow", "GET, POST"))
            }
            _ => Err(Answer::detail(404, "Not Found")),
        };
        answer.unwrap_or_else(|refusal| refusal)
    }
}

impl Api {
    fn list(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        self.expect_access(request, READ)?;
        request.expect_no_body()?;
        Ok(Answer::json(200, &json!({ "things": *lock(&self.0.things) })))
    }

    fn add(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        self.expect_access(request, WRITE)?;
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let name = body["name"].as_str().filter(|_| request.is_json());
        let name = name.ok_or_else(|| Answer::detail(400, "The body must be JSON with a name"))?;
        lock(&self.0.things).push(name.to_owned());
        Ok(Answer::json(201, &json!({ "name": name })))
    }

    /// Requires a token with this scope, in the header alone (RFC 6750, sections 2 and 3.1).
    fn expect_access(&self, request: &Request<'_>, scope: &str) -> Result<(), Answer> {
        if !request.query().is_empty() {
            return Err(refuse(400, "invalid_request", "no query is permitted here, and no token in it"));
        }
        let header = request.header("authorization");
        let header = header
            .map_err(|_| refuse(400, "invalid_request", "the header authorization was sent twice"))?
            .ok_or_else(|| Answer::empty(401).with_header("WWW-Authenticate", r#"Bearer realm="Acme""#))?;
        let token = header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let (_, token) =
            token.ok_or_else(|| refuse(400, "invalid_request", "the header must have the scheme Bearer"))?;
        let access = self.0.grants.access(token).ok_or_else(|| {
            refuse(401, "invalid_token", "the access token is not known, expired or revoked")
        })?;
        if access.scopes.iter().any(|granted| granted == scope) {
            return Ok(());
        }
        Err(refuse(403, "insufficient_scope", &format!("the access token has no scope {scope}")))
    }
}

fn refuse(status: u16, code: &str, description: &str) -> Answer {
    let mut refusal = Answer::oauth_error(code, description);
    refusal.status = status;
    let challenge = format!(r#"Bearer realm="Acme", error="{code}", error_description="{description}""#);
    refusal.with_header("WWW-Authenticate", challenge)
}
