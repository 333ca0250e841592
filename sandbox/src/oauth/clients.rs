//! The registered clients of a service.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::random;
use crate::sync::lock;

/// Clients by their ids. A public client has no secret.
#[derive(Default)]
pub(crate) struct Clients(Mutex<HashMap<String, Option<String>>>);

impl Clients {
    /// Registers a client. The secret holds characters that clients often encode badly in forms and in Basic.
    pub(crate) fn add(&self) -> (String, String) {
        let id = format!("demo-{}", random::text(6));
        let secret = format!("{} +%&=:/{}", random::text(12), random::text(12));
        self.register(&id, Some(&secret));
        (id, secret)
    }

    pub(crate) fn register(&self, client_id: &str, client_secret: Option<&str>) {
        lock(&self.0).insert(client_id.to_owned(), client_secret.map(str::to_owned));
    }

    pub(crate) fn remove(&self, client_id: &str) {
        lock(&self.0).remove(client_id);
    }

    pub(crate) fn has(&self, client_id: &str) -> bool {
        lock(&self.0).contains_key(client_id)
    }

    /// Returns `None` for a public client too.
    pub(crate) fn secret_of(&self, client_id: &str) -> Option<String> {
        lock(&self.0).get(client_id).cloned().flatten()
    }

    pub(crate) fn is_secret_of(&self, client_id: &str, client_secret: &str) -> bool {
        self.secret_of(client_id).is_some_and(|secret| secret == client_secret)
    }
}
