//! HTTP/1.1 as RFC 9110 and RFC 9112 allow it, from servers that use every part of it, and from servers that
//! stop in the middle.

#![allow(clippy::disallowed_methods, reason = "deadlines are measured on the machine's clock")]
#![allow(clippy::too_many_lines, reason = "a table has a line for each case")]

#[path = "support/subject.rs"]
mod subject;
mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use keyfob::flow::DeviceCode;
use keyfob::ureq::http::{HeaderMap, Response};
use keyfob::ureq::{self, Body};
use keyfob::{AgentBuilder, Auth, ClientAuth, ErrorKind, Secret, Transport};
use keyfob_sandbox::TlsFront;
use subject::*;
use support::*;

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n\r\n";

/// This many header fields.
fn fields(count: usize) -> String {
    (0..count).map(|n| format!("X-{n}: {n}\r\n")).collect::<Vec<_>>().concat()
}

/// `GOOD` in chunks with these size lines and this end.
fn chunks(size: impl Fn(usize) -> String, end: &str) -> String {
    let (first, second) = GOOD.split_at(30);
    let chunk = |text: &str| format!("{}{text}\r\n", size(text.len()));
    format!("{}{}{end}", chunk(first), chunk(second))
}

/// Correct answers, however unusual.
fn unusual() -> Vec<(&'static str, Vec<u8>)> {
    let length = GOOD.len();
    let plain = |head: &str| format!("{head}Content-Length: {length}\r\n\r\n{GOOD}").into_bytes();
    let ok = |fields: &str| plain(&format!("HTTP/1.1 200 OK\r\n{fields}"));
    let after = |first: &str| [first.as_bytes(), &ok("")].concat();
    let chunked = |size: &dyn Fn(usize) -> String, end: &str| {
        format!("HTTP/1.1 200 OK\r\n{CHUNKED}{}", chunks(size, end)).into_bytes()
    };
    let coded = |fields: &str| {
        let body = chunks(|n| format!("{n:x}\r\n"), "0\r\n\r\n");
        format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}").into_bytes()
    };
    let size = |n: usize| format!("{n:x}\r\n");
    let to_the_end = |head: &str| format!("{head}\r\n\r\n{GOOD}").into_bytes();
    let bad = format!("HTTP/1.1 103 Early\r\nno field\r\nContent-Length: x\r\n{}\r\n", fields(200));
    let many = "HTTP/1.1 102 Processing\r\nX: y\r\n\r\n".repeat(200);

    vec![
        // RFC 9110 15.2
        ("100 with a field", after("HTTP/1.1 100 Continue\r\nServer: x\r\n\r\n")),
        ("100 with many fields", after(&format!("HTTP/1.1 100 Continue\r\n{}\r\n", fields(40)))),
        (
            "100, 102, 103 and 199 in a row",
            after(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nA: b\r\n\r\n\
             HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nLink: </b>\r\n\r\nHTTP/1.1 199 \r\n\r\n",
            ),
        ),
        ("two hundred interim answers", after(&many)),
        (
            "100 with a length and a coding",
            after("HTTP/1.1 100 Continue\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ),
        ("100 in HTTP/1.0", after("HTTP/1.0 100 Continue\r\nA: b\r\n\r\n")),
        // RFC 9112 2.2
        ("empty lines first", after("\r\n\n\r\n")),
        ("empty lines after 100", after("HTTP/1.1 100 Continue\r\n\r\n\r\n\r\n")),
        (
            "lines that end with LF",
            format!("HTTP/1.1 200 OK\nContent-Length: {length}\nA: b\n\n{GOOD}").into(),
        ),
        (
            "some lines that end with LF",
            format!("HTTP/1.1 200 OK\r\nA: b\nContent-Length: {length}\r\n\n{GOOD}").into(),
        ),
        (
            "white space before the first field",
            plain("HTTP/1.1 200 OK\r\n  a line of no field\r\n\tand another: one\r\n"),
        ),
        ("a bare CR in a value", ok("A: b\rc\r\n")),
        // RFC 9112 4
        ("no reason", plain("HTTP/1.1 200\r\n")),
        ("an empty reason", plain("HTTP/1.1 200 \r\n")),
        ("a reason beyond ASCII", plain("HTTP/1.1 200 Très bien \t!\r\n")),
        ("HTTP/1.2", plain("HTTP/1.2 200 OK\r\n")),
        ("HTTP/1.0 with a length", plain("HTTP/1.0 200 OK\r\n")),
        ("HTTP/1.0 without", to_the_end("HTTP/1.0 200 OK\r\nA: b")),
        ("201", plain("HTTP/1.1 201 Created\r\n")),
        ("a status with no name", plain("HTTP/1.1 299 ?\r\n")),
        // RFC 9112 5
        ("a folded field", ok("A: b\r\n c\r\n\td\r\n")),
        ("a fold that is all white space", ok("A: b\r\n \r\nC: d\r\n")),
        (
            "a folded length",
            format!("HTTP/1.1 200 OK\r\nContent-Length:\r\n   {length}\r\n\r\n{GOOD}").into(),
        ),
        ("a folded coding", coded("Transfer-Encoding:\r\n\tchunked\r\n")),
        ("white space around a value", ok("A:   b \t \r\nB:c\r\n")),
        ("white space before a colon", ok("A : b\r\n")),
        ("no value", ok("A:\r\nB: \r\n")),
        (
            "bytes beyond ASCII",
            [&b"HTTP/1.1 200 OK\r\nX-Name: caf\xe9 \xff\x80\r\n"[..], &ok("")[17..]].concat(),
        ),
        ("names with all the signs that are allowed", ok("!#$%&'*+-.^_`|~9: x\r\n")),
        ("a hundred fields", ok(&fields(100))),
        ("the same field a hundred times", ok(&"Set-Cookie: a=b\r\n".repeat(100))),
        ("a long field", ok(&format!("A: {}\r\n", "b".repeat(12_000)))),
        // RFC 9112 6
        ("a length in capitals and twice", ok(&format!("CONTENT-LENGTH: {length}, {length}\r\n"))),
        ("a length with zeros", ok(&format!("Content-Length: 000{length}\r\n"))),
        ("a length with empty elements", ok(&format!("Content-Length: ,{length}, ,\r\n"))),
        ("a coding in capitals", coded("TRANSFER-ENCODING: CHUNKED\r\n")),
        ("a coding with empty elements", coded("Transfer-Encoding: , chunked ,\r\n")),
        (
            "a coding that is none first",
            coded("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"),
        ),
        ("a coding and a length", coded("Content-Length: 3\r\nTransfer-Encoding: Chunked\r\n")),
        (
            "a coding and two lengths",
            coded("Content-Length: 3\r\nTransfer-Encoding: chunked\r\nContent-Length: x\r\n"),
        ),
        ("a coding in HTTP/1.0", coded("Transfer-Encoding: chunked\r\n")[..].to_vec()),
        ("to the end of the connection", to_the_end("HTTP/1.1 200 OK\r\nA: b")),
        // RFC 9112 7.1
        (
            "a signature with each chunk",
            chunked(&|n| format!("{n:x};signature={:032x}\r\n", 7), "0;signature=\r\n\r\n"),
        ),
        ("a quoted extension", chunked(&|n| format!("{n:x} ; a = \"x;y\\\"0\r\" ;b\r\n"), "0\r\n\r\n")),
        ("a long extension", chunked(&|n| format!("{n:x};a={}\r\n", "b".repeat(9000)), "0\r\n\r\n")),
        ("an extension beyond ASCII", chunked(&|n| format!("{n:x};a=\"é\"\r\n"), "0\r\n\r\n")),
        (
            "sizes with zeros, in capitals",
            chunked(&|n| format!("{n:032X}\r\n"), "0000000000000000000000000\r\n\r\n"),
        ),
        ("an interim answer whose fields nobody can read", after(&bad)),
        ("white space around a size", chunked(&|n| format!(" {n:x}\t  \r\n"), "0 \r\n\r\n")),
        ("trailers", chunked(&size, "0\r\nDigest: x\r\n folded\r\nB:\r\nContent-Length: 5\r\n\r\n")),
        ("many trailers", chunked(&size, &format!("0\r\n{}\r\n", fields(1000)))),
        ("the end after the last chunk", chunked(&size, "0\r\n")),
        ("the end in a trailer", chunked(&size, "0\r\nA: b")),
        (
            "102 with a length and 103 that closes",
            after(
                "HTTP/1.1 102 Processing\r\nContent-Length: 5\r\n\r\nHTTP/1.1 103 Early Hints\r\nConnection: close\r\n\r\n",
            ),
        ),
        (
            "100 with a folded field, in lines that end with LF",
            after("HTTP/1.1 100 Go on\nServer: x\n\ty\n\n"),
        ),
        ("a length in two fields", ok(&format!("Content-Length: {length}\r\n"))),
        (
            "an extension with tabs and no value",
            chunked(&|n| format!("{n:x}\t;\tieof\t;a\t=\tb\r\n"), "0;ieof\r\n\r\n"),
        ),
        ("many extensions", chunked(&|n| format!("{n:x}{}\r\n", ";a=b".repeat(3000)), "0\r\n\r\n")),
        ("size lines that end with LF", chunked(&|n| format!("{n:x};a=b\n"), "0\n\n")),
        (
            "a date and a cookie folded three times",
            ok("Set-Cookie: a=b;\r\n\tPath=/;\r\n\t \r\n HttpOnly\r\n"),
        ),
        ("white space of all kinds in a status line", plain("HTTP/1.1  200\t OK\r\n")),
        ("one byte a chunk", {
            let body = GOOD.chars().map(|c| format!("1\r\n{c}\r\n")).collect::<Vec<_>>().concat();
            format!("HTTP/1.1 200 OK\r\n{CHUNKED}{body}0\r\n\r\n").into()
        }),
    ]
}

#[test]
fn legal_but_unusual_answers_are_accepted_by_every_flow_and_the_agent() {
    let cases = unusual();
    let cases: Vec<_> = cases.iter().flat_map(|case| EVERYONE.map(|who| (who, case))).collect();
    in_parallel(&cases, |(who, (name, bytes))| {
        let script = vec![Step::Read, send(bytes)];
        let server = Server::scripted(move |_| script.clone());
        let subject = Subject::new(*who, &server.origin(), LONG);
        subject.call().unwrap_or_else(|error| panic!("{who:?}, {name}: {error}"));
        assert_eq!(server.connections(), 1, "{name}");
        let saved = lock(&subject.saved).take();
        assert!(saved.is_none_or(|saved| saved == GOOD.as_bytes()), "{who:?}, {name}");
    });
}

#[test]
fn unusual_answers_are_accepted_byte_by_byte_and_over_tls() {
    in_parallel(&unusual(), |(name, bytes)| {
        let script = if bytes.len() < 2000 {
            vec![Step::Read, Step::Drip(bytes.clone(), Duration::ZERO)]
        } else {
            vec![Step::Read, send(bytes)]
        };
        let server = Server::scripted(move |_| script.clone());
        let front = TlsFront::start(SocketAddr::from(([127, 0, 0, 1], server.port())), true);
        let http = Transport::new().with_ca_file(front.ca_file());
        for who in [Who::Code, Who::Agent] {
            let subject = Subject::on(http.clone(), who, &front.origin(), LONG);
            subject.call().unwrap_or_else(|error| panic!("{who:?}, {name}: {error}"));
        }
    });
}

/// Returns the body and the header fields that an API call receives.
fn get(bytes: Vec<u8>) -> (String, HeaderMap) {
    let server = Server::scripted(move |_| vec![Step::Read, send(&bytes)]);
    let subject = Subject::new(Who::Agent, &server.origin(), LONG);
    let mut response: Response<Body> = subject.agent.get(server.origin()).call().unwrap();
    let body = response.body_mut().read_to_string().unwrap();
    (body, response.headers().clone())
}

#[test]
fn caller_receives_the_body_and_fields_that_the_server_meant() {
    for (name, bytes) in unusual() {
        assert_eq!(get(bytes).0, GOOD, "{name}");
    }
    let folded =
        "HTTP/1.1 200 OK\r\nA:  b \r\n\t c\r\n  d\r\nB : e\r\nC: f\rg\r\nContent-Length: 002, 2\r\n\r\nhi";
    let (body, fields) = get(folded.into());
    assert_eq!(body, "hi");
    for (name, value) in [("a", "b c d"), ("b", "e"), ("c", "f g"), ("content-length", "2")] {
        assert_eq!(fields[name], value);
    }
    let both =
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding:CHUNKED\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    let (body, fields) = get(both.into());
    assert_eq!((body.as_str(), fields.get("content-length")), ("hi", None));
    assert_eq!(fields["transfer-encoding"], "chunked");
}

/// ureq-proto accepts at most 128 fields.
#[test]
fn too_many_header_fields_fail_an_api_call_but_no_exchange() {
    let needed = "Retry-After: 7\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
    let cases = [
        format!("HTTP/1.1 200 OK\r\n{}{needed}Content-Length: {}\r\n\r\n{GOOD}", fields(150), GOOD.len()),
        format!(
            "HTTP/1.1 200 OK\r\n{}{CHUNKED}{}",
            fields(1000),
            chunks(|n| format!("{n:x}\r\n"), "0\r\n\r\n")
        ),
        format!("HTTP/1.1 200 OK\r\n{}\r\n{GOOD}", "Date: x\r\n".repeat(300)),
    ];
    for bytes in cases {
        in_parallel(&EVERYONE, |who| {
            let script = vec![Step::Read, send(&bytes)];
            let server = Server::scripted(move |_| script.clone());
            let subject = Subject::new(*who, &server.origin(), LONG);
            let result = subject.call();
            if *who == Who::Agent {
                let text = subject.text("the answer has more than 128 header fields", "check the URL");
                fails(result, ErrorKind::Protocol, &text, "many fields");
            } else {
                result.unwrap_or_else(|error| panic!("{who:?}: {error}"));
            }
        });
    }
    // The fields that matter are kept.
    let busy = format!("HTTP/1.1 429 Slow\r\n{}{needed}Content-Length: 0\r\n\r\n", fields(200));
    let server = Server::scripted(move |_| vec![Step::Read, send(&busy)]);
    let error = Subject::new(Who::Code, &server.origin(), LONG).call().unwrap_err();
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::RateLimited, Some(Duration::from_secs(7))));
}

