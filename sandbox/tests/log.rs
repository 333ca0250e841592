//! The log: what it keeps of requests, and what it hides.

mod support;

use std::sync::{Arc, Mutex};

use keyfob_sandbox::{Endpoint, ITEMS, Sandbox};
use support::*;

#[test]
fn log_holds_each_request_without_its_secrets() {
    let sandbox = Sandbox::start();
    let agent = agent();
    let temporary = temporary_token(&sandbox, &agent);
    let assertion = assertion(&sandbox);
    let token = exchange(&sandbox, &agent, &assertion).json()["access_token"].as_str().unwrap().to_owned();
    info(&sandbox, &agent, &token);
    let url = format!("{}&access_token={token}", info_url(&sandbox));
    call(&agent, "GET", &url, &[("x-api-key", &token), ("authorization", &token)], "");

    let requests = sandbox.requests();
    let lines: Vec<_> = requests.iter().map(ToString::to_string).collect();
    let info_line = format!("api GET /api/info?item_id={}", ITEMS[0]);
    let expected = [
        "auth GET /api/v1/auth/jwt/token/basic -> 200".to_owned(),
        format!(
            "auth POST /api/v1/auth/jwt/token grant_type=client_credentials \
             client_assertion_type={ASSERTION_TYPE} client_assertion=*** -> 200"
        ),
        format!("{info_line} -> 200"),
        format!("{info_line}&access_token=*** -> 401"),
    ];
    assert_eq!(lines, expected);
    assert_eq!(requests[0].header("Authorization"), Some("Basic ***"));
    assert_eq!(requests[1].header("content-type"), Some(FORM));
    assert_eq!(requests[1].body_length, token_form(&assertion).len());
    assert_eq!(requests[2].header("authorization"), Some("Bearer ***"));
    assert_eq!(requests[3].header("authorization"), Some("***"));
    assert_eq!(requests[3].header("x-api-key"), Some("***"));

    let everything = format!("{requests:?}");
    let encoded_password = basic(sandbox.username(), sandbox.password());
    for secret in [
        &token,
        &temporary,
        &assertion,
        sandbox.client_secret(),
        sandbox.password(),
        encoded_password.trim_start_matches("Basic "),
    ] {
        assert!(!everything.contains(secret), "{secret} in {everything}");
    }
}

#[test]
fn log_is_bounded_and_counts_are_exact() {
    let sandbox = Sandbox::start();
    let agent = agent();
    let token = access_token(&sandbox, &agent);
    sandbox.set_log_limit(10);
    for _ in 0..25 {
        info(&sandbox, &agent, &token);
    }
    assert_eq!((sandbox.count(Endpoint::Info), sandbox.total(), sandbox.requests().len()), (25, 26, 10));

    sandbox.reset_counters();
    assert_eq!((sandbox.total(), sandbox.tokens_issued(), sandbox.requests().len()), (0, 0, 10));
    sandbox.clear_requests();
    assert!(sandbox.requests().is_empty());
}

#[test]
fn observer_sees_each_request() {
    let sandbox = Sandbox::start();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let writer = Arc::clone(&seen);
    sandbox.observe(move |request| writer.lock().unwrap().push(request.clone()));
    access_token(&sandbox, &agent());
    assert_eq!(*seen.lock().unwrap(), sandbox.requests());
}
