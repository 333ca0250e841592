//! What a `keyfob_client` and a `keyfob_login` are.

use std::io::Read as _;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use keyfob::spacebring::{Customer, Partner, REDIRECT_URI, credentials_from_env};
use keyfob::ureq::{self, Agent};
use keyfob::{
    AgentBuilder, CachingSource, ClientCredentials, ErrorKind, Secret, SpatiaFi, Token, TokenSource as _,
    classify, classify_answer, flow, spatiafi,
};

use crate::failure::{Failure, keyfob_status};
use crate::options::{Renewed, Settings};

/// A service and the credentials for it.
pub enum Client {
    SpatiaFi { spatiafi: Box<SpatiaFi>, signed: Signed },
    Customer { customer: Box<Customer>, agent: Agent },
    Partner(Arc<PartnerClient>),
}

/// A source of tokens, and an agent that signs with them.
#[derive(Clone)]
pub struct Signed {
    source: Arc<CachingSource>,
    agent: Agent,
}

/// A partner has tokens only after a login.
pub struct PartnerClient {
    partner: Partner,
    call_timeout: Option<Duration>,
    on_renewed: Option<Renewed>,
    signed: RwLock<Option<Signed>>,
}

impl Client {
    pub fn spatiafi(mut spatiafi: SpatiaFi, settings: &Settings) -> Result<Self, Failure> {
        spatiafi = spatiafi.with_http(settings.http()?).with_variables(&|name| settings.variable(name))?;
        if let Some((store, profile)) = settings.store()? {
            spatiafi = spatiafi.with_store(store, &profile);
        }
        let source = Arc::new(observed(spatiafi.source()?, settings.on_renewed.as_ref()));
        let agent = agent(spatiafi.agent_builder(source.clone())?, settings.call_timeout)?;
        Ok(Self::SpatiaFi { spatiafi: Box::new(spatiafi), signed: Signed { source, agent } })
    }

    pub fn spatiafi_from_env(settings: Settings) -> Result<Self, Failure> {
        let spatiafi = match ClientCredentials::from_env("SPATIAFI_CLIENT_ID", "SPATIAFI_CLIENT_SECRET")? {
            Some(credentials) => SpatiaFi::new(credentials),
            None => SpatiaFi::from_file()?,
        };
        Self::spatiafi(spatiafi, &Settings { from_env: true, ..settings })
    }

    /// Makes app credentials, which `save` keeps, and goes on with them.
    pub fn spatiafi_login(
        username: &str,
        password: Secret,
        settings: &Settings,
        save: Option<impl FnOnce(&[u8]) -> std::io::Result<()>>,
    ) -> Result<Self, Failure> {
        // Tried on a client that asks for nothing: what the server makes, it makes once.
        Self::spatiafi(SpatiaFi::new(ClientCredentials::new("checked", "-".repeat(32))?), settings)?;
        let mut login = spatiafi::Login::new(username, password).with_http(settings.http()?);
        if let Some(url) = &settings.auth_url {
            login = login.with_auth_url(url);
        }
        let credentials = match save {
            Some(save) => login.run_with(save)?,
            None => login.run(&spatiafi::credentials_file()?, false).map_err(unsaved)?,
        };
        Self::spatiafi(SpatiaFi::new(credentials), settings)
    }

    pub fn customer(customer: Customer, settings: &Settings) -> Result<Self, Failure> {
        let customer =
            customer.with_http(settings.http()?).with_variables(&|name| settings.variable(name))?;
        let agent = agent(customer.agent_builder()?, settings.call_timeout)?;
        Ok(Self::Customer { customer: Box::new(customer), agent })
    }

    pub fn customer_from_env(settings: Settings) -> Result<Self, Failure> {
        let (id, secret) = credentials_from_env()?;
        Self::customer(Customer::new(&id, secret)?, &Settings { from_env: true, ..settings })
    }

    /// With the tokens of an earlier login, if the store has any.
    pub fn partner(mut partner: Partner, settings: &Settings) -> Result<Self, Failure> {
        partner = partner.with_http(settings.http()?).with_variables(&|name| settings.variable(name))?;
        if let Some((store, profile)) = settings.store()? {
            partner = partner.with_store(store, &profile)?;
        }
        if settings.without_state {
            partner = partner.without_state();
        }
        if settings.without_pkce {
            partner = partner.without_pkce();
        }
        if settings.without_redirect_uri {
            partner = partner.without_redirect_uri();
        }
        let stored = partner.stored_source()?;
        let client = PartnerClient {
            partner,
            call_timeout: settings.call_timeout,
            on_renewed: settings.on_renewed.clone(),
            signed: RwLock::new(None),
        };
        if let Some(source) = stored {
            client.sign_with(source)?;
        }
        Ok(Self::Partner(Arc::new(client)))
    }

