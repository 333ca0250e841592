//! The endpoints that applications call without a browser.

use std::time::UNIX_EPOCH;

use serde_json::json;

use super::client::{Client, PARAMETERS};
use super::{
    AUTHORIZE, Acme, DEVICE, DEVICE_AUTHORIZATION, DEVICE_GRANT, Discovery, INTROSPECT, OPENID_METADATA,
    READ, REVOKE, TOKEN, WRITE, issuer,
};
use crate::Endpoint;
use crate::answer::Answer;
use crate::oauth::authorize::Authorization;
use crate::oauth::grants::{Active, Tokens};
use crate::oauth::parameters::{at_most_once, expect_well_formed, once};
use crate::oauth::{OAuthError, USERNAME, invalid_grant, invalid_request, read_form, token_answer};
use crate::request::{Request, parse_form};
use crate::sync::lock;

/// The grants, each with its own parameters.
const GRANTS: [(&str, &[&str]); 4] = [
    ("client_credentials", &["scope"]),
    ("authorization_code", &["code", "redirect_uri", "code_verifier"]),
    ("refresh_token", &["refresh_token", "scope"]),
    (DEVICE_GRANT, &["device_code"]),
];

impl Acme {
    /// Answers a request at one of the endpoints that take a form from an application.
    pub(super) fn application(&self, endpoint: Endpoint, request: &Request<'_>) -> Result<Answer, Answer> {
        if request.method() != "POST" {
            let mut refusal = Answer::oauth_error("invalid_request", "the method must be POST");
            refusal.status = 405;
            return Err(refusal.with_header("Allow", "POST"));
        }
        let answer = read_form(request).and_then(|form| match endpoint {
            Endpoint::Token => self.token(request, &form).map(|tokens| token_answer(&tokens)),
            Endpoint::DeviceAuthorization => self.authorize_device(request, &form),
            Endpoint::Introspect => self.introspect(request, &form),
            _ => self.revoke(request, &form),
        });
        answer.map_err(|(code, description)| {
            let mut refusal = Answer::oauth_error(code, &description);
            // RFC 6749, section 5.2: 401 if the client used the header `Authorization`.
            if code == "invalid_client" && !matches!(request.header("authorization"), Ok(None)) {
                refusal.status = 401;
                refusal = refusal.with_header("WWW-Authenticate", r#"Basic realm="Acme""#);
            }
            refusal
        })
    }

    fn token(&self, request: &Request<'_>, form: &[(String, String)]) -> Result<Tokens, OAuthError> {
        let grant_type = once(form, "grant_type").map_err(invalid_request)?;
        let grant = GRANTS.iter().find(|(name, _)| *name == grant_type);
        let (_, own) = grant.ok_or_else(|| {
            let names = GRANTS.map(|(name, _)| name).join(", ");
            ("unsupported_grant_type", format!("grant_type must be one of {names}"))
        })?;
        let known = [&PARAMETERS[..], &["grant_type", "resource", "audience"], own].concat();
        expect_well_formed(form, &known).map_err(invalid_request)?;
        let scopes = self.read_scopes(form)?;
        let field = |name| once(form, name).map_err(invalid_request);

        let client = || self.client(request, form);
        match grant_type {
            "client_credentials" => {
                let client = client()?;
                if client.is_public {
                    let reason = "a client without a secret has no access of its own";
                    return Err(("unauthorized_client", reason.to_owned()));
                }
                Ok(self.grants.issue(Authorization { client_id: client.id, scopes }, false))
            }
            "authorization_code" => {
                let (code, redirect_uri) = (field("code")?, field("redirect_uri")?);
                let verifier = field("code_verifier")?;
                self.grants.exchange(code, &client()?.id, Some(redirect_uri), Some(verifier))
            }
            "refresh_token" => {
                let refresh_token = field("refresh_token")?;
                let scopes = at_most_once(form, "scope").is_ok_and(|scope| scope.is_some()).then_some(scopes);
                self.grants.refresh(refresh_token, &client()?.id, scopes, true)
            }
            _ => {
                let device_code = field("device_code")?;
                let authorization = self.devices.poll(device_code, &client()?.id)?;
                Ok(self.grants.issue(authorization, true))
            }
        }
    }

    /// Uses up the assertion and the code, as a failed server may have done. A refresh token and a device code stay valid.
    pub(super) fn use_up(&self, endpoint: Endpoint, request: &Request<'_>) {
        let form = parse_form(request.body()).unwrap_or_default();
        let _ = match (endpoint, once(&form, "grant_type")) {
            (Endpoint::Token, Ok("authorization_code")) => self.token(request, &form).map(drop),
            _ => self.client(request, &form).map(drop),
        };
    }

    /// RFC 8628, section 3.1.
    fn authorize_device(
        &self,
        request: &Request<'_>,
        form: &[(String, String)],
    ) -> Result<Answer, OAuthError> {
        let known = [&PARAMETERS[..], &["scope", "resource", "audience"]].concat();
        expect_well_formed(form, &known).map_err(invalid_request)?;
        let scopes = self.read_scopes(form)?;
        let client_id = self.client(request, form)?.id;
        let started = self.devices.start(Authorization { client_id, scopes });
        let verification_uri = format!("{}{DEVICE}", request.base_url());
        let fields = json!({
            "device_code": started.device_code,
            "user_code": started.user_code,
            "verification_uri": verification_uri,
            "verification_uri_complete": format!("{verification_uri}?user_code={}", started.user_code),
            "expires_in": started.lifetime.as_secs(),
            "interval": started.interval.as_secs(),
        });
        Ok(Answer::json(200, &fields).uncached())
    }

    /// RFC 7662, section 2. A client learns about its own tokens only.
    fn introspect(&self, request: &Request<'_>, form: &[(String, String)]) -> Result<Answer, OAuthError> {
        let (client, token) = self.client_and_token(request, form)?;
        if client.is_public {
            return Err(("invalid_client", "a client without a secret cannot introspect".to_owned()));
        }
        let active = self.grants.active(token).filter(|active| active.client_id == client.id);
        let Some(Active { client_id, scopes, issued, is_login }) = active else {
            return Ok(Answer::json(200, &json!({ "active": false })).uncached());
        };
        let mut fields = json!({
            "active": true,
            "scope": scopes.join(" "),
            "client_id": client_id,
            "sub": if is_login { USERNAME } else { &client_id },
            "iss": issuer(request),
            "aud": self.api_url.get(),
        });
        if is_login {
            fields["username"] = USERNAME.into();
        }
        if let Some((issued_at, lifetime)) = issued {
            let issued_at = issued_at.duration_since(UNIX_EPOCH).unwrap_or_default();
            fields["token_type"] = "Bearer".into();
            fields["iat"] = issued_at.as_secs().into();
            fields["exp"] = (issued_at + lifetime).as_secs().into();
        }
        Ok(Answer::json(200, &fields).uncached())
    }

    /// RFC 7009, section 2: a token that is not known is no error, but another client's is.
    fn revoke(&self, request: &Request<'_>, form: &[(String, String)]) -> Result<Answer, OAuthError> {
        let (client, token) = self.client_and_token(request, form)?;
        if self.grants.client_of(token).is_some_and(|owner| owner != client.id) {
            return Err(invalid_grant("the token is another client's"));
        }
        self.grants.revoke(token);
        Ok(Answer::empty(200))
    }

    fn client_and_token<'f>(
        &self,
        request: &Request<'_>,
        form: &'f [(String, String)],
    ) -> Result<(Client, &'f str), OAuthError> {
        let known = [&PARAMETERS[..], &["token", "token_type_hint"]].concat();
        expect_well_formed(form, &known).map_err(invalid_request)?;
        let token = once(form, "token").map_err(invalid_request)?;
        let hint = at_most_once(form, "token_type_hint").map_err(invalid_request)?;
        if hint.is_some_and(|hint| !["access_token", "refresh_token"].contains(&hint)) {
            return Err(invalid_request("token_type_hint must be access_token or refresh_token"));
        }
        Ok((self.client(request, form)?, token))
    }

