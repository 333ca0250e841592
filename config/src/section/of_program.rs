//! The options that a program sets for a service.

use std::borrow::Cow;

use keyfob::{Secret, services};

use super::{At, Entry, Given, PAIRS, Section, key_of, own_settings};
use crate::keys::{KEYS, Key, Type, nearest};
use crate::value::{Mistake, Value};

/// The places of a client secret.
const SECRETS: [&str; 2] = ["client_secret_file", "client_secret_cmd"];

/// Stands for the line of a value that a program has set.
pub(crate) const OPTION: u32 = 0;

/// The options that are no keys of the file: the client secret, and `basic` or `oauth2` for a service that has both.
const ONLY_OPTIONS: [&str; 2] = ["client_secret", "auth"];

/// The type of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// One text.
    Text,
    /// Texts, one added to the other.
    List,
    /// A whole number.
    Number,
    /// Texts with names. The key of an entry is `KEY.NAME`.
    Table,
}

/// Values for one service that a program sets: the keys of the configuration file, `client_secret`, and `auth`.
#[derive(Clone, Debug, Default)]
pub struct Options(Vec<(String, OptionValue)>);

#[derive(Clone, Debug)]
enum OptionValue {
    Texts(Vec<Secret>),
    Number(u32),
}

impl Options {
    /// The keys that a program can set.
    pub fn keys() -> Vec<&'static str> {
        let ways = services().iter().flat_map(|definition| [Some(*definition), definition.basic]);
        let settings = ways.flatten().flat_map(|definition| definition.settings);
        let settings = settings.map(key_of);
        let mut keys: Vec<_> = KEYS.iter().map(|key| key.name).chain(ONLY_OPTIONS).chain(settings).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The type of the option with this key. `None` if there is no such option.
    pub fn kind(key: &str) -> Option<Kind> {
        let (table, name) = key.split_once('.').map_or((key, None), |(table, name)| (table, Some(name)));
        let kind = match Key::named(table) {
            Some(key) => match key.kind {
                Type::Text => Kind::Text,
                Type::TextOrList | Type::List => Kind::List,
                Type::Number => Kind::Number,
                Type::Table => Kind::Table,
            },
            None if Self::keys().contains(&table) => Kind::Text,
            None => return None,
        };
        (name.is_none() || kind == Kind::Table).then_some(kind)
    }

    /// Sets a text. In a list, adds it. An empty text removes what was set.
    pub fn set_text(&mut self, key: &str, value: &str) {
        let is_list = Self::kind(key) == Some(Kind::List);
        if value.is_empty() || !is_list {
            self.0.retain(|(other, _)| other != key);
        }
        if value.is_empty() {
            return;
        }
        let value = Secret::from(value);
        match self.0.iter_mut().find(|(other, _)| other == key) {
            Some((_, OptionValue::Texts(texts)))
                if texts.iter().any(|text| text.expose() == value.expose()) => {}
            Some((_, OptionValue::Texts(texts))) => texts.push(value),
            _ => self.0.push((key.to_owned(), OptionValue::Texts(vec![value]))),
        }
    }

    /// The text that was set. `None` for a list and for an option that was not set.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.0.iter().find(|(other, _)| other == key)? {
            (_, OptionValue::Texts(texts)) if texts.len() == 1 => texts[0].expose_str(),
            _ => None,
        }
    }

    /// Sets the credentials of the client. Empty ones are set too, and making a client then refuses them.
    pub fn set_client(&mut self, id: &str, secret: &Secret) {
        for (key, value) in [("client_id", Secret::from(id)), (ONLY_OPTIONS[0], secret.clone())] {
            self.0.retain(|(other, _)| other != key);
            self.0.push((key.to_owned(), OptionValue::Texts(vec![value])));
        }
    }

    /// Sets a number. `None` removes it.
    pub fn set_number(&mut self, key: &str, value: Option<u32>) {
        self.0.retain(|(other, _)| other != key);
        self.0.extend(value.map(|value| (key.to_owned(), OptionValue::Number(value))));
    }
}

/// Returns the mistake of an option that has no effect because of this one.
pub(crate) fn without_effect(beside: &str, nearest: &str) -> String {
    format!("has no effect with {beside}; leave it out (the nearest one with an effect is {nearest})")
}

impl Section {
    /// Returns the section that these options make.
    pub(crate) fn of_options(name: &str, options: &Options) -> Result<Self, Mistake> {
        let mut section = Self::new(name.to_owned(), OPTION);
        for (key, value) in &options.0 {
            section.set_option(key, value)?;
        }
        Ok(section)
    }

