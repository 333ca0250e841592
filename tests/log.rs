//! The `log` records of the library: target, level and text. None holds a secret.

#![allow(clippy::disallowed_methods, reason = "the tests measure when records are made")]

mod support;

#[path = "support/folder.rs"]
mod folder;

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant, SystemTime};

use folder::Folder;
use keyfob::flow::{ClientCredentials, Grant};
use keyfob::{
    AgentBuilder, Auth, Basic, CachingSource, ClientAuth, Clock, Error, ErrorKind, LockedRecord, Record,
    RecordName, Token, TokenSource as _, TokenStore, Transport,
};
use log::{Level, LevelFilter, Log, Metadata};
use support::{FullBacklog, Server, Step, answer};

thread_local! {
    static RECORDS: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
    /// When each of these records was made.
    static TIMES: RefCell<Vec<Instant>> = const { RefCell::new(Vec::new()) };
}

/// Keeps the library's records of each thread.
struct Recorder;

impl Log for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "keyfob"
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            RECORDS.with_borrow_mut(|records| records.push((record.level(), record.args().to_string())));
            TIMES.with_borrow_mut(|times| times.push(Instant::now()));
        }
    }

    fn flush(&self) {}
}

/// Returns what the library logs on this thread meanwhile.
fn logged(work: impl FnOnce()) -> Vec<(Level, String)> {
    static START: Once = Once::new();
    START.call_once(|| {
        log::set_logger(&Recorder).unwrap();
        log::set_max_level(LevelFilter::Trace);
    });
    RECORDS.take();
    TIMES.take();
    work();
    RECORDS.take()
}

const LIFETIME: Duration = Duration::from_secs(100);

/// Issues tokens, or fails.
struct Issuing {
    fails: bool,
}

impl Grant for Issuing {
    fn token(&self, transport: &Transport, previous: Option<&Token>) -> Result<Token, Error> {
        if self.fails && previous.is_some() {
            return Err(Error::new(ErrorKind::Network, "could not get a token: the network is down"));
        }
        let now = transport.clock().now();
        Ok(Token::new("m4rk-access", now)?.with_refresh_token("m4rk-refresh").with_expires_at(now + LIFETIME))
    }
}

