//! Where the token of this thread came from, for the log records of API calls.

use std::cell::Cell;

const MEMORY: &str = "memory";

thread_local! {
    static ORIGIN: Cell<&'static str> = const { Cell::new(MEMORY) };
}

/// Notes that this thread has read a token from the store.
pub(super) fn is_store() {
    log::debug!(target: "keyfob", "the token comes from the store");
    ORIGIN.set("the store");
}

/// Notes that this thread has obtained a token from the server.
pub(super) fn is_exchange() {
    log::debug!(target: "keyfob", "a new token was obtained");
    ORIGIN.set("a new exchange");
}

/// Returns where the token came from. From here on it comes from memory.
pub(crate) fn take() -> &'static str {
    ORIGIN.replace(MEMORY)
}
