//! Every flow and the agent against every fault of a server: each ends with the right error, in time, and
//! nothing is lost.

#![allow(clippy::disallowed_methods, reason = "deadlines are measured on the machine's clock")]

#[path = "support/port.rs"]
mod port;
#[path = "support/subject.rs"]
mod subject;
mod support;

use std::collections::HashSet;
use std::fmt::Debug;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyfob::spatiafi::{BasicToken, CreateClient};
use keyfob::{Error, ErrorKind, Transport};
use port::own_port;
use subject::*;
use support::*;

/// How much of an answer arrives.
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
    /// The number of tries that flows make if they may be repeated.
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
    let long_header =
        |name, script| senseless(name, Head, "the header of the answer is longer than 16383 bytes", script);
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
        stall(
            "a dripped body",
            Body,
            vec![Read, send(head("A: b")), Drip(format!("{GOOD:>300}").into(), OFTEN)],
        ),
        stall(
            "100 now and then",
            Head,
            vec![Read, Drip(b"HTTP/1.1 100 Continue\r\n\r\n".repeat(90), OFTEN / 5)],
        ),
        senseless(
            "trailers for ever",
            Body,
            "the trailer of the answer is longer than 64 KiB",
            flood([&head(CHUNKED)[..], b"1\r\n{\r\n0\r\n"].concat(), "A: b\r\n"),
        ),
        senseless(
            "a chunk extension for ever",
            Body,
            "the size line of a chunk is longer than 16 KiB",
            flood([&head(CHUNKED)[..], b"1;a="].concat(), "b"),
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
        not_http("NUL in a header field", head("A: b\0")),
        bad_chunk("the size of a chunk is no number", "ten\r\n{\r\n"),
        bad_chunk("the size of a chunk is past all counting", "fffffffffffffffff\r\n{\r\n"),
        bad_chunk("a chunk is longer than it says", "1\r\n{}}\r\n0\r\n\r\n"),
        long_header("a header field for ever", flood(b"HTTP/1.1 200 OK\r\nA: ".to_vec(), "b")),
        long_header("a status line for ever", flood(b"HTTP/1.1 200 ".to_vec(), "O")),
        long_header("100 for ever", flood(vec![], "HTTP/1.1 100 Continue\r\n\r\n")),
        long_header(
            "103 with fields for ever",
            flood(vec![], "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
        ),
        long_header("empty lines for ever", flood(vec![], "\r\n")),
        too_long("a body for ever", flood(head("A: b"), " ")),
        too_long("a body of 2 MiB", flood(head("Content-Length: 2097152"), " ")),
        too_long("chunks for ever", flood(head(CHUNKED), &format!("1000\r\n{:4096}\r\n", ""))),
    ]
}

/// The head of a 200 answer.
fn head(fields: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n").into_bytes()
}

/// Checks that each try had an assertion of its own.
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

/// On a busy machine the server may count its connections only after the call has ended.
#[track_caller]
fn connected(server: &Server, times: usize, name: &str) {
    let end = std::time::Instant::now() + LONG;
    while server.connections() < times && std::time::Instant::now() < end {
        thread::yield_now();
    }
    assert_eq!(server.connections(), times, "{name}");
}

/// Calls, compares the error, and calls again once the server works.
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
    // An answer that the server gives only once is read as long as bytes arrive.
    let arrives = fault.script.iter().any(|step| matches!(step, Step::Drip(..)));
    in_time(took, if arrives && !who.repeats() { within + LATE } else { within }, &name);
    // The status alone acknowledges a revocation.
    if who == Who::Revoke && fault.reaches == Reaches::Body {
        result.unwrap_or_else(|error| panic!("{name}: {error}"));
    } else {
        fails(result, fault.kind, &subject.text(fault.what, fault.next), &name);
    }
    let tries = match who {
        Who::Revoke if fault.reaches == Reaches::Body => 1,
        _ if !who.repeats() => 1,
        // The caller reads the body.
        Who::Agent if fault.reaches == Reaches::Body => 1,
        _ => fault.tries,
    };
    connected(&server, tries, &name);
    if who == Who::Assertion {
        never_the_same_jti(&server.requests());
    }
    healthy.store(true, SeqCst);
    // This call has the same short deadline, and the machine may be busy.
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
        // Only the caller limits the size of an API's answer.
        if *who != Who::Agent || !fault.what.contains("1 MiB") {
            endure(*who, fault);
        }
    });
}