    pub fn partner_from_env(settings: Settings) -> Result<Self, Failure> {
        let (id, secret) = credentials_from_env()?;
        Self::partner(Partner::new(&id, secret, REDIRECT_URI)?, &Settings { from_env: true, ..settings })
    }

    /// The value of an `Authorization` header, in two parts. Made here without `Token::authorization`, which allocates.
    pub fn authorization<T>(
        &self,
        min_valid: Duration,
        take: impl FnOnce(&[u8], &[u8]) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match self {
            Self::Customer { customer, .. } => take(b"", customer.authorization().expose()),
            _ => take(b"Bearer ", self.token(min_valid)?.access_token().expose()),
        }
    }

    pub fn token(&self, min_valid: Duration) -> Result<Arc<Token>, Failure> {
        Ok(match self {
            Self::SpatiaFi { signed, .. } => signed.source.token(min_valid),
            _ => self.source()?.token(min_valid),
        }?)
    }

    /// The server refused this one, or, without one, that which is in use.
    pub fn invalidate(&self, used: Option<Secret>) -> Result<(), Failure> {
        let source = self.source()?;
        match used {
            Some(used) => source.invalidate(&Token::new(used, SystemTime::UNIX_EPOCH)?),
            None => {
                if let Some(token) = source.current() {
                    source.invalidate(&token);
                }
            }
        }
        Ok(())
    }

    /// Gets a new token now.
    pub fn refresh(&self) -> Result<(), Failure> {
        self.source()?.renew()?;
        Ok(())
    }

    /// Answers with the status, and gives the body to `sink`, piece by piece. Unless any status will do, it must be 2xx.
    pub fn get(
        &self,
        url: &str,
        any_status: bool,
        mut sink: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<u16, Failure> {
        let agent = match self {
            Self::SpatiaFi { signed, .. } => signed.agent.clone(),
            Self::Customer { agent, .. } => agent.clone(),
            Self::Partner(partner) => partner.signed()?.agent,
        };
        let url = if url.starts_with('/') { self.api_url().to_owned() + url } else { url.to_owned() };
        let url: ureq::http::Uri = url.parse().map_err(|_| {
            Failure::invalid(
                "the URL is no URL: it is empty, incomplete, or holds what must be percent-encoded",
            )
        })?;
        let mut response = agent.get(url).call().map_err(classify)?;
        let status = response.status().as_u16();
        if let Some(error) = classify_answer(&response).filter(|_| !any_status) {
            return Err(error.into());
        }
        let mut body = response.body_mut().as_reader();
        let mut piece = vec![0; 16 * 1024];
        loop {
            match body.read(&mut piece).map_err(|e| classify(e.into()))? {
                0 => return Ok(status),
                len => sink(&piece[..len])?,
            }
        }
    }

    /// Without a slash at its end.
    pub fn api_url(&self) -> &str {
        match self {
            Self::SpatiaFi { spatiafi, .. } => spatiafi.api_url(),
            Self::Customer { customer, .. } => customer.api_url(),
            Self::Partner(partner) => partner.partner.api_url(),
        }
    }

    /// What went on all the same, but should be known. Empty if nothing.
    pub fn warning(&self) -> String {
        let (unsafe_file, source) = match self {
            Self::SpatiaFi { spatiafi, signed } => (spatiafi.warnings(), Some(signed.source.clone())),
            Self::Customer { .. } => (&[][..], None),
            Self::Partner(partner) => (&[][..], partner.signed().ok().map(|signed| signed.source)),
        };
        let unsaved = source.and_then(|source| source.warning()).map(|warning| warning.to_string());
        unsafe_file.iter().cloned().chain(unsaved).collect::<Vec<_>>().join("\n")
    }

    /// For what only partners can do.
    pub fn as_partner(&self) -> Result<&Arc<PartnerClient>, Failure> {
        match self {
            Self::Partner(partner) => Ok(partner),
            _ => Err(Failure::invalid("this client is no partner of Spacebring: only these log in and out")),
        }
    }

    fn source(&self) -> Result<Arc<CachingSource>, Failure> {
        match self {
            Self::SpatiaFi { signed, .. } => Ok(signed.source.clone()),
            Self::Partner(partner) => Ok(partner.signed()?.source),
            Self::Customer { .. } => Err(Failure::invalid(
                "a customer of Spacebring has no token: take the Authorization value, which never expires",
            )),
        }
    }
}

impl PartnerClient {
    fn signed(&self) -> Result<Signed, Failure> {
        let signed = self.signed.read().unwrap_or_else(PoisonError::into_inner);
        signed.clone().ok_or_else(|| {
            let text = "nobody has logged in yet: start with keyfob_login_start";
            Failure::new(keyfob_status::KEYFOB_LOGIN_REQUIRED, text)
        })
    }

