//! Every flow and the agent against every fault of a server: the right error, in time, with nothing lost.

#![allow(clippy::disallowed_methods, reason = "deadlines are measured on the machine's clock")]

mod support;

use std::collections::HashSet;
use std::fmt::Debug;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyfob::flow::{AppCredentials, AuthorizationCode, BasicToken, ClientAssertion, Refresh, Revoke};
use keyfob::ureq::http::Request as HttpRequest;
use keyfob::ureq::{self, Agent};
use keyfob::{
    AgentBuilder, Auth, CachingSource, ClientAuth, Error, ErrorKind, Http, Token, TokenSource, classify,
};
use support::*;

/// What a call is given that must run into its deadline, and one that must not.
const SHORT: Duration = Duration::from_millis(400);
const LONG: Duration = Duration::from_secs(20);

/// What is due to the machine and not to the library. The aim is 100 ms.
const NOISE: Duration = Duration::from_millis(400);

/// Good for every flow.
const GOOD: &str =
    r#"{"access_token":"abc","token_type":"bearer","client_id":"id","client_secret":"shown once"}"#;

const CHECK: &str = "check the network, the proxy and the URL";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Basic,
    Assertion,
    App,
    Code,
    Refresh,
    Revoke,
    Agent,
}

const EVERYONE: [Who; 7] =
    [Who::Basic, Who::Assertion, Who::App, Who::Code, Who::Refresh, Who::Revoke, Who::Agent];

impl Who {
    /// Whether the same request may be sent again after it may have arrived.
    fn repeats(self) -> bool {
        !matches!(self, Self::App | Self::Code | Self::Refresh)
    }
}

/// A flow or the agent, on a transport that is kept from call to call.
struct Subject {
    who: Who,
    origin: String,
    http: Http,
    agent: Agent,
    saved: Mutex<Option<Vec<u8>>>,
}

impl Subject {
    fn new(who: Who, origin: &str, within: Duration) -> Self {
        Self::on(Http::new(), who, origin, within)
    }

    fn on(http: Http, who: Who, origin: &str, within: Duration) -> Self {
        let http = http.with_timeout(within);
        let agent = AgentBuilder::new(http.clone(), Auth::Bearer(Arc::new(Fixed("fixed"))))
            .with_origin(origin)
            .and_then(|agent| agent.with_deadline(within).build())
            .unwrap();
        Self { who, origin: origin.to_owned(), http, agent, saved: Mutex::default() }
    }

    fn call(&self) -> Result<(), Error> {
        let url = format!("{}/path?query", self.origin);
        let client = || ClientAuth::body("id", "secret");
        match self.who {
            Who::Basic => BasicToken::new(&url, "ada", "a password")?.run(&self.http).map(drop),
            Who::Assertion => ClientAssertion::new(&url, "id", "k".repeat(32))?.run(&self.http).map(drop),
            Who::App => AppCredentials::new(&url)?
                .run(&self.http, &token("fixed"), |answer| {
                    *lock(&self.saved) = Some(answer.to_vec());
                    Ok(())
                })
                .map(drop),
            Who::Code => {
                const CALLBACK: &str = "https://app.example/callback";
                let flow = AuthorizationCode::new(&url, &url, client()?, CALLBACK)?;
                let login = flow.login(&self.http, ["scope"])?;
                let state = login.url().split_once("&state=").unwrap().1;
                let callback = format!("{CALLBACK}?code=c0d3&state={}", state.split('&').next().unwrap());
                login.finish(&callback).map(drop)
            }
            Who::Refresh => {
                Refresh::new(&url, client()?)?.with_refresh_token("old")?.run(&self.http, None).map(drop)
            }
            Who::Revoke => Revoke::new(&url, client()?)?.run(&self.http, &"old".into()),
            Who::Agent => self
                .agent
                .get(&url)
                .call()
                .and_then(|mut response| response.body_mut().with_config().limit(64 * 1024).read_to_vec())
                .map(drop)
                .map_err(classify),
        }
    }

    /// The whole error text.
    fn text(&self, what: &str, next: &str) -> String {
        let doing = match self.who {
            Who::Basic => "get a token for the user name and password",
            Who::Assertion => "get a token with a client assertion",
            Who::App => "make app credentials",
            Who::Code => "exchange the code of the login for a token",
            Who::Refresh => "renew the access token",
            Who::Revoke => "revoke the token, which may live on,",
            Who::Agent => {
                let what =
                    if what.starts_with("no complete answer") { "no complete answer in time" } else { what };
                return format!("the API call failed: {what}; {next}");
            }
        };
        format!("could not {doing} at {}: {what}; {next}", self.origin)
    }
}

/// How far an answer comes.
#[derive(Clone, Copy, PartialEq)]
enum Reaches {
    Head,
    Body,
}

struct Fault {
    name: &'static str,
    reaches: Reaches,
    script: Vec<Step>,
    kind: ErrorKind,
    what: &'static str,
    next: &'static str,
    /// Of a flow that may be repeated.
    tries: usize,
}

fn stall(name: &'static str, reaches: Reaches, script: Vec<Step>) -> Fault {
    let what = "no complete answer within 0.4 s";
    Fault { name, script, reaches, kind: ErrorKind::Timeout, what, next: CHECK, tries: 1 }
}

fn cut(name: &'static str, reaches: Reaches, script: Vec<Step>) -> Fault {
    let what = "the connection was cut off";
    Fault { name, script, reaches, kind: ErrorKind::Network, what, next: "try again", tries: 3 }
}

fn senseless(name: &'static str, reaches: Reaches, what: &'static str, script: Vec<Step>) -> Fault {
    Fault { name, script, reaches, kind: ErrorKind::Protocol, what, next: "check the URL", tries: 1 }
}

fn not_http(name: &'static str, bytes: impl AsRef<[u8]>) -> Fault {
    senseless(name, Reaches::Head, "the answer is not HTTP", vec![Step::Read, send(bytes)])
}

fn faults() -> Vec<Fault> {
    use Reaches::{Body, Head};
    use Step::{Drip, Flood, Hold, Read, Reset};
    const OFTEN: Duration = Duration::from_millis(15);
    const CHUNKED: &str = "Transfer-Encoding: chunked";
    let whole = answer(200, "", GOOD);
    let most = &whole[..whole.len() - 9];
    let chunked = |chunks: &str| send([&head(CHUNKED), chunks.as_bytes()].concat());
    let flood = |first: Vec<u8>, then: &str| vec![Read, Flood(first, then.into())];
    let long_header = |name, script| senseless(name, Head, "the header of the answer is too long", script);
    let bad_chunk =
        |name, chunks| senseless(name, Body, "the answer is not HTTP", vec![Read, chunked(chunks)]);
    let too_long = |name, script| senseless(name, Body, "the answer is longer than 1 MiB", script);
    vec![
        stall("silence", Head, vec![Hold]),
        stall("silence after the request", Head, vec![Read, Hold]),
        stall("half a status line", Head, vec![Read, send("HTTP/1.1 2"), Hold]),
        stall("half a header", Head, vec![Read, send("HTTP/1.1 200 OK\r\nA: b\r\n"), Hold]),
        stall("no body", Body, vec![Read, send(head("Content-Length: 9")), Hold]),
        stall("half a body", Body, vec![Read, send(most), Hold]),
        stall("a body without end or length", Body, vec![Read, send(head("A: b")), send("{"), Hold]),
        stall("a chunk that never comes", Body, vec![Read, chunked("5\r\n"), Hold]),
        stall("no last chunk", Body, vec![Read, chunked("1\r\n{\r\n"), Hold]),
        stall("a dripped header", Head, vec![Read, Drip(whole.clone(), OFTEN)]),
        stall("a dripped body", Body, vec![Read, send(head("A: b")), Drip(GOOD.into(), OFTEN)]),
        stall(
            "100 now and then",
            Head,
            vec![Read, Drip(b"HTTP/1.1 100 Continue\r\n\r\n".repeat(9), OFTEN / 5)],
        ),
        stall(
            "trailers for ever",
            Body,
            flood([&head(CHUNKED)[..], b"1\r\n{\r\n0\r\n"].concat(), "A: b\r\n"),
        ),
        cut("closed at once", Head, vec![]),
        cut("closed after the request", Head, vec![Read]),
        cut("reset", Head, vec![Reset]),
        cut("cut in the status line", Head, vec![Read, send("HTTP/1.1 2")]),
        cut("cut in the header", Head, vec![Read, send("HTTP/1.1 200 OK\r\nA: b\r\n")]),
        cut("cut in the body", Body, vec![Read, send(most)]),
        cut("reset in the body", Body, vec![send(most), Reset]),
        cut("cut in a chunk", Body, vec![Read, chunked("5\r\n{")]),
        cut("cut between chunks", Body, vec![Read, chunked("1\r\n{\r\n")]),
        not_http("HTTP/0.9", "<html>hello</html>\n"),
        not_http("another protocol", "220 mail.example.com ESMTP ready\r\n"),
        not_http("binary noise", b"\x15\x03\x03\x00\x02\x02\x28\r\n\r\n"),
        not_http("a status that is no number", "HTTP/1.1 OK\r\n\r\n"),
        not_http("a length that is no number", head("Content-Length: ten")),
        not_http("a negative length", head("Content-Length: -5")),
        not_http("two lengths", head("Content-Length: 5\r\nContent-Length: 6")),
        not_http("a thousand header fields", head(&["A: b"; 1000].join("\r\n"))),
        not_http("NUL in a header field", head("A: b\0")),
        bad_chunk("the size of a chunk is no number", "ten\r\n{\r\n"),
        bad_chunk("the size of a chunk is past all counting", "fffffffffffffffff\r\n{\r\n"),
        bad_chunk("a chunk is longer than it says", "1\r\n{}}\r\n0\r\n\r\n"),
        long_header("a header field for ever", flood(b"HTTP/1.1 200 OK\r\nA: ".to_vec(), "b")),
        long_header("a status line for ever", flood(b"HTTP/1.1 200 ".to_vec(), "O")),
        long_header("100 for ever", flood(vec![], "HTTP/1.1 100 Continue\r\n\r\n")),
        too_long("a body for ever", flood(head("A: b"), " ")),
        too_long("a body of 2 MiB", flood(head("Content-Length: 2097152"), " ")),
        too_long("chunks for ever", flood(head(CHUNKED), &format!("1000\r\n{:4096}\r\n", ""))),
    ]
}

