//! Spacebring: its settings, `keyfob spacebring login` and `revoke`.

use std::io::{self, IsTerminal as _};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use keyfob::spacebring::{API_URL, Customer, Partner, REDIRECT_URI, scope};
use keyfob::{CachingSource, CredentialsFile, ErrorKind, RecordName, Secret, TokenStore as _, env_var};

use crate::args::SpacebringLogin;
use crate::clock::Deadline;
use crate::failure::Failure;
use crate::output::{say, unreadable};
use crate::secrets;
use crate::service::{Api, Service, Urls};
use crate::settings::Settings;

const CLIENT_ID: &str = "SPACEBRING_CLIENT_ID";
const CLIENT_SECRET: &str = "SPACEBRING_CLIENT_SECRET";
const AUTH: &str = "SPACEBRING_AUTH";

/// How long a person may take to log in.
const LOGIN_TIME: Duration = Duration::from_secs(300);

/// How long a login waits to see that its tokens can be stored.
const LOCK_TIME: Duration = Duration::from_secs(5);

pub struct Client {
    pub settings: Settings,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Auth {
    Basic,
    OAuth2,
}

impl Client {
    fn auth() -> Result<Auth, Failure> {
        match env_var(AUTH)?.as_deref() {
            None | Some("basic") => Ok(Auth::Basic),
            Some("oauth2") => Ok(Auth::OAuth2),
            Some(other) => Err(Failure::invalid(format!("{AUTH} is {other:?}: it can be basic or oauth2"))),
        }
    }

    fn credentials() -> Result<(String, Secret), Failure> {
        let id = env_var(CLIENT_ID)?.ok_or_else(Self::needs_id)?;
        let secret = secrets::get(CLIENT_SECRET)?.ok_or_else(Self::needs_secret)?;
        Ok((id, secret))
    }

    fn needs(name: &str) -> Failure {
        Failure::new(
            ErrorKind::NoCredentials,
            format!("{name}: set it to what Spacebring shows under Network Settings, Developers"),
        )
    }

    fn needs_id() -> Failure {
        Self::needs("SPACEBRING_CLIENT_ID is not set")
    }

    fn needs_secret() -> Failure {
        Self::needs("SPACEBRING_CLIENT_SECRET is not set, nor its _FILE, _FD or _CMD")
    }

    fn customer(&self) -> Result<Customer, Failure> {
        let (id, secret) = Self::credentials()?;
        let customer = Customer::new(&id, secret)?.with_http(self.settings.http.clone());
        Ok(customer.with_variables(&env_var)?)
    }

    /// Without a store.
    fn partner_of(&self, id: &str, secret: Secret) -> Result<Partner, Failure> {
        let partner = Partner::new(id, secret, REDIRECT_URI)?.with_http(self.settings.http.clone());
        Ok(partner.with_variables(&env_var)?)
    }

    fn partner(&self) -> Result<Partner, Failure> {
        let (id, secret) = Self::credentials()?;
        let store = Arc::new(self.settings.store()?);
        Ok(self.partner_of(&id, secret)?.with_store(store, &self.settings.profile)?)
    }

    fn stored(&self, partner: &Partner) -> Result<Arc<CachingSource>, Failure> {
        if let Some(source) = partner.stored_source()? {
            return Ok(source);
        }
        let aside = self.settings.store()?.unreadable_path(&partner.record_name(&self.settings.profile)?);
        let why = if aside.symlink_metadata().is_ok() {
            format!("the stored login could not be read, and is put aside as {}", aside.display())
        } else {
            "nobody has logged in to Spacebring with this client and profile".to_owned()
        };
        Err(Failure::new(ErrorKind::LoginRequired, format!("{why}: run `keyfob spacebring login`")))
    }

    pub fn login(&self, options: &SpacebringLogin) -> Result<(), Failure> {
        let scopes = scopes(options)?;
        let mut partner = self.partner()?;
        if options.without_state {
            partner = partner.without_state();
        }
        if options.without_pkce {
            partner = partner.without_pkce();
        }
        if options.without_redirect_uri {
            partner = partner.without_redirect_uri();
        }
        if !(options.no_browser || io::stdin().is_terminal() || io::stderr().is_terminal()) {
            return Err(Failure::new(
                ErrorKind::LoginRequired,
                "there is no terminal, so nobody may be there to log in: run it in a terminal, or with --no-browser and \
                 the address that the browser ends at on standard input",
            ));
        }
        // Proved before a person is sent to the browser.
        let store = self.settings.store()?;
        drop(store.lock(&partner.record_name(&self.settings.profile)?, LOCK_TIME)?);

        // The client secret has been read: nothing that is started here needs it, nor any other.
        secrets::close_descriptors();
        let login = partner.login(&scopes)?;
        let url = login.url();
        let deadline = Deadline::after(self.settings.timeout.unwrap_or(LOGIN_TIME));
        let token = if options.no_browser {
            say(&format!("open {url}"));
            say("log in there, and paste the address that the browser ends at:");
            let pasted = secrets::read_line(&deadline).map_err(|e| unreadable("standard input", &e))?;
            let pasted = pasted.ok_or_else(|| {
                Failure::new(ErrorKind::Timeout, "no address was pasted in time: log in again")
            })?;
            let callback = pasted.expose_str().ok_or_else(|| {
                Failure::invalid("what was pasted is no text: paste the address as the browser shows it")
            })?;
            match callback.trim().trim_matches(['"', '\'', '<', '>']) {
                // Nothing to paste from: the browser may be on this machine.
                "" => login.wait(deadline.remaining()),
                callback => login.finish(callback),
            }
        } else {
            // Before somebody else, who has taken the port, gets the code.
            login.can_wait()?;
            if open_browser(url) {
                say("log in with the browser that has opened; if none has, open this address:");
            } else {
                say(
                    "no browser could be started: open this address, or try --no-browser if it is on another machine:",
                );
            }
            say(url);
            login.wait(deadline.remaining())
        }?;
        let source = partner.source(token);
        if let Some(warning) = source.warning() {
            return Err(Failure::new(
                ErrorKind::Store,
                format!("the login went well, but its tokens could not be stored: {warning}"),
            ));
        }
        let granted = source.current().and_then(|token| token.scope().map(str::to_owned));
        say(&format!("logged in{}", granted.map(|scope| format!(" for {scope}")).unwrap_or_default()));
        if matches!(Self::auth(), Ok(Auth::Basic)) {
            say(&format!(
                "requests are signed with it once {AUTH} is oauth2, and with id and secret until then"
            ));
        }
        Ok(())
    }

