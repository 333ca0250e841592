use super::*;

/// The statuses that the rules tell apart.
const STATUSES: [u16; 12] = [200, 301, 400, 401, 404, 408, 429, 500, 502, 503, 504, 599];

/// The letters show which outcomes are tried again: up to three tries (`T`), or until the deadline (`D`).
#[test]
fn each_outcome_is_repeated_as_its_rule_says() {
    use Repeat::{Acknowledged, Always, Busy, Call, Idempotent, Unsent};
    //                       200301400401404408429500502503504599, failures: sent, unsent
    for (repeat, statuses, failures) in [
        (Always, "      TTTTTT", "TT"),
        (Acknowledged, "      TTTTTT", "TT"),
        (Busy, "      T  T  ", " T"),
        (Unsent, "            ", " T"),
        (Idempotent, "      D TTT ", "TT"),
        (Call, "      D     ", "  "),
    ] {
        let letter = |outcome| match repeat.limit(outcome) {
            Limit::Never => ' ',
            Limit::Tries => 'T',
            Limit::Deadline => 'D',
        };
        let of_statuses: String =
            STATUSES.map(|status| letter(Outcome::Status(status, None))).iter().collect();
        assert_eq!(of_statuses, statuses, "{repeat:?}");
        let failure = |transient, sent| letter(Outcome::Failure { transient, sent });
        assert_eq!(String::from_iter([failure(true, true), failure(true, false)]), failures, "{repeat:?}");
        assert_eq!((failure(false, true), failure(false, false)), (' ', ' '), "{repeat:?}: lasting");
    }
}

#[test]
fn idempotent_methods_of_api_calls_are_get_head_put_delete_and_options() {
    for (method, repeat) in [
        (Method::GET, Repeat::Idempotent),
        (Method::HEAD, Repeat::Idempotent),
        (Method::PUT, Repeat::Idempotent),
        (Method::DELETE, Repeat::Idempotent),
        (Method::OPTIONS, Repeat::Idempotent),
        (Method::POST, Repeat::Call),
        (Method::PATCH, Repeat::Call),
        (Method::TRACE, Repeat::Call),
        (Method::CONNECT, Repeat::Call),
    ] {
        assert_eq!(Repeat::of_method(&method), repeat, "{method}");
    }
}

#[test]
fn failures_end_after_three_tries_and_rate_limits_of_api_calls_do_not_count() {
    let busy = Outcome::Status(503, Some(Duration::from_secs(7)));
    let slow_down = Outcome::Status(429, Some(Duration::from_secs(9)));
    let (seven, nine) = (Some(Duration::from_secs(7)), Some(Duration::from_secs(9)));
    for (repeat, outcomes, waits) in [
        (Repeat::Always, [busy, slow_down, slow_down], [seven, nine, None]),
        (Repeat::Idempotent, [busy, slow_down, busy], [seven, nine, seven]),
        (Repeat::Idempotent, [busy, busy, busy], [seven, seven, None]),
        (Repeat::Call, [slow_down, slow_down, slow_down], [nine, nine, nine]),
        (Repeat::Call, [slow_down, busy, slow_down], [nine, None, nine]),
    ] {
        let mut retry = Retry::new(repeat);
        assert_eq!(outcomes.map(|outcome| retry.after(outcome)), waits, "{repeat:?}, {outcomes:?}");
    }
}

/// A call whose tries end as listed, each with the wait that follows.
struct Listed(Vec<(Result<u16, &'static str>, Option<Duration>)>, Option<Duration>);

impl Tries for Listed {
    type Answer = u16;
    type Failure = &'static str;

    fn attempt(&mut self) -> Result<u16, &'static str> {
        let (outcome, wait) = self.0.remove(0);
        self.1 = wait;
        outcome
    }

    fn wait_after(&mut self, _: &Result<u16, &'static str>) -> Result<Option<Duration>, &'static str> {
        Ok(self.1)
    }

    fn set_aside(&mut self, answer: u16) -> Option<u16> {
        Some(answer)
    }

    fn is_timeout(failure: &&'static str) -> bool {
        *failure == "timeout"
    }

    fn request(&self) -> (&Method, &Uri) {
        unreachable!("these tests make no log records")
    }

    fn describe(&self, outcome: &Result<u16, &'static str>) -> String {
        format!("{outcome:?}")
    }
}

#[test]
fn last_answer_is_returned_if_no_time_is_left_for_another() {
    let (soon, late) = (Some(Duration::from_millis(1)), Some(Duration::from_secs(3_600)));
    for (tries, expected) in [
        (vec![(Ok(200), None)], Ok(200)),
        (vec![(Ok(503), soon), (Ok(200), None)], Ok(200)),
        (vec![(Ok(503), late)], Ok(503)),
        (vec![(Err("reset"), soon), (Ok(200), None)], Ok(200)),
        (vec![(Ok(503), soon), (Err("timeout"), None)], Ok(503)),
        (vec![(Ok(503), soon), (Err("timeout"), late)], Ok(503)),
        (vec![(Ok(503), soon), (Err("reset"), None)], Err("reset")),
        (vec![(Ok(503), soon), (Err("reset"), soon), (Err("timeout"), None)], Err("timeout")),
        (vec![(Err("timeout"), None)], Err("timeout")),
    ] {
        let mut call = Listed(tries.clone(), None);
        assert_eq!(run(&mut call, &Deadline::after(Duration::from_secs(60))), expected, "{tries:?}");
        assert!(call.0.is_empty(), "{tries:?}");
    }
}

#[test]
fn wait_that_a_server_asks_for_is_never_shortened() {
    for seconds in [1, 59, 60, 61, 3_600, u64::MAX] {
        let asked = Duration::from_secs(seconds);
        assert_eq!(pause(Some(asked), 1), asked);
    }
    for asked in [None, Some(Duration::ZERO)] {
        for tries in [1, 2, 3, u32::MAX] {
            let backoff = pause(asked, tries);
            assert!(
                backoff >= Duration::from_millis(100) && backoff <= Duration::from_secs(5),
                "{backoff:?}"
            );
        }
    }
}
