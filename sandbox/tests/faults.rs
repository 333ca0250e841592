//! Faults on demand.

#![allow(clippy::disallowed_methods, reason = "delays are measured by the machine's clock")]

mod support;

use std::thread;
use std::time::{Duration, Instant};

use keyfob_sandbox::{Endpoint, Fault, Sandbox};
use serde_json::json;
use support::*;
use ureq::Agent;

/// Each call of `info` takes this long when it is delayed. Undelayed ones take far less.
const DELAY: Duration = Duration::from_millis(150);

struct Setting {
    sandbox: Sandbox,
    agent: Agent,
    token: String,
}

impl Setting {
    fn new() -> Self {
        let (sandbox, agent) = (Sandbox::start(), agent());
        let token = access_token(&sandbox, &agent);
        sandbox.reset_counters();
        Self { sandbox, agent, token }
    }

    fn fault(&self, fault: Fault) {
        self.sandbox.fault(Endpoint::Info, fault);
    }

    fn info(&self) -> Reply {
        info(&self.sandbox, &self.agent, &self.token)
    }

    fn statuses<const N: usize>(&self) -> [u16; N] {
        [(); N].map(|()| self.info().status)
    }

    fn timed(&self) -> (u16, Duration) {
        let start = Instant::now();
        (self.info().status, start.elapsed())
    }
}

#[test]
fn faults_are_used_in_order_each_as_often_as_set() {
    let it = Setting::new();
    it.fault(Fault::status(503).times(2));
    it.fault(Fault::status(429));
    it.fault(Fault::status(500).times(0));
    it.sandbox.fault(Endpoint::Token, Fault::status(500));
    assert_eq!(it.statuses(), [503, 503, 429, 200, 200]);
    assert_eq!(it.sandbox.count(Endpoint::Info), 5);
    assert_eq!(exchange(&it.sandbox, &it.agent, &assertion(&it.sandbox)).status, 500);
}

#[test]
fn lasting_fault_ends_when_faults_are_cleared() {
    let it = Setting::new();
    it.fault(Fault::status(502).always());
    assert_eq!(it.statuses(), [502; 5]);
    it.sandbox.clear_faults();
    assert_eq!(it.statuses(), [200, 200]);
}

#[test]
fn fault_sets_status_headers_and_body_of_the_answer() {
    let it = Setting::new();
    let date = "Wed, 21 Oct 2026 07:28:00 GMT";
    it.fault(Fault::status(429).with_retry_after("2"));
    it.fault(Fault::json(503, &json!({ "detail": "down" })).with_retry_after(date));
    it.fault(Fault::raw(200, "text/html", "<p>"));
    it.fault(Fault::status(200).with_header("Date", date));

    let reply = it.info();
    assert_eq!((reply.status, reply.header("retry-after"), reply.text.as_str()), (429, Some("2"), ""));
    assert!(reply.header("date").is_some());
    let reply = it.info();
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some(date)));
    assert_eq!(reply.json(), json!({ "detail": "down" }));
    let reply = it.info();
    assert_eq!(
        (reply.status, reply.header("content-type"), reply.text.as_str()),
        (200, Some("text/html"), "<p>")
    );
    assert_eq!(it.info().header("date"), Some(date));
}

#[test]
fn faults_can_send_broken_deep_and_oversized_json() {
    let it = Setting::new();
    it.fault(Fault::broken_json());
    it.fault(Fault::deep_json(10_000));
    it.fault(Fault::oversized(3 << 20));

    assert!(serde_json::from_str::<serde_json::Value>(&it.info().text).is_err());
    assert_eq!(it.info().text.len(), 20_000);
    let oversized = it.info();
    assert_eq!((oversized.status, oversized.text.len()), (200, 3 << 20));
    assert!(oversized.json().is_string());
}

#[test]
fn edit_changes_successful_answers_only() {
    let sandbox = Sandbox::start();
    let agent = agent();
    sandbox.fault(
        Endpoint::Token,
        Fault::edit(|fields| {
            fields.remove("expires_at");
            fields.insert("expires_in".into(), "3600".into());
            fields.insert("token_type".into(), "mac".into());
        })
        .times(2),
    );

    let refused = exchange(&sandbox, &agent, "x");
    assert_eq!((refused.status, refused.json()["token_type"].clone()), (400, json!(null)));
    let edited = exchange(&sandbox, &agent, &assertion(&sandbox)).json();
    assert_eq!(edited["expires_in"], "3600");
    assert_eq!(edited["token_type"], "mac");
    assert!(edited["expires_at"].is_null() && edited["access_token"].is_string(), "{edited}");
    assert!(exchange(&sandbox, &agent, &assertion(&sandbox)).json()["expires_in"].is_null());
}

