//! A service that the file describes.

use keyfob::{ClientAuth, ErrorKind, Secret, Service, ServiceBuilder};

use super::{Credentials, KnownService, Setter, Way};
use crate::problem::Problem;
use crate::secrets::Secrets;

/// The redirect URI of a login unless another is set.
const REDIRECT_URI: &str = "http://127.0.0.1:8765/callback";

impl KnownService<'_> {
    /// Makes the service. [`check`](Self::check) has found nothing wrong.
    pub(super) fn configured(
        &self,
        way: Way,
        credentials: Credentials<'_>,
    ) -> Result<ServiceBuilder, Problem> {
        let Some(section) = self.section else { return Ok(Service::builder(self.name)) };
        let mut builder = Service::builder(self.name);
        for url in self.api_urls()? {
            builder = builder.api_url(url);
        }
        let grant = self.configured_grant().unwrap_or_default();
        let client_id = match credentials {
            Credentials::Without(client_id) => client_id.to_owned(),
            Credentials::Read(_) => self.text("client_id")?.unwrap_or_default(),
        };
        if grant == "basic" {
            return Ok(builder.basic(client_id, self.secret(credentials)?));
        }
        let set: [(&str, Setter); 4] = [
            ("issuer", ServiceBuilder::issuer),
            ("token_url", ServiceBuilder::token_url),
            ("revocation_url", ServiceBuilder::revocation_url),
            ("introspection_url", ServiceBuilder::introspection_url),
        ];
        for (key, set) in set {
            if let Some(url) = self.text(key)? {
                builder = set(builder, url);
            }
        }
        for item in section.table("parameters") {
            builder = builder.parameter(&item.name, item.text());
        }
        for item in section.table("parameter_files") {
            builder = builder.parameter_file(&item.name, self.path(item.text(), item.line));
        }
        let auth = self.auth(client_id, credentials)?;
        let is_login = matches!(grant, "authorization_code" | "device_code");
        if let Some(scope) = self.text("scope")?.filter(|_| !is_login) {
            builder = builder.scope(scope);
        }
        Ok(match (grant, way) {
            ("client_credentials", _) => builder.client_credentials(auth),
            ("device_code", _) | ("authorization_code", Way::Device) => {
                if let Some(url) = self.text("device_authorization_url")? {
                    builder = builder.device_authorization_url(url);
                }
                builder.device_code(auth)
            }
            ("authorization_code", _) => {
                if let Some(url) = self.text("authorize_url")? {
                    builder = builder.authorize_url(url);
                }
                let redirect_uri = self.text("redirect_uri")?;
                builder = builder.authorization_code(auth, redirect_uri.as_deref().unwrap_or(REDIRECT_URI));
                self.leave_out(builder)
            }
            _ => builder.extension_grant(grant, auth),
        })
    }

    /// Leaves out of logins what the key `without` names.
    pub(super) fn leave_out(&self, builder: ServiceBuilder) -> ServiceBuilder {
        let switches = self.section.map(|section| section.list("without")).unwrap_or_default();
        switches.iter().fold(builder, |builder, switch| match switch.as_str() {
            "state" => builder.without_state(),
            "pkce" => builder.without_pkce(),
            _ => builder.without_redirect_uri(),
        })
    }

    /// The client authentication that the file names.
    pub(super) fn auth_name(&self) -> &str {
        let named = self.section.and_then(|section| section.text("client_auth"));
        named.map_or("client_secret_basic", |(name, _)| name)
    }

    fn auth(&self, client_id: String, credentials: Credentials<'_>) -> Result<ClientAuth, Problem> {
        Ok(match self.auth_name() {
            "none" => ClientAuth::none(client_id),
            "assertion" => {
                let file = self.section.and_then(|section| section.text("assertion_file"));
                let path = file.map(|(path, line)| self.path(path, line));
                ClientAuth::assertion_file(client_id, path.unwrap_or_default())
            }
            "client_secret_post" => ClientAuth::secret_post(client_id, self.secret(credentials)?),
            "client_secret_jwt" => ClientAuth::secret_jwt(client_id, self.secret(credentials)?),
            _ => ClientAuth::secret_basic(client_id, self.secret(credentials)?),
        })
    }

    fn secret(&self, credentials: Credentials<'_>) -> Result<Secret, Problem> {
        credentials.read(&self.client_secret())?.ok_or_else(|| self.lacks_secret())
    }

    /// Whether the client authentication needs a secret.
    pub fn needs_secret_of_client(&self) -> bool {
        self.definition.is_some() || !matches!(self.auth_name(), "none" | "assertion")
    }

    /// Checks that the client secret has a place. Reads no secret.
    pub(super) fn configured_credentials(&self, secrets: &Secrets<'_>) -> Result<(), Problem> {
        if self.needs_secret_of_client() && secrets.find(&self.client_secret())?.is_none() {
            return Err(self.lacks_secret());
        }
        Ok(())
    }

    fn lacks_secret(&self) -> Problem {
        let variable = self.variable("client_secret");
        // A client of such a login is often public.
        let is_login = matches!(self.configured_grant(), Some("authorization_code" | "device_code"));
        let public = match (is_login, self.configured_at()) {
            (false, _) => "",
            (true, None) => "; or set client_auth to none if the client has no secret",
            (true, Some(_)) => "; or write client_auth = \"none\" if the client has no secret",
        };
        let text = match (self.catalog.reads_environment(), self.configured_at()) {
            (false, _) => {
                "the option client_secret is not set, nor client_secret_file or client_secret_cmd: set one"
                    .to_owned()
            }
            (true, None) => {
                format!(
                    "the option client_secret and {variable} are not set, nor its _FILE, _FD or _CMD: set one"
                )
            }
            (true, Some(at)) => format!(
                "{variable} is not set, nor its _FILE, _FD or _CMD: set one, or write client_secret_file below {at}"
            ),
        };
        Problem::new(ErrorKind::NoCredentials, text + public)
    }
}