/// The header of a 200 answer.
fn head(fields: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n").into_bytes()
}

/// What went past the deadline by most, for the record.
static WORST: Mutex<(Duration, String)> = Mutex::new((Duration::ZERO, String::new()));

#[track_caller]
fn in_time(took: Duration, within: Duration, name: &str) {
    let over = took.saturating_sub(within);
    let mut worst = lock(&WORST);
    if over > worst.0 {
        *worst = (over, name.to_owned());
        println!("{over:?} past the deadline: {name}");
    }
    assert!(over < NOISE, "{name}: {took:?} of {within:?}");
}

/// Each try must have had an assertion of its own.
#[track_caller]
fn never_the_same_jti(requests: &[Request]) {
    let ids: HashSet<String> = requests
        .iter()
        .map(|request| {
            let assertion = request.form("client_assertion").expect("an assertion");
            let claims = URL_SAFE_NO_PAD.decode(assertion.split('.').nth(1).unwrap()).unwrap();
            let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
            claims["jti"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(ids.len(), requests.len());
}

/// The server may come to count them when the call has ended: the machine may be busy.
#[track_caller]
fn connected(server: &Server, times: usize, name: &str) {
    let end = std::time::Instant::now() + LONG;
    while server.connections() < times && std::time::Instant::now() < end {
        thread::yield_now();
    }
    assert_eq!(server.connections(), times, "{name}");
}

/// Calls, compares, and calls again once the server is well.
fn endure(who: Who, fault: &Fault) {
    let name = format!("{who:?}, {}", fault.name);
    let healthy = Arc::new(AtomicBool::new(false));
    let server = Server::scripted({
        let (healthy, script) = (healthy.clone(), fault.script.clone());
        move |_| if healthy.load(SeqCst) { well() } else { script.clone() }
    });
    let within = if fault.kind == ErrorKind::Timeout { SHORT } else { LONG };
    let subject = Subject::new(who, &server.origin(), within);
    let (result, took) = timed(|| subject.call());
    in_time(took, within, &name);
    // A revocation is acknowledged by its status.
    if who == Who::Revoke && fault.reaches == Reaches::Body {
        result.unwrap_or_else(|error| panic!("{name}: {error}"));
    } else {
        fails(result, fault.kind, &subject.text(fault.what, fault.next), &name);
    }
    let tries = match who {
        Who::Revoke if fault.reaches == Reaches::Body => 1,
        _ if !who.repeats() => 1,
        // The body is read by the caller.
        Who::Agent if fault.reaches == Reaches::Body => 1,
        _ => fault.tries,
    };
    connected(&server, tries, &name);
    if who == Who::Assertion {
        never_the_same_jti(&server.requests());
    }
    healthy.store(true, SeqCst);
    // Its time is as short as before, and the machine may be busy.
    let next = (0..3).map(|_| subject.call()).find(|next| !is_timeout(next)).expect("an answer in time");
    next.unwrap_or_else(|error| panic!("the next call after {name}: {error}"));
}

fn is_timeout(result: &Result<(), Error>) -> bool {
    result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Timeout)
}

fn well() -> Vec<Step> {
    vec![Step::Read, send(answer(200, "", GOOD))]
}

#[test]
fn every_fault_ends_in_time_with_its_own_error_and_the_next_call_works() {
    let faults = faults();
    let cases: Vec<_> = faults.iter().flat_map(|fault| EVERYONE.map(|who| (who, fault))).collect();
    in_parallel(&cases, |(who, fault)| {
        // No limit but its caller's is set to an answer of an API.
        if *who != Who::Agent || !fault.what.contains("1 MiB") {
            endure(*who, fault);
        }
    });
}

#[test]
fn a_refused_connection_is_tried_again_by_everyone() {
    in_parallel(&EVERYONE, |who| {
        let server = Server::late(Duration::from_millis(30), |_| well());
        let subject = Subject::new(*who, &server.origin(), LONG);
        subject.call().unwrap_or_else(|error| panic!("{who:?}: {error}"));
        assert_eq!(server.connections(), 1);
    });
    // Nobody listens on the port that a client has.
    let server = Server::scripted(|_| vec![Step::Hold]);
    let client = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    let origin = format!("http://{}", client.local_addr().unwrap());
    in_parallel(&EVERYONE, |who| {
        let subject = Subject::new(*who, &origin, LONG);
        let text = subject.text("the connection was refused", CHECK);
        fails(subject.call(), ErrorKind::Network, &text, "refused");
    });
}

/// Its buffers hold secrets as long as it is kept.
#[test]
fn no_connection_is_kept_after_a_token_exchange() {
    for who in EVERYONE {
        let server = Server::answering(|_| answer(200, "", GOOD));
        let subject = Subject::new(who, &server.origin(), LONG);
        (0..3).for_each(|_| subject.call().unwrap());
        let expected = if who == Who::Agent { 1 } else { 3 };
        assert_eq!(server.connections(), expected, "{who:?}");
    }
}

#[test]
fn a_full_queue_ends_in_time() {
    let Some(full) = FullBacklog::new() else { return println!("skipped: the queue cannot be filled here") };
    in_parallel(&EVERYONE, |who| {
        let subject = Subject::new(*who, &full.origin(), SHORT);
        let (result, took) = timed(|| subject.call());
        in_time(took, SHORT, "a full queue");
        fails(result, ErrorKind::Timeout, &subject.text("no connection in time", CHECK), "a full queue");
    });
}

/// Nothing of a request is sent before TLS is up, so app credentials are asked for again too.
#[test]
#[cfg(feature = "rustls")]
fn without_tls_no_request_was_sent_and_a_call_ends_in_time() {
    use ErrorKind::{Network, Timeout};
    let noise = send("HTTP/1.1 400 Bad Request\r\n\r\n");
    let part = send(b"\x16\x03\x03\x00\x7a\x02\x00");
    let drip = Step::Drip([&b"\x16\x03\x03\x40\x00\x02"[..], &[0; 100]].concat(), Duration::from_millis(10));
    let cases = [
        (vec![Step::Hold], SHORT, Timeout, "no connection in time", CHECK, 1),
        (vec![part, Step::Hold], SHORT, Timeout, "no connection in time", CHECK, 1),
        (vec![drip], SHORT, Timeout, "no connection in time", CHECK, 1),
        (vec![], LONG, Network, "the connection was cut off", "try again", 3),
        (vec![noise, Step::Hold], LONG, Network, "TLS failed", "check the URL and the proxy", 1),
    ];
    let cases: Vec<_> = cases.iter().flat_map(|case| EVERYONE.map(|who| (who, case))).collect();
    in_parallel(&cases, |(who, (script, within, kind, what, next, tries))| {
        let script = script.clone();
        let server = Server::scripted(move |_| script.clone());
        let subject = Subject::new(*who, &server.origin().replace("http:", "https:"), *within);
        let (result, took) = timed(|| subject.call());
        in_time(took, *within, what);
        fails(result, *kind, &subject.text(what, next), what);
        connected(&server, *tries, &format!("{who:?}, {what}"));
    });
}

/// How a connection ends: how many TLS records (RFC 8446 5.1) of the server pass, whether half of the next one does, and
/// whether the connection is then held or closed.
#[cfg(feature = "rustls")]
#[derive(Clone, Copy, Debug)]
struct Cut {
    records: usize,
    half: bool,
    held: bool,
}

/// A proxy for one connection, which it cuts.
#[cfg(feature = "rustls")]
fn cutting(cut: Cut, server: SocketAddr) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut server = TcpStream::connect(server).unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            asked.extend(byte);
        }
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let requests = thread::spawn(move || io::copy(&mut from_client, &mut to_server));
        for number in 0..=cut.records {
            let mut header = [0; 5];
            if server.read_exact(&mut header).is_err() {
                break;
            }
            let mut content = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
            server.read_exact(&mut content).unwrap();
            let record = [&header[..], &content].concat();
            let passes = match number < cut.records {
                true => record.len(),
                false if cut.half => record.len() / 2,
                false => 0,
            };
            if client.write_all(&record[..passes]).is_err() {
                break;
            }
        }
        if cut.held {
            // Until the client goes.
            let _ = requests.join();
        }
        let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
    });
    format!("http://{addr}")
}

