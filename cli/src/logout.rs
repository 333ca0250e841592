//! `keyfob <service> logout`.

use std::fs;
use std::io;

use keyfob::{ErrorKind, TokenStore as _};

use crate::failure::Failure;
use crate::output::{say, why};
use crate::service::Service;

/// How long to wait for another process that is at the same record.
const LOCK_TIME: std::time::Duration = std::time::Duration::from_secs(30);

pub fn run(service: &dyn Service, credentials: bool) -> Result<(), Failure> {
    match service.record_name()? {
        None => say("there is no client id, so no tokens can be its"),
        Some(name) => {
            let store = service.settings().store()?;
            let within = service.settings().timeout.unwrap_or(LOCK_TIME);
            let there = store.path(&name).symlink_metadata().is_ok();
            if there {
                store.lock(&name, within)?.remove()?;
            }
            say(if there { "the stored tokens are removed" } else { "there are no stored tokens" });
        }
    }
    if !credentials {
        return Ok(());
    }
    let Some(path) = service.credentials_file()? else {
        say("its client id and secret are in your own keeping: there is nothing to remove");
        return Ok(());
    };
    match fs::remove_file(&path) {
        Ok(()) => say(&format!("{} is removed", path.display())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => say(&format!("there is no {}", path.display())),
        Err(e) => {
            let text = format!("could not remove {}: {}", path.display(), why(&e));
            return Err(Failure::new(ErrorKind::Store, text));
        }
    }
    Ok(())
}