    pub fn revoke(&self) -> Result<(), Failure> {
        let partner = self.partner()?;
        let source = self.stored(&partner)?;
        partner.revoke(&source)?;
        say("the login has ended, and its tokens are removed");
        Ok(())
    }
}

/// What to ask for: by default, to read everything and change nothing.
fn scopes(options: &SpacebringLogin) -> Result<Vec<String>, Failure> {
    let published = || scope::ALL.iter().map(|(name, _)| *name);
    if options.scopes.is_empty() {
        return Ok(published().filter(|name| name.ends_with(".readonly")).map(str::to_owned).collect());
    }
    for wanted in &options.scopes {
        if options.allow_unknown_scope || published().any(|name| name == wanted) {
            continue;
        }
        let all = published().collect::<Vec<_>>().join(", ");
        let like = published().min_by_key(|name| distance(name, wanted)).filter(|name| {
            // As far apart as a slip or two.
            distance(name, wanted) <= 3
        });
        let hint = like.map_or_else(|| ".".to_owned(), |name| format!("; is {name:?} meant?"));
        return Err(Failure::invalid(format!(
            "Spacebring has published no scope {wanted:?}{hint} There are: {all}. With --allow-unknown-scope it is asked \
             for all the same"
        )));
    }
    Ok(options.scopes.clone())
}

/// How many letters to add, remove or replace to make one word the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

/// Whether a program was started for it, with the URL as one argument.
fn open_browser(url: &str) -> bool {
    let is_web = ["https://", "http://"].iter().any(|scheme| url.starts_with(scheme));
    is_web
        && open::commands(url).into_iter().any(|mut command| {
            secrets::keep_from(&mut command);
            let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().is_ok()
        })
}

impl Service for Client {
    fn name(&self) -> &'static str {
        "spacebring"
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn token_variable(&self) -> &'static str {
        "SPACEBRING_ACCESS_TOKEN"
    }

    fn secrets(&self) -> &'static [&'static str] {
        &[CLIENT_SECRET]
    }

    fn source(&self) -> Result<Arc<CachingSource>, Failure> {
        self.stored(&self.partner()?)
    }

    fn api(&self) -> Result<Api, Failure> {
        match Self::auth()? {
            Auth::Basic => {
                let customer = self.customer()?;
                let builder = customer.agent_builder()?;
                Ok(Api { url: customer.api_url().to_owned(), builder, source: None })
            }
            Auth::OAuth2 => {
                let partner = self.partner()?;
                let source = self.stored(&partner)?;
                let builder = partner.agent_builder(&source)?;
                Ok(Api { url: partner.api_url().to_owned(), builder, source: Some(source) })
            }
        }
    }

    fn authorization(&self) -> Result<Secret, Failure> {
        match Self::auth()? {
            Auth::Basic => Ok(self.customer()?.authorization().clone()),
            Auth::OAuth2 => Ok(self.token()?.authorization()),
        }
    }

    fn urls(&self) -> Result<Urls, Failure> {
        let api = env_var("SPACEBRING_API_URL")?.unwrap_or_else(|| API_URL.to_owned());
        let api = api.trim_end_matches('/').to_owned();
        let token = env_var("SPACEBRING_TOKEN_URL")?.unwrap_or_else(|| format!("{api}/oauth2/token"));
        Ok(Urls { api, token })
    }

    fn client_id(&self) -> Result<Option<(String, &'static str)>, Failure> {
        Ok(env_var(CLIENT_ID)?.map(|id| (id, CLIENT_ID)))
    }

    fn record_name(&self) -> Result<Option<RecordName>, Failure> {
        let Some((id, _)) = self.client_id()? else { return Ok(None) };
        // The name of a record does not depend on the secret.
        let partner = self.partner_of(&id, "none".into())?;
        Ok(Some(partner.record_name(&self.settings.profile)?))
    }

    fn credentials_file(&self) -> Result<Option<CredentialsFile>, Failure> {
        Ok(None)
    }

    fn halves(&self) -> Result<(), Failure> {
        match (env_var(CLIENT_ID)?.is_some(), secrets::find(CLIENT_SECRET)?.is_some()) {
            (true, false) => Err(Self::needs_secret()),
            (false, true) => Err(Self::needs_id()),
            _ => Ok(()),
        }
    }

    fn signs_with(&self) -> Result<&'static str, Failure> {
        Ok(match Self::auth()? {
            Auth::Basic => "basic",
            Auth::OAuth2 => "oauth2",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distances() {
        for (one, other, expected) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "", 3),
            ("location", "locations", 1),
            ("plnas", "plans", 2),
        ] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
            assert_eq!(distance(other, one), expected, "{other} {one}");
        }
    }
}
