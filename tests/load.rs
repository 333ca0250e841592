//! The agent under load: 64 threads, tokens valid for 5 seconds, and random faults of each kind.
//!
//! `cargo test` runs it for a few seconds. The long run takes ten minutes unless `KEYFOB_SECONDS` says
//! otherwise: `cargo test --test load -- --ignored --nocapture ten_minutes`.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, reason = "load is measured on the machine's clock")]
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "of small numbers")]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use keyfob::{AgentBuilder, Auth, CachingSource, ClientAuth, ErrorKind, Transport, flow::ClientCredentials};
use keyfob_sandbox::{Endpoint, Fault, ITEMS, Sandbox};
use serde_json::Value;
use support::*;
use ureq::{Agent, Body, http::Response};

const THREADS: usize = 64;
const LIFETIME: Duration = Duration::from_secs(5);

/// The share of requests with each kind of fault.
const SHARE: f64 = 0.01;

/// How late a late answer is.
const LATE: Duration = Duration::from_millis(200);

/// The content of a broken answer of the API.
const BROKEN: &str = r#"{"access_token": "half"#;

#[test]
fn sixty_four_threads_get_right_answers_for_a_few_seconds() {
    load(seconds().unwrap_or(6));
}

#[test]
#[ignore = "takes ten minutes"]
fn sixty_four_threads_get_right_answers_for_ten_minutes() {
    load(seconds().unwrap_or(600));
}

fn seconds() -> Option<u64> {
    env::var("KEYFOB_SECONDS").ok().map(|text| text.parse().expect("KEYFOB_SECONDS is a number"))
}

fn load(seconds: u64) {
    let sandbox = Sandbox::start_tls();
    // The sandbox counts in whole seconds, rounded down, so the token is valid a little longer than stated.
    sandbox.set_token_lifetime(LIFETIME + Duration::from_secs(1));
    let lifetime = |fields: &mut serde_json::Map<String, Value>| {
        fields.remove("expires_at");
        fields.insert("expires_in".into(), LIFETIME.as_secs().into());
    };
    sandbox.fault(Endpoint::Token, Fault::edit(lifetime).always());
    for endpoint in [Endpoint::Token, Endpoint::Point, Endpoint::Echo] {
        for fault in [
            Fault::status(500),
            Fault::status(503),
            Fault::status(429),
            Fault::status(429).with_retry_after("1"),
            Fault::broken_json(),
        ] {
            sandbox.fault(endpoint, fault.at_random(SHARE));
        }
        let late = if endpoint == Endpoint::Token { Fault::edit(lifetime) } else { Fault::delay(LATE) };
        sandbox.fault(endpoint, late.after(LATE).at_random(SHARE));
    }
    sandbox.set_cuts(SHARE);
    let refused: Arc<[AtomicU64; 2]> = Arc::default();
    let seen = refused.clone();
    sandbox.observe(move |request| {
        let (denied, senseless) = (request.status == 401, matches!(request.status, 400 | 403..=422));
        seen[0].fetch_add(denied.into(), SeqCst);
        seen[1].fetch_add(senseless.into(), SeqCst);
    });

    let mut client = child("child_of_the_load_tests")
        .env("KEYFOB_SECONDS", seconds.to_string())
        .env("KEYFOB_CA_FILE", sandbox.ca_file().unwrap())
        .envs(sandbox.env())
        .env("TOKEN_URL", sandbox.token_url())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut came = BTreeMap::new();
    for line in BufReader::new(client.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some((name, number)) = line.strip_prefix("load: ").and_then(|line| line.rsplit_once(' ')) {
            println!("{name:44} {number:>12}");
            came.insert(name.to_owned(), number.parse::<u64>().unwrap());
        }
    }
    assert!(client.wait().unwrap().success(), "the error is above");

    let [denied, senseless] = [&refused[0], &refused[1]].map(|count| count.load(SeqCst));
    let (asked, issued) = (sandbox.count(Endpoint::Token), sandbox.tokens_issued());
    let (faulted, cuts) = (sandbox.faulted(Endpoint::Token), sandbox.cuts());
    let renewed = came["tokens received"];
    // The first token is requested at once, and each next one after four fifths of the lifetime.
    let most = came["ms"] / (LIFETIME.as_millis() as u64 * 4 / 5) + 1;
    println!("{:44} {:>12}", "API requests that arrived", sandbox.total() - asked);
    println!("{:44} {cuts:>12}", "connections cut");
    println!("{:44} {asked:>12}", "token requests that arrived");
    println!("{:44} {faulted:>12}", "of these answered by a fault");
    println!("{:44} {:>12}", "tokens issued whose answer was lost", issued - renewed);
    println!("{:44} {most:>12}", "tokens that the margin allows");
    println!("{:44} {denied:>12}", "calls whose token expired on the way");

    assert_eq!(senseless, 0, "requests that make no sense");
    assert!(renewed <= most, "{renewed} tokens where {most} are enough");
    assert_eq!(asked, issued + faulted, "a token request was refused");
    assert!(issued - renewed <= cuts, "{issued} tokens issued, {renewed} received, {cuts} cuts");
    assert!(came["right answers"] > 100, "{came:?}");
}

