//! Token introspection (RFC 7662).

use std::time::SystemTime;
use std::{fmt, iter};

use ureq::http::Method;

use super::parameters::Parameters;
use crate::check;
use crate::client_auth::ClientAuth;
use crate::clock::{in_seconds, plus};
use crate::encode::json::{object, unescape};
use crate::encode::loose::{Loose, number};
use crate::encode::words::repeats;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::{Advice, Error};
use crate::secret::{Known, Secret};
use crate::transport::Transport;
use crate::transport::call::Call;
use crate::transport::given_url::GivenUrl;
use crate::transport::retry::Repeat;
use crate::transport::token_answer::{SCOPE, whole_items};

/// Token introspection (RFC 7662): asks the server what it knows about a token.
///
/// Nothing is checked before [`run`](Self::run). May be shared between threads.
///
/// ```no_run
/// # fn main() -> Result<(), keyfob::Error> {
/// use keyfob::{ClientAuth, Transport, flow::Introspect};
///
/// # let (client_secret, token) = (String::new(), keyfob::Secret::default());
/// let auth = ClientAuth::secret_basic("my-client", client_secret);
/// let answer = Introspect::new("https://auth.example.com/introspect", auth).run(&Transport::new(), &token)?;
/// println!("{} until {:?}", answer.is_active(), answer.expires_at());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Introspect {
    url: GivenUrl,
    /// The URL that is the `aud` of a JWT. Default: `url`.
    audience: Option<GivenUrl>,
    auth: ClientAuth,
    parameters: Parameters,
}

impl Introspect {
    /// An introspection at this URL.
    ///
    /// The `aud` of [`ClientAuth::secret_jwt`] is this URL unless [`ClientAuth::with_audience`] sets another.
    #[must_use]
    pub fn new(url: impl Into<String>, auth: ClientAuth) -> Self {
        Self::at(GivenUrl::new("introspection URL", url), auth)
    }

    pub(crate) fn at(url: GivenUrl, auth: ClientAuth) -> Self {
        Self { url, audience: None, auth, parameters: Parameters::default() }
    }

    /// Sends this URL as `aud` of a JWT, unless the client authentication has another one.
    pub(crate) fn with_default_audience(self, audience: GivenUrl) -> Self {
        Self { audience: self.auth.has_default_audience().then_some(audience), ..self }
    }

    /// Sends one more parameter, such as `token_type_hint` (RFC 7662 2.1). May be called more than once, also with the same name.
    /// [`run`](Self::run) refuses `token` and the names of any client authentication. Default: none.
    #[must_use]
    pub fn with_parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.add(name, value);
        self
    }

    /// As [`with_parameter`](Self::with_parameter), with a value that no error and no `Debug` shows.
    #[must_use]
    pub fn with_secret_parameter(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.parameters.add_secret(name, value);
        self
    }

    /// Checks everything that the caller gave, except the token, as [`run`](Self::run) does.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.url.check()?;
        self.parameters.check(&["token"])?;
        self.auth.check()
    }

    /// Asks about the token, which may be an access token or a refresh token. Tries up to three times, on 429, 5xx and failed
    /// connections.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), before anything is sent, for the token and each setting as in
    /// [`ExtensionGrant::run`](super::ExtensionGrant::run); [`Refused`](ErrorKind::Refused) if the server refuses;
    /// [`Protocol`](ErrorKind::Protocol) if the answer is no JSON object with a boolean `active`; network errors.
    pub fn run(&self, transport: &Transport, token: &Secret) -> Result<Introspection, Error> {
        self.check()?;
        check::value("token", token.expose())?;
        let (url, left) = self.url.resolve(transport)?;
        let (audience, transport) = self.audience.as_ref().unwrap_or(&self.url).resolve(&left)?;
        let token = Known::new(token.clone());
        let call = Call {
            doing: "introspect the token at",
            endpoint: url.endpoint(),
            method: Method::POST,
            repeat: Repeat::Always,
            comes_once: false,
            advice: Advice::CheckUrlAndClient,
        };
        let own = [("token", token.expose())];
        transport.ask(
            &call,
            &mut |now| self.parameters.request(&self.auth, &own, now, audience.as_str()),
            &|answer, _| Ok(answer.read(&call, Introspection::parse)?.without(token.expose())),
        )
    }
}

/// What a server knows about a token (RFC 7662 2.2).
///
/// Only [`is_active`](Self::is_active) is required of a server, and most servers send nothing else for a token that is not active. A member
/// whose type is not that of the standard counts as absent. So does a text that is empty, is longer than 16 KiB, repeats the token, or has
/// control or bidirectional formatting characters. `Debug` shows [`is_active`](Self::is_active) only.
#[derive(Clone, PartialEq, Eq)]
pub struct Introspection {
    is_active: bool,
    scope: Option<String>,
    /// `client_id`, `username`, `sub`, `token_type` and `iss`.
    texts: [Option<String>; 5],
    /// `exp`, `iat` and `nbf`.
    times: [Option<SystemTime>; 3],
    audience: Vec<String>,
}

