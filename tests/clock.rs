//! A wrong clock of the machine or of the server, over plain HTTP and TLS.

#[path = "support/folder.rs"]
mod folder;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use keyfob::flow::ClientCredentials;
use keyfob::spatiafi::BasicToken;
use keyfob::{
    CachingSource, ClientAuth, Clock, ErrorKind, FileStore, Record, RecordName, SpatiaFi, Token,
    TokenSource as _, TokenStore as _, Transport,
};
use keyfob_sandbox::{Endpoint, Fault, Sandbox, ServerCertificate};
use serde_json::json;

use folder::Folder;

fn flow(sandbox: &Sandbox) -> ClientCredentials {
    ClientCredentials::new(
        sandbox.token_url(),
        ClientAuth::secret_jwt(sandbox.client_id(), sandbox.client_secret()),
    )
}

fn shift(time: SystemTime, seconds: i64) -> SystemTime {
    let by = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { time - by } else { time + by }
}

/// The sandbox's time, off by this many seconds.
fn clock_off_by(sandbox: &Sandbox, seconds: i64) -> Clock {
    Clock::manual(shift(sandbox.clock().now(), seconds))
}

/// From now on, the `Date` of each answer of the token endpoint is off by this many seconds.
fn date_is_off_by(sandbox: &Sandbox, seconds: i64) {
    sandbox.clear_faults();
    let date = httpdate::fmt_http_date(shift(sandbox.clock().now(), seconds));
    date_is(sandbox, &date);
}

fn date_is(sandbox: &Sandbox, date: &str) {
    sandbox.fault(Endpoint::Token, Fault::edit(|_| {}).with_header("Date", date).always());
}

#[test]
fn date_header_is_understood_in_every_form_and_with_every_name_of_its_zone() {
    const TIME: i64 = 1_790_000_007;
    for date in [
        "Mon, 21 Sep 2026 14:13:27 GMT",
        "Monday, 21-Sep-26 14:13:27 GMT",
        "Mon Sep 21 14:13:27 2026",
        "Mon, 21 Sep 2026 14:13:27 UTC",
        "Mon, 21 Sep 2026 14:13:27 +0000",
        "Monday, 21-Sep-26 14:13:27 Z",
        "Mon, 21 Sep 2026 14:13:27 UT",
        "Mon, 21 Sep 2026 14:13:27 -0000",
        "mon, 21 sep 2026 14:13:27 gmt",
        "MONDAY, 21-SEP-26 14:13:27 utc",
        "mon SEP 21 14:13:27 2026",
        "Mon,  21  Sep 2026 14:13:27 GMT",
    ] {
        let sandbox = Sandbox::start();
        sandbox.clock().set_offset(TIME - sandbox.clock().unix());
        date_is(&sandbox, date);
        let clock = clock_off_by(&sandbox, 25);
        let http = Transport::new().with_clock(clock.clone());
        assert_eq!(requests(&sandbox, &http), 2, "{date}: refused, corrected");
        assert!((clock.offset() + 25).abs() <= 2, "{} for {date}", clock.offset());
    }
}

/// Returns the number of requests that one exchange makes.
fn requests(sandbox: &Sandbox, http: &Transport) -> u64 {
    sandbox.reset_counters();
    flow(sandbox).run(http).unwrap();
    sandbox.count(Endpoint::Token)
}

