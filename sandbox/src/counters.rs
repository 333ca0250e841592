//! How often each endpoint was called.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Endpoint;

/// Exact counts of the requests that arrived, answered or not.
#[derive(Default)]
pub(crate) struct Counters([AtomicU64; Endpoint::ALL.len()]);

impl Counters {
    pub(crate) fn add(&self, endpoint: Endpoint) {
        self.0[endpoint as usize].fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn get(&self, endpoint: Endpoint) -> u64 {
        self.0[endpoint as usize].load(Ordering::SeqCst)
    }

    pub(crate) fn reset(&self) {
        for count in &self.0 {
            count.store(0, Ordering::SeqCst);
        }
    }
}
