//! [`BrowserLogin`]: one login with a browser, from its callback to its token request.

use std::borrow::Cow;
use std::time::Duration;

use super::extension_grant::{Exchange, ExtensionGrant};
use super::pending_login::{Keep, LoginFlow};
use crate::check;
use crate::clock::Deadline;
use crate::error::{Advice, Error, ErrorKind};
use crate::login::callback;
use crate::login::callback::{Expected, Failed, Rejection};
use crate::login::listener::{Browser, Listener, Missed};
use crate::secret::Known;
use crate::secret::Secret;
use crate::text::Seconds;
use crate::token::Token;
use crate::transport::Transport;
use crate::transport::endpoint::Origin;
use crate::transport::given_url::Url;
use crate::transport::retry::Repeat;

/// The names that the flow itself sends, in the authorization request or in the token request.
pub(super) const RESERVED: [&str; 7] = [
    "code",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "redirect_uri",
    "response_type",
    "state",
];

/// The state of a login between its URL and its tokens.
pub(super) struct BrowserLogin {
    /// The authorization server, for errors.
    pub(super) authorize: Origin,
    pub(super) grant: ExtensionGrant,
    pub(super) issuer: Option<String>,
    /// The redirect URI for the token request. `None` if it is left out there.
    pub(super) redirect_uri: Option<String>,
    pub(super) state: Option<Known>,
    pub(super) verifier: Option<Known>,
    /// The listener, or the reason why it cannot receive the callback.
    pub(super) listener: Result<Listener, Error>,
}

impl LoginFlow for BrowserLogin {
    fn grant(&self) -> &ExtensionGrant {
        &self.grant
    }

    fn one_time_url(&mut self, url: &str) -> Result<String, Error> {
        self.listener.as_mut().map_err(|error| error.clone())?.one_time_url(url)
    }

    fn can_wait(&self) -> Result<(), Error> {
        self.listener.as_ref().map(drop).map_err(Error::clone)
    }

    fn wait(&mut self, within: Duration, keep: &Keep<'_>) -> Result<Token, Error> {
        let (code, browser) = self.receive(within)?;
        let outcome = code.and_then(|code| self.exchange(keep, code, false));
        browser.show(&outcome);
        outcome
    }

    fn can_finish(&self, callback_url: &str) -> Result<(), Error> {
        self.code(callback_url).map(drop)
    }

    fn finish(&self, callback_url: &str, keep: &Keep<'_>) -> Result<Token, Error> {
        self.exchange(keep, self.code(callback_url)?, true)
    }
}

impl BrowserLogin {
    /// Waits for the callback. Returns its code, or how the login ended, and the browser that waits for a page.
    fn receive(&mut self, within: Duration) -> Result<(Result<Secret, Error>, Browser), Error> {
        let used = Err(Error::invalid("the login has no listener"));
        let listener = std::mem::replace(&mut self.listener, used)?;
        let deadline = Deadline::after(within);
        let received = listener.receive(&deadline, &mut |query| callback::judge(query, &self.expected()));
        let (outcome, browser) = received.map_err(|missed| self.too_late(within, &missed))?;
        Ok((outcome.map_err(|failed| self.failed(failed)), browser))
    }

