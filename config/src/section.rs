//! [`Section`]: the values that the configuration file and a program set for one service.

#[cfg(feature = "file")]
mod of_file;
mod of_program;

#[cfg(feature = "file")]
pub(crate) use of_file::sections;
pub use of_program::{Kind, Options};
pub(crate) use of_program::{OPTION, without_effect};

use std::borrow::Cow;

use keyfob::{Definition, Secret, Setting, services};

use crate::keys::{Key, Type, unknown};
use crate::value::{Mistake, Value};

/// How many entries a table or a list can have.
const MOST_ENTRIES: usize = 100;

/// Tables whose entries have their values in the file, each with the table whose entries name files.
pub(crate) const PAIRS: [(&str, &str); 2] = [("headers", "header_files"), ("parameters", "parameter_files")];

/// The values that the file and a program set for one service.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) line: u32,
    /// Whether the header of the section itself was read, and not only the header of a table in it.
    #[cfg(feature = "file")]
    has_header: bool,
    values: Vec<Entry>,
    /// The secrets that a program has set, by their keys.
    secrets: Vec<(&'static str, Secret)>,
    /// What a program has set as `auth`.
    pub(crate) auth: Option<String>,
}

#[derive(Clone, Debug)]
struct Entry {
    key: &'static str,
    line: u32,
    value: Given,
}

/// A value of the type that its key has.
#[derive(Clone, Debug)]
enum Given {
    Text(String),
    List(Vec<String>),
    Number(u32),
    Table(Vec<Item>),
}

/// An entry of a table.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) name: String,
    /// Wiped, because a program may set a header that is a secret.
    value: Secret,
    pub(crate) line: u32,
}

impl Item {
    pub(crate) fn text(&self) -> &str {
        self.value.expose_str().unwrap_or_default()
    }
}

impl Section {
    fn new(name: String, line: u32) -> Self {
        Self {
            name,
            line,
            #[cfg(feature = "file")]
            has_header: false,
            values: Vec::new(),
            secrets: Vec::new(),
            auth: None,
        }
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        self.values.iter().find(|entry| entry.key == key)
    }

    /// The line of a key.
    pub(crate) fn line_of(&self, key: &str) -> Option<u32> {
        self.entry(key).map(|entry| entry.line)
    }

    pub(crate) fn text(&self, key: &str) -> Option<(&str, u32)> {
        match self.entry(key)? {
            Entry { value: Given::Text(text), line, .. } => Some((text, *line)),
            _ => None,
        }
    }

    pub(crate) fn number(&self, key: &str) -> Option<u32> {
        match self.entry(key)?.value {
            Given::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The texts of a list; one text counts as a list of one.
    pub(crate) fn list(&self, key: &str) -> &[String] {
        match self.entry(key).map(|entry| &entry.value) {
            Some(Given::List(texts)) => texts,
            Some(Given::Text(text)) => std::slice::from_ref(text),
            _ => &[],
        }
    }

    pub(crate) fn table(&self, key: &str) -> &[Item] {
        match self.entry(key).map(|entry| &entry.value) {
            Some(Given::Table(items)) => items,
            _ => &[],
        }
    }

    /// The keys that have a value, in the order of the file.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.values.iter().map(|entry| (entry.key, entry.line))
    }

    /// The built-in service of this name.
    pub(crate) fn definition(&self) -> Option<&'static Definition> {
        built_in(&self.name)
    }
}

pub(crate) fn built_in(name: &str) -> Option<&'static Definition> {
    services().iter().copied().find(|definition| definition.name == name)
}

fn mistake(line: u32, key: &str, what: impl Into<String>) -> Mistake {
    Mistake { line, key: keyfob::one_line(key), what: what.into() }
}

/// The place of a key in the file.
#[derive(Clone, Copy)]
struct At<'a> {
    /// The parts of the key that errors show.
    shown: &'a [Cow<'a, str>],
    line: u32,
}

impl At<'_> {
    fn key(&self) -> String {
        match self.shown.join(".") {
            key if key.is_empty() => "\"\"".to_owned(),
            key => key,
        }
    }

    fn says(&self, what: impl Into<String>) -> Mistake {
        mistake(self.line, &self.key(), what)
    }
}

impl Section {
    /// Returns the key of this name.
    fn key(&self, name: &str, at: &At<'_>) -> Result<Found, Mistake> {
        let definition = self.definition();
        let settings = definition.map(own_settings);
        // A program may know of a protection that a server refuses, even if the definition does not.
        let is_switch = name == "without" && at.line == OPTION;
        if let Some(setting) =
            settings.as_ref().and_then(|settings| settings.iter().find(|own| **own == name))
        {
            return Ok(Found::Setting(setting));
        }
        match Key::named(name) {
            None => Err(at.says(unknown(name, definition.zip(settings.as_deref())))),
            Some(key) if !key.of_built_in && definition.is_some() && !is_switch => {
                Err(at.says(format!("is fixed for the built-in service {}; remove it", self.name)))
            }
            Some(key) => Ok(Found::Key(key)),
        }
    }

