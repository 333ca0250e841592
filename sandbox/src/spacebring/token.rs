//! The endpoints that applications call themselves: tokens and revocation.

use super::{OAuthErrors, RefreshTokens, Spacebring};
use crate::answer::Answer;
use crate::oauth::grants::Tokens;
use crate::oauth::parameters::{at_most_once, expect_only, once};
use crate::oauth::{OAuthError, invalid_request, read_form, token_answer};
use crate::request::{Request, parse_form};

/// The parameters that the vendor documents, and those that RFC 6749, section 4.1.3, and RFC 7636, section 4.5, add.
const CODE_PARAMETERS: [&str; 6] =
    ["client_id", "client_secret", "code", "grant_type", "redirect_uri", "code_verifier"];
const DOCUMENTED_CODE_PARAMETERS: &[&str] = CODE_PARAMETERS.split_at(4).0;
const REFRESH_PARAMETERS: [&str; 4] = ["client_id", "client_secret", "grant_type", "refresh_token"];

impl Spacebring {
    /// `POST /oauth2/token`.
    pub(super) fn token(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        self.expect_post(request)?;
        let tokens = self.tokens(request).map_err(|refusal| self.refuse(&refusal))?;
        Ok(token_answer(&tokens))
    }

    fn tokens(&self, request: &Request<'_>) -> Result<Tokens, OAuthError> {
        if has_authorization(request) {
            return Err(invalid_request("the client authenticates in the form, and in one way only"));
        }
        let form = read_form(request)?;
        match once(&form, "grant_type").map_err(invalid_request)? {
            "authorization_code" => self.exchange_code(&form),
            "refresh_token" => self.refresh(&form),
            _ => Err((
                "unsupported_grant_type",
                "grant_type must be authorization_code or refresh_token".to_owned(),
            )),
        }
    }

    fn exchange_code(&self, form: &[(String, String)]) -> Result<Tokens, OAuthError> {
        let documented_only = self.settings().documented_only;
        let known = if documented_only { DOCUMENTED_CODE_PARAMETERS } else { &CODE_PARAMETERS };
        expect_only(form, known).map_err(invalid_request)?;
        let code = once(form, "code").map_err(invalid_request)?;
        let redirect_uri = at_most_once(form, "redirect_uri").map_err(invalid_request)?;
        let verifier = at_most_once(form, "code_verifier").map_err(invalid_request)?;
        let client_id = self.client(form)?;
        self.grants.exchange(code, client_id, redirect_uri, verifier)
    }

    fn refresh(&self, form: &[(String, String)]) -> Result<Tokens, OAuthError> {
        expect_only(form, &REFRESH_PARAMETERS).map_err(invalid_request)?;
        let refresh_token = once(form, "refresh_token").map_err(invalid_request)?;
        let client_id = self.client(form)?;
        let mode = self.settings().refresh_tokens;
        let tokens = self.grants.refresh(refresh_token, client_id, None, mode == RefreshTokens::Rotated)?;
        let refresh_token = tokens.refresh_token.filter(|_| mode != RefreshTokens::Kept);
        Ok(Tokens { refresh_token, ..tokens })
    }

    /// The client, if its secret is right.
    fn client<'f>(&self, form: &'f [(String, String)]) -> Result<&'f str, OAuthError> {
        let client_id = once(form, "client_id").map_err(invalid_request)?;
        let client_secret = once(form, "client_secret").map_err(invalid_request)?;
        if self.clients.is_secret_of(client_id, client_secret) {
            return Ok(client_id);
        }
        // A 400 like the rest: RFC 6749, section 5.2, asks for 401 only after an `Authorization` header.
        Err(("invalid_client", "the client is not known or its secret is wrong".to_owned()))
    }

    /// Exchanges the code of a request that a fault answers. A refresh token is left alone: it must survive.
    pub(super) fn use_code_up(&self, request: &Request<'_>) {
        let form = parse_form(request.body()).unwrap_or_default();
        if once(&form, "grant_type") == Ok("authorization_code") {
            let _ = self.exchange_code(&form);
        }
    }

    /// `POST /oauth2/revoke?token=…`.
    pub(super) fn revoke(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        self.expect_post(request)?;
        let token = revocable(request).map_err(|description| self.refuse(&invalid_request(description)))?;
        // RFC 7009, section 2.2: an unknown token is no error.
        self.grants.revoke(token);
        Ok(Answer::empty(200))
    }

    fn expect_post(&self, request: &Request<'_>) -> Result<(), Answer> {
        if request.method() == "POST" {
            return Ok(());
        }
        let mut refusal = self.refuse(&invalid_request("the method must be POST"));
        refusal.status = 405;
        Err(refusal.with_header("Allow", "POST"))
    }

    fn refuse(&self, (code, description): &OAuthError) -> Answer {
        match self.settings().oauth_errors {
            OAuthErrors::Standard => Answer::oauth_error(code, description),
            OAuthErrors::Vendor => Answer::typed_error(400, code, description).uncached(),
        }
    }
}

fn revocable<'r>(request: &'r Request<'_>) -> Result<&'r str, String> {
    expect_only(request.query(), &["token"])?;
    let token = once(request.query(), "token")?;
    if !request.body().is_empty() {
        return Err("the body must be empty".to_owned());
    }
    if has_authorization(request) {
        return Err("no client authentication is documented here".to_owned());
    }
    Ok(token)
}

fn has_authorization(request: &Request<'_>) -> bool {
    !matches!(request.header("authorization"), Ok(None))
}