#[test]
#[cfg(feature = "rustls")]
fn tls_cut_or_held_at_each_record_ends_in_time_and_never_as_an_answer() {
    let sandbox = keyfob_sandbox::Sandbox::start_tls();
    let origin = sandbox.auth_url();
    let server: SocketAddr = origin.trim_start_matches("https://").parse().unwrap();
    let trusting = Http::new().with_ca_file(sandbox.ca_file().unwrap()).unwrap();
    let ends = AtomicUsize::new(0);
    in_parallel(&EVERYONE, |who| {
        let run = |cut: Cut, within| {
            // Nobody listens there for a second try.
            let http = trusting.clone().with_proxy(&cutting(cut, server)).unwrap();
            let subject = Subject::on(http, *who, &origin, within);
            let (result, took) = timed(|| subject.call());
            in_time(took, within, &format!("{who:?}, {cut:?} in TLS"));
            // Whatever the sandbox says is an answer.
            result
                .err()
                .map(|error| error.kind())
                .filter(|kind| [ErrorKind::Network, ErrorKind::Timeout].contains(kind))
        };
        let cut = |records, half, held| Cut { records, half, held };
        let whole =
            (0..20).find(|records| run(cut(*records, false, false), LONG).is_none()).expect("an answer");
        assert!(whole >= 4, "{who:?}: handshake and answer have {whole} records");
        for records in 0..whole {
            let end = run(cut(records, false, true), SHORT);
            assert_eq!(end, Some(ErrorKind::Timeout), "{who:?}, {records} records and then nothing");
            // Who repeats has seen the others.
            if !who.repeats() {
                assert!(
                    run(cut(records, true, false), LONG).is_some(),
                    "{who:?}, {records} records and a half"
                );
            }
        }
        // Who knows the length of an answer does not wait for the end of the connection (close_notify).
        assert_eq!(run(cut(whole, false, true), LONG), None, "{who:?}");
        ends.fetch_add(whole * if who.repeats() { 2 } else { 3 }, SeqCst);
    });
    println!("{} cuts and stalls in TLS", ends.into_inner());
}

#[test]
#[cfg(feature = "rustls")]
fn a_certificate_that_is_not_right_is_called_that_by_everyone_and_no_request_is_sent() {
    use keyfob_sandbox::ServerCertificate::{Expired, NotYetValid, Valid, WrongHost};
    const UNKNOWN: &str = "name its CA file, or check the proxy";
    let sandbox = keyfob_sandbox::Sandbox::start_tls();
    let trusting = Http::new().with_ca_file(sandbox.ca_file().unwrap()).unwrap();
    for (certificate, http, kind, what, next) in [
        (
            Expired,
            &trusting,
            ErrorKind::Clock,
            "its certificate has expired at this machine's time",
            "set the clock if it is wrong; else the server needs a new certificate",
        ),
        (
            NotYetValid,
            &trusting,
            ErrorKind::Clock,
            "its certificate is not valid yet at this machine's time",
            "set the clock, it is probably behind",
        ),
        (WrongHost, &trusting, ErrorKind::Network, "its certificate is for another host", "check the URL"),
        (Valid, &Http::new(), ErrorKind::Network, "its certificate is not from a trusted authority", UNKNOWN),
    ] {
        sandbox.set_certificate(certificate);
        in_parallel(&EVERYONE, |who| {
            let subject = Subject::on(http.clone(), *who, &sandbox.auth_url(), LONG);
            fails(subject.call(), kind, &subject.text(what, next), what);
        });
    }
    assert!(sandbox.requests().is_empty());
}

#[test]
fn a_proxy_that_fails_is_called_that_in_time_and_told_nothing() {
    use Step::{Drip, Flood, Hold, Read};
    let drip = Drip(answer(200, "", ""), Duration::from_millis(20));
    let long = Flood(b"HTTP/1.1 200 OK\r\nA: ".to_vec(), b"b".to_vec());
    let late = (ErrorKind::Timeout, "no connection in time", CHECK);
    let failed = (ErrorKind::Network, "the proxy refused to connect", "check the proxy");
    let cases = [
        (vec![Read, Hold], SHORT, late),
        (vec![Read, send("HTTP/1.1 200 OK\r\n"), Hold], SHORT, late),
        (vec![Read, drip], SHORT, late),
        (vec![Read], LONG, failed),
        (vec![Read, send(answer(407, "Proxy-Authenticate: Basic", "no"))], LONG, failed),
        (vec![Read, send("SSH-2.0-noise\r\n\r\n")], LONG, failed),
        (vec![Read, long], LONG, failed),
    ];
    let cases: Vec<_> = cases.iter().flat_map(|case| EVERYONE.map(|who| (who, case))).collect();
    in_parallel(&cases, |(who, (script, within, (kind, what, next)))| {
        let script = script.clone();
        let proxy = Server::scripted(move |_| script.clone());
        let http = Http::new().with_proxy(&proxy.origin().replace("//", "//user:pass@")).unwrap();
        let subject = Subject::on(http, *who, "https://127.0.0.1:1", *within);
        let (result, took) = timed(|| subject.call());
        in_time(took, *within, "a proxy");
        fails(result, *kind, &subject.text(what, next), "a proxy");
        let requests = proxy.requests();
        let [request] = &requests[..] else { panic!("{requests:?}") };
        assert!(request.head.starts_with("CONNECT 127.0.0.1:1 HTTP/1.1\r\n"), "{request:?}");
        assert_eq!(request.header("proxy-authorization"), Some("Basic dXNlcjpwYXNz"));
        assert_eq!((request.header("authorization"), request.body.len()), (None, 0));
    });
}

/// It would carry what is meant for this machine over the network, in clear text.
#[test]
fn plain_http_never_goes_through_a_proxy() {
    in_parallel(&EVERYONE, |who| {
        let server = Server::scripted(|_| well());
        let proxy = Server::scripted(|_| vec![Step::Hold]);
        let http = Http::new().with_proxy(&proxy.origin()).unwrap();
        let subject = Subject::on(http, *who, &server.origin(), LONG);
        subject.call().unwrap_or_else(|error| panic!("{who:?}: {error}"));
        assert_eq!((server.requests().len(), proxy.connections()), (1, 0), "{who:?}");
    });
}

#[test]
fn a_length_past_all_counting_is_survived() {
    let length = head("Content-Length: 18446744073709551615");
    let first = [&length[..], b"{"].concat();
    let hangs = stall("a length past all counting", Reaches::Body, vec![Step::Read, send(first), Step::Hold]);
    let script = vec![Step::Read, Step::Flood(length, b" ".to_vec())];
    let floods = senseless("and a body for ever", Reaches::Body, "the answer is longer than 1 MiB", script);
    for who in [Who::Basic, Who::Assertion, Who::App] {
        endure(who, &hangs);
        endure(who, &floods);
    }
    endure(Who::Agent, &hangs);
}

#[test]
fn what_is_unusual_but_right_is_understood() {
    let chunked = "Transfer-Encoding: chunked";
    let (start, end) = GOOD.split_at(5);
    let chunks = format!("5;name=value\r\n{start}\r\n{:X}\r\n{end}\r\n0\r\nTrailer: a\r\n\r\n", end.len());
    let cases = [
        ("the end of the connection", vec![send([&head("A: b")[..], GOOD.as_bytes()].concat())]),
        ("HTTP/1.0", vec![send(format!("HTTP/1.0 200 OK\r\n\r\n{GOOD}"))]),
        ("no reason", vec![send(format!("HTTP/1.1 200\r\nA: b\r\n\r\n{GOOD}"))]),
        ("chunks, an extension and a trailer", vec![send([&head(chunked)[..], chunks.as_bytes()].concat())]),
        (
            "100 and 103 first",
            vec![
                send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
                Step::Pause(Duration::from_millis(20)),
                send(answer(200, "", GOOD)),
            ],
        ),
        ("two answers at once", vec![send(answer(200, "", GOOD)), send(answer(500, "", "")), Step::Hold]),
        ("a slow server", vec![Step::Drip(answer(200, "", GOOD), Duration::from_millis(1))]),
    ];
    let cases: Vec<_> = cases.iter().flat_map(|case| EVERYONE.map(|who| (who, case))).collect();
    in_parallel(&cases, |(who, (name, script))| {
        let script = [&[Step::Read][..], script].concat();
        let server = Server::scripted(move |_| script.clone());
        let subject = Subject::new(*who, &server.origin(), LONG);
        subject.call().unwrap_or_else(|error| panic!("{who:?}, {name}: {error}"));
        assert_eq!(server.connections(), 1, "{name}");
    });
}