#[test]
fn answers_to_head_and_answers_without_content_have_no_body() {
    let server = Server::answering(|request| {
        match request.method() {
            "HEAD" => "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 5\r\n\r\n",
            "PUT" => "HTTP/1.1 204 No Content\r\nServer : x\r\n\r\n",
            "DELETE" => "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            _ => "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2;x=y\r\nhi\r\n0\r\nTrailer: z\r\n\r\n",
        }
        .into()
    });
    let agent = Subject::new(Who::Agent, &server.origin(), LONG).agent;
    for _ in 0..3 {
        let head = agent.head(server.origin()).call().unwrap();
        assert_eq!(
            (head.headers()["a"].as_bytes(), head.headers()["content-length"].as_bytes()),
            (&b"b c"[..], &b"5"[..])
        );
        agent.put(server.origin()).send_empty().unwrap();
        assert_eq!(agent.delete(server.origin()).call().unwrap().status(), 304);
        assert_eq!(agent.get(server.origin()).call().unwrap().into_body().read_to_string().unwrap(), "hi");
    }
    // All on one connection, so no byte was left over.
    assert_eq!(server.connections(), 1);
}

#[test]
fn expect_100_continue_waits_for_100_among_interim_answers() {
    for first in [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 103 Hints\r\nA: b\r\n\r\nHTTP/1.1 100 Go on\r\nServer: x\r\n\r\n",
    ] {
        let server = Server::scripted(move |_| {
            vec![Step::ReadHead, send(first), Step::Read, send(answer(200, "", "ok"))]
        });
        let agent = Subject::new(Who::Agent, &server.origin(), LONG).agent;
        let (result, took) = timed(|| {
            agent.put(server.origin()).header("expect", "100-continue").send("GET / HTTP/1.1\r\n\r\n")
        });
        assert_eq!(result.unwrap().into_body().read_to_string().unwrap(), "ok");
        assert_eq!(server.requests()[0].head, "GET / HTTP/1.1\r\n\r\n");
        // Without an answer, ureq waits for one second.
        assert!(took < Duration::from_millis(900), "{took:?}");
    }
}