#[test]
fn fault_can_delay_the_answer() {
    let it = Setting::new();
    it.fault(Fault::delay(DELAY));
    it.fault(Fault::status(503).after(DELAY).times(2));
    let answers = [(); 4].map(|()| it.timed());
    assert_eq!(answers.map(|(status, _)| status), [200, 503, 503, 200]);
    assert!(answers[..3].iter().all(|(_, took)| *took >= DELAY), "{answers:?}");
    assert!(answers[3].1 < DELAY, "{answers:?}");
}

#[test]
fn delayed_requests_do_not_delay_others() {
    let it = Setting::new();
    it.sandbox.set_delay(Endpoint::Info, DELAY);
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let (status, took) = it.timed();
                assert_eq!(status, 200);
                assert!(took >= DELAY);
            });
        }
        // Other endpoints answer meanwhile.
        access_token(&it.sandbox, &it.agent);
        assert!(start.elapsed() < DELAY);
    });
    assert!(start.elapsed() < DELAY * 8, "{:?}", start.elapsed());
    assert_eq!(it.sandbox.count(Endpoint::Info), 16);
}

#[test]
fn lasting_delay_applies_to_other_faults_too_until_it_is_set_to_zero() {
    let it = Setting::new();
    it.sandbox.set_delay(Endpoint::Info, Duration::from_secs(3600));
    it.sandbox.set_delay(Endpoint::Info, DELAY);
    it.fault(Fault::status(503));
    let (status, took) = it.timed();
    assert!(status == 503 && took >= DELAY, "{status} {took:?}");

    it.sandbox.clear_faults();
    assert!(it.timed().1 >= DELAY);
    it.sandbox.set_delay(Endpoint::Info, Duration::ZERO);
    let (status, took) = it.timed();
    assert!(status == 200 && took < DELAY, "{status} {took:?}");
}

#[test]
fn client_that_hangs_up_does_not_affect_later_requests() {
    let it = Setting::new();
    it.fault(Fault::status(503).after(Duration::from_secs(5)));
    let impatient: Agent =
        Agent::config_builder().timeout_global(Some(Duration::from_millis(100))).proxy(None).build().into();
    let authorization = bearer(&it.token);
    let headers = [("authorization", authorization.as_str())];
    let gone = try_call(&impatient, "GET", &info_url(&it.sandbox), &headers, "");
    assert!(matches!(gone, Err(ureq::Error::Timeout(_))));

    assert_eq!(it.statuses(), [200, 200]);
    let counted = it.sandbox.count(Endpoint::Info);
    let logged = it.sandbox.requests().iter().filter(|request| request.endpoint == Endpoint::Info).count();
    assert_eq!((counted, logged), (3, 2));
}

#[test]
fn faults_can_be_queued_and_cleared_while_requests_run() {
    let it = Setting::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let status = it.info().status;
                    assert!(status == 200 || status == 503, "{status}");
                }
            });
        }
        for round in 0..100 {
            it.fault(Fault::status(503).after(Duration::from_millis(1)));
            if round % 10 == 9 {
                it.sandbox.clear_faults();
            }
        }
    });
    assert_eq!(it.sandbox.count(Endpoint::Info), 200);
}

#[test]
fn random_faults_occur_at_their_rate_until_faults_are_cleared() {
    let it = Setting::new();
    it.fault(Fault::status(503).at_random(0.25));
    it.fault(Fault::delay(Duration::from_millis(1)).at_random(0.25));
    it.fault(Fault::status(429).times(20));
    let statuses: [u16; 400] = it.statuses();
    let count = |wanted| statuses.iter().filter(|&&status| status == wanted).count();
    // A quarter of the 300 that were not delayed. A deviation this large is less likely than 1 in 10^9.
    assert!((25..=130).contains(&count(503)), "{}", count(503));
    assert_eq!(count(429), 20, "queued faults occur too");
    assert_eq!(it.sandbox.faulted(Endpoint::Info), (count(503) + count(429)) as u64);
    it.sandbox.clear_faults();
    assert_eq!(it.statuses(), [200; 20]);
}
