//! The sections of a file.

use std::borrow::Cow;

use super::{At, Entry, Given, Section};
use crate::keys::{Key, Type, bad_name};
use crate::toml::{Form, Receiver, read};
use crate::value::{Mistake, Value};

/// How many services a file can have.
const MOST_SERVICES: usize = 1000;

/// Reads the sections of a file.
pub(crate) fn sections(text: &str) -> Result<Vec<Section>, Mistake> {
    let mut sections = Sections(Vec::new());
    // Editors on Windows write the mark.
    read(text.strip_prefix('\u{feff}').unwrap_or(text), &mut sections)?;
    Ok(sections.0)
}

struct Sections(Vec<Section>);

impl Sections {
    /// Returns the section of this name, which it makes if there is none.
    fn section(&mut self, name: &str, at: &At<'_>) -> Result<&mut Section, Mistake> {
        // The section that is being read is the last one, as a rule.
        if let Some(found) = self.0.iter().rposition(|section| section.name == name) {
            return Ok(&mut self.0[found]);
        }
        if let Some(what) = bad_name(name) {
            return Err(at.says(what));
        }
        if self.0.len() == MOST_SERVICES {
            return Err(at.says(format!("is one service too many; a file can have {MOST_SERVICES}")));
        }
        self.0.push(Section::new(name.to_owned(), at.line));
        Ok(self.0.last_mut().expect("one was pushed"))
    }
}

impl<'i> Receiver<'i> for Sections {
    fn table(&mut self, path: &[Cow<'i, str>], line: u32, form: Form) -> Result<(), Mistake> {
        let at = At { shown: path, line };
        if form == Form::ArrayHeader {
            let header = if path.len() == 1 { "service.my-service" } else { &at.key() };
            return Err(at.says(format!("is in double brackets; write [{}]", keyfob::one_line(header))));
        }
        match path {
            [top, ..] if top != "service" => Err(not_service(path, &at, form == Form::Header)),
            [] | [_] => Ok(()),
            [_, name] => {
                let section = self.section(name, &at)?;
                if section.has_header {
                    return Err(
                        at.says(format!("is defined twice; the first time is in line {}", section.line))
                    );
                }
                (section.has_header, section.line) = (true, line);
                Ok(())
            }
            [_, name, key] => self.section(name, &at)?.open_table(key, &At { shown: &path[2..], line }),
            [..] => Err(deep(path, line)),
        }
    }

    fn value(&mut self, path: &[Cow<'i, str>], line: u32, value: Value<'i>) -> Result<(), Mistake> {
        let at = At { shown: path, line };
        match path {
            [] => Ok(()),
            [top, ..] if top != "service" => Err(not_service(path, &at, false)),
            [_] | [_, _] => {
                Err(at.says(format!("is {}; write a table, as in [service.my-service]", value.kind())))
            }
            [_, name, key] => self.section(name, &at)?.set(key, &At { shown: &path[2..], line }, value),
            [_, name, key, inner] => {
                self.section(name, &at)?.add(key, inner, &At { shown: &path[2..], line }, value)
            }
            [..] => Err(deep(path, line)),
        }
    }
}

/// What is wrong with a table in a table, such as `headers.x.a = "1"`.
fn deep(path: &[Cow<'_, str>], line: u32) -> Mistake {
    At { shown: &path[2..4], line }
        .says("is a table; write text in quotes, and quotes around a name that holds a dot")
}

fn not_service(path: &[Cow<'_, str>], at: &At<'_>, is_header: bool) -> Mistake {
    let at = At { shown: &path[..1], line: at.line };
    match path {
        // As in an INI file, or with a typing error.
        [name] | [_, name] if is_header && bad_name(name).is_none() => {
            at.says(format!("is not known here; write [service.{name}]"))
        }
        // A key without a header above it.
        [key] if Key::named(key).is_some() => {
            at.says("is outside of a service; write [service.my-service] above it")
        }
        _ => at.says("is not known here; the file has tables [service.my-service] only"),
    }
}

impl Section {
    /// Opens a table of this section, such as `headers`.
    fn open_table(&mut self, name: &str, at: &At<'_>) -> Result<(), Mistake> {
        let found = self.key(name, at)?;
        let key = found.name();
        if found.kind() != Type::Table {
            return Err(at.says(found.wants("a table")));
        }
        if let Some(line) = self.line_of(key) {
            return Err(at.says(format!("is set twice; the first time is in line {line}")));
        }
        self.values.push(Entry { key, line: at.line, value: Given::Table(Vec::new()) });
        Ok(())
    }
}
