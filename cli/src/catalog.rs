//! The services of this run, and how this program reads their secrets.

use std::sync::OnceLock;

use keyfob_config::{Catalog, Host, Problem, Secrets};

use crate::failure::Failure;
use crate::output;

static CATALOG: OnceLock<Result<Catalog, Problem>> = OnceLock::new();

fn read() -> &'static Result<Catalog, Problem> {
    CATALOG.get_or_init(Catalog::from_env)
}

/// Returns the services. If the configuration cannot be read, they are the built-in ones.
pub fn catalog() -> &'static Catalog {
    static EMPTY: Catalog = Catalog::EMPTY;
    read().as_ref().unwrap_or(&EMPTY)
}

/// Fails if the configuration could not be read.
pub fn check() -> Result<(), Failure> {
    match read() {
        Ok(_) => Ok(()),
        Err(problem) => Err(problem.clone().into()),
    }
}

/// Returns the secrets of all services.
pub fn secrets() -> Secrets<'static> {
    Secrets::new(catalog(), &Command)
}

struct Command;

impl Host for Command {
    fn warn(&self, text: &str) {
        output::warn(text);
    }

    fn refuses_commands(&self) -> Option<&'static str> {
        None
    }

    fn owns_descriptors(&self) -> bool {
        true
    }

    #[cfg(unix)]
    fn hold_signals(&self) -> std::io::Result<Box<dyn std::any::Any>> {
        Ok(Box::new(crate::signals::Held::that_end()?))
    }

    #[cfg(unix)]
    fn signal(&self) -> Option<i32> {
        crate::signals::that_came()
    }
}
