//! [`Parameters`]: the parameters that a caller adds to those of a flow.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::check;
use crate::client_auth::ClientAuth;
use crate::error::Error;
use crate::secret::Known;
use crate::secret::Secret;
use crate::sys::file;
use crate::transport::call::Payload;

/// The parameters that every flow sends by itself, so that no caller can set them.
const CLIENT: [&str; 4] = ["client_id", "client_secret", "client_assertion", "client_assertion_type"];

/// Parameters in the order in which they were given. They are checked when the flow is run. `Debug` shows their names only.
#[derive(Clone, Default)]
pub(crate) struct Parameters(Vec<Parameter>);

#[derive(Clone)]
struct Parameter {
    name: String,
    value: Value,
}

#[derive(Clone)]
enum Value {
    Plain(String),
    Secret(Known),
    /// Called again for each request.
    Function(Arc<dyn Fn() -> Result<Secret, Error> + Send + Sync>),
}

/// The value of a parameter for one request.
enum Current<'a> {
    Given(&'a [u8]),
    Read(Known),
}

impl Current<'_> {
    fn expose(&self) -> &[u8] {
        match self {
            Self::Given(value) => value,
            Self::Read(value) => value.expose(),
        }
    }
}

impl Parameters {
    pub(super) fn add(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.push(name.into(), Value::Plain(value.into()));
    }

    pub(super) fn add_secret(&mut self, name: impl Into<String>, value: impl Into<Secret>) {
        self.push(name.into(), Value::Secret(Known::new(value)));
    }

    pub(super) fn add_function(
        &mut self,
        name: impl Into<String>,
        read: impl Fn() -> Result<Secret, Error> + Send + Sync + 'static,
    ) {
        self.push(name.into(), Value::Function(Arc::new(read)));
    }

    pub(super) fn add_file(&mut self, name: impl Into<String>, path: impl Into<PathBuf>) {
        let (name, path) = (name.into(), path.into());
        let what = format!("parameter {name}");
        self.add_function(name, move || file::read_value(&what, &path));
    }

    fn push(&mut self, name: String, value: Value) {
        self.0.push(Parameter { name, value });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks names and values. Refuses the names of the client authentication, and `reserved`, those that the flow itself sends.
    pub(super) fn check(&self, reserved: &[&str]) -> Result<(), Error> {
        for Parameter { name, value } in &self.0 {
            check::value("name of a parameter", name.as_bytes())?;
            if CLIENT.iter().chain(reserved).any(|own| own == name) {
                return Err(Error::invalid(format!(
                    "the parameter {name} is one that the flow itself sends: remove it"
                )));
            }
            match value {
                Value::Plain(value) => check_value(name, value.as_bytes())?,
                Value::Secret(value) => check_value(name, value.expose())?,
                Value::Function(_) => {}
            }
        }
        Ok(())
    }

    /// Makes one request with the flow's own parameters, followed by these. Calls the functions that return the values.
    pub(super) fn request(
        &self,
        auth: &ClientAuth,
        own: &[(&str, &[u8])],
        now: SystemTime,
        audience: &str,
    ) -> Result<Payload, Error> {
        let read = self.0.iter().map(Parameter::read).collect::<Result<Vec<_>, _>>()?;
        let more =
            self.0.iter().zip(&read).map(|(parameter, value)| (parameter.name.as_str(), value.expose()));
        let mut payload =
            auth.request(&own.iter().copied().chain(more).collect::<Vec<_>>(), now, audience)?;
        payload.held.extend(read.into_iter().filter_map(|value| match value {
            Current::Read(value) => Some(value),
            Current::Given(_) => None,
        }));
        Ok(payload)
    }

    /// Returns the parameters that may be in a URL: those that are not secret.
    pub(super) fn plain(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().filter_map(|Parameter { name, value }| match value {
            Value::Plain(value) => Some((name.as_str(), value.as_bytes())),
            _ => None,
        })
    }
}

impl Parameter {
    fn read(&self) -> Result<Current<'_>, Error> {
        let read = match &self.value {
            Value::Plain(value) => return Ok(Current::Given(value.as_bytes())),
            Value::Secret(value) => return Ok(Current::Given(value.expose())),
            Value::Function(read) => read()?,
        };
        check_value(&self.name, read.expose())?;
        Ok(Current::Read(Known::new(read)))
    }
}

fn check_value(name: &str, value: &[u8]) -> Result<(), Error> {
    check::value(&format!("parameter {name}"), value)
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|parameter| &parameter.name)).finish()
    }
}