#[test]
fn every_status_has_its_kind_its_text_and_its_number_of_tries() {
    use ErrorKind::{LoginRequired, Protocol, RateLimited, Refused};
    const ADVICE: &str = "";
    const REDIRECT: &str = "check the URL, a '/' at its end included";
    let cases = [
        (
            400,
            r#"{"error":"invalid_client","error_description":"who?"}"#,
            Refused,
            "it refused (HTTP 400): invalid_client: who?",
            ADVICE,
            1,
        ),
        (
            400,
            r#"{"error":"invalid_grant"}"#,
            LoginRequired,
            "it refused (HTTP 400): invalid_grant",
            ADVICE,
            1,
        ),
        (401, r#"{"detail":"Access Denied"}"#, Refused, "it refused (HTTP 401): Access Denied", ADVICE, 1),
        (403, "<html>", Refused, "it refused (HTTP 403)", ADVICE, 1),
        (404, "", Refused, "it refused (HTTP 404)", "check the URL", 1),
        (405, "", Refused, "it refused (HTTP 405)", "check the URL", 1),
        (408, "", Refused, "it refused (HTTP 408)", ADVICE, 1),
        (
            422,
            r#"{"detail":[{"loc":["a"],"msg":"field required"}]}"#,
            Refused,
            "it refused (HTTP 422): field required",
            ADVICE,
            1,
        ),
        (301, "", Protocol, "it redirects (HTTP 301), which is not followed", REDIRECT, 1),
        (304, "", Protocol, "it redirects (HTTP 304), which is not followed", REDIRECT, 1),
        (429, "", RateLimited, "it asked to slow down (HTTP 429)", "try again in 0 s", 3),
        (500, r#"{"type":"x","message":"a\nb"}"#, Refused, "it failed (HTTP 500): a b", "try again later", 3),
        (502, "<html>", Refused, "it failed (HTTP 502)", "try again later", 3),
        (503, "{}", Refused, "it failed (HTTP 503)", "try again later", 3),
        (599, "", Refused, "it failed (HTTP 599)", "try again later", 3),
    ];
    let flows = [
        (Who::Basic, "check the user name and password"),
        (Who::Assertion, "check the client id and secret"),
        (Who::App, "log in again"),
    ];
    let cases: Vec<_> = cases.iter().flat_map(|case| flows.map(|flow| (flow, case))).collect();
    in_parallel(&cases, |((who, advice), (status, body, kind, what, next, tries))| {
        let reply = answer(*status, "Retry-After: 0", body);
        let server = Server::answering(move |_| reply.clone());
        let subject = Subject::new(*who, &server.origin(), LONG);
        let error = subject.call().unwrap_err();
        assert_eq!(error.status(), Some(*status));
        let next = if next.is_empty() { advice } else { next };
        fails(Err::<(), _>(error), *kind, &subject.text(what, next), "a status");
        let requests = server.requests();
        assert_eq!(requests.len(), if *who == Who::App { 1 } else { *tries }, "{who:?}, {status}");
        if *who == Who::Assertion {
            never_the_same_jti(&requests);
        }
        assert_eq!(*lock(&subject.saved), None, "{status}: there is nothing to save");
    });
}

#[test]
fn an_error_is_one_whatever_its_status() {
    for who in [Who::Basic, Who::Assertion, Who::Code, Who::Refresh] {
        let body = GOOD.replace('{', r#"{"error":"invalid_client","#);
        let server = Server::answering(move |_| answer(200, "", &body));
        let error = Subject::new(who, &server.origin(), LONG).call().unwrap_err();
        assert_eq!(
            (error.kind(), error.oauth_error()),
            (ErrorKind::Refused, Some("invalid_client")),
            "{error}"
        );
    }
}

#[test]
fn an_answer_that_makes_no_sense_is_called_that() {
    const OBJECT: &str = "it is not a JSON object with an access_token";
    let cases = [
        (200, "", OBJECT),
        (204, "", OBJECT),
        (200, "<html>", OBJECT),
        (200, "null", OBJECT),
        (200, r#"["abc","bearer"]"#, OBJECT),
        (200, r#"{"access_token":"abc""#, OBJECT),
        (200, r#"{"access_token":5,"token_type":"bearer"}"#, OBJECT),
        (200, &format!(r#"{{"detail":{}"#, "[".repeat(100_000)), OBJECT),
        (201, "{}", "it has no access_token"),
        (200, r#"{"access_token":"abc"}"#, "it has no token_type (RFC 6749 5.1)"),
        (200, r#"{"access_token":"abc","token_type":"mac"}"#, "its token_type is not Bearer (RFC 6749 7.1)"),
        (
            200,
            r#"{"access_token":"a\nb","token_type":"bearer"}"#,
            "its access_token cannot be put into a header",
        ),
        (200, r#"{"access_token":"","token_type":"bearer"}"#, "its access_token cannot be put into a header"),
    ];
    for who in [Who::Basic, Who::Assertion] {
        for (status, body, why) in cases {
            let reply = answer(status, "", body);
            let server = Server::answering(move |_| reply.clone());
            let subject = Subject::new(who, &server.origin(), LONG);
            let len = body.len();
            let what = format!("the answer (HTTP {status}, {len} bytes) makes no sense: {why}");
            fails(subject.call(), ErrorKind::Protocol, &subject.text(&what, "check the URL"), why);
            assert_eq!(server.requests().len(), 1, "{why}");
        }
    }
}

#[test]
fn gzip_that_was_not_asked_for_is_no_answer() {
    let mut gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01".to_vec();
    let len = u16::try_from(GOOD.len()).unwrap();
    gzip.extend([len.to_le_bytes(), (!len).to_le_bytes()].concat());
    gzip.extend(GOOD.as_bytes());
    gzip.extend([crc_32(GOOD.as_bytes()).to_le_bytes(), u32::from(len).to_le_bytes()].concat());
    for who in [Who::Basic, Who::Assertion, Who::App] {
        let reply = answer(200, "Content-Encoding: gzip", &gzip);
        let server = Server::answering(move |_| reply.clone());
        let subject = Subject::new(who, &server.origin(), LONG);
        let result = subject.call();
        // Another crate of the program may have switched it on.
        if server.requests()[0].header("accept-encoding").is_some_and(|value| value.contains("gzip")) {
            result.unwrap();
            continue;
        }
        let (why, saved) = match who {
            Who::App => ("it has no client_id and client_secret; it was saved as it came", Some(&gzip)),
            _ => ("it is not a JSON object with an access_token", None),
        };
        let what = format!("the answer (HTTP 200, {} bytes) makes no sense: {why}", gzip.len());
        fails(result, ErrorKind::Protocol, &subject.text(&what, "check the URL"), "gzip");
        assert_eq!(lock(&subject.saved).as_ref(), saved);
    }
}

/// The checksum of gzip (RFC 1952 8).
fn crc_32(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), bit))
}

#[test]
fn new_credentials_are_given_to_save_as_they_came() {
    use Step::{Hold, Read};
    const SENSE: &str = "it has no client_id and client_secret; it was saved as it came";
    let odd = "\r\n{ \"client_secret\" : \"\\u0061\\/b\" ,\"more\":[1], \"client_id\": \"\u{fc}\"}\n";
    let json = r#"{"client_id":"id","client_secret":"shown once"}"#;
    let most = &json[..json.len() - 1];
    let padded = json.to_owned() + &" ".repeat(2 << 20);
    let text = |what: &str, next: &str| Some(format!("{what}; {next}"));
    let nonsense = |len: usize| {
        text(&format!("the answer (HTTP 200, {len} bytes) makes no sense: {SENSE}"), "check the URL")
    };
    let cut_off = || text("the connection was cut off", "try again");
    let cases = [
        ("the usual", send(answer(201, "", odd)), odd.as_bytes(), None),
        (
            "cut off",
            send([&head("Content-Length: 47")[..], most.as_bytes()].concat()),
            most.as_bytes(),
            cut_off(),
        ),
        (
            "cut off after the end",
            send([&head("Content-Length: 48")[..], json.as_bytes()].concat()),
            json.as_bytes(),
            None,
        ),
        ("not JSON", send(answer(200, "", "welcome")), b"welcome", nonsense(7)),
        ("not text", send(answer(200, "", b"\xff\0\xfe")), b"\xff\0\xfe", nonsense(3)),
        ("too deep", send(answer(200, "", "[".repeat(5000))), &b"[".repeat(5000), nonsense(5000)),
        ("an error", send(answer(200, "", r#"{"error":"x"}"#)), br#"{"error":"x"}"#, nonsense(13)),
        ("over-long", Step::Flood(head("A: b"), padded.clone().into_bytes()), padded.as_bytes(), None),
        (
            "over-long noise",
            Step::Flood(head("A: b"), b"x".to_vec()),
            &vec![b'x'; 2 << 20],
            text("the answer is longer than 1 MiB", "check the URL"),
        ),
    ];
    in_parallel(&cases, |(name, step, came, error)| {
        let script = vec![Read, step.clone()];
        let server = Server::scripted(move |_| script.clone());
        let subject = Subject::new(Who::App, &server.origin(), LONG);
        let result = subject.call();
        let saved = lock(&subject.saved).take().expect(name);
        let (least, most) =
            if name.starts_with("over-long") { (1_048_577, 1_100_000) } else { (came.len(), came.len()) };
        assert!((least..=most).contains(&saved.len()), "{name}: {} bytes", saved.len());
        assert!(came.starts_with(&saved), "{name}: other bytes");
        let text = result.err().map(|error| error.to_string());
        let expected = error
            .as_ref()
            .map(|error| format!("could not make app credentials at {}: {error}", subject.origin));
        assert_eq!(text, expected, "{name}");
        assert_eq!(server.connections(), 1, "{name}");
    });

    // They are whole though the server never ends.
    let server =
        Server::scripted(move |_| vec![Read, send([&head("A: b")[..], json.as_bytes()].concat()), Hold]);
    let subject = Subject::new(Who::App, &server.origin(), Duration::from_secs(1));
    subject.call().unwrap();
    assert_eq!(lock(&subject.saved).as_deref(), Some(json.as_bytes()));
}

#[test]
fn a_broken_chunk_does_not_take_the_credentials_with_it() {
    let json = r#"{"client_id":"id","client_secret":"shown once"}"#;
    let chunk = format!("{:x}\r\n{json}and more\r\n0\r\n\r\n", json.len());
    let script = vec![Step::Read, send([&head("Transfer-Encoding: chunked")[..], chunk.as_bytes()].concat())];
    let server = Server::scripted(move |_| script.clone());
    let subject = Subject::new(Who::App, &server.origin(), LONG);
    let _ = subject.call();
    let saved = String::from_utf8(lock(&subject.saved).take().expect("something to save")).unwrap();
    assert!(json.starts_with(&saved) && saved.contains("shown once"), "{saved}");
}

#[test]
fn an_empty_answer_is_not_saved() {
    for reply in [answer(201, "", ""), b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()] {
        let server = Server::answering(move |_| reply.clone());
        let subject = Subject::new(Who::App, &server.origin(), LONG);
        let error = subject.call().unwrap_err();
        let what =
            format!("the answer (HTTP {}, 0 bytes) makes no sense: it is empty", error.status().unwrap());
        fails(Err::<(), _>(error), ErrorKind::Protocol, &subject.text(&what, "check the URL"), "empty");
        assert_eq!(*lock(&subject.saved), None);
    }
}

#[test]
fn what_could_not_be_saved_is_in_the_error() {
    use std::error::Error as _;
    const TEXT: &str = "could not save the new app credentials, which the server will not show again; \
                        the program that called still has them: make room, or save them elsewhere";
    for body in [GOOD, "welcome", r#"{"client_id":"#] {
        let (whole, part) =
            (answer(200, "", body), [&head("Content-Length: 9999")[..], body.as_bytes()].concat());
        for reply in [whole, part] {
            let server = Server::scripted(move |_| vec![Step::Read, send(&reply)]);
            let flow = AppCredentials::new(&server.origin()).unwrap();
            let full = || Err(io::ErrorKind::StorageFull.into());
            let error = flow.run(&Http::new(), &token("fixed"), |_| full()).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.kind()), (TEXT, ErrorKind::Store));
            assert_eq!(error.unsaved().unwrap().expose(), body.as_bytes());
            assert_eq!(error.source().unwrap().to_string(), "no storage space");
            assert_eq!(server.connections(), 1, "never asked for twice");
        }
    }
}

#[test]
fn retry_after_is_understood_in_both_forms() {
    const YEAR_9999: u64 = 253_402_300_799;
    let now = 1_790_000_000;
    let http_date = |seconds| httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    let cases = [
        ("7".to_owned(), Some(7)),
        ("0".to_owned(), Some(0)),
        (u64::MAX.to_string(), Some(u64::MAX)),
        ("18446744073709551616".to_owned(), None),
        ("-5".to_owned(), None),
        ("1.5".to_owned(), None),
        ("soon".to_owned(), None),
        (String::new(), None),
        (http_date(now + 7), Some(7)),
        (http_date(now - 7), Some(0)),
        (http_date(YEAR_9999), Some(YEAR_9999 - now)),
        ("Sunday, 06-Nov-94 08:49:37 GMT".to_owned(), Some(0)),
        ("Thu, 99 Foo 2026 08:49:37 GMT".to_owned(), None),
    ];
    in_parallel(&cases, |(value, expected)| {
        let reply = answer(429, &format!("Retry-After: {value}"), "");
        let server = Server::answering(move |_| reply.clone());
        let clock = keyfob::Clock::manual(SystemTime::UNIX_EPOCH + Duration::from_secs(now));
        let within = if expected > &Some(0) { SHORT } else { LONG };
        let http = Http::new().with_clock(clock).with_timeout(within);
        let (result, took) = timed(|| BasicToken::new(&server.origin(), "ada", "pass").unwrap().run(&http));
        in_time(took, within, value);
        let error = result.unwrap_err();
        assert_eq!(error.retry_after(), expected.map(Duration::from_secs), "{value}");
        let next =
            expected.map_or("try again later".to_owned(), |seconds| format!("try again in {seconds} s"));
        let text = format!(
            "could not get a token for the user name and password at {}: it asked to slow down (HTTP 429); {next}",
            server.origin()
        );
        fails(Err::<(), _>(error), ErrorKind::RateLimited, &text, value);
        let tries = server.requests().len();
        match expected {
            Some(1..) => assert_eq!(tries, 1, "{value}: past the deadline, so not waited for"),
            Some(0) | None => assert_eq!(tries, 3, "{value}"),
        }
    });
}

#[test]
fn redirects_are_never_followed() {
    let second = Server::answering(|_| answer(200, "", GOOD));
    let mut redirected = 0;
    let port = second.port();
    let targets = [
        format!("http://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("http://ada:password@127.0.0.1:{port}/"),
    ];
    for (status, target) in
        [301, 302, 303, 307, 308].iter().flat_map(|s| targets.iter().map(move |t| (*s, t)))
    {
        let reply = answer(status, &format!("Location: {target}"), "");
        let first = Server::answering(move |_| reply.clone());
        for who in [Who::Basic, Who::Assertion, Who::App] {
            let subject = Subject::new(who, &first.origin(), LONG);
            let what = format!("it redirects (HTTP {status}), which is not followed");
            let text = subject.text(&what, "check the URL, a '/' at its end included");
            fails(subject.call(), ErrorKind::Protocol, &text, target);
        }
        let agent = signed_agent(&first, Fixed("fixed")).build().unwrap();
        let url = first.origin();
        for answered in [
            agent.get(&url).call(),
            agent.post(&url).send("body"),
            agent.get(&url).config().max_redirects(9).build().call(),
            agent.post(&url).config().max_redirects(9).build().send("body"),
        ] {
            assert_eq!(answered.unwrap().status(), status);
        }
        assert_eq!(first.requests().len(), 7, "{status} to {target}");
        redirected += 7;
    }
    println!("{redirected} requests redirected, {} at the second origin", second.connections());
    assert_eq!(second.connections(), 0);
}

/// Signs for the server, with a header like Spacebring's network.
fn signed_agent(server: &Server, source: impl TokenSource + 'static) -> AgentBuilder {
    AgentBuilder::new(Http::new(), Auth::Bearer(Arc::new(source)))
        .with_origin(&server.origin())
        .and_then(|agent| agent.with_header("spacebring-network-id", "a network"))
        .unwrap()
        .with_deadline(LONG)
}

/// Hands out `token-0`, and the next one each time the current one is refused.
#[derive(Clone, Default)]
struct Renewing {
    renewals: Arc<AtomicUsize>,
    expires_at: Option<SystemTime>,
}

impl Renewing {
    fn renewals(&self) -> usize {
        self.renewals.load(SeqCst)
    }
}

impl TokenSource for Renewing {
    fn token(&self, _: Duration) -> Result<Arc<Token>, Error> {
        let token = token(&format!("token-{}", self.renewals()));
        Ok(Arc::new(match self.expires_at {
            Some(at) if self.renewals() == 0 => token.with_expires_at(at),
            _ => token,
        }))
    }

    fn invalidate(&self, used: &Token) {
        let current = format!("token-{}", self.renewals());
        assert_eq!(used.access_token().expose(), current.as_bytes(), "only the current one is refused");
        self.renewals.fetch_add(1, SeqCst);
    }
}

fn only_for_token_1() -> Server {
    Server::answering(|request| {
        answer(if request.header("authorization") == Some("Bearer token-1") { 200 } else { 401 }, "", "")
    })
}

/// The tokens that came, in order.
fn tokens(server: &Server) -> Vec<String> {
    let bearer =
        |request: &Request| request.header("authorization").map(|value| value.replace("Bearer ", ""));
    server.requests().iter().map(|request| bearer(request).unwrap_or_default()).collect()
}

#[track_caller]
fn ends_with_status<T: Debug>(result: Result<T, ureq::Error>, status: u16) {
    match result {
        Err(ureq::Error::StatusCode(code)) => assert_eq!(code, status),
        other => panic!("{status} expected: {other:?}"),
    }
}

#[test]
fn a_refused_token_is_replaced_once_and_the_request_repeated_once() {
    let past = Some(SystemTime::UNIX_EPOCH);
    let invalid = r#"WWW-Authenticate: Bearer realm="a", error="invalid_token""#;
    let two = "WWW-Authenticate: Basic\r\nWWW-Authenticate: Bearer error=\"invalid_token\"";
    let scope = r#"WWW-Authenticate: Bearer error="insufficient_scope""#;
    for (status, headers, expires_at, replaced) in [
        (401, "", None, true),
        (401, scope, None, true),
        (403, "", None, false),
        (403, scope, None, false),
        (403, invalid, None, true),
        (403, two, None, true),
        (403, "", past, true),
        (400, invalid, past, false),
        (404, "", past, false),
    ] {
        for always in [false, true] {
            let refusal = answer(status, headers, "no");
            let server = Server::answering(move |request| {
                let good = !always && request.header("authorization") == Some("Bearer token-1");
                if good { answer(200, "", "yes") } else { refusal.clone() }
            });
            let source = Renewing { expires_at, ..Renewing::default() };
            let agent = signed_agent(&server, source.clone()).build().unwrap();
            let result = agent.get(server.origin()).call();
            if replaced && !always {
                assert_eq!(result.unwrap().body_mut().read_to_string().unwrap(), "yes");
            } else {
                ends_with_status(result, status);
            }
            let expected: &[&str] = if replaced { &["token-0", "token-1"] } else { &["token-0"] };
            assert_eq!(tokens(&server), expected, "{status} {headers}");
            assert_eq!(server.connections(), 1, "the connection is kept");
        }
    }
}

#[test]
fn an_endpoint_that_always_says_401_forces_one_token_unless_a_call_succeeds() {
    let server = Server::answering(|request| {
        answer(if request.head.starts_with("GET /good ") { 200 } else { 401 }, "", "")
    });
    let source = Renewing::default();
    let agent = signed_agent(&server, source.clone()).build().unwrap();
    let bad = || ends_with_status(agent.get(server.origin()).call(), 401);
    for _ in 0..20 {
        bad();
    }
    assert_eq!((source.renewals(), server.requests().len()), (1, 21));
    agent.get(format!("{}/good", server.origin())).call().unwrap();
    for _ in 0..20 {
        bad();
    }
    assert_eq!((source.renewals(), server.requests().len()), (2, 43));
}

#[test]
fn a_success_elsewhere_does_not_allow_another_forced_token() {
    let server = Server::answering(|_| answer(401, "", ""));
    let elsewhere = Server::answering(|_| answer(200, "", ""));
    let source = Renewing::default();
    let agent = signed_agent(&server, source.clone()).build().unwrap();
    for _ in 0..3 {
        ends_with_status(agent.get(server.origin()).call(), 401);
        agent.get(elsewhere.origin()).call().unwrap();
    }
    assert_eq!(source.renewals(), 1);
}

/// Both threads have looked for another token before one of them makes the source forget the old one, slowly.
struct SlowToForget {
    calls: AtomicUsize,
    both_looked: Barrier,
    forgotten: AtomicBool,
}

impl TokenSource for SlowToForget {
    fn token(&self, _: Duration) -> Result<Arc<Token>, Error> {
        let name = if self.forgotten.load(SeqCst) { "token-1" } else { "token-0" };
        if (2..4).contains(&self.calls.fetch_add(1, SeqCst)) {
            self.both_looked.wait();
        }
        Token::new(name, SystemTime::UNIX_EPOCH).map(Arc::new)
    }

    fn invalidate(&self, _: &Token) {
        thread::sleep(Duration::from_millis(100));
        self.forgotten.store(true, SeqCst);
    }
}

#[test]
fn a_thread_that_is_refused_waits_for_one_that_forces_a_new_token() {
    let together = Barrier::new(2);
    let server = Server::answering(move |request| {
        let old = request.header("authorization") == Some("Bearer token-0");
        if old {
            together.wait();
        }
        answer(if old { 401 } else { 200 }, "", "")
    });
    let source = SlowToForget { calls: 0.into(), both_looked: Barrier::new(2), forgotten: false.into() };
    let agent = signed_agent(&server, source).build().unwrap();
    in_parallel(&[(), ()], |()| assert_eq!(agent.get(server.origin()).call().unwrap().status(), 200));
}

#[test]
fn threads_that_are_refused_at_once_share_one_new_token() {
    const THREADS: usize = 16;
    let together = Barrier::new(THREADS);
    let server = Server::answering(move |request| {
        let old = request.header("authorization") == Some("Bearer token-0");
        if old {
            together.wait();
        }
        answer(if old { 401 } else { 200 }, "", "")
    });
    let source = Renewing::default();
    let agent = signed_agent(&server, source.clone()).build().unwrap();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| agent.get(server.origin()).call().unwrap());
        }
    });
    assert_eq!(source.renewals(), 1);
}

#[test]
fn a_body_up_to_64_kib_is_repeated_as_it_was() {
    for len in [0, 1, 64 * 1024] {
        let body: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let server = only_for_token_1();
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let agent = signed_agent(&server, Renewing::default()).build().unwrap();
            let before = server.requests().len();
            if method == "DELETE" {
                agent.delete(server.origin()).force_send_body().send(&body[..]).unwrap();
            } else {
                let request = HttpRequest::builder().method(method).uri(server.origin());
                agent.run(request.body(&body[..]).unwrap()).unwrap();
            }
            let requests = &server.requests()[before..];
            assert_eq!(requests.len(), 2, "{method}");
            for request in requests {
                assert_eq!((request.method(), &request.body), (method, &body));
                let length = request.header("content-length").map_or(0, |len| len.parse().unwrap());
                assert_eq!((length, request.header("transfer-encoding")), (len, None), "{method}");
            }
        }
    }
}

/// A body that takes its time, or fails.
struct Slow(Duration, io::Result<()>);

impl io::Read for Slow {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        thread::sleep(std::mem::take(&mut self.0));
        std::mem::replace(&mut self.1, Ok(())).map(|()| 0)
    }
}

#[test]
fn the_deadline_begins_when_the_body_is_there() {
    let server = Server::answering(|_| answer(200, "", ""));
    let agent = signed_agent(&server, Fixed("fixed")).with_deadline(NOISE).build().unwrap();
    let send = |body| agent.post(server.origin()).send(ureq::SendBody::from_owned_reader(body));
    send(Slow(NOISE, Ok(()))).unwrap();
    assert_eq!(server.requests().len(), 1);
    let broken = send(Slow(Duration::ZERO, Err(io::Error::other("expired"))));
    let text = "the body of the request could not be read: other error; nothing was sent";
    fails(broken.map_err(classify), ErrorKind::InvalidInput, text, "a body that fails");
    assert_eq!(server.requests().len(), 1);
    // One that is sent as it comes.
    let long = io::repeat(b'x').take(100_000).chain(Slow(Duration::ZERO, Err(io::Error::other("expired"))));
    let broken = agent.post(server.origin()).send(ureq::SendBody::from_owned_reader(long));
    let text = format!("the API call failed: the network failed (other error); {CHECK}");
    // The system's TLS library wraps its own errors so, too, and there they cannot be told apart.
    if !cfg!(feature = "native-tls") {
        fails(broken.map_err(classify), ErrorKind::Network, &text, "a long body that fails");
    }
}

#[test]
fn a_larger_body_is_sent_once_and_the_next_call_has_a_new_token() {
    let body = vec![b'x'; 64 * 1024 + 1];
    let server = only_for_token_1();
    for length in [None, Some(body.len().to_string())] {
        let agent = signed_agent(&server, Renewing::default()).build().unwrap();
        let post = || match &length {
            Some(length) => agent.post(server.origin()).header("content-length", length).send(&body),
            None => agent.post(server.origin()).send(&body),
        };
        let before = server.requests().len();
        ends_with_status(post(), 401);
        post().unwrap();
        let requests = &server.requests()[before..];
        assert_eq!(tokens(&server)[before..], ["token-0", "token-1"]);
        for request in requests {
            assert_eq!(request.header("content-length"), length.as_deref());
            assert!(request.body.len() >= body.len());
        }
    }
}

/// Runs a request, with a body where there may be one, and reads the answer, so that the connection is kept.
fn call(agent: &Agent, method: &str, url: &str) -> Result<String, ureq::Error> {
    let request = HttpRequest::builder().method(method).uri(url);
    match method {
        "POST" | "PUT" | "PATCH" => agent.run(request.body("body").unwrap()),
        _ => agent.run(request.body(()).unwrap()),
    }
    .and_then(|mut response| response.body_mut().read_to_string())
}

#[test]
fn only_what_can_be_repeated_is_repeated() {
    let safe = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"];
    let cases: Vec<_> = safe.iter().chain(&["POST", "PATCH"]).map(|it| (*it, safe.contains(it))).collect();
    in_parallel(&cases, |(method, safe)| {
        for status in [429, 502, 503, 504, 500, 501, 505, 400] {
            let repeated = status == 429 || (502..=504).contains(&status) && *safe;
            for bad in [1, 2, 3] {
                let count = AtomicUsize::new(0);
                let server = Server::answering(move |_| {
                    answer(if count.fetch_add(1, SeqCst) < bad { status } else { 200 }, "Retry-After: 0", "")
                });
                let agent = signed_agent(&server, Fixed("fixed")).build().unwrap();
                let result = call(&agent, method, &server.origin());
                let most = if status == 429 { usize::MAX } else { 3 };
                let tries = if repeated { (bad + 1).min(most) } else { 1 };
                let requests = server.requests();
                assert_eq!(requests.len(), tries, "{method} {status} {bad} times: {requests:?}");
                if tries > bad {
                    result.unwrap();
                } else {
                    ends_with_status(result, status);
                }
            }
        }
        for script in [vec![Step::Reset], vec![Step::Read]] {
            let server = Server::scripted(move |_| script.clone());
            let agent = signed_agent(&server, Fixed("fixed")).build().unwrap();
            let error = classify(call(&agent, method, &server.origin()).unwrap_err());
            let text = "the API call failed: the connection was cut off; try again";
            fails(Err::<(), _>(error), ErrorKind::Network, text, method);
            assert_eq!(server.requests().len(), if *safe { 3 } else { 1 }, "{method}");
        }
    });
}

#[test]
fn a_dropped_connection_costs_one_more_and_no_call() {
    let ok = || send(answer(200, "", "ok"));
    let scripts = [
        ("reset at the next request", vec![Step::Read, ok(), Step::Reset]),
        ("closed at the next request", vec![Step::Read, ok(), Step::Read]),
        ("closed in the next answer", vec![Step::Read, ok(), Step::Read, send("HTTP/1.1 2")]),
        ("closed after each answer", vec![Step::Read, ok()]),
    ];
    in_parallel(&scripts, |(name, script)| {
        for method in ["GET", "PUT"] {
            let script = script.clone();
            let server = Server::scripted(move |_| script.clone());
            let agent = signed_agent(&server, Fixed("fixed")).build().unwrap();
            for number in 1..=50 {
                let before = server.connections();
                let text = call(&agent, method, &server.origin());
                assert_eq!(text.unwrap_or_else(|error| panic!("{name}, {number}: {error}")), "ok");
                assert!(server.connections() <= before + 1, "{name}, {number}");
            }
            let requests = if name.contains("next") { 99 } else { 50 };
            assert_eq!((server.requests().len(), server.connections()), (requests, 50), "{name}");
        }
        let script = script.clone();
        let server = Server::scripted(move |_| script.clone());
        let agent = signed_agent(&server, Fixed("fixed")).build().unwrap();
        let done = (0..10).filter(|_| call(&agent, "POST", &server.origin()).is_ok()).count();
        assert!(server.requests().len() <= 10, "{name}: no POST is sent twice");
        assert!(done >= 5, "{name}: {done}");
    });
}

#[test]
fn many_dropped_connections_cost_a_call_no_more_than_one() {
    let all = Arc::new(Barrier::new(8));
    let server = Server::scripted(move |connection| match connection {
        0..8 => vec![Step::Read, Step::Meet(all.clone()), send(answer(200, "", "ok")), Step::Reset],
        _ => vec![Step::Read, send(answer(200, "", "ok"))],
    });
    let agent = signed_agent(&server, Fixed("fixed")).build().unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| call(&agent, "GET", &server.origin()).unwrap());
        }
    });
    assert_eq!(server.connections(), 8);
    call(&agent, "GET", &server.origin()).unwrap();
    assert_eq!((server.connections(), server.requests().len()), (9, 10));
}

