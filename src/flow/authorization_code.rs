//! Browser login: authorization code with PKCE (RFC 6749 4.1, RFC 7636).

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use ureq::http::Method;

#[cfg(doc)]
use crate::ErrorKind;
use crate::callback::{self, Expected, Failed, Rejection, Stray};
use crate::clock::Deadline;
use crate::endpoint::Endpoint;
use crate::http::{Call, Repeat, seconds};
use crate::redirect::{Listener, RedirectUri};
use crate::{ClientAuth, Error, ErrorKind as Kind, Http, Secret, Token, check, form, random};

/// The authorization code grant: a person logs in with a browser, and the program gets tokens.
///
/// Source: Spacebring's partners, `/oauth2/authorize` and `/oauth2/token`.
///
/// `state` and PKCE (S256) are always used; a server that does not know one needs a switch.
///
/// ```no_run
/// # fn main() -> Result<(), keyfob::Error> {
/// # use std::time::Duration;
/// use keyfob::{ClientAuth, Http, flow::AuthorizationCode};
///
/// # let client_secret = String::new();
/// let login = AuthorizationCode::new(
///     "https://auth.example.com/authorize",
///     "https://auth.example.com/token",
///     ClientAuth::basic("my-client-id", client_secret)?,
///     "http://127.0.0.1:0/callback",
/// )?
/// .login(&Http::new(), ["profile"])?;
/// eprintln!("open {}", login.url());
/// let token = login.wait(Duration::from_secs(300))?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct AuthorizationCode {
    pub(crate) authorize: Endpoint,
    pub(crate) token: Endpoint,
    pub(crate) client: ClientAuth,
    pub(crate) redirect_uri: RedirectUri,
    issuer: Option<String>,
    state: bool,
    pkce: bool,
    redirect_uri_in_exchange: bool,
}

impl AuthorizationCode {
    /// Checks the URLs.
    ///
    /// The redirect URI is one that the server knows. With `http` and `127.0.0.1` or `[::1]` the callback can be
    /// [waited for](Login::wait), at a free port if the port is 0; with any other it is
    /// [pasted](Login::finish).
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if a URL is not https (http on loopback), or the redirect URI neither that nor of
    /// another program's scheme (RFC 8252 7.1), or if it has a fragment, or port 0 where no callback can be waited for.
    pub fn new(
        authorize_url: &str,
        token_url: &str,
        client: ClientAuth,
        redirect_uri: &str,
    ) -> Result<Self, Error> {
        let authorize = Endpoint::unasked("authorize URL", authorize_url)?;
        Self::at(authorize, Endpoint::new("token URL", token_url)?, client, redirect_uri)
    }

    pub(crate) fn at(
        authorize: Endpoint,
        token: Endpoint,
        client: ClientAuth,
        redirect_uri: &str,
    ) -> Result<Self, Error> {
        Ok(Self {
            authorize,
            token,
            client,
            redirect_uri: RedirectUri::new(redirect_uri)?,
            issuer: None,
            state: true,
            pkce: true,
            redirect_uri_in_exchange: true,
        })
    }

    /// Demands this issuer in each callback (`iss`, RFC 9207), for servers that send it. Default: not looked at.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is empty, longer than 16 KiB or holds a control character.
    pub fn with_issuer(mut self, issuer: &str) -> Result<Self, Error> {
        check::value("issuer", issuer.as_bytes())?;
        self.issuer = Some(issuer.to_owned());
        Ok(self)
    }

    /// Sends no `state` and takes a callback without one, for servers that do not send it back: then PKCE alone
    /// protects the login, and anyone who makes the browser open the redirect URI can end it. Default: `state` is
    /// sent and demanded.
    pub fn without_state(mut self) -> Self {
        self.state = false;
        self
    }

    /// Leaves PKCE (RFC 7636) out, for servers that refuse its parameters. Default: S256.
    pub fn without_pkce(mut self) -> Self {
        self.pkce = false;
        self
    }

    /// Leaves `redirect_uri` out of the token request, against RFC 6749 4.1.3, for servers that refuse it there.
    /// Default: it is sent.
    pub fn without_redirect_uri(mut self) -> Self {
        self.redirect_uri_in_exchange = false;
        self
    }

