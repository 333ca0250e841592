//! The pages for a person: those of an application's login, and those of a device login.

use super::{Acme, DEVICE, ISSUER, SITE};
use crate::answer::Answer;
use crate::oauth::authorize::{Authorization, Callback, PARAMETERS, Refusal, Rules, loopback_path};
use crate::oauth::invalid_request;
use crate::oauth::logins::{ReplyTo, redirect};
use crate::oauth::page::escaped;
use crate::oauth::parameters::{expect_only, expect_well_formed, once};
use crate::request::Request;

/// The path of the redirect URI of every client, on this machine at any port.
const REDIRECT_PATH: &str = "callback";

/// The client that asks for access.
pub(super) enum Asker {
    /// An application that opened the browser.
    Application(Callback),
    /// A device that shows this user code.
    Device(String),
}

impl ReplyTo for Asker {
    fn sentence(&self) -> String {
        match self {
            Self::Application(callback) => callback.sentence(),
            Self::Device(user_code) => format!(
                "Allow this only if the device in front of you shows the code <code>{}</code>.",
                escaped(user_code)
            ),
        }
    }
}

impl Acme {
    /// `GET /acme/authorize`.
    pub(super) fn authorize(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        SITE.expect_method(request, "GET")?;
        let read = self.read_authorization(request.base_url(), request.query());
        let (authorization, callback) = read.map_err(|refusal| SITE.refuse(&refusal))?;
        Ok(self.logins.start(authorization, Asker::Application(callback)))
    }

    /// Reads the request of an application. PKCE is required (RFC 9700, section 2.1.1).
    pub(super) fn read_authorization(
        &self,
        base_url: &str,
        query: &[(String, String)],
    ) -> Result<(Authorization, Callback), Refusal> {
        let known = [&PARAMETERS[..], &["resource", "audience"]].concat();
        let rules = Rules {
            is_client: &|client_id| self.clients.has(client_id),
            is_redirect_uri: &|uri| {
                loopback_path(uri, &["127.0.0.1", "[::1]", "localhost"]) == Some(REDIRECT_PATH)
            },
            known: &known,
            read_scopes: &|query| {
                expect_well_formed(query, &known).map_err(invalid_request)?;
                self.read_scopes(query)
            },
            repeats_state: true,
            requires_pkce: true,
            issuer: Some(format!("{base_url}{ISSUER}")),
        };
        rules.read(query)
    }

    /// `POST /acme/consent`.
    pub(super) fn consent(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        let (authorization, asker, allows) = self.logins.consent(request)?;
        match asker {
            Asker::Application(callback) if allows => {
                Ok(redirect(&self.grants.allow(authorization, callback)))
            }
            Asker::Application(callback) => Ok(redirect(&callback.denied())),
            Asker::Device(user_code) => {
                if !self.devices.decide(&user_code, allows) {
                    return Err(SITE.error(400, "The code has expired."));
                }
                let title = if allows { "Access allowed" } else { "Access denied" };
                let body =
                    format!("<h1>{title}</h1>\n<p>You can close this page and go back to your device.</p>");
                Ok(SITE.page(200, title, &body, ""))
            }
        }
    }

    /// `GET /acme/device`, with a user code or without one, and `POST /acme/device` with the code that the person confirmed
    /// (RFC 8628, section 3.3).
    pub(super) fn device_page(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        if request.method() == "GET" {
            let query = request.query();
            let has_code = expect_only(query, &["user_code"]).and_then(|()| match query {
                [] => Ok(""),
                _ => once(query, "user_code"),
            });
            return has_code.map(|code| code_page(code, None)).map_err(|reason| SITE.error(400, &reason));
        }
        SITE.expect_method(request, "POST")?;
        let form: Vec<_> = form_urlencoded::parse(request.body()).into_owned().collect();
        let entered = once(&form, "user_code").unwrap_or_default();
        let problem = if entered.trim().is_empty() {
            "Enter the code that your device shows."
        } else {
            "No device waits for this code. It may have expired."
        };
        let pending = self.devices.pending(entered);
        let (authorization, user_code) = pending.ok_or_else(|| code_page(entered, Some(problem)))?;
        Ok(self.logins.start(authorization, Asker::Device(user_code)))
    }
}

fn code_page(user_code: &str, problem: Option<&str>) -> Answer {
    let (error, attributes) = match problem {
        None => (String::new(), ""),
        Some(problem) => (
            format!("<p class=\"error\" id=\"error\" role=\"alert\">{problem}</p>\n"),
            " aria-invalid=\"true\" aria-describedby=\"error\"",
        ),
    };
    let body = format!(
        r#"<h1>Connect a device</h1>
<p>Compare the code with the one that your device shows, or enter it.</p>
{error}<form method="post" action="{DEVICE}">
<label for="user_code">Code</label>
<input id="user_code" name="user_code" type="text" autocomplete="off" autocapitalize="characters" spellcheck="false" value="{}"{attributes} autofocus>
<div class="buttons"><button>Continue</button></div>
</form>"#,
        escaped(user_code),
    );
    match problem {
        None => SITE.page(200, "Connect a device", &body, ""),
        Some(_) => SITE.page(400, "Error: Connect a device", &body, ""),
    }
}
