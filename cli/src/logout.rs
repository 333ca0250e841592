//! `keyfob <service> logout`.

use std::fs;
use std::io;
use std::path::Path;

use keyfob::{ErrorKind, RecordName, TokenStore as _};

use crate::failure::Failure;
use crate::output::{say, why};
use crate::service::Service;

/// How long to wait for another process that is at the same record.
const LOCK_TIME: std::time::Duration = std::time::Duration::from_secs(30);

pub fn run(service: &dyn Service, credentials: bool) -> Result<(), Failure> {
    let tokens = remove_tokens(service);
    if !credentials {
        return tokens;
    }
    // Before the file is gone, which alone tells whose they are.
    let tokens = tokens.and(remove_tokens_of_file(service));
    let Some(file) = service.credentials_file()? else {
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
    // They are the person's own copies, and the server gives no secret twice.
    for copy in file.copies() {
        let copy = copy.display();
        say(&format!("{copy} is still there: it may hold app credentials; remove it if nobody needs it"));
    }
    // Credentials that cannot be read do not tell what their tokens are called.
    tokens.map_err(|failure| failure.add("its tokens, if there are any, could not be removed"))
}

fn remove_tokens(service: &dyn Service) -> Result<(), Failure> {
    let Some(name) = service.record_name()? else {
        say("there is no client id, so no tokens can be its");
        return Ok(());
    };
    let removed = remove(service, &name)?;
    say(if removed { "the stored tokens are removed" } else { "there are no stored tokens" });
    Ok(())
}

/// Those of the client in the file, if the environment names another one.
fn remove_tokens_of_file(service: &dyn Service) -> Result<(), Failure> {
    let Some((id, name)) = service.client_of_file()? else { return Ok(()) };
    if service.record_name()?.as_ref() != Some(&name) && remove(service, &name)? {
        say(&format!("the stored tokens of {id} are removed"));
    }
    Ok(())
}

/// Whether there was something to remove.
fn remove(service: &dyn Service, name: &RecordName) -> Result<bool, Failure> {
    let store = service.settings().store()?;
    let within = service.settings().timeout.unwrap_or(LOCK_TIME);
    // What a process that was killed left there holds tokens too.
    let is_there = exists(&store.path(name))?
        || exists(&store.temporary_path(name))?
        || exists(&store.unreadable_path(name))?;
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
