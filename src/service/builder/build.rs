//! [`ServiceBuilder::build`]: checks each value once and makes the service.

use std::path::PathBuf;
use std::sync::Arc;

use super::parts::Parameter;
use super::{Grant, ServiceBuilder, hint, variable};
use crate::agent::AgentBuilder;
use crate::agent::auth::Auth;
use crate::check;
use crate::client_auth::ClientAuth;
use crate::encode::basic::Basic;
use crate::error::{Error, ErrorKind};
use crate::flow::{self, ClientCredentials, ExtensionGrant, Introspect, Refresh, Revoke};
use crate::metadata::check_issuer_url;
use crate::secret::Secret;
use crate::service::{Made, NoTokens, Parts, Service};
use crate::source::CachingSource;
use crate::store::record::RecordName;
use crate::text::{one_line, sorted};
use crate::transport::endpoint::{base_url, join};
use crate::transport::given_url::GivenUrl;

impl ServiceBuilder {
    /// Checks every value, and makes the service. Reads the files that the [transport](Self::transport) names. Sends nothing, and
    /// does not use the store.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a value that is missing, bad or without effect. The error names the service,
    /// and the setter of a missing value. [`NoCredentials`](ErrorKind::NoCredentials) if a
    /// [required](crate::Setting::required) setting has no value.
    pub fn build(self) -> Result<Service, Error> {
        // First, because most errors repeat the name.
        self.check_name()?;
        if let Some(error) = &self.refused {
            return Err(error.clone());
        }
        self.check_required()?;
        let grant = self.only_grant()?.clone();
        self.check_uses(&grant)?;
        check::value("profile", self.profile.as_bytes())?;
        self.transport.check()?;
        let api_urls = self.checked_api_urls()?;
        if let Some(url) = &self.auth_url {
            base_url("URL of the authorization server", url)?;
        }
        if let Some((issuer, _)) = &self.issuer {
            check_issuer_url(issuer)?;
        }
        let made = self.made(&grant)?;
        let auth = match &made.basic {
            Some(basic) => Auth::Basic(basic.clone()),
            None => Auth::Bearer(Arc::new(made.source.clone())),
        };
        let mut builder = AgentBuilder::new(self.transport.clone(), auth).rate(self.rate);
        for url in &api_urls {
            builder = builder.origin(url);
        }
        for (name, value) in self.headers {
            builder = builder.header(name, value);
        }
        let agent = builder.clone().build()?;
        let scope = joined(&self.scopes);
        Ok(Service(Arc::new(Parts {
            name: self.name,
            client_id: grant.client_id().to_owned(),
            grant: grant.name().to_owned(),
            api_urls,
            scope,
            transport: self.transport,
            store: self.store,
            made,
            builder,
            agent,
            warnings: self.warnings,
        })))
    }

    fn check_name(&self) -> Result<(), Error> {
        let mut letters = self.name.bytes();
        let is_good = letters.next().is_some_and(|b| b.is_ascii_lowercase())
            && letters.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && self.name.len() <= 32;
        if is_good {
            return Ok(());
        }
        let shown: String = one_line(&self.name).chars().take(100).collect();
        Err(Error::invalid(format!(
            "the service name `{shown}` cannot be used: write a letter from a to z, then up to 31 of a–z, 0–9 and '-'"
        )))
    }

    fn check_required(&self) -> Result<(), Error> {
        let settings = self.defaults.settings.unwrap_or_default();
        match settings.iter().find(|setting| setting.is_required() && !self.given.contains(&setting.key())) {
            None => Ok(()),
            Some(setting) => {
                let text = format!(
                    "{} is not set: {}",
                    variable(&self.name, setting.key()),
                    hint(self.defaults.hint)
                );
                Err(Error::of(ErrorKind::NoCredentials, text))
            }
        }
    }

    fn only_grant(&self) -> Result<&Grant, Error> {
        match &self.grants[..] {
            [grant] => Ok(grant),
            [] => Err(self.lacks(
                "grant",
                "`client_credentials`, `authorization_code`, `device_code`, `extension_grant` or `basic`",
            )),
            [one, other, ..] => Err(Error::invalid(format!(
                "the service `{}` has two grants, `{}` and `{}`: choose one",
                self.name,
                one.setter(),
                other.setter()
            ))),
        }
    }

    pub(super) fn lacks(&self, what: &str, setter: &str) -> Error {
        Error::invalid(format!("the service `{}` has no {what}: call {setter}", self.name))
    }

