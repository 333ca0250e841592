//! [`Service`]: what the commands need of `SpatiaFi` and Spacebring.

use std::sync::Arc;

use keyfob::{
    AgentBuilder, CachingSource, CredentialsFile, RecordName, Secret, Token, TokenSource as _, ureq,
};

use crate::failure::Failure;
use crate::output::warn;
use crate::settings::Settings;

pub trait Service {
    /// As on the command line.
    fn name(&self) -> &'static str;

    fn settings(&self) -> &Settings;

    /// What `exec` calls the token in the environment.
    fn token_variable(&self) -> &'static str;

    /// The variables that its secrets come from.
    fn secrets(&self) -> &'static [&'static str];

    /// OAuth 2.0 tokens, kept in the store.
    fn source(&self) -> Result<Arc<CachingSource>, Failure>;

    /// How requests to the API are signed.
    fn api(&self) -> Result<Api, Failure>;

    /// The value of the `Authorization` header of requests to the API.
    fn authorization(&self) -> Result<Secret, Failure> {
        Ok(self.token()?.authorization())
    }

    /// The base URL of the API, and the URL that gives tokens.
    fn urls(&self) -> Result<Urls, Failure>;

    /// The client id, and where it comes from.
    fn client_id(&self) -> Result<Option<(String, &'static str)>, Failure>;

    /// What its tokens are called in the store; `None` without a client id. No secret is read for it.
    fn record_name(&self) -> Result<Option<RecordName>, Failure>;

    /// The file that holds app credentials, if the service has one.
    fn credentials_file(&self) -> Result<Option<CredentialsFile>, Failure>;

    /// The id in that file, whatever the environment says, and what its tokens are called.
    fn client_of_file(&self) -> Result<Option<(String, RecordName)>, Failure> {
        Ok(None)
    }

    /// Whether client id and secret are both there, or neither. No secret is read for it.
    fn halves(&self) -> Result<(), Failure>;

    /// How its requests are signed, for `status`.
    fn signs_with(&self) -> Result<&'static str, Failure>;

    /// A token that lives long enough.
    fn token(&self) -> Result<Arc<Token>, Failure> {
        let source = self.source()?;
        let token = source.token(self.settings().min_valid()).map_err(|error| self.explain(error))?;
        warn_of(&source);
        let now = self.settings().http.clock().now();
        let age = now.duration_since(token.obtained_at()).unwrap_or_default();
        match token.expires_at() {
            Some(_) => {
                log::debug!(
                    "the token is {} s old and lives for {} s",
                    age.as_secs(),
                    token.remaining(now).as_secs()
                );
            }
            None => log::debug!("the token is {} s old and of unknown lifetime", age.as_secs()),
        }
        Ok(token)
    }

    /// An error of the library, with what to do about it here.
    fn explain(&self, error: keyfob::Error) -> Failure {
        let advice = format!("run `keyfob {} login`", self.name());
        Failure::from(error).advise(keyfob::ErrorKind::LoginRequired, &advice)
    }
}

pub struct Urls {
    pub api: String,
    pub token: String,
}

/// How requests to an API are signed.
pub struct Api {
    /// Without a slash at its end.
    pub url: String,
    pub builder: AgentBuilder,
    /// Where the tokens come from, if it is not HTTP Basic.
    pub source: Option<Arc<CachingSource>>,
}

impl Api {
    /// An agent for so many threads. Whatever a login has to give is got now, so that its failure is the command's own.
    pub fn agent(self, service: &dyn Service, threads: usize) -> Result<ureq::Agent, Failure> {
        if let Some(source) = &self.source {
            let min_valid = service.settings().min_valid.unwrap_or_default();
            source.token(min_valid).map_err(|error| service.explain(error))?;
            warn_of(source);
        }
        let builder = service.settings().tune(self.builder).with_max_idle_connections(threads);
        Ok(builder.build()?)
    }
}

/// A token that could not be saved serves this time, but the next run needs another one.
fn warn_of(source: &CachingSource) {
    if let Some(warning) = source.warning() {
        warn(&format!("the token could not be kept for the next run: {warning}"));
    }
}
