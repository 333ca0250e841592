//! [`Catalog`]: the services that are built in or configured.

use std::path::{Path, PathBuf};

use keyfob::env_var;

#[cfg(feature = "file")]
use crate::file::Place;
use crate::problem::{Problem, shown};
#[cfg(feature = "file")]
use crate::section::sections;
use crate::section::{OPTION, Options, Section};
use crate::value::Mistake;

/// The services that are built into keyfob and those of a configuration file, with the values that the environment and a program set for
/// them.
#[derive(Clone, Debug)]
pub struct Catalog {
    pub(crate) path: Option<PathBuf>,
    is_there: bool,
    pub(crate) sections: Vec<Section>,
    /// Whether variables are read.
    reads_environment: bool,
}

impl Catalog {
    /// The catalog without a file: the built-in services, with the values that the environment sets for them.
    pub const EMPTY: Self =
        Self { path: None, is_there: false, sections: Vec::new(), reads_environment: true };

    /// The built-in services. No variable is read: a program sets every value.
    pub const WITHOUT_ENVIRONMENT: Self =
        Self { path: None, is_there: false, sections: Vec::new(), reads_environment: false };

    /// Reads the file that the environment names: `KEYFOB_CONFIG`, else `keyfob/config.toml` in `$XDG_CONFIG_HOME` or `~/.config`. The file
    /// may be missing. A program with the rights of another user than the one who started it reads no file.
    ///
    /// Without the feature `file`, reads no file, and refuses one that `KEYFOB_CONFIG` names.
    ///
    /// # Errors
    /// [`InvalidInput`](keyfob::ErrorKind::InvalidInput) for a file that cannot be read, that others can change, or that holds a mistake:
    /// the text begins with the file, the line and the key.
    #[cfg(feature = "file")]
    pub fn from_env() -> Result<Self, Problem> {
        let Some(place) = Place::from_env()? else { return Ok(Self::EMPTY) };
        let Some(text) = place.read()? else { return Ok(Self { path: Some(place.path), ..Self::EMPTY }) };
        let sections = sections(&text).map_err(|mistake| at(&place.path, &mistake))?;
        Ok(Self { path: Some(place.path), is_there: true, sections, ..Self::EMPTY })
    }

    #[cfg(not(feature = "file"))]
    #[allow(missing_docs, reason = "documented above")]
    pub fn from_env() -> Result<Self, Problem> {
        match env_var("KEYFOB_CONFIG")? {
            None => Ok(Self::EMPTY),
            Some(_) => Err(Problem::invalid(
                "KEYFOB_CONFIG names a configuration file, and this build reads none: unset it, or use a build with configuration files",
            )),
        }
    }

    /// Adds the options that a program sets for the service of this name. An option overrides the environment, which overrides the file.
    ///
    /// # Errors
    /// [`InvalidInput`](keyfob::ErrorKind::InvalidInput) for a name that no service can have, and for an option that this service does
    /// not have.
    pub fn with_options(mut self, service: &str, options: &Options) -> Result<Self, Problem> {
        if let Some(what) = crate::keys::bad_name(service) {
            return Err(Problem::invalid(format!("`{}` {what}", keyfob::one_line(service))));
        }
        let section = Section::of_options(service, options).map_err(|mistake| of_option(&mistake))?;
        match self.sections.iter_mut().find(|section| section.name == service) {
            Some(known) => *known = section.over(known.clone()),
            None if section.has_options() => self.sections.push(section),
            None => {}
        }
        Ok(self)
    }

    /// Returns the value of a variable. `None` if this catalog reads no variables.
    pub(crate) fn variable(&self, name: &str) -> Result<Option<String>, Problem> {
        if self.reads_environment { Ok(env_var(name)?) } else { Ok(None) }
    }

    pub(crate) fn reads_environment(&self) -> bool {
        self.reads_environment
    }

    /// The file, whether it exists or not. `None` if the environment names no place for it.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Whether the file exists.
    pub fn is_there(&self) -> bool {
        self.is_there
    }

    /// A mistake in the value of a key: in the file, or in an option.
    pub(crate) fn mistake(&self, line: u32, key: &str, what: &str) -> Problem {
        let mistake = Mistake { line, key: key.to_owned(), what: what.to_owned() };
        match &self.path {
            Some(path) if line != OPTION => at(path, &mistake),
            _ => of_option(&mistake),
        }
    }
}

fn at(path: &Path, mistake: &Mistake) -> Problem {
    let key = if mistake.key.is_empty() { String::new() } else { format!("{}: ", mistake.key) };
    Problem::invalid(format!("{}:{}: {key}{}", shown(path), mistake.line, mistake.what))
}

fn of_option(mistake: &Mistake) -> Problem {
    Problem::invalid(format!("the option {} {}", mistake.key, mistake.what))
}