// The client is a process of its own, so that its memory, files and threads can be measured.

struct Client {
    agent: Agent,
    api: String,
    stop: AtomicBool,
    outcomes: BTreeMap<&'static str, AtomicU64>,
}

/// The allowed results of a call.
const OUTCOMES: [&str; 8] = [
    "right answers",
    "500 given back",
    "503 given back, of a POST or three times",
    "broken answers given back",
    "connection lost, of a POST or three times",
    "answer cut off in the middle",
    "no token: broken answer",
    "no token: 500, 503, 429 or cut off, three times",
];

#[test]
#[ignore = "a part of the other tests"]
fn child_of_the_load_tests() {
    let Ok(token_url) = env::var("TOKEN_URL") else { return };
    let before = Usage::now();
    let flow = ClientCredentials::new(
        &token_url,
        ClientAuth::secret_jwt(var("SPATIAFI_CLIENT_ID"), var("SPATIAFI_CLIENT_SECRET")),
    );
    let http = Transport::from_env().unwrap();
    let renewals = Arc::new(AtomicU64::new(0));
    let counted = renewals.clone();
    let source = CachingSource::new(http.clone(), flow);
    let source = Arc::new(source.with_on_renewed(move |_| {
        counted.fetch_add(1, SeqCst);
    }));
    let api = var("SPATIAFI_API_URL");
    let agent = AgentBuilder::new(http, Auth::Bearer(source.clone()))
        .origin(&api)
        .max_idle_connections(THREADS)
        .build()
        .unwrap();
    let outcomes = OUTCOMES.map(|outcome| (outcome, AtomicU64::new(0))).into();
    let client = Client { agent, api, stop: AtomicBool::new(false), outcomes };

    let time = Duration::from_secs(seconds().unwrap());
    let start = Instant::now();
    let mut samples = Vec::new();
    thread::scope(|scope| {
        for number in 0..THREADS {
            let client = &client;
            scope.spawn(move || client.run(number));
        }
        while start.elapsed() < time {
            thread::sleep(Duration::from_millis(250));
            samples.push(Usage::now());
        }
        client.stop.store(true, SeqCst);
    });
    let took = start.elapsed();
    say("ms", took.as_millis() as u64);
    let calls: u64 = client.outcomes.values().map(|count| count.load(SeqCst)).sum();
    say("calls", calls);
    say("calls per second", calls * 1000 / took.as_millis() as u64);
    for outcome in OUTCOMES {
        say(outcome, client.outcomes[outcome].load(SeqCst));
    }
    say("tokens received", renewals.load(SeqCst));

    // The first quarter is for warming up.
    let (early, late) = samples[samples.len() / 4..].split_at(samples.len() * 3 / 8);
    let most = |samples: &[Usage], of: fn(&Usage) -> u64| samples.iter().map(of).max().unwrap();
    let memory = [early, late].map(|samples| most(samples, |usage| usage.memory));
    let files = [early, late].map(|samples| most(samples, |usage| usage.files));
    let threads = [early, late].map(|samples| most(samples, |usage| usage.threads));
    say("memory before, KiB", before.memory);
    say("most memory in the first half, KiB", memory[0]);
    say("most memory in the second half, KiB", memory[1]);
    say("most files in the first half", files[0]);
    say("most files in the second half", files[1]);
    say("most threads", threads[0].max(threads[1]));
    drop((client, source));
    // A thread that has ended disappears from /proc a moment later.
    let deadline = Instant::now() + Duration::from_secs(10);
    let after = loop {
        let after = Usage::now();
        if after.threads <= before.threads || Instant::now() > deadline {
            break after;
        }
        thread::sleep(Duration::from_millis(10));
    };
    say("files left open", after.files.saturating_sub(before.files));
    say("threads left", after.threads.saturating_sub(before.threads));

    assert_eq!(
        (after.files, after.threads),
        (before.files, before.threads),
        "files and threads are given back"
    );
    assert_eq!(threads, [before.threads + THREADS as u64; 2], "no thread but the caller's own");
    // A connection for each thread, an idle one for each, and one that requests a token.
    assert!(files.iter().all(|&files| files <= before.files + 2 * THREADS as u64 + 1), "{files:?} files");
    assert!(memory[1] <= memory[0] + 2048, "memory grows: {memory:?} KiB");
}

