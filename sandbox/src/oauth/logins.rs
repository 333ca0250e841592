//! The logins that are under way, from the log-in page to the decision.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use super::authorize::{Authorization, Callback};
use super::page::{self, Problem, Site};
use super::parameters::{at_most_once, once};
use super::{PASSWORD, USERNAME};
use crate::answer::Answer;
use crate::request::Request;
use crate::sync::lock;
use crate::{Clock, random};

/// How long a person may take from the first page to the last.
const LOGIN_LIFETIME: Duration = Duration::from_secs(600);

const EXPIRED: &str = "This page has expired or was used already.";

/// The receiver of a person's decision.
pub(crate) trait ReplyTo {
    /// A sentence of the consent page, in HTML.
    fn sentence(&self) -> String;
}

impl ReplyTo for Callback {
    fn sentence(&self) -> String {
        let destination = self.redirect_uri.split('?').next().unwrap_or_default();
        format!("Either way, you go back to <code>{}</code>.", page::escaped(destination))
    }
}

/// The open logins. Each has a random name, which its pages contain.
pub(crate) struct Logins<R> {
    clock: Clock,
    site: Site,
    open: Mutex<HashMap<String, Login<R>>>,
}

struct Login<R> {
    authorization: Authorization,
    reply_to: R,
    started_at: SystemTime,
    logged_in: bool,
}

impl<R: ReplyTo> Logins<R> {
    pub(crate) fn new(clock: Clock, site: Site) -> Self {
        Self { clock, site, open: Mutex::default() }
    }

    /// Starts a login, and shows its first page.
    pub(crate) fn start(&self, authorization: Authorization, reply_to: R) -> Answer {
        let name = random::text(24);
        let page = self.site.log_in(&authorization, &name, "", None);
        let login = Login { authorization, reply_to, started_at: self.clock.now(), logged_in: false };
        self.open().insert(name, login);
        page
    }

    /// Answers the form of the log-in page.
    pub(crate) fn log_in(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        let (name, form) = self.read_form(request)?;
        let mut open = self.open();
        let login = open.get_mut(&name).ok_or_else(|| self.site.error(400, EXPIRED))?;
        let field = |name| at_most_once(&form, name).ok().flatten().unwrap_or_default();
        let (username, password) = (field("username").trim(), field("password"));
        let problem = match (username, password) {
            (USERNAME, PASSWORD) => None,
            ("", "") => Some(Problem::NothingEntered),
            ("", _) => Some(Problem::NoUsername),
            (_, "") => Some(Problem::NoPassword),
            _ => Some(Problem::Wrong),
        };
        if problem.is_some() {
            return Err(self.site.log_in(&login.authorization, &name, username, problem));
        }
        login.logged_in = true;
        Ok(self.site.consent(&login.authorization, &name, &login.reply_to.sentence()))
    }

    /// Reads the form of the consent page. Ends the login, and returns it with the person's decision.
    pub(crate) fn consent(&self, request: &Request<'_>) -> Result<(Authorization, R, bool), Answer> {
        let (name, form) = self.read_form(request)?;
        let allows = match once(&form, "decision") {
            Ok("allow") => true,
            Ok("deny") => false,
            _ => return Err(self.site.error(400, "Neither Allow nor Deny was chosen.")),
        };
        let mut open = self.open();
        let expired = || self.site.error(400, EXPIRED);
        open.get(&name).filter(|login| login.logged_in).ok_or_else(expired)?;
        let login = open.remove(&name).ok_or_else(expired)?;
        Ok((login.authorization, login.reply_to, allows))
    }

    /// The login that a form of the sandbox belongs to, and its fields.
    fn read_form(&self, request: &Request<'_>) -> Result<(String, Vec<(String, String)>), Answer> {
        self.site.expect_method(request, "POST")?;
        let form: Vec<_> = form_urlencoded::parse(request.body()).into_owned().collect();
        let name = once(&form, page::LOGIN_FIELD).map_err(|_| self.site.error(400, EXPIRED))?.to_owned();
        Ok((name, form))
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, Login<R>>> {
        let now = self.clock.now();
        let mut open = lock(&self.open);
        open.retain(|_, login| {
            now.duration_since(login.started_at).is_ok_and(|taken| taken < LOGIN_LIFETIME)
        });
        open
    }
}

/// A 303, after which a browser comes with GET and without the form (RFC 9700, section 4.12).
pub(crate) fn redirect(url: &str) -> Answer {
    Answer::empty(303).with_header("Location", url).uncached()
}