#[test]
fn refused_connection_is_tried_again_by_every_flow_and_the_agent() {
    in_parallel(&EVERYONE, |who| {
        let server = Server::late(own_port(), Duration::from_millis(30), |_| well());
        let subject = Subject::new(*who, &server.origin(), LONG);
        subject.call().unwrap_or_else(|error| panic!("{who:?}: {error}"));
        assert_eq!(server.connections(), 1);
    });
    // Nothing listens on the port of a client's connection.
    let server = Server::scripted(|_| vec![Step::Hold]);
    let client = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    let origin = format!("http://{}", client.local_addr().unwrap());
    in_parallel(&EVERYONE, |who| {
        let subject = Subject::new(*who, &origin, LONG);
        let text = subject.text("the connection was refused", CHECK);
        fails(subject.call(), ErrorKind::Network, &text, "refused");
    });
}

/// The buffers of a connection hold secrets as long as the connection is kept.
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
fn connecting_to_a_full_accept_queue_ends_in_time() {
    let Some(full) = FullBacklog::new() else { return println!("skipped: the queue cannot be filled here") };
    in_parallel(&EVERYONE, |who| {
        let subject = Subject::new(*who, &full.origin(), SHORT);
        let (result, took) = timed(|| subject.call());
        in_time(took, SHORT, "a full queue");
        fails(result, ErrorKind::Timeout, &subject.text("no connection in time", CHECK), "a full queue");
    });
}

/// No part of a request is sent before TLS is established, so even a creation of app credentials is repeated.
#[test]
#[cfg(feature = "rustls")]
fn failed_tls_handshake_ends_in_time_and_counts_as_not_sent() {
    use ErrorKind::{Network, Timeout};
    let noise = send("HTTP/1.1 400 Bad Request\r\n\r\n");
    let part = send(b"\x16\x03\x03\x00\x7a\x02\x00");
    let drip = Step::Drip([&b"\x16\x03\x03\x40\x00\x02"[..], &[0; 100]].concat(), Duration::from_millis(10));
    let cases = [
        (vec![Step::Hold], SHORT, Timeout, "TLS was not set up in time", CHECK, 1),
        (vec![part, Step::Hold], SHORT, Timeout, "TLS was not set up in time", CHECK, 1),
        (vec![drip], SHORT, Timeout, "TLS was not set up in time", CHECK, 1),
        (vec![], LONG, Network, "the connection was cut off while TLS was set up", "try again", 3),
        (
            vec![noise, Step::Hold],
            LONG,
            Network,
            "the server does not speak TLS on this port",
            "check the port and the scheme of the URL, and the proxy",
            1,
        ),
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

/// How a connection ends: how many TLS records (RFC 8446 5.1) of the server pass, whether half of the next
/// one passes, whether a broken one comes with the last, and whether the connection is then held or closed.
#[cfg(feature = "rustls")]
#[derive(Clone, Copy, Debug)]
struct Cut {
    records: usize,
    half: bool,
    broken: bool,
    held: bool,
}

/// A proxy for one connection, which it cuts.
#[cfg(feature = "rustls")]
fn cutting(cut: Cut, server: SocketAddr) -> String {
    // The client's next try finds nothing on this port, and neither does another test.
    let listener = TcpListener::bind(own_port()).unwrap();
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
            let mut record = [&header[..], &content].concat();
            if cut.broken && number + 1 == cut.records {
                record.extend(b"\x17\x03\x03\0\x14twenty broken bytes.");
            }
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
            // Waits until the client disconnects.
            let _ = requests.join();
        }
        let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
    });
    format!("http://{addr}")
}