    /// The code in a callback URL that a person pasted.
    fn code(&self, callback_url: &str) -> Result<Secret, Error> {
        // Mail programs and people put these around an address.
        let is_around = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>');
        let callback_url = callback_url.trim_matches(is_around);
        check::callback_value("callback URL", callback_url.as_bytes()).map_err(|error| {
            if callback_url.is_empty() { error.with_advice(Advice::PasteCallbackUrl) } else { error }
        })?;
        let is_query =
            ["code=", "state=", "error=", "iss="].iter().any(|name| callback_url.starts_with(name));
        let query = callback_url.split_once('?').map(|(_, query)| query).or(is_query.then_some(callback_url));
        let query = query.ok_or_else(|| {
            Error::invalid("the callback URL has no query ('?')").with_advice(Advice::PasteCallbackUrl)
        })?;
        // No address contains these: the text after them does not belong to it.
        let ends =
            |c: char| c.is_ascii_whitespace() || matches!(c, '#' | '"' | '<' | '>' | '`') || !c.is_ascii();
        let query = query.split(ends).next().unwrap_or_default();
        // Nor does punctuation belong to the `state`, which keyfob has made.
        let is_state_last = query.rsplit('&').next().is_some_and(|last| last.starts_with("state="));
        let punctuation: &[_] =
            if is_state_last { &[')', ']', '}', '.', ',', ';', ':', '!', '\'', '*'] } else { &[] };
        let query = query.trim_end_matches(punctuation);
        // Only the authorization request has this parameter.
        let has = |name: &str| query.split('&').any(|pair| pair.starts_with(name));
        if has("response_type=") && !has("code=") && !has("error=") {
            const WHAT: &str = "this is the URL that begins the login, not its callback";
            return Err(self.error(ErrorKind::Protocol, WHAT, Advice::PasteCallbackUrl));
        }
        callback::judge(query.as_bytes(), &self.expected()).map_err(|rejection| match rejection {
            Rejection::Failed(failed) if failed.kind == ErrorKind::Protocol => {
                self.error(failed.kind, failed.what, Advice::PasteCallbackUrlOrLogIn)
            }
            Rejection::Failed(failed) => self.failed(failed),
            Rejection::Unrelated(unrelated) => {
                let (what, advice) = unrelated.texts_of_pasted();
                self.error(ErrorKind::Protocol, what, advice)
            }
        })
    }

    /// Exchanges the code for tokens (RFC 6749 4.1.3).
    fn exchange(&self, keep: &Keep<'_>, code: Secret, is_pasted: bool) -> Result<Token, Error> {
        let code = Known::new(code);
        let mut parameters = vec![("code", code.expose())];
        parameters.extend(self.redirect_uri.as_ref().map(|uri| ("redirect_uri", uri.as_bytes())));
        parameters.extend(self.verifier.as_ref().map(|verifier| ("code_verifier", verifier.expose())));
        // A part of a pasted address may be missing, and so a part of the code. Then no switch explains the refusal.
        let advice = if is_pasted { Advice::LogInAndPasteWhole } else { self.advice() };
        keep(&mut |transport| self.grant.exchange(transport, &exchange(advice, &parameters)))
    }

    /// The advice if the server refuses a code that was received completely.
    fn advice(&self) -> Advice {
        match (&self.verifier, &self.redirect_uri) {
            (Some(_), Some(_)) => Advice::LogInWithoutPkceOrRedirectUri,
            (Some(_), None) => Advice::LogInWithoutPkce,
            (None, Some(_)) => Advice::LogInWithoutRedirectUri,
            (None, None) => Advice::LogIn,
        }
    }

    fn expected(&self) -> Expected<'_> {
        Expected { state: self.state.as_deref(), issuer: self.issuer.as_deref() }
    }

    fn failed(&self, failed: Failed) -> Error {
        self.error(failed.kind, failed.what, failed.advice).with_oauth_error(failed.oauth_error)
    }

    fn too_late(&self, within: Duration, missed: &Missed) -> Error {
        let mut what = format!("no callback of this login was received within {} s", Seconds(within));
        let mut advice = Advice::FollowLoginUrlInTime;
        if let Some(unrelated) = missed.unrelated {
            let (why, then) = unrelated.texts();
            what = format!("{what}, but an unrelated one was rejected: {why}");
            advice = then;
        } else if let Some(status) = missed.refused {
            what = format!("{what}, but a request was refused (HTTP {status})");
        }
        self.error(ErrorKind::Timeout, what, advice)
    }

    fn error(&self, kind: ErrorKind, what: impl Into<Cow<'static, str>>, advice: Advice) -> Error {
        Error::of(kind, what).with_task("log in at", self.authorize.to_string()).with_advice(advice)
    }
}

/// Checks that the token request can be sent once the code is there.
pub(super) fn check_exchange(grant: &ExtensionGrant, url: &Url, transport: &Transport) -> Result<(), Error> {
    grant.check_request(url, transport, &exchange(Advice::LogIn, &[]))?;
    transport.check_proxy("log in at", url.endpoint())
}

fn exchange<'a>(advice: Advice, own: &'a [(&'static str, &'a [u8])]) -> Exchange<'a> {
    Exchange {
        doing: "exchange the code of the login for a token at",
        // RFC 6749 4.1.2: a code is good for one request.
        repeat: Repeat::Unsent,
        comes_once: true,
        advice,
        own,
        reserved: &RESERVED,
    }
}