#[test]
fn what_is_left_on_a_connection_is_never_taken_for_an_answer() {
    let stale = answer(200, "", "stale");
    let cases = [
        ("GET", answer(200, "", "right")),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
        ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nstale".to_vec()),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n".to_vec()),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_vec()),
        ("GET", answer(503, "Retry-After: 0", "no")),
        ("GET", answer(401, "", "no")),
    ];
    for (method, first) in cases {
        // Another answer comes with the first one, or shortly after.
        for later in [0, 10].map(Duration::from_millis) {
            if first == answer(401, "", "no") && !later.is_zero() {
                // The repeat is on its way by then, and the server has answered it.
                continue;
            }
            let (first, stale) = (first.clone(), stale.clone());
            let server = Server::scripted(move |connection| match connection {
                0 if later.is_zero() => vec![Step::Read, send([&first[..], &stale].concat()), Step::Hold],
                0 => vec![Step::Read, send(&first), Step::Pause(later), send(&stale), Step::Hold],
                _ => vec![Step::Serve(Arc::new(|_| answer(200, "", "right")))],
            });
            let agent = signed_agent(&server, Renewing::default()).build().unwrap();
            let text = call(&agent, method, &server.origin()).unwrap();
            assert!(text == "right" || text.is_empty(), "{method}: {text}");
            thread::sleep(10 * later);
            assert_eq!(call(&agent, "GET", &server.origin()).unwrap(), "right", "{method}, {later:?}");
        }
    }
}