    /// Refuses a setting that has no effect with this grant, because the caller made a mistake.
    fn check_uses(&self, grant: &Grant) -> Result<(), Error> {
        let (tokens, login) = (self.has_tokens(), self.needs_login());
        let browser = matches!(grant, Grant::AuthorizationCode(..));
        let has = |is_one: fn(&Parameter) -> bool| self.parameters.iter().any(is_one);
        let switches = self.switches;
        let uses = [
            ("issuer", self.issuer.is_some(), tokens),
            ("token_url", self.token_url.is_some(), tokens),
            ("revocation_url", self.revocation_url.is_some(), tokens),
            ("introspection_url", self.introspection_url.is_some(), tokens),
            ("scope", !self.scopes.is_empty(), tokens),
            ("parameter", has(|parameter| matches!(parameter, Parameter::Shown(..))), tokens),
            ("secret_parameter", has(|parameter| matches!(parameter, Parameter::Secret(..))), tokens),
            ("parameter_file", has(|parameter| matches!(parameter, Parameter::File(..))), tokens),
            ("authorize_url", self.authorize_url.is_some(), browser),
            ("device_authorization_url", self.device_authorization_url.is_some(), login && !browser),
            ("redirect_uri", self.redirect_uri.is_some(), browser),
            ("without_state", switches.without_state, browser),
            ("without_pkce", switches.without_pkce, browser),
            ("without_redirect_uri", switches.without_redirect_uri, browser),
            ("allow_refresh_repeats", switches.allow_refresh_repeats, login),
            ("allow_token_in_query", switches.allow_token_in_query, tokens),
        ];
        match uses.into_iter().find(|(_, is_set, is_used)| *is_set && !is_used) {
            None => Ok(()),
            Some((setter, ..)) => Err(Error::invalid(format!(
                "the service `{}` has `{setter}`, which has no effect with `{}`: remove it",
                self.name,
                grant.setter()
            ))),
        }
    }

    /// The URLs of the API, each without a slash at its end.
    fn checked_api_urls(&self) -> Result<Vec<String>, Error> {
        let first = self.first_api_url().ok_or_else(|| self.lacks("API URL", "`api_url`"))?;
        let others = self.api_urls.iter().skip(1).map(String::as_str);
        std::iter::once(first)
            .chain(others)
            .map(|url| base_url("API URL", url).map(|()| join(url, "")))
            .collect()
    }

    /// Makes the parts that depend on the grant.
    fn made(&self, grant: &Grant) -> Result<Made, Error> {
        let token_url = || {
            let make = |url| GivenUrl::new("token URL", url);
            self.given_or_found(self.unchecked_token_url(), make, "token_endpoint")
                .ok_or_else(|| self.lacks("token URL", "`issuer` or `token_url`"))
        };
        match grant {
            Grant::Basic(id, secret) => Ok(Made {
                basic: Some(Basic::new(id, Secret::clone(secret))?),
                login: None,
                revoke: None,
                introspect: None,
                source: CachingSource::new(self.transport.clone(), NoTokens(self.name.clone())),
                record_name: None,
            }),
            Grant::ClientCredentials(auth) => {
                let url = token_url()?;
                let flow = ClientCredentials::at(url.clone(), auth.clone());
                let flow = self.with_scope(flow, ClientCredentials::with_scope);
                let flow = self.with_parameters(
                    flow,
                    ClientCredentials::with_parameter,
                    ClientCredentials::with_secret_parameter,
                    ClientCredentials::with_parameter_file,
                );
                flow.check(&self.transport)?;
                self.with_tokens(grant, auth, url, CachingSource::new(self.transport.clone(), flow))
            }
            Grant::Extension(grant_type, auth) => {
                let login = match grant_type.as_str() {
                    "authorization_code" | "refresh_token" => Some("authorization_code"),
                    flow::DEVICE_CODE => Some("device_code"),
                    _ => None,
                };
                if let Some(setter) = login {
                    return Err(Error::invalid(format!(
                        "`extension_grant` cannot use the grant type `{grant_type}`, which needs a login: call `{setter}`"
                    )));
                }
                let url = token_url()?;
                let flow = ExtensionGrant::at(url.clone(), auth.clone(), grant_type.clone());
                let flow = self.with_scope(flow, ExtensionGrant::with_scope);
                let flow = self.with_parameters(
                    flow,
                    ExtensionGrant::with_parameter,
                    ExtensionGrant::with_secret_parameter,
                    ExtensionGrant::with_parameter_file,
                );
                flow.check(&[])?;
                self.with_tokens(grant, auth, url, CachingSource::new(self.transport.clone(), flow))
            }
            Grant::AuthorizationCode(auth, redirect_uri, make) => {
                let url = token_url()?;
                let (login, source) = make(self, auth, url.clone(), redirect_uri)?;
                Ok(Made { login: Some(login), ..self.with_tokens(grant, auth, url, source)? })
            }
            Grant::DeviceCode(auth, make) => {
                let url = token_url()?;
                let (login, source) = make(self, auth, url.clone(), "")?;
                Ok(Made { login: Some(login), ..self.with_tokens(grant, auth, url, source)? })
            }
        }
    }

