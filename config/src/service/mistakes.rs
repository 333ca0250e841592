//! Mistakes that only several values of a section together show.

use keyfob::{ClientAuth, Error, ErrorKind, Secret, Service, ServiceBuilder};

use super::{CERTIFICATE, KnownService};
use crate::keys::{AUTHS, GRANTS, KEYS, Key, SWITCHES, nearest, unknown_word};
use crate::problem::Problem;
use crate::section::{OPTION, PAIRS, Section, without_effect};

/// The name of the device code grant in token requests.
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// What is wrong with a value, if something is.
type Verdict = Result<(), Problem>;

impl KnownService<'_> {
    fn mistake(&self, line: u32, key: &str, what: &str) -> Problem {
        self.catalog.mistake(line, key, what)
    }

    /// Checks that the section is complete, and that each key in it has an effect. Checks no value that the library checks.
    pub(super) fn check(&self) -> Verdict {
        let Some(section) = self.section else { return Ok(()) };
        self.check_pairs(section)?;
        for text in section.list("without") {
            if !SWITCHES.contains(&text.as_str()) {
                let line = section.line_of("without").unwrap_or(section.line);
                return Err(self.mistake(line, "without", &unknown_word(text, SWITCHES)));
            }
        }
        if self.definition.is_some() {
            return self.check_built_in(section);
        }
        let grant = self.check_grant(section)?;
        self.check_auth(section, grant)?;
        // If an option replaces the grant of the file, the keys for the file's own grant are no mistakes.
        let is_changed = ["grant", "client_auth"].iter().any(|key| section.line_of(key) == Some(OPTION));
        let keys = section.keys().filter(|(_, line)| *line == OPTION || !is_changed);
        let secret = section.secret("client_secret").map(|_| ("client_secret", OPTION));
        for (key, line) in keys.chain(secret) {
            if let Some(why) = self.without_effect(key, grant) {
                let what = match line {
                    OPTION => {
                        let others = Key::names().filter(|key| self.without_effect(key, grant).is_none());
                        let (nearest, _) = nearest(key, others).unwrap_or_default();
                        without_effect(&why, nearest)
                    }
                    _ => format!("has no effect with {why}; remove it"),
                };
                return Err(self.mistake(line, key, &what));
            }
        }
        self.check_missing(section, grant)
    }

    fn check_grant<'s>(&self, section: &'s Section) -> Result<&'s str, Problem> {
        match section.text("grant") {
            None => {
                let what = format!(
                    "is missing; write one of {}, or the URI of an extension grant",
                    GRANTS.join(", ")
                );
                Err(self.mistake(section.line, "grant", &what))
            }
            // RFC 8628 3.4. keyfob has its own name for this grant, which needs a login.
            Some((DEVICE_CODE, line)) => Err(self.mistake(
                line,
                "grant",
                "is the URI of a device login; write grant = \"device_code\"",
            )),
            // The name of an extension grant is a URI (RFC 6749 4.5).
            Some((grant, line)) if !grant.contains(':') && !GRANTS.contains(&grant) => {
                Err(self.mistake(line, "grant", &unknown_word(grant, GRANTS)))
            }
            Some((grant, _)) => Ok(grant),
        }
    }

    fn check_auth(&self, section: &Section, grant: &str) -> Verdict {
        match section.text("client_auth") {
            Some((auth, line)) if !AUTHS.contains(&auth) => {
                Err(self.mistake(line, "client_auth", &unknown_word(auth, AUTHS)))
            }
            // A client certificate also authenticates the client.
            Some(("none", line)) if grant == "client_credentials" && self.file(CERTIFICATE[0])?.is_none() => {
                let what = "cannot be used with grant = \"client_credentials\" (RFC 6749 4.4); write another one, \
                            or name a TLS client certificate with client_cert_file and client_key_file";
                Err(self.mistake(line, "client_auth", what))
            }
            _ if self.auth_name() == "assertion" && section.text("assertion_file").is_none() => {
                let what = "is missing, and client_auth is assertion; name the file with the JWT";
                Err(self.mistake(section.line, "assertion_file", what))
            }
            _ => Ok(()),
        }
    }

    /// Checks keys that exclude or need one another.
    fn check_pairs(&self, section: &Section) -> Verdict {
        let sources = ["client_secret_file", "client_secret_cmd"];
        let sources = sources.into_iter().filter_map(|key| Some((section.line_of(key)?, key)));
        let secret = section.secret("client_secret").map(|_| (OPTION, "client_secret"));
        let mut sources: Vec<_> = secret.into_iter().chain(sources).collect();
        sources.sort_by_key(|(line, _)| *line);
        if let [(first, other), (line, key), ..] = sources[..] {
            let first = match first {
                OPTION => format!("the option {other}"),
                first => format!("line {first}"),
            };
            let what = format!("is a second source of the client secret, beside {first}; remove one of them");
            return Err(self.mistake(line, key, &what));
        }
        for (key, files) in PAIRS {
            let items = section.table(key);
            let twice = section
                .table(files)
                .iter()
                .find(|item| items.iter().any(|other| other.name.eq_ignore_ascii_case(&item.name)));
            if let Some(item) = twice {
                let key = format!("{files}.{}", keyfob::one_line(&item.name));
                return Err(self.mistake(item.line, &key, "has a value already; remove one of the two"));
            }
        }
        for (key, other) in [(CERTIFICATE[0], CERTIFICATE[1]), (CERTIFICATE[1], CERTIFICATE[0])] {
            if let Some(line) = section.line_of(key)
                && self.file(other)?.is_none()
            {
                return Err(self.mistake(line, key, &format!("has no effect without {other}; write both")));
            }
        }
        Ok(())
    }

    fn check_built_in(&self, section: &Section) -> Verdict {
        let needs_login = self.needs_login();
        for (key, line) in section.keys() {
            // An option is for this client alone, and the file for every way in which the service is used.
            if line == OPTION {
                continue;
            }
            let is_of_logins = ["authorize_url", "redirect_uri"].contains(&key) && !needs_login;
            if is_of_logins || key == "device_authorization_url" {
                return Err(self.mistake(
                    line,
                    key,
                    &format!("has no effect with {}; remove it", self.title()),
                ));
            }
        }
        Ok(())
    }

    /// Returns the reason why a key has no effect, if it has none.
    fn without_effect(&self, key: &str, grant: &str) -> Option<String> {
        let has_effect = match key {
            "authorize_url" | "redirect_uri" | "without" => grant == "authorization_code",
            "device_authorization_url" => matches!(grant, "authorization_code" | "device_code"),
            "issuer" | "token_url" | "revocation_url" | "introspection_url" | "scope" | "parameters"
            | "parameter_files" | "client_auth" => grant != "basic",
            _ => true,
        };
        if !has_effect {
            return Some(format!("grant = \"{grant}\""));
        }
        let auth = self.auth_name();
        let has_effect = match key {
            "assertion_file" => auth == "assertion",
            "client_secret" | "client_secret_file" | "client_secret_cmd" => {
                !matches!(auth, "assertion" | "none")
            }
            _ => true,
        };
        (!has_effect).then(|| format!("client_auth = \"{auth}\""))
    }

    /// Checks that each value that the grant needs is in the environment or in the file.
    fn check_missing(&self, section: &Section, grant: &str) -> Verdict {
        let missing = |key: &str, or: &str| {
            let variable = self.variable(key);
            let what = match (section.line, self.catalog.reads_environment()) {
                (OPTION, false) => format!("is missing; set it{or}"),
                (OPTION, true) => format!("is missing; set it, or {variable}{or}"),
                _ => format!("is missing; write it below [service.{}], or set {variable}{or}", self.name),
            };
            Err(self.mistake(section.line, key, &what))
        };
        if self.api_urls()?.is_empty() {
            return missing("api_url", "");
        }
        if self.text("client_id")?.is_none() {
            return missing("client_id", "");
        }
        if grant == "basic" || self.text("issuer")?.is_some() {
            return Ok(());
        }
        if self.text("token_url")?.is_none() {
            return missing("issuer", "; or name the URLs one by one, beginning with token_url");
        }
        let or = "; or name the issuer, which knows its URLs";
        if grant == "authorization_code" && self.text("authorize_url")?.is_none() {
            return missing("authorize_url", or);
        }
        if grant == "device_code" && self.text("device_authorization_url")?.is_none() {
            return missing("device_authorization_url", or);
        }
        Ok(())
    }

    /// Checks that a person can log in, in a browser or with a device login.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the grant needs no login, or the service has no endpoint for a device login.
    pub fn check_login(&self, by_device: bool) -> Verdict {
        self.check()?;
        if self.definition.is_none() && !self.needs_login() {
            let grant = self.configured_grant().unwrap_or_default();
            let text = format!("the service `{}` needs no login: its grant is `{grant}`", self.name);
            return Err(Problem::invalid(text));
        }
        if !by_device {
            return Ok(());
        }
        if self.definition.is_some() {
            return Err(Problem::invalid(format!(
                "{} has no device login: leave out --device",
                self.title()
            )));
        }
        if self.text("issuer")?.is_some() || self.text("device_authorization_url")?.is_some() {
            return Ok(());
        }
        let line = self.section.map_or(0, |section| section.line);
        let what = "is missing, so there is no device login; write it, or name the issuer";
        Err(self.mistake(line, "device_authorization_url", what))
    }

    /// Checks that the service has an endpoint of this key, or an issuer that may have one.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it has none.
    pub fn check_endpoint(&self, key: &str) -> Verdict {
        if let Some(definition) = self.definition {
            let default = match key {
                "revocation_url" => definition.revocation_url,
                _ => definition.introspection_url,
            };
            if !default.is_empty() || self.text("issuer")?.is_some() || self.text(key)?.is_some() {
                return Ok(());
            }
            let (title, name) = (definition.title, self.name);
            let place = if self.catalog.reads_environment() {
                format!("write it below [service.{name}] in the configuration")
            } else {
                "set this option".to_owned()
            };
            return Err(Problem::invalid(format!("{title} has no {key}: if there is one, {place}")));
        }
        let line = self.section.map_or(0, |section| section.line);
        if self.configured_grant() == Some("basic") {
            let text = format!("the service `{}` has no token: its requests use HTTP Basic", self.name);
            return Err(Problem::invalid(text));
        }
        if self.text("issuer")?.is_some() || self.text(key)?.is_some() {
            return Ok(());
        }
        Err(self.mistake(line, key, "is missing; write it, or name the issuer"))
    }

    /// Adds the place of the value that an error is about, if the value is in the configuration or the environment.
    pub(super) fn explain(&self, error: Error) -> Problem {
        let Some(section) = self.section.filter(|_| error.kind() == ErrorKind::InvalidInput) else {
            return error.into();
        };
        let at = |key: &str, line: u32, error: &Error| {
            let text = error.text_with(&|advice| advice.as_str());
            Problem::invalid(match line {
                OPTION => format!("the option {key}: {text}"),
                line => format!("{}: {key}: {text}", self.place(line)),
            })
        };
        let grant = self.configured_grant().filter(|grant| wrong("grant", grant, grant).is_none());
        let grant = grant.unwrap_or("client_credentials");
        // A grant has no variable.
        let keys = KEYS.iter().map(|key| key.name).filter(|key| self.definition.is_none() && *key != "grant");
        for key in keys {
            let variable = self.variable(key);
            if let Ok(Some(value)) = self.of_variable(key)
                && let Some(error) = wrong(key, &value, grant)
            {
                return Problem::invalid(format!("{variable}: {error}"));
            }
        }
        for (key, line) in section.keys() {
            let texts = section.list(key).iter().map(|text| (key.to_owned(), line, wrong(key, text, grant)));
            let items = section.table(key).iter().map(|item| {
                (format!("{key}.{}", item.name), item.line, wrong_item(key, &item.name, item.text(), grant))
            });
            if let Some((key, line, Some(error))) = texts.chain(items).find(|(.., error)| error.is_some()) {
                return at(&key, line, &error);
            }
        }
        error.into()
    }
}

