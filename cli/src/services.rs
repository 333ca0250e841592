//! `keyfob services`: the services that are built in or configured.

use keyfob_config::KnownService;
use serde::Serialize;

use crate::args::Format;
use crate::catalog::{self, catalog};
use crate::failure::Failure;
use crate::output::{self, printable_json};

#[derive(Serialize)]
struct Listed {
    name: &'static str,
    grant: String,
    built_in: bool,
    /// File and line of the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    configured_at: Option<String>,
}

impl Listed {
    fn new(service: KnownService<'static>) -> Self {
        Self {
            name: service.name(),
            grant: service.grant().unwrap_or_default(),
            built_in: service.definition().is_some(),
            configured_at: service.configured_at(),
        }
    }

    fn place(&self) -> String {
        match (&self.configured_at, self.built_in) {
            (Some(place), true) => format!("built in, changed in {place}"),
            (Some(place), false) => place.clone(),
            (None, _) => "built in".to_owned(),
        }
    }
}

pub fn run(format: Option<Format>) -> Result<(), Failure> {
    catalog::check()?;
    let services: Vec<_> = catalog().services().into_iter().map(Listed::new).collect();
    let text = if format == Some(Format::Json) {
        let json = serde_json::to_string(&services).map_err(|e| Failure::unexpected(e.to_string()))?;
        printable_json(&json) + "\n"
    } else {
        let width =
            |text: fn(&Listed) -> &str| services.iter().map(|one| text(one).len()).max().unwrap_or_default();
        let (names, grants) = (width(|one| one.name), width(|one| &one.grant));
        let line = |one: &Listed| {
            let line = format!("{:names$}  {:grants$}  {}", one.name, one.grant, one.place());
            keyfob::one_line(&line) + "\n"
        };
        services.iter().map(line).collect()
    };
    output::print(text.as_bytes())
}
