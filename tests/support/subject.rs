//! The flows and the agent behind one interface.

#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyfob::flow::{AuthorizationCode, ClientCredentials, Grant as _, Refresh, Revoke};
use keyfob::spatiafi::{BasicToken, CreateClient};
use keyfob::ureq::Agent;
use keyfob::{AgentBuilder, Auth, ClientAuth, Error, Transport};

use crate::support::{Fixed, lock, token};

/// A deadline for calls that must miss it, and one for calls that must not.
pub const SHORT: Duration = Duration::from_millis(400);
pub const LONG: Duration = Duration::from_secs(20);

/// The extra time after the deadline for an answer that the server gives only once, as long as its bytes arrive.
pub const LATE: Duration = Duration::from_secs(1);

/// Tolerance for a busy machine. The aim is 100 ms.
pub const NOISE: Duration = Duration::from_millis(400);

/// An answer that is valid for every flow.
pub const GOOD: &str =
    r#"{"access_token":"abc","token_type":"bearer","client_id":"id","client_secret":"shown once"}"#;

pub const CHECK: &str = "check the network, the proxy and the URL";

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Who {
    Basic,
    Assertion,
    App,
    Code,
    Refresh,
    Revoke,
    Agent,
}

pub const EVERYONE: [Who; 7] =
    [Who::Basic, Who::Assertion, Who::App, Who::Code, Who::Refresh, Who::Revoke, Who::Agent];

impl Who {
    /// Whether the same request may be sent again after it may have arrived.
    pub fn repeats(self) -> bool {
        !matches!(self, Self::App | Self::Code | Self::Refresh)
    }
}

/// A flow or the agent, on a transport that is kept from call to call.
pub struct Subject {
    pub who: Who,
    pub origin: String,
    pub http: Transport,
    pub agent: Agent,
    pub saved: Mutex<Option<Vec<u8>>>,
}

impl Subject {
    pub fn new(who: Who, origin: &str, within: Duration) -> Self {
        Self::on(Transport::new(), who, origin, within)
    }

    pub fn on(http: Transport, who: Who, origin: &str, within: Duration) -> Self {
        let http = http.with_timeout(within);
        let agent = AgentBuilder::new(http.clone(), Auth::Bearer(Arc::new(Fixed("fixed"))))
            .origin(origin)
            .deadline(within)
            .build()
            .unwrap();
        Self { who, origin: origin.to_owned(), http, agent, saved: Mutex::default() }
    }

    pub fn call(&self) -> Result<(), Error> {
        let url = format!("{}/path?query", self.origin);
        let client = || ClientAuth::secret_post("id", "secret");
        match self.who {
            Who::Basic => BasicToken::new(&url, "ada", "a password")?.run(&self.http).map(drop),
            Who::Assertion => ClientCredentials::new(&url, ClientAuth::secret_jwt("id", "k".repeat(32)))
                .run(&self.http)
                .map(drop),
            Who::App => CreateClient::new(&url)?
                .run(&self.http, &token("fixed"), |answer| {
                    *lock(&self.saved) = Some(answer.to_vec());
                    Ok(())
                })
                .map(drop),
            Who::Code => {
                const CALLBACK: &str = "https://app.example/callback";
                let flow = AuthorizationCode::new(&url, &url, client(), CALLBACK);
                let login = flow.clone().with_scope("scope").start(&self.http)?;
                let state = login.url().split_once("&state=").unwrap().1;
                let callback = format!("{CALLBACK}?code=c0d3&state={}", state.split('&').next().unwrap());
                login.finish(&callback).map(drop)
            }
            Who::Refresh => {
                Refresh::new(&url, client()).with_refresh_token("old").token(&self.http, None).map(drop)
            }
            Who::Revoke => Revoke::new(&url, client()).run(&self.http, &"old".into()),
            Who::Agent => self
                .agent
                .get(&url)
                .call()
                .and_then(|mut response| response.body_mut().with_config().limit(64 * 1024).read_to_vec())
                .map(drop)
                .map_err(Error::from),
        }
    }

    /// The whole text of an error.
    pub fn text(&self, what: &str, next: &str) -> String {
        let doing = match self.who {
            Who::Basic => "get a token with the user name and password from",
            Who::Assertion => "get a token with the client credentials from",
            Who::App => "make app credentials at",
            Who::Code => "exchange the code of the login for a token at",
            Who::Refresh => "renew the access token at",
            Who::Revoke => "revoke the token, which may still be valid, at",
            Who::Agent => {
                let what =
                    if what.starts_with("no complete answer") { "no complete answer in time" } else { what };
                return format!("could not call the API: {what}; {next}");
            }
        };
        format!("could not {doing} {}: {what}; {next}", self.origin)
    }
}

/// The longest overrun of a deadline so far, for the record.
static WORST: Mutex<(Duration, String)> = Mutex::new((Duration::ZERO, String::new()));

#[track_caller]
pub fn in_time(took: Duration, within: Duration, name: &str) {
    let over = took.saturating_sub(within);
    let mut worst = lock(&WORST);
    if over > worst.0 {
        *worst = (over, name.to_owned());
        println!("{over:?} past the deadline: {name}");
    }
    assert!(over < NOISE, "{name}: {took:?} of {within:?}");
}
