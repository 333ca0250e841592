//! The grants of a service that need a login.

use super::{Grant, ServiceBuilder};
use crate::client_auth::ClientAuth;
use crate::error::Error;
use crate::flow::{AuthorizationCode, DeviceCode, StartLogin};
use crate::source::CachingSource;
use crate::transport::given_url::GivenUrl;

impl ServiceBuilder {
    /// Obtains the first token by a login of a person in a browser (RFC 6749 4.1), and later ones with the refresh token. For the
    /// redirect URI see [`AuthorizationCode::new`].
    pub fn authorization_code(self, auth: ClientAuth, redirect_uri: impl Into<String>) -> Self {
        self.grant(Grant::AuthorizationCode(auth, redirect_uri.into(), browser_login))
    }

    /// Obtains the first token by a login of a person on another device (RFC 8628), and later ones with the refresh token. Needs an
    /// [issuer](Self::issuer) or a [device authorization URL](Self::device_authorization_url).
    pub fn device_code(self, auth: ClientAuth) -> Self {
        self.grant(Grant::DeviceCode(auth, device_login))
    }
}

/// The login of [`ServiceBuilder::authorization_code`].
fn browser_login(
    builder: &ServiceBuilder,
    auth: &ClientAuth,
    token_url: GivenUrl,
    redirect_uri: &str,
) -> Result<(StartLogin, CachingSource), Error> {
    let given = builder.endpoint(builder.authorize_url.as_ref(), |defaults| defaults.authorize_url);
    let make = |url| GivenUrl::unasked("authorize URL", url);
    let authorize_url = builder
        .given_or_found(given, make, "authorization_endpoint")
        .ok_or_else(|| builder.lacks("authorize URL", "`issuer` or `authorize_url`"))?;
    let redirect_uri = builder.redirect_uri.as_deref().unwrap_or(redirect_uri);
    let flow = AuthorizationCode::at(authorize_url, token_url.clone(), auth.clone(), redirect_uri);
    let mut flow = builder.with_parameters(
        flow,
        AuthorizationCode::with_parameter,
        AuthorizationCode::with_secret_parameter,
        AuthorizationCode::with_parameter_file,
    );
    if builder.switches.without_state {
        flow = flow.without_state();
    }
    if builder.switches.without_pkce {
        flow = flow.without_pkce();
    }
    if builder.switches.without_redirect_uri {
        flow = flow.without_redirect_uri();
    }
    // Each login names its own scope, so the stored flow has none.
    builder.with_scope(flow.clone(), AuthorizationCode::with_scope).check()?;
    let source = builder.refreshed(auth, token_url)?;
    let start: StartLogin = Box::new(move |transport, scope| {
        scope.into_iter().fold(flow.clone(), AuthorizationCode::with_scope).start(transport)
    });
    Ok((start, source))
}

/// The login of [`ServiceBuilder::device_code`].
fn device_login(
    builder: &ServiceBuilder,
    auth: &ClientAuth,
    token_url: GivenUrl,
    _: &str,
) -> Result<(StartLogin, CachingSource), Error> {
    let given = builder
        .endpoint(builder.device_authorization_url.as_ref(), |defaults| defaults.device_authorization_url);
    let make = |url| GivenUrl::new("device authorization URL", url);
    let url = builder
        .given_or_found(given, make, "device_authorization_endpoint")
        .ok_or_else(|| builder.lacks("device authorization URL", "`issuer` or `device_authorization_url`"))?;
    let flow = DeviceCode::at(url, token_url.clone(), auth.clone());
    let flow = builder.with_parameters(
        flow,
        DeviceCode::with_parameter,
        DeviceCode::with_secret_parameter,
        DeviceCode::with_parameter_file,
    );
    builder.with_scope(flow.clone(), DeviceCode::with_scope).check()?;
    let source = builder.refreshed(auth, token_url)?;
    let start: StartLogin = Box::new(move |transport, scope| {
        scope.into_iter().fold(flow.clone(), DeviceCode::with_scope).start(transport)
    });
    Ok((start, source))
}