fn var(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is set"))
}

fn say(name: &str, number: u64) {
    // Written at once, on a line of its own, whatever the test harness has written before.
    std::io::stdout().write_all(format!("\nload: {name} {number}\n").as_bytes()).unwrap();
}

#[derive(Clone, Copy)]
struct Usage {
    memory: u64,
    files: u64,
    threads: u64,
}

impl Usage {
    fn now() -> Self {
        let files = fs::read_dir("/proc/self/fd").unwrap().count() as u64;
        Self { memory: memory("VmRSS"), files, threads: memory("Threads") }
    }
}

impl Client {
    fn run(&self, number: usize) {
        for call in 0.. {
            if self.stop.load(SeqCst) {
                return;
            }
            let outcome = if call % 8 == 7 { self.echo(number, call) } else { self.point(number, call) };
            self.outcomes[outcome].fetch_add(1, SeqCst);
        }
    }

    /// A location of its own for each call, so that no thread can take another's answer for its own.
    fn point(&self, number: usize, call: u64) -> &'static str {
        let (lon, lat) = (number as f64, (call % 720) as f64 / 8.0);
        let url = format!("{}/api/point/{lon},{lat}", self.api);
        let answer = self.agent.get(url).query("item_id", ITEMS[number % 3]).call();
        judge(answer, |answer| {
            let mean = ((lon + 180.0) * 7.0 + (lat + 90.0) * 13.0) % 100.0;
            assert_eq!(answer["point"], serde_json::json!({ "lon": lon, "lat": lat }));
            assert_eq!(answer["values"]["mean"], mean);
            assert_eq!(answer["item_id"], ITEMS[number % 3]);
        })
    }

    fn echo(&self, number: usize, call: u64) -> &'static str {
        let body = format!("{number} {call}").repeat(1 + number);
        let answer = self.agent.post(format!("{}/api/echo", self.api)).send(&body);
        judge(answer, |answer| {
            assert_eq!((&answer["method"], &answer["body"]), (&"POST".into(), &body.clone().into()));
        })
    }
}

/// Checks that the answer is right, or an error that one of the faults explains.
fn judge(answer: Result<Response<Body>, ureq::Error>, check: impl FnOnce(&Value)) -> &'static str {
    let mut response = match answer {
        Ok(response) => response,
        Err(error) => {
            let from_source = matches!(error, ureq::Error::Other(_));
            let error = keyfob::Error::from(error);
            let text = error.to_string();
            return match (error.kind(), error.status()) {
                (ErrorKind::ApiStatus, Some(500)) if !from_source => OUTCOMES[1],
                (ErrorKind::ApiStatus, Some(503)) if !from_source => OUTCOMES[2],
                (ErrorKind::Protocol, Some(200)) if text.contains("makes no sense") => OUTCOMES[6],
                (ErrorKind::Refused, Some(500 | 503))
                | (ErrorKind::RateLimited, Some(429))
                | (ErrorKind::Network, None)
                    if text.contains("get a token") =>
                {
                    OUTCOMES[7]
                }
                (ErrorKind::Network, None) => OUTCOMES[4],
                _ => panic!("{error:?}"),
            };
        }
    };
    assert_eq!(response.status(), 200);
    match response.body_mut().read_to_string() {
        Ok(text) if text == BROKEN => OUTCOMES[3],
        Ok(text) => {
            check(&serde_json::from_str(&text).expect("a whole answer is JSON"));
            OUTCOMES[0]
        }
        Err(error) => {
            assert_eq!(keyfob::Error::from(error).kind(), ErrorKind::Network);
            OUTCOMES[5]
        }
    }
}
