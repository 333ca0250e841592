//! A device whose clock is wrong: plain and TLS.

use std::time::Duration;

use keyfob::flow::ClientAssertion;
use keyfob::{Clock, ErrorKind, Http, SpatiaFi};
use keyfob_sandbox::{Endpoint, Fault, Sandbox, ServerCertificate};

fn flow(sandbox: &Sandbox) -> ClientAssertion {
    ClientAssertion::new(&sandbox.token_url(), sandbox.client_id(), sandbox.client_secret()).unwrap()
}

/// The time of the sandbox, wrong by so many seconds.
fn clock_off_by(sandbox: &Sandbox, seconds: i64) -> Clock {
    let by = Duration::from_secs(seconds.unsigned_abs());
    let now = sandbox.clock().now();
    Clock::manual(if seconds < 0 { now - by } else { now + by })
}

#[test]
fn a_wrong_clock_costs_one_more_request_and_then_none() {
    const DAY: i64 = 24 * 60 * 60;
    let sandbox = Sandbox::start();
    for off in [-DAY, DAY, -20 * 365 * DAY] {
        let clock = clock_off_by(&sandbox, off);
        let http = Http::new().with_clock(clock.clone());
        sandbox.reset_counters();
        let token = flow(&sandbox).run(&http).unwrap();
        assert_eq!(sandbox.count(Endpoint::Token), 2, "off by {off}: refused, corrected");
        assert!((clock.offset() + off).abs() <= 2, "{} for {off}", clock.offset());
        let life = token.remaining(clock.now());
        assert!(life > Duration::from_secs(60) && life < Duration::from_secs(2 * 3600), "{life:?}");

        flow(&sandbox).run(&http).unwrap();
        assert_eq!(sandbox.count(Endpoint::Token), 3, "the offset is kept");
    }
}

#[test]
fn a_minute_is_forgiven_or_corrected_and_the_offset_is_cleared_when_the_clock_is_set() {
    let sandbox = Sandbox::start();
    for off in [-60, 60] {
        let clock = clock_off_by(&sandbox, off);
        let http = Http::new().with_clock(clock.clone());
        flow(&sandbox).run(&http).unwrap();
        assert!((clock.offset() + off).abs() <= 2, "{}", clock.offset());
        clock.set(sandbox.clock().now());
        flow(&sandbox).run(&http).unwrap();
        assert_eq!(clock.offset(), 0, "set right meanwhile");
    }
}

#[test]
fn a_refusal_for_another_reason_is_not_repeated() {
    let sandbox = Sandbox::start();
    let wrong = ClientAssertion::new(&sandbox.token_url(), sandbox.client_id(), "x".repeat(40)).unwrap();
    assert_eq!(wrong.run(&Http::new()).unwrap_err().oauth_error(), Some("invalid_client"));
    assert_eq!(sandbox.count(Endpoint::Token), 1);
    // Off, and refused all the same: one correction, not a loop.
    let http = Http::new().with_clock(clock_off_by(&sandbox, 3600));
    assert_eq!(wrong.run(&http).unwrap_err().oauth_error(), Some("invalid_client"));
    assert_eq!(sandbox.count(Endpoint::Token), 3);
}

#[test]
fn lifetimes_are_judged_by_the_servers_clock() {
    let sandbox = Sandbox::start();
    let clock = clock_off_by(&sandbox, 7200);
    let http = Http::new().with_clock(clock.clone());
    sandbox.fault(
        Endpoint::Token,
        Fault::edit(|fields| {
            fields.remove("expires_at");
            fields.insert("expires_in".into(), 600.into());
        })
        .always(),
    );
    let token = flow(&sandbox).run(&http).unwrap();
    let left = token.expires_at().unwrap().duration_since(sandbox.clock().now()).unwrap();
    assert!(left <= Duration::from_secs(601) && left > Duration::from_secs(580), "{left:?}");
}

#[test]
fn a_certificate_that_the_clock_rules_out_says_to_set_the_clock() {
    let sandbox = Sandbox::start_tls();
    let http = Http::new().with_ca_file(sandbox.ca_file().unwrap()).unwrap();
    flow(&sandbox).run(&http).unwrap();
    for (certificate, kind, what) in [
        (
            ServerCertificate::Expired,
            ErrorKind::Clock,
            "its certificate has expired at this machine's time; \
             set the clock if it is wrong; else the server needs a new certificate",
        ),
        (
            ServerCertificate::NotYetValid,
            ErrorKind::Clock,
            "its certificate is not valid yet at this machine's time; set the clock, it is probably behind",
        ),
        (
            ServerCertificate::WrongHost,
            ErrorKind::Network,
            "its certificate is for another host; check the URL",
        ),
    ] {
        sandbox.set_certificate(certificate);
        let error = flow(&sandbox).run(&http).unwrap_err();
        let text = format!("could not get a token with a client assertion at {}: {what}", sandbox.auth_url());
        assert_eq!((error.kind(), error.to_string()), (kind, text));
    }
    sandbox.set_certificate(ServerCertificate::Valid);
    let error = flow(&sandbox).run(&Http::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "could not get a token with a client assertion at {}: its certificate is not from a trusted authority; \
             name its CA file, or check the proxy",
            sandbox.auth_url()
        )
    );
    flow(&sandbox).run(&http).unwrap();
}

#[test]
fn an_agent_lives_with_a_wrong_clock() {
    let sandbox = Sandbox::start();
    let http = Http::new().with_clock(clock_off_by(&sandbox, -86_400));
    let credentials = keyfob::ClientCredentials::new(sandbox.client_id(), sandbox.client_secret()).unwrap();
    let spatiafi = SpatiaFi::new(credentials)
        .with_http(http)
        .with_auth_url(&sandbox.auth_url())
        .unwrap()
        .with_api_url(&sandbox.api_url())
        .unwrap();
    let agent = spatiafi.agent().unwrap();
    for _ in 0..3 {
        let url = format!("{}/api/info", spatiafi.api_url());
        agent.get(url).query("item_id", keyfob_sandbox::ITEMS[0]).call().unwrap();
    }
    assert_eq!(sandbox.count(Endpoint::Token), 2);
}