#[test]
fn another_origin_gets_neither_token_nor_header() {
    let (api, other) =
        (Server::answering(|_| answer(200, "", "")), Server::answering(|_| answer(401, "", "")));
    let source = Renewing::default();
    let agent = signed_agent(&api, source.clone()).build().unwrap();
    agent.get(format!("{}/path", api.origin())).call().unwrap();
    agent.get(api.origin()).header("authorization", "Bearer mine").call().unwrap();
    let by_name = format!("http://localhost:{}", api.port());
    agent.get(&by_name).call().unwrap();
    ends_with_status(agent.get(other.origin()).call(), 401);
    ends_with_status(agent.post(other.origin()).send("body"), 401);
    let signed = |request: &Request| {
        (request.header("authorization"), request.header("spacebring-network-id"))
            == (Some("Bearer token-0"), Some("a network"))
    };
    let bare = |request: &Request| {
        (request.header("authorization"), request.header("spacebring-network-id")) == (None, None)
    };
    let requests = api.requests();
    assert!(signed(&requests[0]) && signed(&requests[1]) && bare(&requests[2]), "{requests:?}");
    assert!(other.requests().iter().all(bare) && other.requests().len() == 2);
    assert_eq!(source.renewals(), 0, "a 401 from elsewhere says nothing about the token");
}