fn source(fails: bool) -> (CachingSource, Clock) {
    let clock = Clock::manual(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    (CachingSource::new(Transport::new().with_clock(clock.clone()), Issuing { fails }), clock)
}

fn name() -> RecordName {
    RecordName::new("test", "https://login.example/token?m4rk", "id").unwrap()
}

#[test]
fn new_token_is_logged_at_debug() {
    let (source, _) = source(false);
    let records = logged(|| drop(source.token(Duration::ZERO).unwrap()));
    assert_eq!(records, [(Level::Debug, "a new token was obtained".to_owned())]);
    assert_eq!(logged(|| drop(source.token(Duration::ZERO).unwrap())), []);
}

#[test]
fn failed_renewal_is_logged_as_a_warning_while_the_current_token_is_used() {
    let (source, clock) = source(true);
    source.token(Duration::ZERO).unwrap();
    clock.advance(LIFETIME.checked_sub(Duration::from_secs(1)).unwrap());
    let text = "the token could not be renewed, the current one is still used: could not get a token: the network is down";
    assert_eq!(logged(|| drop(source.token(Duration::ZERO).unwrap())), [(Level::Warn, text.to_owned())]);
    // The error is the caller's where no token is left.
    clock.advance(Duration::from_secs(1));
    assert_eq!(logged(|| drop(source.token(Duration::ZERO).unwrap_err())), []);
}

/// Cannot be read, or not be written.
struct Broken {
    is_readable: bool,
}

struct BrokenRecord;

fn full() -> Error {
    Error::new(ErrorKind::Store, "could not save the tokens: the disk is full")
}

impl TokenStore for Broken {
    fn load(&self, _: &RecordName) -> Result<Option<Record>, Error> {
        if self.is_readable { Ok(None) } else { Err(Error::new(ErrorKind::Store, "there is no store")) }
    }

    fn lock(&self, _: &RecordName, _: Duration) -> Result<Box<dyn LockedRecord>, Error> {
        Ok(Box::new(BrokenRecord))
    }

    fn can_do_without(&self, _: &Error) -> bool {
        true
    }
}

impl LockedRecord for BrokenRecord {
    fn load(&mut self) -> Result<Option<Record>, Error> {
        Ok(None)
    }

    fn save(&mut self, _: &Record) -> Result<(), Error> {
        Err(full())
    }

    fn remove(&mut self) -> Result<(), Error> {
        Err(full())
    }
}

#[test]
fn token_that_cannot_be_saved_is_logged_as_a_warning() {
    let source = || source(false).0.with_store(Arc::new(Broken { is_readable: true }), name());
    let new = (Level::Debug, "a new token was obtained".to_owned());
    let warning = |what: &str| (Level::Warn, format!("{what} is kept in memory only: {}", full()));
    let records = logged(|| drop(source().token(Duration::ZERO).unwrap()));
    assert_eq!(records, [warning("the new token"), new]);
    let login = Token::new("m4rk-login", SystemTime::UNIX_EPOCH).unwrap();
    let records = logged(|| drop(source().log_in(login).unwrap_err()));
    assert_eq!(records, [warning("the new login")]);
}

#[test]
fn store_that_cannot_be_used_is_logged_as_a_warning() {
    let (source, _) = source(false);
    let source = source.with_store(Arc::new(Broken { is_readable: false }), name());
    let records = logged(|| drop(source.token(Duration::ZERO).unwrap()));
    let text = "the store cannot be used, tokens are kept in memory only: there is no store";
    let new = "a new token was obtained";
    assert_eq!(records, [(Level::Warn, text.to_owned()), (Level::Debug, new.to_owned())]);
}

#[test]
fn records_hold_no_secret() {
    let folder = Folder::new();
    let records = logged(|| {
        for fails in [false, true] {
            let (source, clock) = source(fails);
            let source = source.with_store(Arc::new(folder.store()), name());
            source.token(Duration::ZERO).unwrap();
            clock.advance(LIFETIME.checked_sub(Duration::from_secs(1)).unwrap());
            let _ = source.token(Duration::ZERO);
            let _ = source.renew();
            source.log_out().unwrap();
        }
    });
    assert!(records.len() > 2 && !format!("{records:?}").contains("m4rk"), "{records:?}");
}

/// The record with `# ms` and `# s` in place of how long something took.
fn without_times(text: &str) -> String {
    let words: Vec<_> = text.split(' ').collect();
    let is_unit = |word: Option<&&str>| word.is_some_and(|word| ["ms", "ms,", "ms:", "s:"].contains(word));
    let shown = words.iter().enumerate().map(|(at, &word)| {
        let is_number = word.parse::<f64>().is_ok();
        if is_number && is_unit(words.get(at + 1)) { "#" } else { word }
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[test]
fn exchange_and_its_repeat_are_logged_without_secrets_and_query() {
    let server = Server::answering(|request| match request.connection {
        0 => answer(503, "", r#"{"error":"busy","error_description":"m4rk-secret"}"#),
        _ => answer(200, "", r#"{"access_token":"m4rk-token","token_type":"Bearer","expires_in":60}"#),
    });
    let origin = server.origin();
    let flow = ClientCredentials::new(
        format!("{origin}/path?m4rk-query=1"),
        ClientAuth::secret_post("m4rk-id", "m4rk-secret"),
    );
    let records = logged(|| drop(flow.run(&Transport::new()).unwrap()));
    let what = format!("POST {origin}/path");
    let records: Vec<_> = records.into_iter().map(|(level, text)| (level, without_times(&text))).collect();
    assert_eq!(
        records,
        [
            (Level::Debug, format!("{what}: HTTP 503 in # ms")),
            (Level::Info, format!("trying again after # s: {what}: HTTP 503")),
            (Level::Debug, format!("{what}: HTTP 200 in # ms, try 2 of 3 after HTTP 503")),
        ]
    );
}

/// The record of a repeat comes before its wait, which may take minutes, and only if the call waits.
#[test]
fn repeat_is_logged_before_its_wait_and_only_if_there_is_one() {
    let flow =
        |origin: &str| ClientCredentials::new(origin, ClientAuth::secret_post("m4rk-id", "m4rk-secret"));
    let server = Server::answering(|request| match request.connection {
        0 => answer(503, "Retry-After: 1", ""),
        _ => answer(200, "", r#"{"access_token":"m4rk-token","token_type":"Bearer","expires_in":60}"#),
    });
    let origin = server.origin();
    let mut ended = None;
    let records = logged(|| {
        flow(&origin).run(&Transport::new()).unwrap();
        ended = Some(Instant::now());
    });
    assert!(records[1].1.starts_with("trying again after 1"), "{records:?}");
    let logged_at = TIMES.take()[1];
    assert!(ended.unwrap() - logged_at >= Duration::from_secs(1));

    let server = Server::answering(|_| answer(503, "Retry-After: 100", ""));
    let origin = server.origin();
    let records = logged(|| drop(flow(&origin).run(&Transport::new()).unwrap_err()));
    assert!(!records.iter().any(|(_, text)| text.contains("trying again")), "{records:?}");
}

/// Each record says what did not end in time, and after how long.
#[test]
fn record_of_a_timeout_says_what_timed_out_and_after_how_long() {
    const SHORT: Duration = Duration::from_millis(400);
    let silent = Server::scripted(|_| vec![Step::Hold]);
    let full = FullBacklog::new();
    let tls = silent.origin().replace("http:", "https:");
    let cases = [
        (Some(silent.origin()), "no complete answer within 0.4 s", "no complete answer in time"),
        (
            Some(tls).filter(|_| cfg!(feature = "rustls")),
            "TLS was not set up in time",
            "TLS was not set up in time",
        ),
        (full.as_ref().map(FullBacklog::origin), "no connection in time", "no connection in time"),
    ];
    for (origin, exchange, call) in cases {
        let Some(origin) = origin else { continue };
        let flow = ClientCredentials::new(&*origin, ClientAuth::secret_post("m4rk-id", "m4rk-secret"));
        let transport = Transport::new().with_timeout(SHORT);
        let basic = Auth::Basic(Basic::new("m4rk-id", "m4rk-secret").unwrap());
        let agent = AgentBuilder::new(Transport::new(), basic).origin(&*origin).deadline(SHORT);
        let agent = agent.build().unwrap();
        let exchanged = logged(|| drop(flow.run(&transport).unwrap_err()));
        let called = logged(|| drop(agent.get(&*origin).call().unwrap_err()));
        for (records, method, what) in [(exchanged, "POST", exchange), (called, "GET", call)] {
            let [(_, text)] = &records[..] else { panic!("{records:?}") };
            let took = text.strip_prefix(&format!("{method} {origin}/: failed after "));
            let took = took.and_then(|rest| rest.strip_suffix(&format!(" ms: {what}")));
            let took: u128 = took.unwrap_or_else(|| panic!("{text}")).parse().unwrap();
            assert!(took.abs_diff(SHORT.as_millis()) < 300, "{text}");
        }
    }
}

#[test]
fn failed_exchange_and_repeated_api_call_are_logged() {
    let nobody = "http://127.0.0.1:1";
    let flow = ClientCredentials::new(nobody, ClientAuth::secret_post("m4rk-id", "m4rk-secret"));
    let transport = Transport::new().with_timeout(Duration::from_millis(50));
    let records = logged(|| drop(flow.run(&transport).unwrap_err()));
    let text = format!("POST {nobody}/: failed after # ms: the connection was refused");
    let records: Vec<_> = records.into_iter().map(|(level, text)| (level, without_times(&text))).collect();
    assert_eq!(records, [(Level::Debug, text)]);

    let busy = AtomicBool::new(true);
    let server = Server::answering(move |_| {
        answer(if busy.swap(false, Ordering::SeqCst) { 502 } else { 200 }, "", "m4rk")
    });
    let origin = server.origin();
    let agent =
        AgentBuilder::new(Transport::new(), Auth::Basic(Basic::new("m4rk-id", "m4rk-secret").unwrap()));
    let agent = agent.origin(&origin).build().unwrap();
    let records = logged(|| drop(agent.get(format!("{origin}/path?m4rk=1")).call().unwrap()));
    let records: Vec<_> = records.into_iter().map(|(level, text)| (level, without_times(&text))).collect();
    let place = format!("GET {origin}/path");
    assert_eq!(
        records,
        [
            (Level::Debug, format!("{place}: HTTP 502 in # ms")),
            (Level::Info, format!("trying again after # s: {place}: HTTP 502")),
            (Level::Debug, format!("{place}: HTTP 200 in # ms, try 2 of 3 after HTTP 502")),
        ]
    );
    // A path that repeats a secret is not shown.
    let records = logged(|| drop(agent.get(format!("{origin}/a/m4rk-secret")).call().unwrap()));
    let records: Vec<_> = records.into_iter().map(|(level, text)| (level, without_times(&text))).collect();
    assert_eq!(records, [(Level::Debug, format!("GET {origin}/…: HTTP 200 in # ms"))]);
}

#[test]
fn api_call_is_logged_with_the_place_that_its_token_came_from() {
    let server = Server::answering(|_| answer(200, "", "m4rk"));
    let origin = server.origin();
    let folder = Folder::new();
    for expected in [["a new exchange", "memory"], ["the store", "memory"]] {
        let source = source(false).0.with_store(Arc::new(folder.store()), name());
        let agent = AgentBuilder::new(Transport::new(), Auth::Bearer(Arc::new(source)));
        let agent = agent.origin(&origin).build().unwrap();
        for place in expected {
            let records = logged(|| drop(agent.get(&origin).call().unwrap()));
            let last = without_times(&records.last().unwrap().1);
            assert_eq!(last, format!("GET {origin}/: HTTP 200 in # ms, token from {place}"));
        }
    }
}

#[test]
fn corrected_clock_is_logged_as_a_warning() {
    let server = Server::answering(|request| match request.connection {
        0 => answer(400, "date: Sun, 09 Sep 2001 03:46:40 GMT", r#"{"error":"invalid_client"}"#),
        _ => answer(200, "", r#"{"access_token":"m4rk-token","token_type":"Bearer","expires_in":60}"#),
    });
    let clock = Clock::manual(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    let auth = ClientAuth::secret_jwt("m4rk-id", "m4rk-secret-of-more-than-32-bytes-in-all");
    let flow = ClientCredentials::new(server.origin(), auth);
    let records = logged(|| drop(flow.run(&Transport::new().with_clock(clock)).unwrap()));
    let warning =
        format!("this machine's clock is 7200 s behind that of {}: its time is corrected", server.origin());
    assert!(records.contains(&(Level::Warn, warning)), "{records:?}");
}
