//! `keyfob <service> logout`.

use std::fs;
use std::io;
use std::path::Path;

use keyfob::{ErrorKind, TokenStore as _};

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
    let Some(path) = service.credentials_file()? else {
        say("its client id and secret are in your own keeping: there is nothing to remove");
        return tokens;
    };
    match fs::remove_file(&path) {
        Ok(()) => say(&format!("{} is removed", path.display())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => say(&format!("there is no {}", path.display())),
        Err(e) => {
            let text = format!("could not remove {}: {}", path.display(), why(&e));
            return Err(Failure::new(ErrorKind::Store, text));
        }
    }
    // Credentials that cannot be read do not tell what their tokens are called.
    tokens.map_err(|failure| failure.add("its tokens, if there are any, could not be removed"))
}

fn remove_tokens(service: &dyn Service) -> Result<(), Failure> {
    let Some(name) = service.record_name()? else {
        say("there is no client id, so no tokens can be its");
        return Ok(());
    };
    let store = service.settings().store()?;
    let within = service.settings().timeout.unwrap_or(LOCK_TIME);
    if exists(&store.path(&name))? || exists(&store.unreadable_path(&name))? {
        store.lock(&name, within)?.remove()?;
        say("the stored tokens are removed");
    } else {
        say("there are no stored tokens");
    }
    Ok(())
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