#[test]
#[cfg(feature = "rustls")]
fn tls_connection_cut_or_stalled_at_any_record_ends_in_time_and_is_no_answer() {
    let sandbox = keyfob_sandbox::Sandbox::start_tls();
    let origin = sandbox.auth_url();
    let server: SocketAddr = origin.trim_start_matches("https://").parse().unwrap();
    let trusting = Transport::new().with_ca_file(sandbox.ca_file().unwrap());
    let ends = AtomicUsize::new(0);
    in_parallel(&EVERYONE, |who| {
        let run = |cut: Cut, within| {
            // Nothing listens there for a second try.
            let http = trusting.clone().with_proxy(cutting(cut, server));
            let subject = Subject::on(http, *who, &origin, within);
            let (result, took) = timed(|| subject.call());
            in_time(took, within, &format!("{who:?}, {cut:?} in TLS"));
            // Every answer of the sandbox counts.
            result
                .err()
                .map(|error| error.kind())
                .filter(|kind| [ErrorKind::Network, ErrorKind::Timeout].contains(kind))
        };
        let cut = |records, half, held| Cut { records, half, held, broken: false };
        let whole =
            (0..20).find(|records| run(cut(*records, false, false), LONG).is_none()).expect("an answer");
        assert!(whole >= 4, "{who:?}: handshake and answer have {whole} records");
        for records in 0..whole {
            let end = run(cut(records, false, true), SHORT);
            assert_eq!(end, Some(ErrorKind::Timeout), "{who:?}, {records} records and then nothing");
            // A flow that repeats has also seen the other failures.
            if !who.repeats() {
                assert!(
                    run(cut(records, true, false), LONG).is_some(),
                    "{who:?}, {records} records and a half"
                );
            }
        }
        // A client that knows the length of an answer does not wait for the end of the connection
        // (close_notify).
        assert_eq!(run(cut(whole, false, true), LONG), None, "{who:?}");
        for held in [true, false] {
            let end = run(Cut { broken: true, ..cut(whole, false, held) }, LONG);
            assert_eq!(end, None, "{who:?}, a broken record after the answer");
            let end = run(Cut { broken: true, ..cut(whole - 1, false, held) }, LONG);
            assert_eq!(end, Some(ErrorKind::Network), "{who:?}, a broken record in the answer");
        }
        ends.fetch_add(whole * if who.repeats() { 2 } else { 3 }, SeqCst);
    });
    println!("{} cuts and stalls in TLS", ends.into_inner());
}