    /// Starts a login: with a `state` and a PKCE verifier of its own, which are used once.
    ///
    /// Listens on the redirect URI from now on, if it can, so that no callback can come too early.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a scope with a space or another character that RFC 6749 3.3
    /// does not allow; [`Network`](ErrorKind::Network) if no port is free.
    pub fn login(
        &self,
        http: &Http,
        scopes: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Login, Error> {
        let scope = scope_list(scopes)?;
        let (redirect_uri, listener) = self.redirect_uri.listen()?;
        let state = self.state.then(random::text).transpose()?;
        let verifier = self.pkce.then(random::text).transpose()?;

        let mut parameters = vec![
            ("client_id", self.client.client_id().as_bytes()),
            ("redirect_uri", redirect_uri.as_str().as_bytes()),
            ("response_type", b"code"),
        ];
        if !scope.is_empty() {
            parameters.push(("scope", scope.as_bytes()));
        }
        if let Some(state) = &state {
            parameters.push(("state", state.expose()));
        }
        let challenge = verifier.as_ref().map(challenge);
        if let Some(challenge) = &challenge {
            parameters.push(("code_challenge", challenge.as_bytes()));
            parameters.push(("code_challenge_method", b"S256"));
        }
        // RFC 6749 3.1: a query that is there is kept.
        let separator = if self.authorize.uri().query().is_some() { '&' } else { '?' };
        let query = form::encode(&parameters);
        // What a form calls `+` is `%20` to everyone.
        let query = query.expose_str().unwrap_or_default().replace('+', "%20");
        Ok(Login {
            url: format!("{}{separator}{query}", self.authorize.uri()),
            flow: Self { redirect_uri, ..self.clone() },
            http: http.clone(),
            state,
            verifier,
            listener,
        })
    }

    fn exchange(&self, http: &Http, code: &Secret, verifier: Option<&Secret>) -> Result<Token, Error> {
        let mut parameters = vec![("grant_type", &b"authorization_code"[..]), ("code", code.expose())];
        if self.redirect_uri_in_exchange {
            parameters.push(("redirect_uri", self.redirect_uri.as_str().as_bytes()));
        }
        if let Some(verifier) = verifier {
            parameters.push(("code_verifier", verifier.expose()));
        }
        let secrets: Vec<_> =
            [Some(code), verifier, self.client.client_secret()].into_iter().flatten().collect();
        let call = Call {
            doing: "exchange the code of the login for a token",
            endpoint: &self.token,
            method: Method::POST,
            // RFC 6749 4.1.2: a code is good for one request.
            repeat: Repeat::Unsent,
            dated: false,
            advice: match (self.pkce, self.redirect_uri_in_exchange) {
                (true, true) => {
                    "log in again, with `without_pkce` or `without_redirect_uri` if the server does not know them"
                }
                (true, false) => "log in again, with `without_pkce` if the server does not know it",
                (false, true) => "log in again, with `without_redirect_uri` if the server does not know it",
                (false, false) => "log in again",
            },
            secrets: &secrets,
        };
        http.token(&call, &mut || Ok(self.client.payload(&parameters)))
    }
}

impl fmt::Debug for AuthorizationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationCode")
            .field("authorize", &self.authorize)
            .field("token", &self.token)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// One login with a browser, from its URL to its tokens. Used up by either way to its end.
///
/// The port of the redirect URI, if it is one of this machine, is open until then.
pub struct Login {
    flow: AuthorizationCode,
    http: Http,
    url: String,
    state: Option<Secret>,
    verifier: Option<Secret>,
    /// Or why the callback cannot be waited for.
    listener: Result<Listener, Error>,
}

impl Login {
    /// The URL to open in a browser, on this machine or on another.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether the callback can be [waited for](Self::wait): to be asked before a person is sent to the URL.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the redirect URI is not on this machine;
    /// [`Network`](ErrorKind::Network) if its port is taken.
    pub fn can_wait(&self) -> Result<(), Error> {
        self.listener.as_ref().map(drop).map_err(Error::clone)
    }