#[test]
fn wrong_clock_costs_one_extra_request_and_then_none() {
    const DAY: i64 = 24 * 60 * 60;
    let sandbox = Sandbox::start();
    for off in [-DAY, DAY, -20 * 365 * DAY] {
        let clock = clock_off_by(&sandbox, off);
        let http = Transport::new().with_clock(clock.clone());
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
fn clock_offset_is_cleared_when_the_clock_is_set() {
    let sandbox = Sandbox::start();
    for off in [-60, 60] {
        let clock = clock_off_by(&sandbox, off);
        let http = Transport::new().with_clock(clock.clone());
        flow(&sandbox).run(&http).unwrap();
        assert!((clock.offset() + off).abs() <= 2, "{}", clock.offset());
        clock.set(sandbox.clock().now());
        flow(&sandbox).run(&http).unwrap();
        assert_eq!(clock.offset(), 0, "set right meanwhile");
    }
}

#[test]
fn assertion_refused_for_another_reason_than_time_is_not_sent_again() {
    let sandbox = Sandbox::start();
    let wrong = ClientCredentials::new(
        sandbox.token_url(),
        ClientAuth::secret_jwt(sandbox.client_id(), "x".repeat(40)),
    );
    assert_eq!(wrong.run(&Transport::new()).unwrap_err().oauth_error(), Some("invalid_client"));
    assert_eq!(sandbox.count(Endpoint::Token), 1);
    // The clock is wrong, and the server refuses for another reason: one correction is tried, without a loop.
    let http = Transport::new().with_clock(clock_off_by(&sandbox, 3600));
    assert_eq!(wrong.run(&http).unwrap_err().oauth_error(), Some("invalid_client"));
    assert_eq!(sandbox.count(Endpoint::Token), 3);
}

#[test]
fn token_lifetimes_are_measured_by_the_servers_clock() {
    let sandbox = Sandbox::start();
    let clock = clock_off_by(&sandbox, 7200);
    let http = Transport::new().with_clock(clock.clone());
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
fn certificate_that_is_not_valid_now_gives_the_advice_to_set_the_clock() {
    let sandbox = Sandbox::start_tls();
    let http = Transport::new().with_ca_file(sandbox.ca_file().unwrap());
    flow(&sandbox).run(&http).unwrap();
    for (certificate, kind, what) in [
        (
            ServerCertificate::Expired,
            ErrorKind::Clock,
            "the server's certificate has expired at this machine's time; \
             set the clock if it is wrong; else the server needs a new certificate",
        ),
        (
            ServerCertificate::NotYetValid,
            ErrorKind::Clock,
            "the server's certificate is not valid yet at this machine's time; set the clock, which is probably behind",
        ),
        (
            ServerCertificate::WrongHost,
            ErrorKind::Network,
            "the server's certificate is for another host; check the URL",
        ),
    ] {
        sandbox.set_certificate(certificate);
        let error = flow(&sandbox).run(&http).unwrap_err();
        let text =
            format!("could not get a token with the client credentials from {}: {what}", sandbox.auth_url());
        assert_eq!((error.kind(), error.to_string()), (kind, text));
    }
    sandbox.set_certificate(ServerCertificate::Valid);
    let error = flow(&sandbox).run(&Transport::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "could not get a token with the client credentials from {}: the server's certificate is not from a trusted authority; \
             name the CA file of its authority, or check the proxy",
            sandbox.auth_url()
        )
    );
    flow(&sandbox).run(&http).unwrap();
}

#[test]
fn agent_works_with_a_wrong_clock() {
    let sandbox = Sandbox::start();
    let http = Transport::new().with_clock(clock_off_by(&sandbox, -86_400));
    let credentials = keyfob::AppCredentials::new(sandbox.client_id(), sandbox.client_secret()).unwrap();
    let spatiafi = SpatiaFi::builder(&credentials)
        .transport(http)
        .set("auth_url", sandbox.auth_url())
        .api_url(sandbox.api_url())
        .build()
        .unwrap();
    let agent = spatiafi.agent();
    for _ in 0..3 {
        let url = format!("{}/api/info", spatiafi.api_url());
        agent.get(url).query("item_id", keyfob_sandbox::ITEMS[0]).call().unwrap();
    }
    assert_eq!(sandbox.count(Endpoint::Token), 2);
}

/// The sandbox accepts an `iat` from 60 s before to 10 s after its own time.
#[test]
fn clock_off_by_seconds_or_hours_costs_at_most_one_extra_request() {
    let sandbox = Sandbox::start();
    sandbox.clock().stop();
    for (off, first, offset) in [
        (5, 1, 0),
        (11, 1, 0),
        (19, 1, 0),
        (21, 2, -21),
        (12, 1, 0),
        (15, 1, 0),
        (23, 2, -23),
        (28, 2, -28),
        (29, 2, -29),
        (31, 2, -31),
        (7_200, 2, -7_200),
        (-5, 1, 0),
        (-11, 1, 0),
        (-20, 1, 0),
        (-29, 1, 0),
        (-31, 1, 0),
        (-49, 1, 0),
        (-52, 2, 52),
        (-7_200, 2, 7_200),
    ] {
        let http = Transport::new().with_clock(clock_off_by(&sandbox, off));
        assert_eq!(requests(&sandbox, &http), first, "off by {off}");
        assert!((http.clock().offset() - offset).abs() <= 1, "{} for {off}", http.clock().offset());
        assert_eq!(requests(&sandbox, &http), 1, "off by {off}");
    }
}

#[test]
fn wrong_date_header_does_not_replace_an_accepted_time() {
    let sandbox = Sandbox::start();
    sandbox.clock().stop();
    for off in [0, 25, -7_200] {
        sandbox.clear_faults();
        let http = Transport::new().with_clock(clock_off_by(&sandbox, off));
        requests(&sandbox, &http);
        let offset = http.clock().offset();
        for date in [3_600, 90, -90, -3_600, 2, -86_400, 60, 7_200, -7, 31_536_000] {
            date_is_off_by(&sandbox, date);
            assert_eq!(requests(&sandbox, &http), 1, "clock off by {off}, date by {date}");
            assert_eq!(http.clock().offset(), offset, "clock off by {off}, date by {date}");
        }
        for date in [
            "",
            "yesterday",
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "Sun, 06 Nov 2094 08:49:37 GMT",
            "0",
            "Mon, 32 Sep 2026 14:13:27 GMT",
            "Fri, 31 Dec 9999 23:59:59 GMT",
        ] {
            sandbox.clear_faults();
            date_is(&sandbox, date);
            assert_eq!(requests(&sandbox, &http), 1, "clock off by {off}, date {date:?}");
            assert_eq!(http.clock().offset(), offset, "clock off by {off}, date {date:?}");
        }
    }
}

#[test]
fn refused_assertion_costs_at_most_two_extra_requests() {
    let sandbox = Sandbox::start();
    sandbox.clock().stop();
    let wrong = ClientCredentials::new(
        sandbox.token_url(),
        ClientAuth::secret_jwt(sandbox.client_id(), "x".repeat(40)),
    );
    for (off, date, expected) in
        [(0, 0, 1), (0, 1, 1), (0, 3_600, 2), (0, -90, 2), (3_600, 0, 2), (3_600, 3_600, 1), (3_600, 90, 2)]
    {
        let http = Transport::new().with_clock(clock_off_by(&sandbox, off));
        date_is_off_by(&sandbox, date);
        sandbox.reset_counters();
        assert_eq!(wrong.run(&http).unwrap_err().oauth_error(), Some("invalid_client"));
        assert_eq!(sandbox.count(Endpoint::Token), expected, "clock off by {off}, date by {date}");
        assert_eq!(http.clock().offset(), 0, "nothing was accepted");

        // The same with an offset that was accepted earlier.
        sandbox.clear_faults();
        requests(&sandbox, &http);
        let kept = http.clock().offset();
        date_is_off_by(&sandbox, date);
        sandbox.reset_counters();
        wrong.run(&http).unwrap_err();
        let date_is_new = date.abs() >= 2 && date != off;
        let expected = 1 + u64::from(kept != 0) + u64::from(date_is_new);
        assert_eq!(sandbox.count(Endpoint::Token), expected, "clock off by {off}, date by {date}");
        assert_eq!(http.clock().offset(), 0, "the refused offset is dropped");
    }
}

/// The server's time was wrong when the record was written, and its `Date` still is.
#[test]
fn false_clock_offset_in_a_record_is_dropped_at_the_first_refusal() {
    for (offset, date) in [
        (3_600, 3_600),
        (3_600, 0),
        (90, 90),
        (-55, -55),
        (-3_600, -3_600),
        (7_200, 3_600),
        (30, 0),
        (-300, 3_600),
        (86_400, 90),
    ] {
        let sandbox = Sandbox::start();
        sandbox.clock().stop();
        let folder = Folder::new();
        let store: Arc<FileStore> = Arc::new(folder.store());
        let name = RecordName::new("spatiafi", &sandbox.token_url(), sandbox.client_id()).unwrap();
        let now = sandbox.clock().now();
        let issued = shift(now, offset);
        let due = Token::new("old", issued).unwrap().with_expires_at(issued);
        store.lock(&name, Duration::from_secs(5)).unwrap().save(&Record::new(due, offset)).unwrap();
        date_is_off_by(&sandbox, date);
        let run = || {
            sandbox.reset_counters();
            let http = Transport::new().with_clock(Clock::manual(now));
            let source = CachingSource::new(http, flow(&sandbox)).with_store(store.clone(), name.clone());
            let token = source.token(Duration::ZERO).unwrap();
            assert_ne!(token.access_token().expose(), b"old");
            source.invalidate(&token);
            sandbox.count(Endpoint::Token)
        };
        let first = run();
        assert!(first <= 3, "{first} requests for an offset of {offset}");
        assert_eq!(store.load(&name).unwrap().unwrap().clock_offset(), 0);
        assert_eq!(run(), 0, "the stored token");
    }
}

#[test]
fn clock_offset_does_not_make_an_expired_token_usable() {
    const LIFE: i64 = 600;
    let source_of = |sandbox: &Sandbox, clock: &Clock| {
        CachingSource::new(Transport::new().with_clock(clock.clone()), flow(sandbox))
    };
    // A clock that was ahead is set while the program runs. The server still accepts assertions with the old
    // offset.
    let sandbox = Sandbox::start();
    sandbox.clock().stop();
    sandbox.set_token_lifetime(Duration::from_secs(LIFE.unsigned_abs()));
    sandbox.fault(
        Endpoint::Token,
        Fault::edit(|fields| {
            fields.remove("expires_at");
            fields.insert("expires_in".into(), LIFE.into());
        })
        .always(),
    );
    let clock = clock_off_by(&sandbox, 40);
    let source = source_of(&sandbox, &clock);
    let first = source.token(Duration::ZERO).unwrap();
    assert_eq!(clock.offset(), -40);
    clock.set(sandbox.clock().now());
    let life = Duration::from_secs(LIFE.unsigned_abs());
    sandbox.clock().advance(life);
    clock.advance(life);
    assert!(first.expires_at().unwrap() <= sandbox.clock().now());
    // If this token counted as valid, it would be used while its renewal fails.
    sandbox.clear_faults();
    sandbox.fault(Endpoint::Token, Fault::status(501).times(3));
    assert_eq!(source.token(Duration::ZERO).unwrap_err().status(), Some(501));
    assert_ne!(source.token(Duration::ZERO).unwrap().access_token().expose(), first.access_token().expose());

    // The server refuses for another reason, has a wrong date, and accepts any time: the local time was
    // right.
    for date in [-3_600, -90, 90, 3_600, -86_400] {
        for absolute in [true, false] {
            let sandbox = Sandbox::start();
            sandbox.clock().stop();
            let now = sandbox.clock().now();
            let end = shift(now, LIFE).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
            let token = |text: &str| {
                let mut answer = json!({"access_token": text, "token_type": "bearer"});
                if absolute {
                    answer["expires_at"] = end.into();
                } else {
                    answer["expires_in"] = LIFE.into();
                }
                answer
            };
            let date = httpdate::fmt_http_date(shift(now, date));
            for (status, body) in
                [(401, json!({"error": "invalid_client"})), (200, token("first")), (200, token("second"))]
            {
                sandbox.fault(Endpoint::Token, Fault::json(status, &body).with_header("Date", &date));
            }
            let clock = Clock::manual(now);
            let source = source_of(&sandbox, &clock);
            let given =
                || source.token(Duration::ZERO).unwrap().access_token().expose_str().unwrap().to_owned();
            assert_eq!(given(), "first", "date {date}");
            clock.set(shift(now, LIFE));
            assert_eq!(given(), "second", "date {date}");
        }
    }
}

/// These requests contain no time, so nothing shows whose clock is right.
#[test]
fn exchange_without_an_assertion_uses_the_date_header_only_to_shorten_a_lifetime() {
    const DAY: i64 = 24 * 60 * 60;
    for (off, date) in [(0, 3_600), (0, 90), (0, -3_600), (DAY, 0), (-DAY, 0), (120, 0), (-120, 0), (0, DAY)]
    {
        let sandbox = Sandbox::start();
        sandbox.clock().stop();
        let wrong = httpdate::fmt_http_date(shift(sandbox.clock().now(), date));
        sandbox.fault(Endpoint::BasicToken, Fault::edit(|_| {}).with_header("Date", &wrong).always());
        let http = Transport::new().with_clock(clock_off_by(&sandbox, off));
        let flow =
            BasicToken::new(&sandbox.basic_token_url(), sandbox.username(), sandbox.password()).unwrap();
        let token = flow.run(&http).unwrap();
        assert_eq!(http.clock().offset(), 0);
        let life = token.remaining(http.clock().now()).as_secs();
        assert!((700..=900).contains(&life), "{life} s, clock off by {off}, date by {date}");
    }
}