    fn set_option(&mut self, key: &str, value: &OptionValue) -> Result<(), Mistake> {
        let whole = [Cow::Borrowed(key)];
        let at = At { shown: &whole, line: OPTION };
        let texts = match value {
            OptionValue::Number(number) => return self.set(key, &at, Value::Integer(Some(*number))),
            OptionValue::Texts(texts) => texts,
        };
        let text = |secret: &'_ Secret| Cow::Owned(secret.expose_str().unwrap_or_default().to_owned());
        if let Some(key) = self.key_of_secret(key) {
            self.secrets.extend(texts.iter().map(|secret| (key, secret.clone())));
            return Ok(());
        }
        let has_ways = self.definition().is_some_and(|definition| definition.basic.is_some());
        if key == "auth" && has_ways {
            self.auth = texts.first().and_then(Secret::expose_str).map(str::to_owned);
            return Ok(());
        }
        let own = self.definition().map(own_settings).unwrap_or_default();
        // A key of another built-in service.
        if Key::named(key.split('.').next().unwrap_or_default()).is_none() && !own.contains(&key) {
            let title = self.definition().map_or(self.name.as_str(), |definition| definition.title);
            let of_all =
                KEYS.iter().filter(|key| key.of_built_in || self.definition().is_none()).map(|key| key.name);
            let (nearest, _) = nearest(key, of_all.chain(own)).unwrap_or_default();
            return Err(at.says(without_effect(&format!("this client of {title}"), nearest)));
        }
        if let Some((table, name)) = key.split_once('.') {
            let Some(first) = texts.first() else { return Ok(()) };
            return self.add(table, name, &at, Value::Text(text(first)));
        }
        match (&texts[..], self.key(key, &at)?.kind()) {
            ([one], kind) if kind != Type::List => self.set(key, &at, Value::Text(text(one))),
            (all, _) => self.set(key, &at, Value::List(all.iter().map(text).collect())),
        }
    }

    /// The key of a secret that an option can hold.
    fn key_of_secret(&self, key: &str) -> Option<&'static str> {
        let definition = self.definition().into_iter();
        let ways = definition.flat_map(|definition| [Some(definition), definition.basic]).flatten();
        let mut secrets = ways.flat_map(|way| way.settings).filter(|setting| setting.is_secret());
        let setting = secrets.find(|setting| setting.key() == key).map(keyfob::Setting::key);
        setting.or((key == ONLY_OPTIONS[0]).then_some(ONLY_OPTIONS[0]))
    }

    /// Adds the values of the file that the program has not set.
    pub(crate) fn over(mut self, file: Self) -> Self {
        self.line = file.line;
        let has_secret = self.secret(ONLY_OPTIONS[0]).is_some() || SECRETS.iter().any(|key| self.has(key));
        let own = self.values.clone();
        // `headers.NAME` also replaces `header_files.NAME`, and the other way round.
        let is_set = |table: &str, name: &str| {
            let other = PAIRS.iter().find_map(|(one, other)| match table {
                _ if table == *one => Some(*other),
                _ if table == *other => Some(*one),
                _ => None,
            });
            let tables = own.iter().filter(|entry| entry.key == table || Some(entry.key) == other);
            let mut items = tables.flat_map(|entry| match &entry.value {
                Given::Table(items) => &items[..],
                _ => &[],
            });
            items.any(|item| item.name.eq_ignore_ascii_case(name))
        };
        for mut entry in file.values {
            if let Given::Table(items) = &mut entry.value {
                items.retain(|item| !is_set(entry.key, &item.name));
            }
            let Some(own) = self.values.iter_mut().find(|own| own.key == entry.key) else {
                if !(has_secret && SECRETS.contains(&entry.key)) {
                    self.values.push(entry);
                }
                continue;
            };
            if let (Entry { value: Given::Table(own), .. }, Given::Table(items)) = (own, entry.value) {
                own.extend(items);
            }
        }
        self
    }

    fn has(&self, key: &str) -> bool {
        self.line_of(key).is_some()
    }

    /// A secret that a program has set.
    pub(crate) fn secret(&self, key: &str) -> Option<&Secret> {
        self.secrets.iter().find(|(known, _)| *known == key).map(|(_, secret)| secret)
    }

    /// Whether a program has set anything.
    pub(crate) fn has_options(&self) -> bool {
        self.auth.is_some() || self.options().next().is_some()
    }

    /// The keys that a program has set.
    pub(crate) fn options(&self) -> impl Iterator<Item = &'static str> {
        let values = self.values.iter().filter(|entry| entry.line == OPTION).map(|entry| entry.key);
        values.chain(self.secrets.iter().map(|(key, _)| *key))
    }
}

#[cfg(test)]
mod tests;
