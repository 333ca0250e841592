//! Client authentication (RFC 6749, section 2.3; RFC 7521, section 4.2), in one way at a time.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Acme, TOKEN, issuer};
use crate::assertion::{ASSERTION_TYPE, Key};
use crate::oauth::parameters::{at_most_once, once};
use crate::oauth::{OAuthError, invalid_request};
use crate::request::{Request, parse_form};

/// The parameters of client authentication.
pub(super) const PARAMETERS: [&str; 4] =
    ["client_id", "client_secret", "client_assertion_type", "client_assertion"];

/// The issuer that signs assertions for clients without a key of their own (RFC 7523, section 3), and its key.
pub(super) const ASSERTION_ISSUER: &str = "acme-workloads";
pub(super) const ASSERTION_KEY: &str = "the key of the issuer of Acme's workload identities";

/// A client that has authenticated, or a public one.
pub(super) struct Client {
    pub(super) id: String,
    pub(super) is_public: bool,
}

fn invalid_client(description: impl Into<String>) -> OAuthError {
    ("invalid_client", description.into())
}

impl Acme {
    /// Returns the client of a request. The client must authenticate in exactly one way, or be public and not authenticate.
    pub(super) fn client(
        &self,
        request: &Request<'_>,
        form: &[(String, String)],
    ) -> Result<Client, OAuthError> {
        let header = request.header("authorization");
        let header = header.map_err(|_| invalid_request("the header authorization was sent twice"))?;
        let field = |name| at_most_once(form, name).map_err(invalid_request);
        let (id, secret) = (field("client_id")?, field("client_secret")?);
        let has_assertion = field("client_assertion")?.or(field("client_assertion_type")?).is_some();
        if [header.is_some(), secret.is_some(), has_assertion].iter().filter(|is_used| **is_used).count() > 1
        {
            return Err(invalid_request("the client must authenticate in one way only"));
        }

        let authenticated = if let Some(header) = header {
            let (id, secret) = basic(header).ok_or_else(|| {
                invalid_client(
                    "the header must be Basic, with id and secret form-encoded (RFC 6749, section 2.3.1)",
                )
            })?;
            self.expect_secret(&id, &secret)?;
            id
        } else if let Some(secret) = secret {
            let id = once(form, "client_id").map_err(invalid_request)?;
            self.expect_secret(id, secret)?;
            id.to_owned()
        } else if has_assertion {
            self.verify_assertion(request, form)?
        } else {
            let id =
                once(form, "client_id").map_err(|_| invalid_client("the client did not authenticate"))?;
            return self.public_client(id);
        };
        if id.is_some_and(|id| id != authenticated) {
            return Err(invalid_request("client_id is not the client that authenticated"));
        }
        Ok(Client { id: authenticated, is_public: false })
    }

    fn public_client(&self, id: &str) -> Result<Client, OAuthError> {
        if !self.clients.has(id) || self.clients.secret_of(id).is_some() {
            return Err(invalid_client("the client is not known, or it must authenticate"));
        }
        Ok(Client { id: id.to_owned(), is_public: true })
    }

    fn expect_secret(&self, client_id: &str, secret: &str) -> Result<(), OAuthError> {
        if self.clients.is_secret_of(client_id, secret) {
            return Ok(());
        }
        Err(invalid_client("the client is not known or its secret is wrong"))
    }

    /// Verifies an assertion that the client signed with its secret, or that the issuer of assertions signed for the client.
    fn verify_assertion(
        &self,
        request: &Request<'_>,
        form: &[(String, String)],
    ) -> Result<String, OAuthError> {
        let assertion_type = once(form, "client_assertion_type").map_err(invalid_request)?;
        let assertion = once(form, "client_assertion").map_err(invalid_request)?;
        if assertion_type != ASSERTION_TYPE {
            return Err(invalid_request(format!("client_assertion_type must be {ASSERTION_TYPE}")));
        }
        let key_of = |issuer: &str| match issuer {
            ASSERTION_ISSUER => Some(Key { secret: ASSERTION_KEY.to_owned(), signs_for_itself: false }),
            client_id => self.clients.secret_of(client_id).map(Key::of_client),
        };
        let url = |path: &str| format!("{}{path}", request.base_url());
        let audiences = [issuer(request), url(TOKEN), url(request.path())];
        let audiences: Vec<_> = audiences.iter().map(String::as_str).collect();
        let client_id = self.verifier.verify(assertion, &audiences, key_of).map_err(invalid_client)?;
        if self.clients.secret_of(&client_id).is_none() {
            return Err(invalid_client("the subject is no client that can authenticate"));
        }
        Ok(client_id)
    }
}

/// Returns id and secret of the scheme Basic, which are form-encoded one by one (RFC 6749, section 2.3.1).
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, credentials) = header.split_once(' ')?;
    let credentials = STANDARD.decode(credentials).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let colon = credentials.iter().position(|byte| *byte == b':')?;
    Some((decoded(&credentials[..colon])?, decoded(&credentials[colon + 1..])?))
}

/// Decodes a single form-encoded text.
fn decoded(text: &[u8]) -> Option<String> {
    let is_single = !text.iter().any(|byte| b"&=".contains(byte));
    let parameters = parse_form(text).filter(|_| is_single)?;
    parameters.into_iter().next().map(|(text, _)| text)
}
