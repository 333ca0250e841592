//! The pages of a login: log in, consent, and the redirect to the application.

use super::{SITE, Spacebring};
use crate::answer::Answer;
use crate::oauth::authorize::{Authorization, Callback, PARAMETERS, Refusal, Rules, loopback_path};
use crate::oauth::logins::redirect;
use crate::oauth::parameters::once;
use crate::oauth::{OAuthError, invalid_request};
use crate::request::Request;
use crate::sync::lock;

/// The parameters that the vendor documents.
const DOCUMENTED_PARAMETERS: &[&str] = PARAMETERS.split_at(4).0;

impl Spacebring {
    /// `GET /oauth2/authorize`.
    pub(super) fn authorize(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        SITE.expect_method(request, "GET")?;
        let (authorization, callback) =
            self.read_authorization(request.query()).map_err(|refusal| SITE.refuse(&refusal))?;
        Ok(self.logins.start(authorization, callback))
    }

    /// `POST /oauth2/consent`.
    pub(super) fn consent(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        let (authorization, callback, allows) = self.logins.consent(request)?;
        Ok(redirect(&if allows { self.grants.allow(authorization, callback) } else { callback.denied() }))
    }

    /// Reads the request of an application.
    pub(super) fn read_authorization(
        &self,
        query: &[(String, String)],
    ) -> Result<(Authorization, Callback), Refusal> {
        let settings = self.settings();
        let rules = Rules {
            is_client: &|client_id| self.clients.has(client_id),
            is_redirect_uri: &|uri| {
                loopback_path(uri, &["127.0.0.1", "[::1]"]).is_some()
                    || lock(&self.redirect_uris).contains(uri)
            },
            known: if settings.documented_only { DOCUMENTED_PARAMETERS } else { &PARAMETERS },
            read_scopes: &read_scopes,
            repeats_state: !settings.documented_only && !settings.forgets_state,
            requires_pkce: false,
            issuer: None,
        };
        rules.read(query)
    }
}

fn read_scopes(query: &[(String, String)]) -> Result<Vec<String>, OAuthError> {
    let scope = once(query, "scope").map_err(invalid_request)?;
    let scopes: Vec<_> = scope.split([' ', ',']).filter(|scope| !scope.is_empty()).collect();
    if scopes.is_empty() {
        return Err(("invalid_scope", "no scope is named".to_owned()));
    }
    if scopes.iter().any(|scope| !SITE.knows(scope)) {
        return Err(("invalid_scope", "a scope is none of the published ones".to_owned()));
    }
    Ok(scopes.into_iter().map(str::to_owned).collect())
}