/// Every build accepts it, also one without TLS.
const URL: &str = "http://127.0.0.1";

/// A service that is right, with client credentials.
fn right() -> ServiceBuilder {
    Service::builder("probe").api_url(URL).client_credentials(ClientAuth::secret_basic("-", "-"))
}

/// The same with a login.
fn right_login(redirect_uri: &str) -> ServiceBuilder {
    let auth = ClientAuth::secret_basic("-", "-");
    Service::builder("probe").api_url(URL).token_url(URL).authorization_code(auth, redirect_uri)
}

fn right_device_login() -> ServiceBuilder {
    Service::builder("probe").api_url(URL).token_url(URL).device_code(ClientAuth::secret_basic("-", "-"))
}

/// Returns the error that the library has with the value of a key, in a service with this grant that is right otherwise.
fn wrong(key: &str, value: &str, grant: &str) -> Option<Error> {
    let auth = || ClientAuth::secret_basic("-", "-");
    let redirect_uri = "http://127.0.0.1:0/";
    let builder = match key {
        "api_url" => Service::builder("probe").api_url(value).basic("-", "-"),
        "issuer" => right().issuer(value),
        "token_url" => right().token_url(value),
        "revocation_url" => right().token_url(URL).revocation_url(value),
        "introspection_url" => right().token_url(URL).introspection_url(value),
        "authorize_url" => right_login(redirect_uri).authorize_url(value),
        "redirect_uri" => right_login(value).authorize_url(URL),
        "device_authorization_url" => right_device_login().device_authorization_url(value),
        "scope" => right().token_url(URL).scope(value),
        "client_id" if grant == "basic" => Service::builder("probe").api_url(URL).basic(value, "-"),
        "client_id" => {
            let auth = ClientAuth::secret_basic(value, "-");
            Service::builder("probe").api_url(URL).token_url(URL).client_credentials(auth)
        }
        "grant" => Service::builder("probe").api_url(URL).token_url(URL).extension_grant(value, auth()),
        _ => return None,
    };
    let is_name = key == "grant" && GRANTS.contains(&value);
    if is_name { None } else { builder.build().err() }
}

/// As [`wrong`], for an entry of a table.
fn wrong_item(key: &str, name: &str, value: &str, grant: &str) -> Option<Error> {
    // The library's advice on these is for programs.
    if matches!(key, "headers" | "header_files") && name.to_ascii_lowercase().starts_with("proxy-") {
        let what = "the header would be sent to the API: name the proxy and its password in KEYFOB_PROXY";
        return Some(Error::new(ErrorKind::InvalidInput, what));
    }
    // Each grant has parameters that it sends itself.
    let builder = match grant {
        "authorization_code" => right_login("http://127.0.0.1:0/").authorize_url(URL),
        "device_code" => right_device_login().device_authorization_url(URL),
        "client_credentials" | "basic" => right().token_url(URL),
        uri => {
            let builder = Service::builder("probe").api_url(URL).token_url(URL);
            builder.extension_grant(uri, ClientAuth::secret_basic("-", "-"))
        }
    };
    let builder = match key {
        "headers" => builder.header(name, value),
        "header_files" => builder.header(name, Secret::from("-")),
        "parameters" => builder.parameter(name, value),
        "parameter_files" => builder.parameter(name, "-"),
        _ => return None,
    };
    builder.build().err()
}