    /// Waits for the callback, shows the person in the browser how the login ended, and gets the tokens.
    ///
    /// `within` is how long to wait for the callback. The exchange that follows has the deadline of the [`Http`].
    /// Requests that do not belong to this login are turned away, and the wait goes on.
    ///
    /// # Errors
    /// As [`can_wait`](Self::can_wait), at once. [`Timeout`](ErrorKind::Timeout) if no callback came. Otherwise as
    /// [`finish`](Self::finish).
    pub fn wait(mut self, within: Duration) -> Result<Token, Error> {
        let unusable = Err(Error::invalid("the login has no listener"));
        let listener = std::mem::replace(&mut self.listener, unusable)?;
        let deadline = Deadline::after(within);
        let received = listener.receive(&deadline, &mut |query| callback::judge(query, &self.expected()));
        let (outcome, browser) = received.map_err(|stray| self.too_late(within, stray))?;
        let outcome = outcome
            .map_err(|failed| self.failed(failed))
            .and_then(|code| self.flow.exchange(&self.http, &code, self.verifier.as_ref()));
        browser.show(&outcome);
        outcome
    }

    /// Gets the tokens with the address that the browser was sent to after the login, pasted by the person: for a
    /// browser on another machine.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it cannot be such an address; [`Protocol`](ErrorKind::Protocol)
    /// if it belongs to another login or makes no sense; [`Refused`](ErrorKind::Refused) with the server's code if
    /// the login was refused; [`LoginRequired`](ErrorKind::LoginRequired) if the code was.
    pub fn finish(self, callback_url: &str) -> Result<Token, Error> {
        let code = self.code(callback_url)?;
        self.flow.exchange(&self.http, &code, self.verifier.as_ref())
    }

    /// Whether [`finish`](Self::finish) can use this address: to be asked before the login is used up. Nothing is sent.
    ///
    /// # Errors
    /// As [`finish`](Self::finish), apart from those of the exchange.
    pub fn can_finish(&self, callback_url: &str) -> Result<(), Error> {
        self.code(callback_url).map(drop)
    }

    fn code(&self, callback_url: &str) -> Result<Secret, Error> {
        let callback_url = callback_url.trim();
        check::value("callback URL", callback_url.as_bytes())?;
        let (_, query) = callback_url.split_once('?').ok_or_else(|| {
            Error::invalid(
                "the callback URL has no query ('?'): paste the whole address that the browser shows after the login",
            )
        })?;
        let query = query.split('#').next().unwrap_or_default();
        callback::judge(query.as_bytes(), &self.expected()).map_err(|rejection| match rejection {
            Rejection::Failed(failed) => self.failed(failed),
            Rejection::Stray(stray) => {
                let (what, next) = stray.texts();
                Error::new(Kind::Protocol, self.text(what, next))
            }
        })
    }

    fn expected(&self) -> Expected<'_> {
        Expected { state: self.state.as_ref(), issuer: self.flow.issuer.as_deref() }
    }

    fn failed(&self, failed: Failed) -> Error {
        Error::new(failed.kind, self.text(&failed.what, failed.next)).with_oauth_error(failed.oauth_error)
    }

    fn too_late(&self, within: Duration, stray: Option<Stray>) -> Error {
        let mut what = format!("no callback of this login came within {} s", seconds(within));
        let mut next = "open the login URL and follow it to its end in time";
        if let Some(stray) = stray {
            let (why, then) = stray.texts();
            what = format!("{what}, but another that was turned away: {why}");
            next = then;
        }
        Error::new(Kind::Timeout, self.text(&what, next))
    }

    fn text(&self, what: &str, next: &str) -> String {
        format!("could not log in at {}: {what}; {next}", self.flow.authorize.origin())
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("flow", &self.flow).finish_non_exhaustive()
    }
}

/// Joined by spaces (RFC 6749 3.3).
fn scope_list(scopes: impl IntoIterator<Item = impl AsRef<str>>) -> Result<String, Error> {
    let mut list = String::new();
    for scope in scopes {
        let scope = scope.as_ref();
        check::value("scope", scope.as_bytes())?;
        if !scope.bytes().all(check::is_nqchar) {
            return Err(Error::invalid(
                "a scope holds a space or another character that RFC 6749 3.3 does not allow: \
                 give one scope at a time",
            ));
        }
        if !list.is_empty() {
            list.push(' ');
        }
        list.push_str(scope);
    }
    Ok(list)
}

