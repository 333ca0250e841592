//! Mistakes on the command line.

use std::io::Write as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Error};
use keyfob_config::{is_command, is_service_name};

use crate::args::{self, Cli, Format};
use crate::catalog;
use crate::check;
use crate::failure::Failure;
use crate::output;

/// The exit status after a mistake.
const STATUS: u8 = 2;

/// Says what is wrong with the command line, and returns how the command ends.
pub fn refuse(error: &Error) -> Result<(), Failure> {
    let Some(word) = unknown_service(error) else {
        print(error);
        // A section of the file may have the name of the command.
        if error.kind() == ErrorKind::UnknownArgument
            && let Err(mistake) = catalog::check()
        {
            output::say(&mistake.to_string());
        }
        return Err(Failure::Reported(STATUS));
    };
    let place = catalog::check().map(|()| place(word));
    if let Some(format) = format_of_check(word) {
        let failure = match place {
            Ok(place) => Failure::invalid(no_service(word, place, error)),
            Err(failure) => failure,
        };
        return check::without_service(failure, Some(format));
    }
    let place = place?;
    print(error);
    if let Some(place) = place {
        output::say(&place);
    }
    Err(Failure::Reported(STATUS))
}

/// Prints the text of a mistake, or the help after a command line without words.
fn print(error: &Error) {
    let text = error.render().to_string();
    let mut lines = text.lines().peekable();
    if let Some(first) = lines.next_if(|line| line.starts_with(START)) {
        output::error(&first[START.len()..]);
    }
    // Words of the command line may hold characters that are not printable.
    let rest: String = lines.map(|line| keyfob::one_line(line) + "\n").collect();
    let _ = std::io::stderr().write_all(rest.as_bytes());
}

/// How clap begins the text of a mistake.
const START: &str = "error: ";

/// Returns the word in the place of a service, if there is no such service.
fn unknown_service(error: &Error) -> Option<&str> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    let catalog = catalog::catalog();
    let mut before = std::env::args_os().skip(1).take_while(|argument| argument != word.as_str());
    let is_action =
        before.any(|argument| argument.to_str().is_some_and(|name| catalog.service(name).is_some()));
    (!is_action).then_some(word)
}

/// Returns where the service could be configured, or how the word is used.
fn place(word: &str) -> Option<String> {
    let catalog = catalog::catalog();
    if is_command(word) {
        let mut words = std::env::args_os().skip(1).filter_map(|word| word.into_string().ok());
        let service =
            words.find_map(|word| catalog.service(&word)).map_or("spatiafi", |service| service.name());
        return Some(format!(
            "`{word}` follows the name of a service, as in `keyfob {service} {word}`: `keyfob services` lists the services"
        ));
    }
    if !is_service_name(word) {
        return None;
    }
    let path = catalog.path()?;
    if catalog.is_there() {
        return Some(format!("{} has no [service.{word}]", path.display()));
    }
    // The variable may hold a secret by mistake.
    let is_named = std::env::var_os("KEYFOB_CONFIG").is_some_and(|path| !path.is_empty());
    let has_folder =
        path.parent().is_some_and(|folder| folder.components().nth(1).is_some() && folder.is_dir());
    let place =
        if is_named && !has_folder { "at the path in KEYFOB_CONFIG".into() } else { path.to_string_lossy() };
    Some(format!("there is no configuration {place}, which could have [service.{word}]"))
}

fn no_service(word: &str, place: Option<String>, error: &Error) -> String {
    let place = place.unwrap_or_else(|| format!("there is no service {word}"));
    match error.get(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::Strings(names)) => format!("{place}; a similar name is {}", names.join(" or ")),
        _ => place,
    }
}

/// If the command line is that of `check` of this service, which is not known, returns the format of the report.
fn format_of_check(word: &str) -> Option<Format> {
    let name: &'static str = word.to_owned().leak();
    let command = Cli::command().subcommand(args::unknown_service(name));
    let matches = command.try_get_matches_from(std::env::args_os()).ok()?;
    let (_, matches) = matches.subcommand().filter(|(found, _)| *found == name)?;
    let (action, matches) = matches.subcommand()?;
    (action == "check").then(|| matches.get_one("format").copied().unwrap_or(Format::Text))
}