    /// RFC 8414, section 3.
    pub(super) fn metadata(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        request.expect_method("GET")?;
        request.expect_no_query()?;
        request.expect_no_body()?;
        let hidden = match *lock(&self.discovery) {
            Discovery::Both => None,
            Discovery::OAuth => Some(true),
            Discovery::OpenId => Some(false),
        };
        if hidden == Some(request.path() == OPENID_METADATA) {
            return Err(Answer::detail(404, "Not Found"));
        }
        let url = |path: &str| format!("{}{path}", request.base_url());
        let methods = ["client_secret_basic", "client_secret_post", "client_secret_jwt", "none"];
        let metadata = json!({
            "issuer": issuer(request),
            "authorization_endpoint": url(AUTHORIZE),
            "token_endpoint": url(TOKEN),
            "device_authorization_endpoint": url(DEVICE_AUTHORIZATION),
            "introspection_endpoint": url(INTROSPECT),
            "revocation_endpoint": url(REVOKE),
            "scopes_supported": [READ, WRITE],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": GRANTS.map(|(name, _)| name),
            "token_endpoint_auth_methods_supported": methods,
            "token_endpoint_auth_signing_alg_values_supported": ["HS256"],
            "introspection_endpoint_auth_methods_supported": methods[..3],
            "introspection_endpoint_auth_signing_alg_values_supported": ["HS256"],
            "revocation_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_signing_alg_values_supported": ["HS256"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
        });
        Ok(Answer::json(200, &metadata))
    }
}
