//! The pages of a login, in plain HTML: no script, and nothing from elsewhere.

use super::authorize::{Authorization, Refusal};
use super::logins::redirect;
use super::{PASSWORD, USERNAME};
use crate::answer::Answer;
use crate::request::Request;

/// The hidden field that says which login a form belongs to.
pub(crate) const LOGIN_FIELD: &str = "login";

const STYLE: &str = "
:root { color-scheme: light dark; --page: #f1f3f6; --card: #fff; --text: #1c2127; --soft: #556070;
  --line: #8490a0; --accent: #1a56c4; --on-accent: #fff; --error: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --page: #15181c; --card: #1f2429; --text: #e6e9ed; --soft: #a7b0bc;
    --line: #6f7a88; --accent: #9dbfff; --on-accent: #0a2350; --error: #ffb4ab; } }
* { box-sizing: border-box; }
body { margin: 0; padding: clamp(1rem, 8vh, 6rem) 1rem 2rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
main, footer { max-width: 26rem; margin: 0 auto; }
main { padding: 2rem; background: var(--card); border-radius: .75rem; box-shadow: 0 1px 4px #0003; }
footer { padding: 1rem 2rem; color: var(--soft); font-size: .875rem; }
h1 { margin: 0 0 1rem; font-size: 1.5rem; line-height: 1.25; }
p, ul { margin: 0 0 1rem; }
main > :last-child, footer > p { margin: 0; }
ul { padding-left: 1.25rem; }
label { display: block; margin-bottom: .25rem; font-weight: 600; }
input { width: 100%; margin-bottom: 1rem; padding: .625rem .75rem; border: 1px solid var(--line);
  border-radius: .375rem; background: var(--card); color: inherit; font: inherit; }
input[aria-invalid] { border: 2px solid var(--error); }
.error { padding-left: .75rem; border-left: 4px solid var(--error); color: var(--error); font-weight: 600; }
.buttons { display: flex; gap: .75rem; margin-top: .5rem; }
button { flex: 1; padding: .625rem 1rem; border: 1px solid var(--accent); border-radius: .375rem;
  background: var(--accent); color: var(--on-accent); font: inherit; font-weight: 600; cursor: pointer; }
button.second { background: none; color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
code { font-size: .9375em; overflow-wrap: anywhere; }
";

/// The problem with a name and a password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    NothingEntered,
    NoUsername,
    NoPassword,
    /// The name or the password is wrong. The page does not say which.
    Wrong,
}

impl Problem {
    fn text(self) -> &'static str {
        match self {
            Self::NothingEntered => "Enter your email and your password.",
            Self::NoUsername => "Enter your email.",
            Self::NoPassword => "Enter your password.",
            Self::Wrong => "The email or the password is wrong.",
        }
    }
}

/// The values that differ between the pages of the services.
#[derive(Clone, Copy)]
pub(crate) struct Site {
    /// The service's name.
    pub(crate) name: &'static str,
    /// The first sentence of each footer.
    pub(crate) note: &'static str,
    /// The path of the log-in page's form.
    pub(crate) log_in: &'static str,
    /// The path of the consent page's form.
    pub(crate) consent: &'static str,
    /// The known scopes with their descriptions.
    pub(crate) scopes: &'static [(&'static str, &'static str)],
}

impl Site {
    pub(crate) fn log_in(
        self,
        authorization: &Authorization,
        login: &str,
        username: &str,
        problem: Option<Problem>,
    ) -> Answer {
        let error = problem
            .map(|problem| format!("<p class=\"error\" id=\"error\" role=\"alert\">{}</p>\n", problem.text()))
            .unwrap_or_default();
        let attributes = |is_wrong: bool, has_focus: bool| {
            let wrong = if is_wrong { " aria-invalid=\"true\" aria-describedby=\"error\"" } else { "" };
            format!("{wrong}{}", if has_focus { " autofocus" } else { "" })
        };
        let to_password = !username.is_empty();
        let body = format!(
            r#"<h1>Log in</h1>
<p>The application <strong>{client}</strong> asks for access to your {service} account.</p>
{error}<form method="post" action="{action}">
<input type="hidden" name="{LOGIN_FIELD}" value="{login}">
<label for="username">Email</label>
<input id="username" name="username" type="text" inputmode="email" autocomplete="username" autocapitalize="none" spellcheck="false" value="{username}"{username_attributes}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password"{password_attributes}>
<div class="buttons"><button>Log in</button></div>
</form>"#,
            client = escaped(&authorization.client_id),
            service = self.name,
            action = self.log_in,
            login = escaped(login),
            username = escaped(username),
            username_attributes =
                attributes(problem.is_some_and(|problem| problem != Problem::NoPassword), !to_password),
            password_attributes =
                attributes(problem.is_some_and(|problem| problem != Problem::NoUsername), to_password),
        );
        let hint = format!(
            "The demo account is <code>{USERNAME}</code> with the password <code>{}</code>",
            escaped(PASSWORD)
        );
        match problem {
            None => self.page(200, "Log in", &body, &hint),
            Some(_) => self.page(400, "Error: Log in", &body, &hint),
        }
    }

    /// The consent page. `after` is a paragraph that says where the answer goes.
    pub(crate) fn consent(self, authorization: &Authorization, login: &str, after: &str) -> Answer {
        let item = |scope: &String| {
            let description = self.description(scope).unwrap_or(scope);
            format!("<li>{} <code>{}</code></li>\n", escaped(description), escaped(scope))
        };
        let scopes = authorization.scopes.iter().map(item).collect::<Vec<_>>().concat();
        let body = format!(
            r#"<h1>Allow access?</h1>
<p>You are logged in as <strong>{USERNAME}</strong>. The application <strong>{client}</strong> would like to:</p>
<ul>
{scopes}</ul>
<p>{after}</p>
<form method="post" action="{action}">
<input type="hidden" name="{LOGIN_FIELD}" value="{login}">
<div class="buttons"><button name="decision" value="allow">Allow</button>
<button class="second" name="decision" value="deny">Deny</button></div>
</form>"#,
            client = escaped(&authorization.client_id),
            action = self.consent,
            login = escaped(login),
        );
        self.page(200, "Allow access?", &body, "")
    }

    pub(crate) fn error(self, status: u16, reason: &str) -> Answer {
        let body = format!(
            r#"<h1>This login cannot go on</h1>
<p class="error">{}</p>
<p>Close this page, go back to the application and start the login again. If that does not help, the application has to be set right.</p>"#,
            escaped(reason)
        );
        self.page(status, "Error: This login cannot go on", &body, "")
    }

    /// A page. `hint` continues its footer.
    pub(crate) fn page(self, status: u16, title: &str, body: &str, hint: &str) -> Answer {
        let html = format!(
            r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · {service} sandbox</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<main>
{body}
</main>
<footer><p>{note} {hint}</p></footer>
</body>
</html>
"#,
            title = escaped(title),
            service = self.name,
            note = self.note,
        );
        // No `form-action`: browsers apply it also to the redirect after a form, which leads to the application.
        let policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
                  frame-ancestors 'none'";
        Answer::raw(status, "text/html; charset=utf-8", html.into_bytes())
            .with_header("Content-Security-Policy", policy)
            .with_header("Referrer-Policy", "no-referrer")
            .uncached()
    }

    /// Refuses the request of an application.
    pub(crate) fn refuse(self, refusal: &Refusal) -> Answer {
        match refusal {
            Refusal::Page(reason) => self.error(400, reason),
            Refusal::Redirect(url) => redirect(url),
        }
    }

    pub(crate) fn knows(self, scope: &str) -> bool {
        self.description(scope).is_some()
    }

    fn description(self, scope: &str) -> Option<&'static str> {
        self.scopes.iter().find(|(name, _)| *name == scope).map(|(_, description)| *description)
    }

    /// Refuses another method with a page.
    pub(crate) fn expect_method(self, request: &Request<'_>, method: &str) -> Result<(), Answer> {
        if request.method() == method {
            return Ok(());
        }
        let reason = format!("This address is for {method} only.");
        Err(self.error(405, &reason).with_header("Allow", method))
    }
}

pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