#[test]
fn a_url_that_may_not_be_asked_is_refused() {
    let server = Server::answering(|_| answer(200, "", ""));
    let agent = signed_agent(&server, Fixed("fixed")).build().unwrap();
    let port = server.port();
    for (url, why) in [
        (
            format!("http://ada:password@127.0.0.1:{port}/"),
            "holds a user name or password: give credentials separately",
        ),
        (
            format!("http://127.0.0.1:{port}@127.0.0.1:{port}/"),
            "holds a user name or password: give credentials separately",
        ),
        (
            "http://192.0.2.1/".to_owned(),
            "is plain http, which is allowed for 127.0.0.1, [::1] and localhost only: use https",
        ),
        (
            format!("http://127.0.0.1.:{port}/"),
            "is plain http, which is allowed for 127.0.0.1, [::1] and localhost only: use https",
        ),
        ("/path".to_owned(), "is not absolute: it needs https:// and a host"),
        (format!("ftp://127.0.0.1:{port}/"), "is neither https nor http"),
    ] {
        let error = agent.get(&url).call().map_err(classify);
        fails(error, ErrorKind::InvalidInput, &format!("the URL of the request {why}"), &url);
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_status_is_an_error_or_an_answer_by_the_agents_switch_alone() {
    for status in [400, 403, 404, 429, 500, 503] {
        let server = Server::answering(move |_| answer(status, "A: b\r\nRetry-After: 9999", "the reason"));
        let agent =
            |as_error| signed_agent(&server, Fixed("fixed")).with_status_as_error(as_error).build().unwrap();
        let url = server.origin();
        ends_with_status(agent(true).get(&url).call(), status);
        ends_with_status(agent(true).get(&url).config().http_status_as_error(false).build().call(), status);
        for own in [None, Some(true)] {
            let agent = agent(false);
            let mut response = match own {
                None => agent.get(&url).call(),
                Some(own) => agent.get(&url).config().http_status_as_error(own).build().call(),
            }
            .unwrap();
            assert_eq!(
                (response.status().as_u16(), &response.headers()["a"]),
                (status, &"b".parse().unwrap())
            );
            assert_eq!(response.body_mut().read_to_string().unwrap(), "the reason");
        }
        assert_eq!(server.requests().len(), 4, "{status}: what is past the deadline is not waited for");
        let kind = if status == 429 { ErrorKind::RateLimited } else { ErrorKind::ApiStatus };
        let next = match status {
            401 | 403 => "check what these credentials may do",
            429 | 500.. => "try again later",
            _ => "check the URL and the request",
        };
        let error = agent(true).get(&url).call().map_err(classify);
        fails(error, kind, &format!("the API answered HTTP {status}; {next}"), "a status");
    }
}

#[test]
fn what_the_server_said_before_it_fell_silent_stands() {
    const WITHIN: Duration = Duration::from_secs(1);
    let server = || {
        Server::scripted(|connection| match connection {
            0 => vec![Step::Read, send(answer(429, "Retry-After: 0\r\nConnection: close", "slow down"))],
            _ => vec![Step::Hold],
        })
    };
    in_parallel(&[Who::Basic, Who::Assertion], |who| {
        let server = server();
        let subject = Subject::new(*who, &server.origin(), WITHIN);
        let (result, took) = timed(|| subject.call());
        in_time(took, WITHIN, "429, then silence");
        let text = subject.text("it asked to slow down (HTTP 429)", "try again in 0 s");
        fails(result, ErrorKind::RateLimited, &text, "429, then silence");
    });
    in_parallel(&[true, false], |&as_error| {
        let server = server();
        let agent =
            signed_agent(&server, Fixed("fixed")).with_deadline(WITHIN).with_status_as_error(as_error);
        let agent = agent.build().unwrap();
        let (result, took) = timed(|| agent.post(server.origin()).send("body"));
        in_time(took, WITHIN, "429, then silence");
        match result {
            // Its body has been read by then, and half an answer is none.
            Err(ureq::Error::Timeout(_)) if !as_error => {}
            Ok(mut response) if !as_error => {
                assert_eq!(response.body_mut().read_to_string().unwrap(), "slow down");
            }
            result => ends_with_status(result, 429),
        }
    });
}

#[test]
fn a_requests_own_time_out_holds_for_each_attempt() {
    let own = Duration::from_millis(600);
    let slow = Server::scripted(move |connection| {
        let reply = if connection < 2 {
            answer(503, "Retry-After: 0\r\nConnection: close", "")
        } else {
            answer(200, "", "")
        };
        vec![Step::Read, Step::Pause(own / 3), send(reply)]
    });
    let agent = signed_agent(&slow, Fixed("fixed")).build().unwrap();
    let get = |server: &Server| agent.get(server.origin()).config().timeout_global(Some(own)).build().call();
    let (result, took) = timed(|| get(&slow));
    assert_eq!(result.unwrap().status(), 200);
    assert!(took > own, "{took:?}");

    let silent = Server::scripted(|_| vec![Step::Hold]);
    let (result, took) = timed(|| get(&silent));
    in_time(took, own, "a request's own time-out");
    let text = format!("the API call failed: no complete answer in time; {CHECK}");
    fails(result.map_err(classify), ErrorKind::Timeout, &text, "silence");
    // The agent's deadline is the sooner one.
    let agent = signed_agent(&silent, Fixed("fixed")).with_deadline(own / 2).build().unwrap();
    let (result, took) =
        timed(|| agent.get(silent.origin()).config().timeout_global(Some(LONG)).build().call());
    in_time(took, own / 2, "the agent's deadline");
    fails(result.map_err(classify), ErrorKind::Timeout, &text, "silence");
}

#[test]
fn a_refusal_whose_body_never_comes_ends_in_time() {
    for status in [400, 401, 429, 503] {
        let reply = format!("HTTP/1.1 {status} No\r\nRetry-After: 0\r\nContent-Length: 9\r\n\r\nno");
        let server = Server::scripted(move |_| vec![Step::Read, send(&reply), Step::Hold]);
        let agent = signed_agent(&server, Renewing::default()).with_deadline(SHORT).build().unwrap();
        let (result, took) = timed(|| agent.get(server.origin()).call().map_err(classify));
        in_time(took, SHORT, "a refusal");
        let kind = result.unwrap_err().kind();
        assert!(
            matches!(kind, ErrorKind::ApiStatus | ErrorKind::RateLimited | ErrorKind::Timeout),
            "{kind:?}"
        );
    }
}

#[test]
fn a_body_that_the_server_does_not_take_ends_in_time() {
    let deaf = Server::scripted(|_| vec![Step::Pause(2 * SHORT)]);
    let agent = signed_agent(&deaf, Fixed("fixed")).with_deadline(SHORT).build().unwrap();
    let (result, took) = timed(|| agent.put(deaf.origin()).send(vec![0; 16 << 20]));
    in_time(took, SHORT, "a deaf server");
    let text = format!("the API call failed: no complete answer in time; {CHECK}");
    fails(result.map_err(classify), ErrorKind::Timeout, &text, "a deaf server");
}

#[test]
fn the_deadline_of_a_call_covers_the_token_exchange() {
    let silent = Server::scripted(|_| vec![Step::Hold]);
    let http = Http::new();
    let flow = ClientAssertion::new(&silent.origin(), "id", "k".repeat(32)).unwrap();
    let agent = signed_agent(&silent, CachingSource::new(http, flow)).with_deadline(SHORT).build().unwrap();
    let (result, took) = timed(|| agent.get(silent.origin()).call().map_err(classify));
    in_time(took, SHORT, "a token exchange");
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let (origin, text) = (silent.origin(), error.to_string());
    let start =
        format!("could not get a token with a client assertion at {origin}: no complete answer within ");
    let seconds = text.strip_prefix(&start).and_then(|rest| rest.strip_suffix(&format!(" s; {CHECK}")));
    assert!(matches!(seconds, Some("0.4" | "0.39" | "0.38")), "{text}");
}

#[test]
fn what_a_caller_cannot_read_is_called_what_it_is() {
    let server = Server::answering(|_| answer(200, "", "x".repeat(100)));
    let agent = signed_agent(&server, Fixed("fixed")).build().unwrap();
    let response = || agent.get(server.origin()).call().unwrap();
    let long = response().body_mut().with_config().limit(99).read_to_vec().map_err(classify);
    fails(
        long,
        ErrorKind::Protocol,
        "the API call failed: the answer is longer than the caller's limit; raise the limit",
        "long",
    );
    let json = response().body_mut().read_json::<serde_json::Value>().map_err(classify);
    fails(
        json,
        ErrorKind::Protocol,
        "the API call failed: the answer is not the JSON that was expected; check the URL",
        "JSON",
    );
}

#[test]
fn a_source_that_has_no_other_token_causes_no_repeat() {
    let server = Server::answering(|_| answer(401, "", ""));
    let agent = signed_agent(&server, Fixed("fixed")).build().unwrap();
    ends_with_status(agent.get(server.origin()).call(), 401);
    assert_eq!(tokens(&server), ["fixed"]);
}

/// What a process may take at most, in KiB, and what a call may add.
const MOST_MEMORY: u64 = 16 * 1024;
const MORE_MEMORY: u64 = 6 * 1024;

/// Tells the child of the next test whom to call where.
const CHILD: &str = "KEYFOB_TEST_CHILD";

#[test]
#[cfg(target_os = "linux")]
fn memory_is_bounded_whatever_the_server_sends() {
    let flood = |first: Vec<u8>, then: &str| Step::Flood(first, then.into());
    let chunked = head("Transfer-Encoding: chunked");
    let deep = answer(200, "", [&br#"{"detail":"#[..], &b"[".repeat(1_000_000)].concat());
    let floods = [
        ("a body", flood(head("A: b"), " ")),
        ("a body of text", flood([&head("A: b")[..], br#"{"detail":""#].concat(), "x")),
        ("a length past all counting", flood(head("Content-Length: 9223372036854775807"), " ")),
        ("chunks", flood(chunked.clone(), "1\r\n \r\n")),
        ("trailers", flood([&chunked[..], b"1\r\n{\r\n0\r\n"].concat(), "A: b\r\n")),
        ("header fields", flood(b"HTTP/1.1 200 OK\r\n".to_vec(), "A: b\r\n")),
        ("a header field", flood(b"HTTP/1.1 200 OK\r\nA: ".to_vec(), "b")),
        ("interim answers", flood(vec![], "HTTP/1.1 103 Early Hints\r\n\r\n")),
        ("a refusal", flood(b"HTTP/1.1 503 No\r\n\r\n".to_vec(), "x")),
        (
            "a refusal of a length",
            flood(b"HTTP/1.1 401 No\r\nContent-Length: 999999999\r\n\r\n".to_vec(), "x"),
        ),
        ("deep JSON", send(deep)),
        ("a gzip bomb", send(answer(200, "Content-Encoding: gzip", gzip_bomb()))),
    ];
    let cases: Vec<_> = floods.iter().flat_map(|flood| EVERYONE.map(|who| (who, flood))).collect();
    let worst = Mutex::new((0, 0));
    in_parallel(&cases, |(who, (name, step))| {
        // An answer of an API is its caller's to read, and to limit.
        if *who == Who::Agent && name.contains("gzip") {
            return;
        }
        let step = step.clone();
        let server = Server::scripted(move |connection| match connection {
            0 => well(),
            _ => vec![Step::Read, step.clone()],
        });
        let told = format!("{who:?} {}", server.origin());
        let output = child("child_of_the_memory_test").env(CHILD, told).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let line =
            text.lines().find_map(|line| line.strip_prefix("VmHWM ")).unwrap_or_else(|| panic!("{output:?}"));
        let (before, after) = line.split_once(' ').unwrap();
        let (before, after): (u64, u64) = (before.parse().unwrap(), after.parse().unwrap());
        let mut worst = lock(&worst);
        *worst = (worst.0.max(after), worst.1.max(after - before));
        assert!(after - before <= MORE_MEMORY, "{who:?}, {name}: {before} KiB to {after} KiB");
        assert!(after <= MOST_MEMORY, "{who:?}, {name}: {after} KiB");
    });
    let (most, more) = *lock(&worst);
    println!("at most {most} KiB, of which {more} KiB for the call");
}

#[test]
#[ignore = "run by `memory_is_bounded_whatever_the_server_sends`, in a process of its own"]
fn child_of_the_memory_test() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let (who, origin) = told.split_once(' ').unwrap();
    let who = EVERYONE.into_iter().find(|known| format!("{known:?}") == who).unwrap();
    let subject = Subject::new(who, origin, Duration::from_secs(2));
    subject.call().expect("the first call is answered well");
    let before = memory("VmHWM");
    // Deep JSON is an answer like any other to the agent, and a revocation is acknowledged by its status.
    assert!(subject.call().is_err() || matches!(who, Who::Agent | Who::Revoke));
    println!("\nVmHWM {before} {}", memory("VmHWM"));
}

/// 1 MiB, less a little, of gzip that decodes to 165 MiB of zeroes (RFC 1951, RFC 1952).
fn gzip_bomb() -> Vec<u8> {
    let mut bytes = b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec();
    let (mut bits, mut count) = (0_u32, 0);
    let mut put = |value: u32, len: u32| {
        bits |= value << count;
        count += len;
        while count >= 8 {
            bytes.push(u8::try_from(bits & 0xff).unwrap());
            bits >>= 8;
            count -= 8;
        }
    };
    // The last block, with fixed codes; a zero byte; then 258 bytes from one byte back, over and over.
    put(0b011, 3);
    put(0b0000_1100, 8);
    for _ in 0..640_000 {
        put(0b1010_0011, 8);
        put(0, 5);
    }
    // The end of the block, and a checksum that nobody should get to.
    put(0, 7 + 8);
    bytes.extend([0; 8]);
    bytes
}
