//! The server for signing in: steps 1 to 3.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{PASSWORD, SpatiaFi, USERNAME};
use crate::Endpoint;
use crate::answer::Answer;
use crate::assertion::{ASSERTION_TYPE, Key};
use crate::origin::Service;
use crate::request::{FORM, Request, once, parse_form};
use crate::tokens::TokenKind;

pub(crate) const BASIC_TOKEN: &str = "/api/v1/auth/jwt/token/basic";
pub(crate) const CLIENTS: &str = "/api/v1/clients/";
pub(crate) const TOKEN: &str = "/api/v1/auth/jwt/token";

const GRANT_TYPE: &str = "client_credentials";

pub(crate) struct Auth(pub(crate) Arc<SpatiaFi>);

impl Service for Auth {
    fn endpoint(&self, path: &str) -> Endpoint {
        match path {
            BASIC_TOKEN => Endpoint::BasicToken,
            CLIENTS => Endpoint::Clients,
            TOKEN => Endpoint::Token,
            _ => Endpoint::Unknown,
        }
    }

    fn answer(&self, endpoint: Endpoint, request: &Request<'_>) -> Answer {
        let answer = match endpoint {
            Endpoint::BasicToken => self.basic_token(request),
            Endpoint::Clients => self.clients(request),
            Endpoint::Token => self.token(request),
            _ => Err(elsewhere(request)),
        };
        answer.unwrap_or_else(|refusal| refusal)
    }

    /// A server that fails may already have noted the assertion, so the client must send a new one.
    fn fail(&self, endpoint: Endpoint, request: &Request<'_>) {
        if endpoint == Endpoint::Token {
            let _ = self.check_token_request(request);
        }
    }
}

impl Auth {
    /// Step 1: exchanges a user name and password for a temporary token.
    fn basic_token(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        request.expect_method("GET")?;
        request.expect_no_query()?;
        request.expect_no_body()?;
        let credentials = request
            .header("authorization")?
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
            .and_then(|(_, encoded)| STANDARD.decode(encoded).ok())
            .ok_or_else(|| {
                Answer::detail(401, "Not authenticated").with_header("WWW-Authenticate", "Basic")
            })?;
        if credentials != format!("{USERNAME}:{PASSWORD}").as_bytes() {
            return Err(Answer::detail(400, "Incorrect email or password"));
        }
        Ok(self.issue(TokenKind::Temporary))
    }

    /// Step 2: exchanges a temporary token for app credentials, whose secret is shown only once.
    fn clients(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        request.expect_method("POST")?;
        request.expect_no_query()?;
        if !self.0.admits(request, TokenKind::Temporary) {
            return Err(Answer::detail(401, "Access Denied").with_header("WWW-Authenticate", "Bearer"));
        }
        request.expect_no_body()?;
        let (client_id, client_secret) = self.0.add_client();
        let created = json!({
            "client_id": client_id,
            "client_secret": client_secret,
            "name": "app credentials",
            "owner": USERNAME,
            "active": true,
            "scopes": [],
        });
        Ok(Answer::json(201, &created).uncached())
    }

    /// Step 3: exchanges a signed assertion for an access token.
    fn token(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        self.check_token_request(request)?;
        Ok(self.issue(TokenKind::Access))
    }

    fn check_token_request(&self, request: &Request<'_>) -> Result<(), Answer> {
        request.expect_method("POST")?;
        request.expect_no_query()?;
        if request.header("content-type")? != Some(FORM) {
            let message = format!("The content type must be {FORM}");
            return Err(Answer::unprocessable("content_type", &["header", "content-type"], &message));
        }
        if request.header("authorization")?.is_some() {
            // RFC 6749, section 5.2: "utilizes more than one mechanism for authenticating the client".
            return Err(Answer::oauth_error(
                "invalid_request",
                "the client must authenticate in one way only",
            ));
        }

        let form = parse_form(request.body()).ok_or_else(|| {
            Answer::unprocessable("form_encoding", &["body"], "The form is not encoded as it should be")
        })?;
        let grant_type = once(&form, "body", "grant_type")?;
        let assertion_type = once(&form, "body", "client_assertion_type")?;
        let assertion = once(&form, "body", "client_assertion")?;
        if form.len() > 3 {
            return Err(Answer::unprocessable(
                "extra_forbidden",
                &["body"],
                "Extra parameters are not permitted",
            ));
        }
        if grant_type != GRANT_TYPE {
            return Err(Answer::oauth_error(
                "unsupported_grant_type",
                "grant_type must be client_credentials",
            ));
        }
        if assertion_type != ASSERTION_TYPE {
            return Err(Answer::oauth_error(
                "invalid_request",
                &format!("client_assertion_type must be {ASSERTION_TYPE}"),
            ));
        }

        // RFC 6749, section 5.2 asks for 401 only where the client used the `Authorization` header; RFC 7521,
        // section 4.2.1 shows the refusal of an assertion as a 400.
        let audience = format!("{}{TOKEN}", request.base_url());
        self.0
            .verifier
            .verify(assertion, &[&audience], |client_id| {
                self.0.clients.secret_of(client_id).map(Key::of_client)
            })
            .map(drop)
            .map_err(|description| Answer::oauth_error("invalid_client", &description))
    }

    fn issue(&self, kind: TokenKind) -> Answer {
        let issued = self.0.tokens.issue(kind);
        let fields = json!({
            "access_token": issued.token,
            "token_type": "bearer",
            "expires_at": issued.expires_at,
        });
        Answer::json(200, &fields).uncached()
    }
}

fn elsewhere(request: &Request<'_>) -> Answer {
    if request.path() == CLIENTS.trim_end_matches('/') {
        return Answer::empty(307).with_header("Location", format!("{}{CLIENTS}", request.base_url()));
    }
    Answer::detail(404, "Not Found")
}
