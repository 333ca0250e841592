//! The token in memory.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

use crate::clock::Clock;
use crate::source::renewal::{Schedule, Wanted};
use crate::token::Token;

/// The token in memory, if there is one.
#[derive(Default)]
pub(super) struct Memory(RwLock<Content>);

#[derive(Clone, Default)]
struct Content {
    current: Option<Current>,
    /// Counts the tokens that were new when they were kept.
    generation: u64,
}

#[derive(Clone)]
struct Current {
    token: Arc<Token>,
    /// The offset of the clock when the token was issued.
    clock_offset: i64,
    /// When an early renewal is tried.
    due_at: Option<SystemTime>,
    is_refused: bool,
}

/// A usable token.
pub(super) struct Usable {
    pub(super) token: Arc<Token>,
    pub(super) is_due: bool,
}

impl Memory {
    /// Returns the token, expired or not, refused or not.
    pub(super) fn token(&self) -> Option<Arc<Token>> {
        self.read().current.as_ref().map(|current| current.token.clone())
    }

    /// Returns the token if it meets `wanted` and was not refused. Otherwise returns the current generation.
    pub(super) fn usable(&self, wanted: Wanted<'_>, clock: &Clock) -> Result<Usable, u64> {
        let content = self.read();
        let Some(current) = &content.current else { return Err(content.generation) };
        let now = current.token.judged_at(clock, current.clock_offset);
        if current.is_refused || !wanted.is_met_by(&current.token, now) {
            return Err(content.generation);
        }
        let is_due = current.due_at.is_some_and(|due| now >= due);
        Ok(Usable { token: current.token.clone(), is_due })
    }

    /// Returns the token if it has a later generation and was not refused, no matter how long it is valid.
    pub(super) fn newer_than(&self, generation: u64) -> Option<Arc<Token>> {
        let content = self.read();
        let current = content.current.as_ref().filter(|current| !current.is_refused)?;
        (content.generation > generation).then(|| current.token.clone())
    }

    /// Replaces the token. A new token begins a generation, and satisfies every thread that waits.
    pub(super) fn keep(&self, token: Arc<Token>, clock_offset: i64, schedule: Schedule, is_new: bool) {
        let due_at = schedule.due_at(&token);
        let mut content = self.write();
        // It may have been refused since the caller looked at it.
        let is_refused = !is_new
            && content.current.as_ref().is_some_and(|old| old.is_refused && old.token.is_same(&token));
        content.generation += u64::from(is_new);
        content.current = Some(Current { token, clock_offset, due_at, is_refused });
    }

    /// Applies another schedule to the token.
    pub(super) fn reschedule(&self, schedule: Schedule) {
        if let Some(current) = &mut self.write().current {
            current.due_at = schedule.due_at(&current.token);
        }
    }

    /// Marks the token as refused, if it is this one.
    pub(super) fn refuse(&self, used: &Token) {
        if let Some(current) = self.write().current.as_mut().filter(|current| current.token.is_same(used)) {
            current.is_refused = true;
        }
    }

    /// Whether this token is in memory and was refused.
    pub(super) fn has_refused(&self, token: &Token) -> bool {
        self.read().current.as_ref().is_some_and(|current| current.is_refused && current.token.is_same(token))
    }

    /// Drops the token.
    pub(super) fn clear(&self) {
        self.write().current = None;
    }

    fn read(&self) -> RwLockReadGuard<'_, Content> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Content> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clone for Memory {
    fn clone(&self) -> Self {
        Self(RwLock::new(self.read().clone()))
    }
}