impl Introspection {
    /// Returns the answer, or the problem with it.
    pub(crate) fn parse(body: &Secret) -> Result<Self, &'static str> {
        const NAMES: [&str; 11] = [
            "active",
            "scope",
            "client_id",
            "username",
            "sub",
            "token_type",
            "iss",
            "exp",
            "iat",
            "nbf",
            "aud",
        ];
        let [active, scope, client_id, username, sub, token_type, iss, exp, iat, nbf, aud] =
            object(body.expose(), NAMES).ok_or("it is not a JSON object")?;
        let is_active = match active {
            Some("true") => true,
            Some("false") => false,
            Some(_) => return Err("its `active` is neither true nor false"),
            None => return Err("it has no `active`"),
        };
        let can_be_shown = |text: &str| check::value("", text.as_bytes()).is_ok();
        let text = |json: Option<&str>| {
            unescape(json?)?.expose_str().filter(|text| can_be_shown(text)).map(str::to_owned)
        };
        let scope = scope.map(|json| Loose::of(json, SCOPE));
        let scope = scope.as_ref().and_then(Loose::text).map(whole_items);
        // No token was issued before 1970, so a negative number is no time.
        let seconds = |json: &str| number(json).filter(|seconds| *seconds >= 0);
        let time = |json: Option<&str>| plus(SystemTime::UNIX_EPOCH, seconds(json?)?).and_then(in_seconds);
        let list = |json| serde_json::from_str::<Vec<String>>(json).unwrap_or_default();
        let mut audience = text(aud).map_or_else(|| aud.map(list).unwrap_or_default(), |one| vec![one]);
        audience.retain(|one| can_be_shown(one));
        Ok(Self {
            is_active,
            scope: scope.filter(|scope| can_be_shown(scope)).map(str::to_owned),
            texts: [client_id, username, sub, token_type, iss].map(text),
            times: [exp, iat, nbf].map(time),
            audience,
        })
    }

    /// Removes each text that repeats the token, because the answer may be shown and the token must not be.
    fn without(mut self, token: &[u8]) -> Self {
        let repeats = |text: &str| repeats(text, iter::once(token));
        for text in self.texts.iter_mut().chain([&mut self.scope]) {
            if text.as_deref().is_some_and(repeats) {
                *text = None;
            }
        }
        self.audience.retain(|text| !repeats(text));
        self
    }

    /// The answer as JSON: the members of RFC 7662 2.2 that it has, each as this type has it. It does not contain the token.
    pub fn to_json(&self) -> String {
        let text = |text: &str| serde_json::to_string(text).unwrap_or_default();
        let seconds = |time: SystemTime| {
            time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs().to_string()
        };
        let audience = serde_json::to_string(&self.audience).ok().filter(|_| !self.audience.is_empty());
        let members = [
            ("active", Some(self.is_active.to_string())),
            ("scope", self.scope().map(text)),
            ("client_id", self.client_id().map(text)),
            ("username", self.username().map(text)),
            ("token_type", self.token_type().map(text)),
            ("exp", self.expires_at().map(seconds)),
            ("iat", self.issued_at().map(seconds)),
            ("nbf", self.not_before().map(seconds)),
            ("sub", self.subject().map(text)),
            ("aud", audience),
            ("iss", self.issuer().map(text)),
        ];
        let there = members.into_iter().filter_map(|(name, value)| Some(format!("\"{name}\":{}", value?)));
        format!("{{{}}}", there.collect::<Vec<_>>().join(","))
    }

    /// Whether the token is valid now, for the client that asked (`active`).
    pub fn is_active(&self) -> bool {
        self.is_active
    }

    /// The scopes, separated by spaces, even if the server sends them as a list (`scope`). At most 16 KiB; the rest is left out.
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// The client that the token was issued to (`client_id`).
    pub fn client_id(&self) -> Option<&str> {
        self.texts[0].as_deref()
    }

    /// The name of the person who granted the access, to be shown to people (`username`).
    pub fn username(&self) -> Option<&str> {
        self.texts[1].as_deref()
    }

    /// The identifier of the subject, usually the person who granted the access (`sub`).
    pub fn subject(&self) -> Option<&str> {
        self.texts[2].as_deref()
    }

    /// The type of the token, such as `Bearer` (`token_type`).
    pub fn token_type(&self) -> Option<&str> {
        self.texts[3].as_deref()
    }

    /// The issuer (`iss`).
    pub fn issuer(&self) -> Option<&str> {
        self.texts[4].as_deref()
    }

    /// The time at which the token expires (`exp`).
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.times[0]
    }

    /// The time at which the token was issued (`iat`).
    pub fn issued_at(&self) -> Option<SystemTime> {
        self.times[1]
    }

    /// The time before which the token is not valid (`nbf`).
    pub fn not_before(&self) -> Option<SystemTime> {
        self.times[2]
    }

    /// The services that the token is for (`aud`). Empty if the server names none.
    pub fn audience(&self) -> &[String] {
        &self.audience
    }
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspection").field("is_active", &self.is_active).finish_non_exhaustive()
    }
}
