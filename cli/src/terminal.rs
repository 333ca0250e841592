//! Questions to a person, where there is one.

use std::io::{self, IsTerminal as _, Write as _};

use keyfob::{ErrorKind, Secret};

use crate::failure::Failure;
use crate::output::unreadable;

/// Whether somebody can be asked.
pub fn is_there() -> bool {
    io::stdin().is_terminal()
}

pub fn ask(question: &str) -> Result<String, Failure> {
    let failed = |e| unreadable("the terminal", &e);
    let mut to = io::stderr();
    write!(to, "{question}").and_then(|()| to.flush()).map_err(failed)?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(failed)?;
    match answer.trim_end_matches(['\r', '\n']) {
        "" => Err(nothing()),
        answer => Ok(answer.to_owned()),
    }
}

/// What is typed is not shown.
pub fn ask_secretly(question: &str) -> Result<Secret, Failure> {
    let config = rpassword::ConfigBuilder::new().build();
    let answer = rpassword::prompt_password_with_config(question, config)
        .map_err(|e| unreadable("the terminal", &e))?;
    if answer.is_empty() { Err(nothing()) } else { Ok(Secret::from(answer)) }
}

fn nothing() -> Failure {
    Failure::new(ErrorKind::NoCredentials, "nothing was typed, so nothing was done")
}