/// S256 (RFC 7636 4.2).
fn challenge(verifier: &Secret) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(redirect_uri: &str) -> AuthorizationCode {
        let client = ClientAuth::body("id", "s3cr3t").unwrap();
        AuthorizationCode::new("http://127.0.0.1:1/a", "http://127.0.0.1:1/t", client, redirect_uri).unwrap()
    }

    fn parameter<'a>(url: &'a str, name: &str) -> Option<&'a str> {
        url.split(['?', '&']).find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    #[test]
    fn the_challenge_of_rfc_7636_appendix_b() {
        let verifier = Secret::from("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(challenge(&verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn the_login_url() {
        let flow = flow("http://localhost/c?d=e");
        let login = flow.login(&Http::new(), ["a.readonly", "b"]).unwrap();
        let (state, challenge) =
            (parameter(login.url(), "state").unwrap(), parameter(login.url(), "code_challenge").unwrap());
        let documented = "http://127.0.0.1:1/a?client_id=id&redirect_uri=http%3A%2F%2Flocalhost%2Fc%3Fd%3De\
                          &response_type=code&scope=a.readonly%20b";
        assert_eq!(
            login.url(),
            format!("{documented}&state={state}&code_challenge={challenge}&code_challenge_method=S256")
        );
        assert_eq!((state.len(), challenge.len()), (43, 43));
        let bare = flow.without_state().without_pkce().login(&Http::new(), ["a.readonly", "b"]).unwrap();
        assert_eq!(bare.url(), documented);
    }

    #[test]
    fn a_query_of_the_authorize_url_is_kept_and_no_scope_is_none() {
        let client = ClientAuth::public("id").unwrap();
        let flow =
            AuthorizationCode::new("http://[::1]/a?tenant=x", "http://[::1]/t", client, "app:/cb").unwrap();
        let login = flow.without_state().without_pkce().login(&Http::new(), [""; 0]).unwrap();
        assert_eq!(
            login.url(),
            "http://[::1]/a?tenant=x&client_id=id&redirect_uri=app%3A%2Fcb&response_type=code"
        );
    }

    #[test]
    fn state_and_verifier_are_fresh_for_each_login() {
        let flow = flow("http://localhost/c");
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1_000 {
            let login = flow.login(&Http::new(), ["a"]).unwrap();
            let (state, verifier) = (login.state.as_ref().unwrap(), login.verifier.as_ref().unwrap());
            assert_eq!(parameter(login.url(), "state").unwrap().as_bytes(), state.expose());
            assert_eq!(parameter(login.url(), "code_challenge").unwrap(), challenge(verifier));
            assert!(seen.insert(state.expose().to_vec()) && seen.insert(verifier.expose().to_vec()));
        }
    }

    #[test]
    fn scopes_are_checked_and_unknown_ones_taken() {
        assert_eq!(scope_list(["locations", "new:thing/2"]).unwrap(), "locations new:thing/2");
        for (bad, text) in [
            ("", "the scope is empty"),
            ("a\nb", "the scope holds a control character at byte 1: remove it"),
            (
                "a b",
                "a scope holds a space or another character that RFC 6749 3.3 does not allow: give one scope at a time",
            ),
        ] {
            assert_eq!(scope_list([bad]).unwrap_err().to_string(), text);
        }
        assert!(scope_list(["a\"b"]).is_err() && scope_list(["ü"]).is_err());
    }

    #[test]
    fn debug_shows_no_secret_and_no_query() {
        let login = flow("http://localhost/c?d=e").login(&Http::new(), ["a"]).unwrap();
        assert_eq!(
            format!("{login:?}"),
            "Login { flow: AuthorizationCode { authorize: Endpoint(http://127.0.0.1:1), token: \
             Endpoint(http://127.0.0.1:1), client: ClientAuth { client_id: \"id\", client_secret: \
             Some(Secret(***)), basic: None }, .. }, .. }"
        );
    }
}