#[test]
#[cfg(feature = "rustls")]
fn wrong_certificate_is_reported_by_every_flow_and_no_request_is_sent() {
    use keyfob_sandbox::ServerCertificate::{Expired, NotYetValid, Valid, WrongHost};
    const UNKNOWN: &str = "name the CA file of its authority, or check the proxy";
    let sandbox = keyfob_sandbox::Sandbox::start_tls();
    let trusting = Transport::new().with_ca_file(sandbox.ca_file().unwrap());
    for (certificate, http, kind, what, next) in [
        (
            Expired,
            &trusting,
            ErrorKind::Clock,
            "the server's certificate has expired at this machine's time",
            "set the clock if it is wrong; else the server needs a new certificate",
        ),
        (
            NotYetValid,
            &trusting,
            ErrorKind::Clock,
            "the server's certificate is not valid yet at this machine's time",
            "set the clock, which is probably behind",
        ),
        (
            WrongHost,
            &trusting,
            ErrorKind::Network,
            "the server's certificate is for another host",
            "check the URL",
        ),
        (
            Valid,
            &Transport::new(),
            ErrorKind::Network,
            "the server's certificate is not from a trusted authority",
            UNKNOWN,
        ),
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
fn failing_proxy_is_reported_in_time_and_receives_no_request() {
    use Step::{Drip, Flood, Hold, Read};
    let drip = Drip(answer(200, "", ""), Duration::from_millis(20));
    let long = Flood(b"HTTP/1.1 200 OK\r\nA: ".to_vec(), b"b".to_vec());
    let late = (ErrorKind::Timeout, "the proxy HOST: no connection in time", "check the proxy");
    let status = |what| (ErrorKind::Network, what, "check the proxy");
    let unreachable = |what| (ErrorKind::Network, what, "check the URL and the proxy");
    let denied = (
        ErrorKind::Network,
        "the proxy refused to connect (HTTP 403)",
        "ask the operator of the proxy whether it allows this connection",
    );
    let failed = status("the proxy refused to connect");
    let refused = "the proxy refused the user name and the password (HTTP 407)";
    let unknown = (ErrorKind::Network, refused, "check those in the URL of the proxy");
    let cases = [
        (vec![Read, Hold], SHORT, late),
        (vec![Read, send("HTTP/1.1 200 OK\r\n"), Hold], SHORT, late),
        (vec![Read, drip], SHORT, late),
        (vec![Read], LONG, failed),
        (vec![Read, send(answer(407, "Proxy-Authenticate: Basic", "no"))], LONG, unknown),
        (vec![Read, send(answer(403, "", "no"))], LONG, denied),
        // The bytes after the status need not arrive.
        (vec![Read, send("HTTP/1.1 403 No\r\nA: b\r\n")], LONG, denied),
        (
            vec![Read, send("HTTP/1.1 429 No\r\n"), Hold],
            LONG,
            status("the proxy refused to connect (HTTP 429)"),
        ),
        (
            vec![Read, send(format!("HTTP/1.1 500 No\r\nA: {}", "b".repeat(70_000)))],
            LONG,
            unreachable("the proxy could not connect to the server (HTTP 500)"),
        ),
        (
            vec![Read, send(answer(502, "", ""))],
            LONG,
            unreachable("the proxy could not connect to the server (HTTP 502)"),
        ),
        (
            vec![Read, send(answer(302, "Location: /", ""))],
            LONG,
            status("the proxy refused to connect (HTTP 302)"),
        ),
        (
            vec![Read, send("HTTP/1.1 101 Other\r\n\r\nHTTP/1.1 504\n\n")],
            LONG,
            unreachable("the proxy could not connect to the server (HTTP 504)"),
        ),
        (
            vec![Read, send(answer(405, "Allow: GET", "no"))],
            LONG,
            status("the proxy refused to connect (HTTP 405)"),
        ),
        (
            vec![Read, send("HTTP/1.1 304\r\nA: b\r\n c\r\n\r\n"), Hold],
            LONG,
            status("the proxy refused to connect (HTTP 304)"),
        ),
        (
            vec![Read, send("HTTP/1.0 503 Busy\n\n")],
            LONG,
            unreachable("the proxy could not connect to the server (HTTP 503)"),
        ),
        (vec![Read, Flood(vec![], b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())], LONG, failed),
        (vec![Read, send("SSH-2.0-noise\r\n\r\n")], LONG, failed),
        (vec![Read, long], LONG, failed),
    ];
    let cases: Vec<_> = cases.iter().flat_map(|case| EVERYONE.map(|who| (who, case))).collect();
    in_parallel(&cases, |(who, (script, within, (kind, what, next)))| {
        let script = script.clone();
        let proxy = Server::scripted(move |_| script.clone());
        let http = Transport::new().with_proxy(proxy.origin().replace("//", "//user:pass@"));
        let subject = Subject::on(http, *who, "https://127.0.0.1:1", *within);
        let (result, took) = timed(|| subject.call());
        in_time(took, *within, "a proxy");
        let what = what.replace("HOST", &proxy.origin().replace("http://", ""));
        fails(result, *kind, &subject.text(&what, next), "a proxy");
        let requests = proxy.requests();
        let [request] = &requests[..] else { panic!("{requests:?}") };
        assert!(request.head.starts_with("CONNECT 127.0.0.1:1 HTTP/1.1\r\n"), "{request:?}");
        assert_eq!(request.header("proxy-authorization"), Some("Basic dXNlcjpwYXNz"));
        assert_eq!((request.header("authorization"), request.body.len()), (None, 0));
    });
}

/// A proxy would carry requests for this machine over the network, in clear text.
#[test]
fn plain_http_never_goes_through_a_proxy() {
    in_parallel(&EVERYONE, |who| {
        let server = Server::scripted(|_| well());
        let proxy = Server::scripted(|_| vec![Step::Hold]);
        let http = Transport::new().with_proxy(proxy.origin());
        let subject = Subject::on(http, *who, &server.origin(), LONG);
        subject.call().unwrap_or_else(|error| panic!("{who:?}: {error}"));
        assert_eq!((server.requests().len(), proxy.connections()), (1, 0), "{who:?}");
    });
}

#[test]
fn huge_content_length_is_handled_like_any_other_fault() {
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
fn unusual_but_correct_answers_are_accepted() {
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
fn every_http_status_has_a_defined_error_kind_text_and_number_of_tries() {
    use ErrorKind::{LoginRequired, Protocol, RateLimited, Refused};
    const ADVICE: &str = "";
    const REDIRECT: &str = "check the URL, a '/' at its end included";
    let cases = [
        (
            400,
            r#"{"error":"invalid_client","error_description":"who?"}"#,
            Refused,
            "the server refused (HTTP 400): invalid_client: who?",
            ADVICE,
            1,
        ),
        (
            400,
            r#"{"error":"invalid_grant"}"#,
            LoginRequired,
            "the server refused (HTTP 400): invalid_grant",
            ADVICE,
            1,
        ),
        (
            401,
            r#"{"detail":"Access Denied."}"#,
            Refused,
            "the server refused (HTTP 401): Access Denied",
            ADVICE,
            1,
        ),
        (403, r#"{"message":"."}"#, Refused, "the server refused (HTTP 403)", ADVICE, 1),
        (403, "<html>", Refused, "the server refused (HTTP 403)", ADVICE, 1),
        (404, "", Refused, "the server refused (HTTP 404)", "check the URL", 1),
        (
            404,
            r#"{"error":"not_found"}"#,
            Refused,
            "the server refused (HTTP 404): not_found",
            "check the URL",
            1,
        ),
        (405, "", Refused, "the server refused (HTTP 405)", "check the URL", 1),
        (408, "", Refused, "the server refused (HTTP 408)", ADVICE, 1),
        (
            422,
            r#"{"detail":[{"loc":["a"],"msg":"field required"}]}"#,
            Refused,
            "the server refused (HTTP 422): field required",
            ADVICE,
            1,
        ),
        (301, "", Protocol, "the server redirects (HTTP 301), which is not followed", REDIRECT, 1),
        (304, "", Protocol, "the server redirects (HTTP 304), which is not followed", REDIRECT, 1),
        (429, "", RateLimited, "the server asked to slow down (HTTP 429)", "try again in 0 s", 3),
        (
            500,
            r#"{"type":"x","message":"a\nb"}"#,
            Refused,
            "the server failed (HTTP 500): a b",
            "try again later",
            3,
        ),
        (502, "<html>", Refused, "the server failed (HTTP 502)", "try again later", 3),
        (503, "{}", Refused, "the server failed (HTTP 503)", "try again later", 3),
        (599, "", Refused, "the server failed (HTTP 599)", "try again later", 3),
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
fn valid_token_is_accepted_whatever_other_members_the_answer_has() {
    for who in [Who::Basic, Who::Assertion, Who::App, Who::Code, Who::Refresh] {
        for beside in [
            r#""error":null"#,
            r#""error":false"#,
            r#""error":0"#,
            r#""error":-0.0"#,
            r#""error":"""#,
            r#""error": [ ] "#,
            r#""error":{ }"#,
            r#""error":"invalid_grant","error":false"#,
            r#""expires_in":1,"expires_in":60"#,
            r#""expires_in":1,"expires\u005fin":60"#,
            r#""access_token":5,"client_secret":5,"client_id":5,"token_type":5"#,
            r#""expires_at":1760000000000"#,
            r#""scope":["a","b","c","d","e","f","g","h","i","j"]"#,
            r#""more":{"a":1,"a":2}"#,
            r#""error":-0.00E-3,"error_description":"""#,
            r#""refresh_token":"a","refresh_token":null,"scope":"a","scope":["b"]"#,
            r#""scope":["a","",["b"],"c d"]"#,
        ] {
            let body = GOOD.replacen('{', &format!("{{{beside},"), 1);
            let server = Server::answering(move |_| answer(200, "", &body));
            let result = Subject::new(who, &server.origin(), LONG).call();
            result.unwrap_or_else(|error| panic!("{who:?}, {beside}: {error}"));
        }
    }
}

#[test]
fn error_member_makes_an_answer_an_error_whatever_its_status() {
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
fn unusable_answer_is_a_protocol_error() {
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
        (200, r#"{"access_token":"abc","token_type":null}"#, "its token_type is not Bearer (RFC 6749 7.1)"),
        (200, r#"{"access_token":"abc","token_type":"mac"}"#, "its token_type is not Bearer (RFC 6749 7.1)"),
        (
            200,
            r#"{"access_token":"a\nb","token_type":"bearer"}"#,
            "its access_token cannot be put into a header",
        ),
        (200, r#"{"access_token":"","token_type":"bearer"}"#, "its access_token cannot be put into a header"),
        (
            200,
            &format!(r#"{{"access_token":"{}","token_type":"bearer"}}"#, "a".repeat(16_385)),
            "its access_token is longer than 16384 bytes",
        ),
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
fn unrequested_gzip_is_a_protocol_error() {
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
        // Another crate of the program may have enabled gzip.
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
fn new_app_credentials_are_passed_to_save_unchanged() {
    use Step::{Hold, Read};
    const SENSE: &str = "it has no client_id and client_secret; it was saved as it came";
    let odd = "\r\n{ \"client_secret\" : \"\\u0061\\/b\" ,\"more\":[1], \"client_id\": \"\u{fc}\"}\n";
    let json = r#"{"client_id":"id","client_secret":"shown once"}"#;
    let marked = "\u{feff}{\"client_id\":\"id\",\"client_secret\":\"shown once\"}";
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
        ("marked", send(answer(200, "", marked)), marked.as_bytes(), None),
        (
            "in UTF-16",
            send(answer(200, "", b"\xff\xfe{\0}\0")),
            b"\xff\xfe{\0}\0",
            text(
                "the answer (HTTP 200, 6 bytes) makes no sense: it is UTF-16, and JSON is UTF-8 (RFC 8259 8.1); it was saved \
                 as it came",
                "check the URL",
            ),
        ),
        ("not JSON", send(answer(200, "", "welcome")), b"welcome", nonsense(7)),
        ("not text", send(answer(200, "", b"\xff\0\xfe")), b"\xff\0\xfe", nonsense(3)),
        ("too deep", send(answer(200, "", "[".repeat(5000))), &b"[".repeat(5000), nonsense(5000)),
        ("an error", send(answer(200, "", r#"{"error":"x"}"#)), br#"{"error":"x"}"#, nonsense(13)),
        (
            "a failure",
            send(answer(500, "", json)),
            json.as_bytes(),
            text("the server failed (HTTP 500)", "try again later"),
        ),
        (
            "a redirect",
            send(answer(302, "Location: /x", json)),
            json.as_bytes(),
            text(
                "the server redirects (HTTP 302), which is not followed",
                "check the URL, a '/' at its end included",
            ),
        ),
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

    // The credentials are complete although the server never closes the connection.
    let server =
        Server::scripted(move |_| vec![Read, send([&head("A: b")[..], json.as_bytes()].concat()), Hold]);
    let subject = Subject::new(Who::App, &server.origin(), Duration::from_secs(1));
    subject.call().unwrap();
    assert_eq!(lock(&subject.saved).as_deref(), Some(json.as_bytes()));
}

#[test]
fn new_app_credentials_in_a_failure_with_broken_http_are_passed_to_save() {
    let json = r#"{"client_id":"id","client_secret":"shown once"}"#;
    let upgraded = "the server changes to a protocol that was not requested (HTTP 101); check the URL";
    let redirects =
        "the server redirects (HTTP 307), which is not followed; check the URL, a '/' at its end included";
    let cases = [
        ("500 Bad\r\nContent-Length: 99\r\n\r\n", "the server failed (HTTP 500); try again later"),
        ("401 No\r\nContent-Length: 0\r\n\r\n", "the server refused (HTTP 401); log in again"),
        ("307 Other\r\nTransfer-Encoding: chunked\r\n\r\n99\r\n", redirects),
        ("101 Other\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", upgraded),
        ("101 Other\r\nContent-Length: 2\r\n\r\n{}", upgraded),
    ];
    in_parallel(&cases, |(head, error)| {
        let bytes = format!("HTTP/1.1 {head}{json}");
        let script = vec![Step::Read, send(&bytes)];
        let server = Server::scripted(move |_| script.clone());
        let subject = Subject::new(Who::App, &server.origin(), LONG);
        let text = subject.call().unwrap_err().to_string();
        assert_eq!(text, format!("could not make app credentials at {}: {error}", subject.origin));
        assert_eq!(lock(&subject.saved).as_deref(), Some(bytes.as_bytes()), "{head}");
        assert_eq!(server.connections(), 1, "{head}");
    });
}

#[test]
fn broken_chunk_does_not_lose_new_app_credentials() {
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
fn empty_answer_is_not_saved() {
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
fn app_credentials_that_cannot_be_saved_are_in_the_error() {
    use std::error::Error as _;
    const TEXT: &str = "could not save the new app credentials, which the server will not show again; \
                        the program that called still has them: free disk space, or save them elsewhere";
    for body in [GOOD, "welcome", r#"{"client_id":"#] {
        let (whole, part) =
            (answer(200, "", body), [&head("Content-Length: 9999")[..], body.as_bytes()].concat());
        for reply in [whole, part] {
            let server = Server::scripted(move |_| vec![Step::Read, send(&reply)]);
            let flow = CreateClient::new(&server.origin()).unwrap();
            let full = || Err(io::ErrorKind::StorageFull.into());
            let error = flow.run(&Transport::new(), &token("fixed"), |_| full()).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.kind()), (TEXT, ErrorKind::Store));
            assert_eq!(error.unsaved().unwrap().expose(), body.as_bytes());
            assert_eq!(error.source().unwrap().to_string(), "no storage space");
            assert_eq!(server.connections(), 1, "never requested twice");
        }
    }
}

#[test]
fn retry_after_is_understood_in_every_form() {
    const YEAR_9999: u64 = 253_402_300_799;
    let now = 1_790_000_000;
    let http_date = |seconds| httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    let cases = [
        ("7".to_owned(), Some(7)),
        ("0".to_owned(), Some(0)),
        (u64::MAX.to_string(), Some(u64::MAX)),
        ("18446744073709551616".to_owned(), Some(u64::MAX)),
        ("9".repeat(400), Some(u64::MAX)),
        ("007".to_owned(), Some(7)),
        ("  30  ".to_owned(), Some(30)),
        ("30.0".to_owned(), Some(30)),
        // Several fields that a proxy joined into one.
        ("30, 20".to_owned(), Some(30)),
        ("20,30.5 ,".to_owned(), Some(31)),
        ("30.".to_owned(), Some(30)),
        ("1.5".to_owned(), Some(2)),
        ("0.000".to_owned(), Some(0)),
        ("18446744073709551615.9".to_owned(), Some(u64::MAX)),
        ("60\r\nRetry-After: 90\r\nRetry-After: soon".to_owned(), Some(90)),
        ("-5".to_owned(), None),
        ("-5.0".to_owned(), None),
        ("1e3".to_owned(), None),
        ("5 s".to_owned(), None),
        (".".to_owned(), None),
        ("1.2.3".to_owned(), None),
        ("soon".to_owned(), None),
        (String::new(), None),
        (http_date(now + 7), Some(7)),
        (http_date(now - 7), Some(0)),
        (http_date(YEAR_9999), Some(YEAR_9999 - now)),
        ("Sunday, 06-Nov-94 08:49:37 GMT".to_owned(), Some(0)),
        ("Sun Nov  6 08:49:37 1994".to_owned(), Some(0)),
        ("Monday, 21-Sep-26 14:13:27 GMT".to_owned(), Some(7)),
        ("Mon Sep 21 14:13:27 2026".to_owned(), Some(7)),
        // Other names of the zone.
        ("Mon, 21 Sep 2026 14:13:27 UTC".to_owned(), Some(7)),
        ("Mon, 21 Sep 2026 14:13:27 +0000".to_owned(), Some(7)),
        ("Monday, 21-Sep-26 14:13:27 -0000".to_owned(), Some(7)),
        ("5, Mon, 21 Sep 2026 14:13:27 Z, 6".to_owned(), Some(7)),
        ("Mon, 21 Sep 2026 14:13:27 +0100".to_owned(), None),
        ("Mon, 21 Sep 2026 14:13:27".to_owned(), None),
        // Measured by the server's own clock.
        (format!("{}\r\nDate: {}", http_date(now - 3_600), http_date(now - 3_607)), Some(7)),
        ("Thu, 99 Foo 2026 08:49:37 GMT".to_owned(), None),
        // Dates in a list.
        (format!("{}, {}", http_date(now + 5), http_date(now + 90)), Some(90)),
        (format!("{},{}", http_date(now + 90), http_date(now + 5)), Some(90)),
        (format!("{}, 60", http_date(now + 90)), Some(90)),
        (format!("60, {}, soon", http_date(now + 90)), Some(90)),
        ("5, Mon Sep 21 14:13:27 2026".to_owned(), Some(7)),
        ("Monday, 21-Sep-26 14:13:27 GMT, 5".to_owned(), Some(7)),
        ("9".repeat(30) + ".5", Some(u64::MAX)),
        ("+30".to_owned(), None),
        ("\t30.00\t".to_owned(), Some(30)),
        ("30,, 40.0 ,".to_owned(), Some(40)),
        ("0.0001".to_owned(), Some(1)),
        ("20000000000000000000.5".to_owned(), Some(u64::MAX)),
        ("0x10".to_owned(), None),
        ("30, -5".to_owned(), Some(30)),
        ("mon, 21 sep 2026 14:13:27 gmt".to_owned(), Some(7)),
        ("Tue, 1 Sep 2026 00:00:00 GMT".to_owned(), Some(0)),
        ("thursday, 1-OCT-26 00:00:00 ut, 5".to_owned(), Some(812_800)),
        ("Thu, 1 Oct 2026 00:00:00 Z".to_owned(), Some(812_800)),
        ("Thu Oct 1 00:00:00 2026".to_owned(), Some(812_800)),
        ("30;x".to_owned(), None),
    ];
    in_parallel(&cases, |(value, expected)| {
        let reply = answer(429, &format!("Retry-After: {value}"), "");
        let server = Server::answering(move |_| reply.clone());
        let clock = keyfob::Clock::manual(SystemTime::UNIX_EPOCH + Duration::from_secs(now));
        let within = if expected > &Some(0) { SHORT } else { LONG };
        let http = Transport::new().with_clock(clock).with_timeout(within);
        let (result, took) = timed(|| BasicToken::new(&server.origin(), "ada", "pass").unwrap().run(&http));
        in_time(took, within, value);
        let error = result.unwrap_err();
        assert_eq!(error.retry_after(), expected.map(Duration::from_secs), "{value}");
        let next =
            expected.map_or("try again later".to_owned(), |seconds| format!("try again in {seconds} s"));
        let text = format!(
            "could not get a token with the user name and password from {}: the server asked to slow down (HTTP 429); {next}",
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
            let what = format!("the server redirects (HTTP {status}), which is not followed");
            let text = subject.text(&what, "check the URL, a '/' at its end included");
            fails(subject.call(), ErrorKind::Protocol, &text, target);
        }
        let agent = Subject::new(Who::Agent, &first.origin(), LONG).agent;
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

/// The most memory that a process may use and that a call may add, in KiB.
const MOST_MEMORY: u64 = 16 * 1024;
const MORE_MEMORY: u64 = 7 * 1024;

/// Tells the child of the next test which flow to run and where.
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
        // An API's answer is read and limited by its caller.
        if *who == Who::Agent && name.contains("gzip") {
            return;
        }
        let step = step.clone();
        let server = Server::scripted(move |connection| match connection {
            0 => well(),
            _ => vec![Step::Read, step.clone()],
        });
        let report = format!("{who:?} {}", server.origin());
        let output = child("child_of_the_memory_test").env(CHILD, report).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let line =
            text.lines().find_map(|line| line.strip_prefix("VmHWM ")).unwrap_or_else(|| panic!("{output:?}"));
        let (before, after) = line.split_once(' ').unwrap();
        let (before, after): (u64, u64) = (before.parse().unwrap(), after.parse().unwrap());
        // The kernel counts roughly, so the peak may seem to fall.
        let more = after.saturating_sub(before);
        let mut worst = lock(&worst);
        *worst = (worst.0.max(after), worst.1.max(more));
        assert!(more <= MORE_MEMORY, "{who:?}, {name}: {before} KiB to {after} KiB");
        assert!(after <= MOST_MEMORY, "{who:?}, {name}: {after} KiB");
    });
    let (most, more) = *lock(&worst);
    println!("at most {most} KiB, of which {more} KiB for the call");
}

#[test]
#[ignore = "run by `memory_is_bounded_whatever_the_server_sends`, in a process of its own"]
fn child_of_the_memory_test() {
    let Ok(report) = std::env::var(CHILD) else { return };
    let (who, origin) = report.split_once(' ').unwrap();
    let who = EVERYONE.into_iter().find(|known| format!("{known:?}") == who).unwrap();
    let subject = Subject::new(who, origin, Duration::from_secs(2));
    subject.call().expect("the first call is answered well");
    let before = memory("VmHWM");
    // To the agent, deep JSON is an answer like any other; and the status alone acknowledges a revocation.
    assert!(subject.call().is_err() || matches!(who, Who::Agent | Who::Revoke));
    println!("\nVmHWM {before} {}", memory("VmHWM"));
}

/// Almost 1 MiB of gzip that decodes to 165 MiB of zeros (RFC 1951, RFC 1952).
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
    // The last block, with fixed codes: a zero byte, then 258 bytes from one byte back, repeatedly.
    put(0b011, 3);
    put(0b0000_1100, 8);
    for _ in 0..640_000 {
        put(0b1010_0011, 8);
        put(0, 5);
    }
    // The end of the block, and a checksum that nothing should reach.
    put(0, 7 + 8);
    bytes.extend([0; 8]);
    bytes
}