/// Truncated answers, and whether the head says where the body ends.
fn half() -> [(&'static str, String); 11] {
    let half = &GOOD[..GOOD.len() / 2];
    [
        ("a length", format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{half}", GOOD.len())),
        ("a chunk", format!("HTTP/1.1 200 OK\r\n{CHUNKED}{:x}\r\n{half}", GOOD.len())),
        ("between chunks", format!("HTTP/1.1 200 OK\r\n{CHUNKED}{:x}\r\n{half}\r\n", half.len())),
        ("all but a byte", format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{half}", half.len() + 1)),
        ("after a chunk", format!("HTTP/1.1 200 OK\r\n{CHUNKED}{:x}\r\n{half}", half.len())),
        ("in a size", format!("HTTP/1.1 200 OK\r\n{CHUNKED}{:x}\r\n{half}\r\n3", half.len())),
        ("in the last size", format!("HTTP/1.1 200 OK\r\n{CHUNKED}{:x}\r\n{half}\r\n0", half.len())),
        (
            "in an extension",
            format!("HTTP/1.1 200 OK\r\n{CHUNKED}{:x};a=\"\r\n{half}\r\n0;signature=ab", half.len()),
        ),
        (
            "a coding and a length",
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{CHUNKED}{:x}\r\n{half}\r\n",
                half.len(),
                half.len()
            ),
        ),
        ("no framing", format!("HTTP/1.1 200 OK\r\nA: b\r\n\r\n{half}")),
        ("HTTP/1.0", format!("HTTP/1.0 200 OK\r\n\r\n{half}")),
    ]
}

/// RFC 9112 8
#[test]
fn truncated_body_is_never_taken_for_a_whole_one() {
    const CUT: (&str, &str) = ("the connection was cut off", "try again");
    const NO_END: (&str, &str) =
        ("the answer may not be whole: TLS ended without a close_notify", "try again");
    let cases: Vec<_> = half().into_iter().flat_map(|case| EVERYONE.map(|who| (who, case.clone()))).collect();
    in_parallel(&cases, |(who, (framing, bytes))| {
        let is_framed = !["no framing", "HTTP/1.0"].contains(framing);
        let reset = vec![send(bytes), Step::Reset];
        let closed = vec![Step::Read, send(bytes)];
        let scripted = |script: Vec<Step>| Server::scripted(move |_| script.clone());
        let check = |name: &str, http: Transport, origin: &str, (what, next): (&str, &str)| {
            let name = format!("{who:?}, {framing}, {name}");
            let subject = Subject::on(http, *who, origin, LONG);
            // The status alone acknowledges a revocation.
            match subject.call() {
                Ok(()) if *who == Who::Revoke => {}
                result => fails(result, ErrorKind::Network, &subject.text(what, next), &name),
            }
        };
        let server = scripted(reset);
        check("reset", Transport::new(), &server.origin(), CUT);
        if is_framed {
            let server = scripted(closed.clone());
            check("closed", Transport::new(), &server.origin(), CUT);
        }
        for close_notify in [true, false] {
            // In TLS, an orderly close ends a body without framing.
            if close_notify && !is_framed {
                continue;
            }
            let server = scripted(closed.clone());
            let front = TlsFront::start(SocketAddr::from(([127, 0, 0, 1], server.port())), close_notify);
            let http = Transport::new().with_ca_file(front.ca_file());
            let text = if is_framed { CUT } else { NO_END };
            check(if close_notify { "TLS" } else { "TLS cut" }, http, &front.origin(), text);
        }
    });
}

#[test]
fn unframed_body_ends_with_an_orderly_close() {
    let bytes = format!("HTTP/1.1 200 OK\r\nA: b\r\n\r\n{GOOD}");
    for who in EVERYONE {
        let script = vec![Step::Read, send(&bytes)];
        let server = Server::scripted(move |_| script.clone());
        Subject::new(who, &server.origin(), LONG).call().unwrap();
        let front = TlsFront::start(SocketAddr::from(([127, 0, 0, 1], server.port())), true);
        let http = Transport::new().with_ca_file(front.ca_file());
        Subject::on(http, who, &front.origin(), LONG).call().unwrap();
    }
}

/// RFC 9112 9.5
#[test]
fn answer_sent_before_the_request_body_was_read_reaches_the_caller() {
    let statuses = [400, 401, 403, 408, 411, 413, 414, 422, 429, 431, 500, 503, 507];
    let cases: Vec<_> = statuses.iter().flat_map(|status| [(*status, false), (*status, true)]).collect();
    in_parallel(&cases, |(status, tls)| {
        let status = *status;
        // Closes with most of the body unread, which causes a reset.
        let reply = answer(status, "Connection: close", "too much");
        let server = Server::scripted(move |_| vec![Step::ReadHead, send(&reply)]);
        let front = TlsFront::start(SocketAddr::from(([127, 0, 0, 1], server.port())), true);
        let (http, origin) = match tls {
            true => (Transport::new().with_ca_file(front.ca_file()), front.origin()),
            false => (Transport::new(), server.origin()),
        };
        let agent = Subject::on(http, Who::Agent, &origin, LONG).agent;
        let body = vec![b'x'; 8 << 20];
        for length in [false, true] {
            let request = agent.post(&origin);
            let request = if length { request.header("content-length", body.len()) } else { request };
            let error = request.send(&body[..]).unwrap_err();
            assert!(
                matches!(error, ureq::Error::StatusCode(came) if came == status),
                "{status}, TLS: {tls}, length: {length}: {error:?}"
            );
        }
    });
}

/// The connection stays open, so the client must look for an answer by itself.
#[test]
fn answer_of_a_server_that_stops_reading_is_seen_on_an_open_connection() {
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let answers = [
        (413, answer(413, "", "too much")),
        (401, answer(401, "", "")),
        (431, b"HTTP/1.0 431 Too large\r\nA: b\r\n c\r\n\r\n".to_vec()),
        (507, format!("HTTP/1.1 507 Full\r\n{CHUNKED}2;a=b\r\nno\r\n0\r\n\r\n").into_bytes()),
        (400, b"HTTP/1.1 400 Bad\nContent-Length: 2\n\nno".to_vec()),
        (503, [interim.as_bytes(), &answer(503, "Connection: close", "no")].concat()),
    ];
    let cases: Vec<_> = answers.iter().flat_map(|case| [(case, false), (case, true)]).collect();
    in_parallel(&cases, |((status, reply), tls)| {
        let reply = reply.clone();
        // The rest of the body is never read.
        let server = Server::scripted(move |_| vec![Step::ReadHead, send(&reply), Step::Pause(LONG / 5)]);
        let front = TlsFront::start(SocketAddr::from(([127, 0, 0, 1], server.port())), true);
        let (http, origin) = match tls {
            true => (Transport::new().with_ca_file(front.ca_file()), front.origin()),
            false => (Transport::new(), server.origin()),
        };
        let agent = Subject::on(http, Who::Agent, &origin, LONG).agent;
        let (result, took) = timed(|| agent.post(&origin).send(vec![b'x'; 32 << 20]));
        let error = result.unwrap_err();
        assert!(
            matches!(error, ureq::Error::StatusCode(came) if came == *status),
            "{status}, TLS: {tls}: {error:?}"
        );
        assert!(took + SHORT < LONG / 5, "{status}, TLS: {tls}: {took:?}");
    });
}

#[test]
fn silent_server_that_stops_reading_causes_a_timeout() {
    in_parallel(&[false, true], |tls| {
        let server = Server::scripted(|_| vec![Step::ReadHead, Step::Pause(4 * SHORT)]);
        let front = TlsFront::start(SocketAddr::from(([127, 0, 0, 1], server.port())), true);
        let (http, origin) = match tls {
            true => (Transport::new().with_ca_file(front.ca_file()), front.origin()),
            false => (Transport::new(), server.origin()),
        };
        let subject = Subject::on(http, Who::Agent, &origin, 2 * SHORT);
        let body = vec![b'x'; 32 << 20];
        let (result, took) = timed(|| subject.agent.post(&origin).send(&body[..]));
        let text = subject.text("no complete answer in time", CHECK);
        fails(result.map_err(keyfob::Error::from), ErrorKind::Timeout, &text, "a deaf server");
        assert!(took < 2 * SHORT + NOISE, "TLS: {tls}: {took:?}");
    });
}

/// Interim answers and TLS's own messages do not stop the sending.
#[test]
fn slow_reader_gets_the_whole_body_whatever_it_sends_meanwhile() {
    in_parallel(&[false, true], |tls| {
        let interim = b"HTTP/1.1 102 Processing\r\nA: b\r\n\r\n";
        let server = Server::scripted(move |_| {
            let slow = [
                Step::Pause(Duration::from_millis(1200)),
                send(interim),
                Step::Pause(Duration::from_millis(700)),
            ];
            [&[send(interim)][..], &slow, &[Step::Read, send(answer(200, "", "all"))]].concat()
        });
        let front = TlsFront::start(SocketAddr::from(([127, 0, 0, 1], server.port())), true);
        let (http, origin) = match tls {
            true => (Transport::new().with_ca_file(front.ca_file()), front.origin()),
            false => (Transport::new(), server.origin()),
        };
        let agent = Subject::on(http, Who::Agent, &origin, LONG).agent;
        let body: Vec<u8> = (0..16_u32 << 20).map(|n| (n % 251).to_le_bytes()[0]).collect();
        let request = agent.put(&origin).header("content-length", body.len());
        let answer = request.send(&body[..]).unwrap().into_body().read_to_string().unwrap();
        assert_eq!(answer, "all");
        assert!(server.requests()[0].body == body, "TLS: {tls}");
    });
}

#[test]
fn body_of_an_early_answer_is_read() {
    let reply = answer(413, "Connection: close", "at most 1 MiB");
    let server = Server::scripted(move |_| vec![Step::ReadHead, send(&reply), Step::Pause(SHORT)]);
    let agent = AgentBuilder::new(Transport::new(), Auth::Bearer(Arc::new(Fixed("fixed"))))
        .origin(server.origin())
        .status_as_error(false)
        .build()
        .unwrap();
    let mut response = agent.put(server.origin()).send(vec![b'x'; 8 << 20]).unwrap();
    assert_eq!(
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap().as_str()),
        (413, "at most 1 MiB")
    );
    // The connection cannot be used again.
    agent.get(server.origin()).call().unwrap();
    assert_eq!(server.connections(), 2);
}

/// The received bytes of an answer that the server gives only once can be saved, whatever is wrong with it.
#[test]
fn unusable_answer_to_an_unrepeatable_request_is_in_the_error() {
    let whole = |body: &str| answer(200, "", body);
    let raw = |text: &str| (text.as_bytes().to_vec(), text.as_bytes().to_vec());
    let cases = [
        // The HTTP is broken: all bytes are kept.
        raw(&format!("HTTP/1.1 OK\r\n\r\n{GOOD}")),
        raw(&format!("HTTP/1.1 200 OK\r\nno field\r\n\r\n{GOOD}")),
        raw(&format!("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{GOOD}")),
        raw("HTTP/1.1 200 OK\r\nContent-Le"),
        raw(&format!("HTTP/1.1 200 OK\r\n{CHUNKED}zz\r\n{GOOD}")),
        raw(&format!("HTTP/1.1 200 OK\r\n{CHUNKED}5\r\n{GOOD}\r\n")),
        raw("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"access_token\":\"ab"),
        // In a coding that was not requested.
        raw(&format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n{GOOD}")),
        raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
        // The body ends before the received bytes do.
        raw(&format!("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{GOOD}")),
        raw(&format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n{GOOD}")),
        raw(&format!("HTTP/1.1 204 No Content\r\n\r\n{GOOD}")),
        raw(&format!("HTTP/1.1 200 OK\r\n{CHUNKED}2\r\n{{}}\r\n0\r\n\r\n{GOOD}")),
        // A failure that carries a token, in broken HTTP.
        raw(&format!("HTTP/1.1 101 Other\r\nUpgrade: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{GOOD}")),
        raw(&format!("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n{GOOD}")),
        raw("HTTP/1.1 400 Bad\r\nContent-Length: 99\r\n\r\n{\"access_token\":\"ab"),
        raw(&format!("HTTP/1.1 500 Bad\r\n{CHUNKED}zz\r\n{GOOD}")),
        raw("HTTP/1.1 503 Bad\r\nContent-Length: 99\r\n\r\n{\"refresh_token\":\"ab"),
        raw(&format!("HTTP/1.1 101 Other\r\n\r\n{GOOD}")),
        raw(&format!("HTTP/1.0 101 Other\r\nContent-Length: 2\r\n\r\n{{}}{GOOD}")),
        raw(&format!("HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\n{{}}{GOOD}")),
        raw("HTTP/1.1 307 Other\r\nTransfer-Encoding: chunked\r\n\r\n99\r\n{\"access_token\" : \"ab"),
        raw(&format!("HTTP/1.1 429 Slow\r\n{CHUNKED}2\r\n{{}}\r\n0\r\n\r\n{GOOD}")),
        raw("HTTP/1.1 504 Late\r\nContent-Length: 99\r\n\r\n{\n\t\"refresh_token\"\n:\"ab"),
        // The answer is complete and unusable: its body is kept.
        (whole("welcome"), b"welcome".to_vec()),
        (whole("{\"access_token\":5}"), b"{\"access_token\":5}".to_vec()),
        (
            whole("{\"access_token\":\"a\",\"token_type\":\"mac\"}"),
            b"{\"access_token\":\"a\",\"token_type\":\"mac\"}".to_vec(),
        ),
        // A failure that carries a token.
        (answer(302, "Location: /x", GOOD), GOOD.into()),
        (answer(500, "", GOOD), GOOD.into()),
        (answer(503, "Retry-After: 0", GOOD), GOOD.into()),
        (answer(429, "", GOOD), GOOD.into()),
        (answer(400, "", "{\"refresh_token\":\"r\"}"), b"{\"refresh_token\":\"r\"}".to_vec()),
    ];
    in_parallel(&cases, |(bytes, unsaved)| {
        for who in [Who::Code, Who::Refresh, Who::Basic] {
            let script = vec![Step::Read, send(bytes)];
            let server = Server::scripted(move |_| script.clone());
            let name = format!("{who:?}: {}", String::from_utf8_lossy(bytes));
            let result = Subject::new(who, &server.origin(), LONG).call();
            let error = result.expect_err(&name);
            let expected = (!who.repeats()).then_some(&unsaved[..]);
            assert_eq!(error.unsaved().map(Secret::expose), expected, "{name}");
            assert!(who.repeats() || server.connections() == 1, "{name}");
            assert!(!format!("{error} {error:?}").contains("shown once"), "{name}");
        }
    });
    // A refusal is an answer, and loses nothing.
    for reply in [answer(400, "", r#"{"error":"invalid_grant"}"#), answer(503, "", "")] {
        let server = Server::answering(move |_| reply.clone());
        let error = Subject::new(Who::Code, &server.origin(), LONG).call().unwrap_err();
        assert!(error.unsaved().is_none(), "{error}");
    }
    // Nothing was received, so nothing is kept.
    let server = Server::scripted(|_| vec![Step::Read]);
    assert!(Subject::new(Who::Code, &server.origin(), LONG).call().unwrap_err().unsaved().is_none());
}

/// The fault may come long before the credentials, and a server that breaks HTTP may keep the connection
/// open.
#[test]
fn bytes_after_a_fault_in_an_unrepeatable_answer_are_kept() {
    let firsts = [
        "HTTP/1.1 200 OK\r\nno field\r\nContent-Length: 500\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n".to_owned(),
        "HTTP/2 200\r\n\r\n".to_owned(),
        // ureq finds these faults.
        "HTTP/1.1 200 OK\r\nA: \0\r\nContent-Length: 500\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nA (b): c\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nA{b}: c\r\n\r\n".to_owned(),
        "200 OK".to_owned(),
        format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "b".repeat(20_000)),
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(3000),
        format!("HTTP/1.1 200 OK\r\n{CHUNKED}zz\r\n"),
        format!("HTTP/1.1 200 OK\r\n{CHUNKED}2\r\n{{}}no end of a line"),
    ];
    let cases: Vec<_> = firsts.iter().flat_map(|first| [(first, false), (first, true)]).collect();
    in_parallel(&cases, |(first, holds)| {
        let mut script = vec![Step::Read, send(first), Step::Pause(Duration::from_millis(100))];
        script.push(send(GOOD));
        script.extend(holds.then_some(Step::Hold));
        let server = Server::scripted(move |_| script.clone());
        let front = TlsFront::start(SocketAddr::from(([127, 0, 0, 1], server.port())), true);
        let tls = Transport::new().with_ca_file(front.ca_file());
        for (who, http, origin) in
            [(Who::Code, Transport::new(), server.origin()), (Who::Refresh, tls, front.origin())]
        {
            let (result, took) = timed(|| Subject::on(http, who, &origin, LONG).call());
            assert!(took < LONG / 2, "{took:?}");
            let error = result.expect_err(first);
            let kept = error.unsaved().map(|kept| String::from_utf8_lossy(kept.expose()).into_owned());
            assert!(
                kept.as_ref() == Some(&format!("{first}{GOOD}")),
                "{who:?}, {}: {error}",
                &first[..first.len().min(80)]
            );
        }
    });
}

#[test]
fn at_most_1_mib_of_an_unrepeatable_answer_is_kept() {
    let first = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    let server = Server::scripted(move |_| vec![Step::Read, Step::Flood(first.clone(), b" ".to_vec())]);
    let error = Subject::new(Who::Code, &server.origin(), LONG).call().unwrap_err();
    assert_eq!(error.unsaved().map(|kept| kept.expose().len()), Some(1024 * 1024), "{error}");
}

/// Tells the child of the next test which flow to run and where.
const CHILD: &str = "KEYFOB_TEST_CHILD";
/// The time that the child has.
const PATIENCE: Duration = Duration::from_millis(1500);

/// The answer that starts a device login.
const CODES: &str =
    r#"{"device_code":"d","user_code":"u","verification_uri":"https://as.example/","expires_in":60}"#;

#[test]
#[cfg(target_os = "linux")]
fn stopped_process_reads_pending_bytes_before_it_times_out() {
    use std::process::Command;
    use std::sync::Barrier;
    let signal = |name: &str, id: u32| {
        let command = format!("kill -{name} {id}");
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
    };
    let good = answer(200, "", GOOD);
    let (head, body) = good.split_at(good.len() - GOOD.len());
    let ways: [(&str, Vec<Step>); 3] = [
        ("at once", vec![send(&good), Step::Hold]),
        ("in parts", vec![send(head), Step::Pause(Duration::from_millis(50)), send(body), Step::Hold]),
        ("in interim answers and chunks", vec![send(unusual()[2].1.clone()), Step::Hold]),
    ];
    let cases: Vec<_> =
        ways.iter().flat_map(|way| ["Code", "App", "Refresh", "Device"].map(|who| (who, way))).collect();
    in_parallel(&cases, |(who, (way, then))| {
        for tls in [false, true] {
            let (asked, stopped) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
            let first = [Step::Read, Step::Meet(asked.clone()), Step::Meet(stopped.clone())];
            let script = [&first[..], then].concat();
            // The login starts before the poll, on a connection of its own.
            let earlier = usize::from(*who == "Device");
            let server = Server::scripted(move |number| match number {
                0 if earlier == 1 => vec![Step::Read, send(answer(200, "", CODES))],
                _ => script.clone(),
            });
            let front = TlsFront::start(SocketAddr::from(([127, 0, 0, 1], server.port())), true);
            let origin = if tls { front.origin() } else { server.origin() };
            let report = format!("{who} {origin} {}", front.ca_file().display());
            let mut child = child("child_of_the_stopped_process")
                .env(CHILD, report)
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap();
            asked.wait();
            signal("STOP", child.id());
            let state = || std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
            while !state().contains(") T ") {
                std::thread::yield_now();
            }
            stopped.wait();
            // After its deadline.
            std::thread::sleep(PATIENCE);
            signal("CONT", child.id());
            assert!(child.wait().unwrap().success(), "{who}, {way}, TLS: {tls}");
            assert_eq!(server.connections(), earlier + 1, "{who}, {way}");
        }
    });
}

#[test]
#[ignore = "run by `stopped_process_reads_pending_bytes_before_it_times_out`, in a process of its own"]
fn child_of_the_stopped_process() {
    let Ok(report) = std::env::var(CHILD) else { return };
    let [who, origin, ca_file] = report.split(' ').collect::<Vec<_>>()[..] else { panic!("{report}") };
    let http = Transport::new().with_ca_file(ca_file);
    if who == "Device" {
        let flow = DeviceCode::new(origin, origin, ClientAuth::none("id"));
        let login = flow.start(&http.with_timeout(PATIENCE)).unwrap();
        assert_eq!(login.poll().unwrap().unwrap().access_token().expose(), b"abc");
        return;
    }
    let who = EVERYONE.into_iter().find(|known| format!("{known:?}") == who).unwrap();
    Subject::on(http, who, origin, PATIENCE).call().unwrap();
}