    /// Makes the source of the tokens after a login.
    pub(super) fn refreshed(&self, auth: &ClientAuth, token_url: GivenUrl) -> Result<CachingSource, Error> {
        let refresh = Refresh::at(token_url, auth.clone()).for_service(&self.name);
        let refresh = self.with_parameters(
            refresh,
            Refresh::with_parameter,
            Refresh::with_secret_parameter,
            Refresh::with_parameter_file,
        );
        refresh.check()?;
        let refresh = if self.switches.allow_refresh_repeats { refresh.allow_repeats() } else { refresh };
        Ok(CachingSource::new(self.transport.clone(), refresh))
    }

    /// Adds to a source of tokens what every service with tokens has: callback, store, revocation and introspection.
    fn with_tokens(
        &self,
        grant: &Grant,
        auth: &ClientAuth,
        token_url: GivenUrl,
        source: CachingSource,
    ) -> Result<Made, Error> {
        let name = self.record_name(grant)?;
        let source = match &self.on_renewed {
            Some(call) => {
                let call = call.clone();
                source.with_on_renewed(move |token| call(token))
            }
            None => source,
        };
        let source = match &self.store {
            Some(store) => source.with_store(store.clone(), name.clone()),
            None => source,
        };
        let revoke = self.revoke(auth, token_url.clone())?;
        let introspect = self.introspect(auth, token_url)?;
        Ok(Made { basic: None, login: None, revoke, introspect, source, record_name: Some(name) })
    }

    fn revoke(&self, auth: &ClientAuth, token_url: GivenUrl) -> Result<Option<Revoke>, Error> {
        let given = self.endpoint(self.revocation_url.as_ref(), |defaults| defaults.revocation_url);
        let make = |url| GivenUrl::new("revocation URL", url);
        let Some(url) = self.given_or_found(given, make, "revocation_endpoint") else { return Ok(None) };
        let flow = if self.switches.allow_token_in_query {
            Revoke::in_query_at(url)
        } else {
            Revoke::at(url, auth.clone()).with_default_audience(token_url)
        };
        flow.check()?;
        Ok(Some(flow))
    }

    fn introspect(&self, auth: &ClientAuth, token_url: GivenUrl) -> Result<Option<Introspect>, Error> {
        let given = self.endpoint(self.introspection_url.as_ref(), |defaults| defaults.introspection_url);
        let make = |url| GivenUrl::new("introspection URL", url);
        let Some(url) = self.given_or_found(given, make, "introspection_endpoint") else { return Ok(None) };
        let flow = Introspect::at(url, auth.clone()).with_default_audience(token_url);
        flow.check()?;
        Ok(Some(flow))
    }

    pub(super) fn with_scope<F>(&self, flow: F, add: fn(F, String) -> F) -> F {
        self.scopes.iter().cloned().fold(flow, add)
    }

    pub(super) fn with_parameters<F>(
        &self,
        flow: F,
        add: fn(F, String, String) -> F,
        add_secret: fn(F, String, Secret) -> F,
        add_file: fn(F, String, PathBuf) -> F,
    ) -> F {
        self.parameters.iter().cloned().fold(flow, |flow, parameter| match parameter {
            Parameter::Shown(name, value) => add(flow, name, value),
            Parameter::Secret(name, value) => add_secret(flow, name, value),
            Parameter::File(name, path) => add_file(flow, name, path),
        })
    }

    /// The name of the stored record. A refresh sends no scope, so the name of a login does not depend on it. The logins of a person share
    /// a record, whichever way they were made.
    fn record_name(&self, grant: &Grant) -> Result<RecordName, Error> {
        let issuer = || self.issuer.as_ref().map(|(issuer, _)| issuer.clone());
        let server = self.unchecked_token_url().or_else(issuer).unwrap_or_default();
        let name = RecordName::new(&self.name, &server, grant.client_id())?.with_profile(&self.profile);
        if self.needs_login() {
            return Ok(name);
        }
        // A token without a login is that of another subject than one of a login. No parameter of the caller has this name.
        let grant_type = ("grant_type", Some(grant.name()));
        let parameters = sorted(self.parameters.iter().map(Parameter::of_record).chain([grant_type]));
        Ok(name.with_request(joined(&self.scopes).as_deref(), &parameters))
    }
}

/// Returns all scopes in one list, if there are any.
fn joined(scopes: &[String]) -> Option<String> {
    (!scopes.is_empty()).then(|| scopes.join(" "))
}