    fn set(&mut self, name: &str, at: &At<'_>, value: Value<'_>) -> Result<(), Mistake> {
        let found = self.key(name, at)?;
        let key = found.name();
        if let Some(entry) = self.entry(key) {
            return Err(at.says(format!("is set twice; the first time is in line {}", entry.line)));
        }
        let texts = |texts: Vec<Cow<'_, str>>| texts.into_iter().map(Cow::into_owned).collect::<Vec<_>>();
        let given = match (found.kind(), value) {
            (Type::Text | Type::TextOrList, Value::Text(text)) if text.is_empty() => {
                let or = if at.line == OPTION { "" } else { ", or remove the line" };
                return Err(at.says(format!("is empty; write a value{or}")));
            }
            (Type::TextOrList | Type::List, Value::List(list))
                if list.is_empty() || list.iter().any(|text| text.is_empty()) =>
            {
                return Err(at.says("is empty, or a text in it is; write a value, or remove the line"));
            }
            (Type::TextOrList | Type::List, Value::List(list)) if list.len() > MOST_ENTRIES => {
                return Err(at.says(format!("has more than {MOST_ENTRIES} entries; remove some")));
            }
            (Type::Text | Type::TextOrList, Value::Text(text)) => Given::Text(text.into_owned()),
            (Type::TextOrList | Type::List, Value::List(list)) => Given::List(texts(list)),
            (Type::Number, Value::Integer(Some(number))) => Given::Number(number),
            (_, other) => return Err(at.says(found.wants(other.kind()))),
        };
        self.values.push(Entry { key, line: at.line, value: given });
        Ok(())
    }

    /// Adds an entry to a table of this section.
    fn add(&mut self, name: &str, inner: &str, at: &At<'_>, value: Value<'_>) -> Result<(), Mistake> {
        let found = self.key(name, at)?;
        let key = found.name();
        if found.kind() != Type::Table {
            return Err(At { shown: &at.shown[..1], line: at.line }.says(found.wants("a table")));
        }
        let Value::Text(text) = value else {
            return Err(at.says(format!("is {}; write text in quotes", value.kind())));
        };
        if self.entry(key).is_none() {
            self.values.push(Entry { key, line: at.line, value: Given::Table(Vec::new()) });
        }
        let entry = self.values.iter_mut().find(|entry| entry.key == key);
        let Some(Entry { value: Given::Table(items), .. }) = entry else {
            return Err(at.says("is set twice"));
        };
        // Names of headers do not depend on the case of their letters.
        if let Some(first) = items.iter().find(|item| item.name.eq_ignore_ascii_case(inner)) {
            let first = match first.line {
                OPTION => "once in other letters".to_owned(),
                line => format!("the first time is in line {line}"),
            };
            return Err(at.says(format!("is set twice; {first}")));
        }
        if items.len() == MOST_ENTRIES {
            return Err(at.says(format!("is one entry too many; {key} can have {MOST_ENTRIES}")));
        }
        if inner.is_empty() {
            return Err(at.says("has no name; write one"));
        }
        items.push(Item { name: inner.to_owned(), value: text.into_owned().into(), line: at.line });
        Ok(())
    }
}

/// A key of this section: one of every service, or a setting of a built-in one.
enum Found {
    Key(&'static Key),
    Setting(&'static str),
}

impl Found {
    fn name(&self) -> &'static str {
        match self {
            Self::Key(key) => key.name,
            Self::Setting(name) => name,
        }
    }

    fn kind(&self) -> Type {
        match self {
            Self::Key(key) => key.kind,
            Self::Setting(_) => Type::Text,
        }
    }

    fn wants(&self, found: &str) -> String {
        match self {
            Self::Key(key) => key.wants(found),
            Self::Setting(name) => format!("is {found}; write text in quotes, as in {name} = \"…\""),
        }
    }
}

/// The key of a setting. Spacebring's `revoke_url` is `revocation_url` here.
pub(crate) fn key_of(setting: &Setting) -> &'static str {
    if setting.key() == "revoke_url" { "revocation_url" } else { setting.key() }
}

/// The key of this name that only some built-in service has.
#[cfg(feature = "file")]
pub(crate) fn setting_of_any(name: &str) -> Option<&'static str> {
    services().iter().flat_map(|definition| own_settings(definition)).find(|own| *own == name)
}

/// The settings that only this built-in service has, without secrets.
fn own_settings(definition: &'static Definition) -> Vec<&'static str> {
    let ways = [Some(definition), definition.basic];
    let settings = ways.into_iter().flatten().flat_map(|definition| definition.settings);
    let mut own: Vec<_> = settings
        .filter(|setting| !setting.is_secret() && Key::named(key_of(setting)).is_none())
        .map(Setting::key)
        .collect();
    own.dedup();
    own
}

#[cfg(test)]
mod tests;
