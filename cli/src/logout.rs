//! `keyfob <service> logout`.

use std::fs;
use std::io;
use std::path::Path;

use keyfob::{ErrorKind, RecordName, TokenStore as _};

use crate::failure::Failure;
use crate::output::{say, why};
use crate::service::Client;

/// How long to wait for another process that holds the lock of the record.
const LOCK_TIME: std::time::Duration = std::time::Duration::from_secs(30);

pub fn run(client: &Client, credentials: bool) -> Result<(), Failure> {
    let tokens = remove_tokens(client);
    if !credentials {
        return tokens;
    }
    // Done before the file is removed, because only the file says which client the tokens belong to.
    let tokens = tokens.and(remove_tokens_of_file(client));
    let Some(file) = client.credentials_file()? else {
        say("its client id and secret are in your own keeping: there is nothing to remove");
        return tokens;
    };
    let shown = file.path().display();
    match fs::remove_file(file.path()) {
        Ok(()) => say(&format!("{shown} is removed")),
        Err(e) if e.kind() == io::ErrorKind::NotFound => say(&format!("there is no {shown}")),
        Err(e) => {
            let text = format!("could not remove {shown}: {}", why(&e));
            return Err(Failure::new(ErrorKind::Store, text));
        }
    }
    for unsaved in file.unsaved() {
        let shown = unsaved.display();
        match fs::remove_file(&unsaved) {
            Ok(()) => say(&format!("{shown} is removed")),
            Err(e) => {
                let text = format!("could not remove {shown}: {}", why(&e));
                return Err(Failure::new(ErrorKind::Store, text));
            }
        }
    }
    // Copies are left to the person, because the server shows no secret twice.
    for copy in file.copies() {
        let copy = copy.display();
        say(&format!("{copy} is still there: it may hold app credentials; remove it if nobody needs it"));
    }
    // Credentials that cannot be read do not say which record holds their tokens.
    tokens.map_err(|failure| failure.add("its tokens, if there are any, could not be removed"))
}

fn remove_tokens(client: &Client) -> Result<(), Failure> {
    let Some(name) = client.record_name()? else {
        say(if client.known.configured_grant() == Some("basic") {
            "there are no tokens: requests use HTTP Basic, which needs none"
        } else {
            "there is no client id, so no tokens can be its"
        });
        return Ok(());
    };
    let removed = remove(client, &name)?;
    say(if removed { "the stored tokens are removed" } else { "there are no stored tokens" });
    Ok(())
}

/// Removes the tokens of the client in the file, if the environment names another client.
fn remove_tokens_of_file(client: &Client) -> Result<(), Failure> {
    let Some((id, name)) = client.client_of_file()? else { return Ok(()) };
    if client.record_name()?.as_ref() != Some(&name) && remove(client, &name)? {
        say(&format!("the stored tokens of {id} are removed"));
    }
    Ok(())
}

/// Removes a record, and returns whether there was one.
fn remove(client: &Client, name: &RecordName) -> Result<bool, Failure> {
    let store = client.settings.store()?;
    let within = client.settings.timeout.unwrap_or(LOCK_TIME);
    // A file that a killed process left there holds tokens too.
    let is_there = exists(&store.path(name))?
        || exists(&store.temporary_path(name))?
        || exists(&store.unreadable_path(name))?
        || !store.unsaved_paths(name).is_empty();
    if is_there {
        store.lock(name, within)?.remove()?;
    }
    Ok(is_there)
}

fn exists(path: &Path) -> Result<bool, Failure> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => {
            Err(Failure::new(ErrorKind::Store, format!("could not look for {}: {}", path.display(), why(&e))))
        }
    }
}