    fn sign_with(&self, source: Arc<CachingSource>) -> Result<(), Failure> {
        // The source is nobody else's yet.
        let source = Arc::into_inner(source).map(|source| observed(source, self.on_renewed.as_ref()));
        let source = Arc::new(source.expect("a source that was just made has one owner"));
        let agent = agent(self.partner.agent_builder(&source)?, self.call_timeout)?;
        *self.signed.write().unwrap_or_else(PoisonError::into_inner) = Some(Signed { source, agent });
        Ok(())
    }

    /// Goes on with tokens that the caller has kept.
    pub fn restore(&self, token: Token) -> Result<(), Failure> {
        self.sign_with(self.partner.source(token))
    }

    /// Ends the login, at the server and here.
    pub fn revoke(&self) -> Result<(), Failure> {
        let ended = self.signed()?.source;
        let revoked = self.partner.revoke(&ended);
        // The store's errors come after the server has agreed.
        if revoked.as_ref().is_err_and(|error| error.kind() != ErrorKind::Store) {
            return Ok(revoked?);
        }
        let mut signed = self.signed.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have logged in meanwhile.
        if signed.as_ref().is_some_and(|signed| Arc::ptr_eq(&signed.source, &ended)) {
            *signed = None;
        }
        Ok(revoked?)
    }
}

/// The error's own text says that the caller has the credentials, which it has where it saves them itself.
fn unsaved(error: keyfob::Error) -> Failure {
    let is_lost = error.unsaved().is_some();
    let mut failure = Failure::from(error);
    if is_lost {
        "could not save the new app credentials, which the server will not show again: what could be written of them is \
         beside their file, its name followed by .unsaved- and the time"
            .clone_into(&mut failure.text);
    }
    failure
}

fn observed(source: CachingSource, on_renewed: Option<&Renewed>) -> CachingSource {
    match on_renewed.cloned() {
        Some(call) => source.with_on_renewed(move |token| call(token)),
        None => source,
    }
}

fn agent(builder: AgentBuilder, call_timeout: Option<Duration>) -> Result<Agent, Failure> {
    let builder = match call_timeout {
        Some(timeout) => builder.with_deadline(timeout),
        None => builder,
    };
    Ok(builder.with_status_as_error(false).build()?)
}

fn used_up() -> Failure {
    Failure::invalid("this login has been used up: start another one")
}

/// A login that is under way.
pub struct Login {
    partner: Arc<PartnerClient>,
    url: String,
    /// Until one of the two ways to its end is taken.
    pending: Mutex<Option<flow::Login>>,
}

impl Login {
    pub fn start(partner: &Arc<PartnerClient>, scopes: &str) -> Result<Self, Failure> {
        let login = partner.partner.login(scopes.split(' ').filter(|scope| !scope.is_empty()))?;
        let url = login.url().to_owned();
        Ok(Self { partner: partner.clone(), url, pending: Mutex::new(Some(login)) })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn wait(&self, within: Duration) -> Result<(), Failure> {
        // What cannot be waited for can still be pasted.
        self.pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .ok_or_else(used_up)?
            .can_wait()?;
        self.end(|login| login.wait(within))
    }

    pub fn finish(&self, callback_url: &str) -> Result<(), Failure> {
        // What is not of this login can be pasted again.
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        match pending.as_ref().ok_or_else(used_up)?.can_finish(callback_url) {
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Protocol) => {
                return Err(error.into());
            }
            _ => drop(pending),
        }
        self.end(|login| login.finish(callback_url))
    }

    fn end(&self, get: impl FnOnce(flow::Login) -> Result<Token, keyfob::Error>) -> Result<(), Failure> {
        let login = self.pending.lock().unwrap_or_else(PoisonError::into_inner).take();
        let token = get(login.ok_or_else(used_up)?)?;
        self.partner.restore(token.clone())?;
        if let Some(call) = &self.partner.on_renewed {
            call(&token);
        }
        Ok(())
    }
}
