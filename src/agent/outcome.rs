//! Decides what the agent does after an attempt, without side effects.

use std::time::Duration;

use crate::transport::retry::Outcome;

/// The result of an attempt, and every other fact that decides the next step.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, as in the table that the test walks through"
)]
pub(super) struct Attempt {
    pub(super) outcome: Outcome,
    /// The answer refuses the Bearer token of the request.
    pub(super) refuses_token: bool,
    /// This call has already replaced its token.
    pub(super) replaced_token: bool,
    /// The attempt used a new connection, not an idle one.
    pub(super) fresh_connection: bool,
    /// The body can be sent again.
    pub(super) repeatable: bool,
    /// How long to wait before another try. `None` if the retry rules allow no other.
    pub(super) wait: Option<Duration>,
}

/// The next step after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The outcome is final.
    Return,
    /// Obtain another token. Repeat the request with it at once, if the body can be sent again.
    ReplaceToken,
    /// Repeat the request after this time.
    Wait(Duration),
    /// Repeat the request after this time on a new connection.
    Reconnect(Duration),
}

impl Attempt {
    pub(super) fn next(self) -> Next {
        match (self.outcome, self.wait) {
            _ if self.refuses_token && !self.replaced_token => Next::ReplaceToken,
            (Outcome::Status(..), Some(wait)) if self.repeatable => Next::Wait(wait),
            // A server may close an idle connection at any time (RFC 9112 9.3.1). The first such failure needs no wait.
            (Outcome::Failure { sent: true, .. }, Some(_)) if self.repeatable && !self.fresh_connection => {
                Next::Reconnect(Duration::ZERO)
            }
            (Outcome::Failure { .. }, Some(wait)) if self.repeatable => Next::Reconnect(wait),
            _ => Next::Return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::retry::{Repeat, Retry};

    const ASKED: Duration = Duration::from_secs(7);

    /// The outcomes that the agent tells apart. The flag says whether the outcome refuses the token.
    const OUTCOMES: [(Outcome, bool); 12] = [
        (Outcome::Status(200, None), false),
        (Outcome::Status(302, None), false),
        (Outcome::Status(401, None), true),
        (Outcome::Status(403, None), true),
        (Outcome::Status(403, None), false),
        (Outcome::Status(404, None), false),
        (Outcome::Status(429, Some(ASKED)), false),
        (Outcome::Status(500, Some(ASKED)), false),
        (Outcome::Status(503, Some(ASKED)), false),
        (Outcome::Failure { transient: true, sent: true }, false),
        (Outcome::Failure { transient: true, sent: false }, false),
        (Outcome::Failure { transient: false, sent: true }, false),
    ];

    /// The letters stand for the next step: `T`oken replaced, `W`ait as asked, reconnect at once (`C`) or after a while (`c`).
    #[test]
    fn next_step_follows_the_rule_for_each_outcome() {
        use Repeat::{Call, Idempotent};
        const FIRST: Attempt = Attempt {
            outcome: Outcome::Status(0, None),
            refuses_token: false,
            replaced_token: false,
            fresh_connection: false,
            repeatable: true,
            wait: None,
        };
        //                                                      answers:   | failures: sent, unsent, lasting
        //                                                      200 302 401 403 403 404 429 500 503
        for (repeat, failed_before, attempt, expected) in [
            (Idempotent, 0, FIRST, "  TT  W WCc "),
            (Idempotent, 1, FIRST, "  TT  W WCc "),
            (Idempotent, 2, FIRST, "  TT  W     "),
            (Idempotent, 0, Attempt { replaced_token: true, ..FIRST }, "      W WCc "),
            (Idempotent, 0, Attempt { fresh_connection: true, ..FIRST }, "  TT  W Wcc "),
            (Idempotent, 0, Attempt { repeatable: false, ..FIRST }, "  TT        "),
            (Call, 0, FIRST, "  TT  W     "),
            (Call, 2, FIRST, "  TT  W     "),
            (Call, 0, Attempt { replaced_token: true, ..FIRST }, "      W     "),
            (Call, 0, Attempt { fresh_connection: true, ..FIRST }, "  TT  W     "),
            (Call, 0, Attempt { repeatable: false, ..FIRST }, "  TT        "),
        ] {
            let letters = OUTCOMES.map(|(outcome, refuses_token)| {
                let mut retry = Retry::new(repeat);
                for _ in 0..failed_before {
                    retry.after(Outcome::Status(503, None));
                }
                match (Attempt { outcome, refuses_token, wait: retry.after(outcome), ..attempt }).next() {
                    Next::Return => ' ',
                    Next::ReplaceToken => 'T',
                    Next::Wait(ASKED) => 'W',
                    Next::Wait(_) => '?',
                    Next::Reconnect(Duration::ZERO) => 'C',
                    Next::Reconnect(_) => 'c',
                }
            });
            let letters = String::from_iter(letters);
            assert_eq!(letters, expected, "{repeat:?}, {failed_before} failures before, {attempt:?}");
        }
    }
}
