//! Answers that use all of HTTP/1.1 (RFC 9112), and answers that stop in the middle.
#![allow(clippy::disallowed_methods, reason = "tests of a real process run on the machine's clock")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use keyfob_sandbox::TlsFront;
use support::{Services, err, out, succeeds};

/// Answers each connection with these bytes after the header section of its request, and closes it with the rest unread.
fn server(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for client in listener.incoming() {
            let client: TcpStream = client.unwrap();
            let mut reader = BufReader::with_capacity(1, &client);
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap_or(0) > 2 {
                line.clear();
            }
            let _ = (&client).write_all(answer);
        }
    });
    origin
}

const BODY: &str = "all of it";

#[test]
fn unusual_answers_are_printed_like_other_answers() {
    let services = Services::start();
    let answers: [&[u8]; 6] = [
        b"HTTP/1.1 100 Continue\r\nServer: x\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nall of it",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0009;signature=0123456789abcdef0123456789abcdef\r\nall of it\r\n0;signature=0123456789abcdef\r\nA: b\r\n\r\n",
        b"HTTP/1.1 200\r\nX-Note: one\r\n two\r\n\tthree\r\nContent-Length : 9\r\n\r\nall of it",
        b"\r\nHTTP/1.1 200 OK\nX-Name: caf\xe9\nContent-Length: 9\n\nall of it",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: CHUNKED\r\n\r\n3\r\nall\r\n6;a=\";\"\r\n of it\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nall of it",
    ];
    for answer in answers {
        let mut command = services.without(&[], "spatiafi get /x");
        let output = command.env("SPATIAFI_API_URL", server(answer)).output().unwrap();
        succeeds(&output);
        assert_eq!(out(&output), BODY, "{}", String::from_utf8_lossy(answer));
    }
}

#[test]
fn truncated_answer_is_an_error() {
    let services = Services::start();
    let answers: [&[u8]; 3] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nall of it",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nall of it\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n99\r\nall of it",
    ];
    for answer in answers {
        let mut command = services.without(&[], "spatiafi get /x");
        let output = command.env("SPATIAFI_API_URL", server(answer)).output().unwrap();
        assert_eq!(output.status.code(), Some(5), "{}", err(&output));
        assert!(err(&output).contains("the connection was cut off"), "{}", err(&output));
    }
}

/// Passes each connection on to this port. It leaves the last byte of the client unread, so that closing causes a reset.
fn resetting(port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let (to_client, from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let answers = thread::spawn(move || drop(std::io::copy(&mut &from_server, &mut &to_client)));
            thread::spawn(move || {
                let (mut buffer, mut passed) = ([0; 16 * 1024], 0);
                while !answers.is_finished() {
                    let length = client.peek(&mut buffer).unwrap_or(0);
                    if length <= passed {
                        thread::sleep(Duration::from_millis(1));
                        continue;
                    }
                    let _ = (&server).write_all(&buffer[passed..length]);
                    (&client).read_exact(&mut buffer[..length - 1]).unwrap();
                    passed = 1;
                }
            });
        }
    });
    own
}

/// RFC 9112 8, RFC 8446 6.1
#[test]
fn truncated_answer_over_tls_is_an_error() {
    let services = Services::start();
    let lines = services.file("lines", *b"/x\n");
    let answers: [(&[u8], bool); 5] = [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nall of it", true),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nall of it\r\n", true),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n99\r\nall of it", true),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nall of it", false),
        (b"HTTP/1.0 200 OK\r\n\r\nall of it", false),
    ];
    for (answer, is_framed) in answers {
        let (says, whole) = if is_framed {
            ("the connection was cut off", 5)
        } else {
            // TLS marks the end of a body that is not framed.
            ("the answer may not be whole: TLS ended without a close_notify", 0)
        };
        let port = server(answer).rsplit_once(':').unwrap().1.parse().unwrap();
        let front = TlsFront::start(SocketAddr::from(([127, 0, 0, 1], port)), false);
        let front_port = front.origin().rsplit_once(':').unwrap().1.parse().unwrap();
        for (end, port) in [("closed", front_port), ("reset", resetting(front_port))] {
            for words in ["get /x", &format!("batch {}", lines.display())] {
                let mut command = services.without(&[], &format!("spatiafi {words}"));
                command.env("SPATIAFI_API_URL", format!("https://127.0.0.1:{port}"));
                let output = command.env("KEYFOB_CA_FILE", front.ca_file()).output().unwrap();
                let case = format!("{} {end}, {words}", String::from_utf8_lossy(answer));
                assert_eq!(output.status.code(), Some(5), "{case}: {}", err(&output));
                // A reset may discard what was received before it.
                let is_cut = end == "reset" && err(&output).contains("the connection was cut off");
                assert!(is_cut || err(&output).contains(says), "{case}: {}", err(&output));
                assert!(!out(&output).contains("\"status\":200"), "{case}: {}", out(&output));
            }
        }
        let front = TlsFront::start(SocketAddr::from(([127, 0, 0, 1], port)), true);
        let mut command = services.without(&[], "spatiafi get /x");
        command.env("SPATIAFI_API_URL", front.origin()).env("KEYFOB_CA_FILE", front.ca_file());
        assert_eq!(command.output().unwrap().status.code(), Some(whole), "with a close_notify");
    }
}

#[test]
fn answer_in_an_unrequested_transfer_coding_is_an_error() {
    let services = Services::start();
    let coding = "the answer has a transfer coding that was not asked for";
    let answers: [(&[u8], i32, &str); 4] = [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n\x1f\x8b", 4, coding),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\n\x1f\x8b\r\n0\r\n\r\n", 4, coding),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            4,
            coding,
        ),
        // A refusal counts even without its body.
        (
            b"HTTP/1.1 404 No\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\n\x1f\x8b\r\n0\r\n\r\n",
            8,
            "HTTP 404",
        ),
    ];
    for (answer, status, says) in answers {
        let mut command = services.without(&[], "spatiafi get /x");
        let output = command.env("SPATIAFI_API_URL", server(answer)).output().unwrap();
        assert_eq!((output.status.code(), out(&output)), (Some(status), ""), "{}", err(&output));
        assert!(err(&output).contains(says), "{}", err(&output));
    }
}

#[test]
fn refusal_of_a_server_that_does_not_read_the_body_is_reported() {
    let services = Services::start();
    let file = services.file("body", vec![b'x'; 8 << 20]);
    let answers: [(&[u8], i32, &str); 3] = [
        (
            b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nno\n",
            8,
            "HTTP 413",
        ),
        (b"HTTP/1.1 403 No\r\nContent-Length: 3\r\n\r\nno\n", 8, "HTTP 403"),
        (b"HTTP/1.1 408 Request Timeout\r\nA: b\r\n c\r\nContent-Length: 3\r\n\r\nno\n", 8, "HTTP 408"),
    ];
    for (answer, status, says) in answers {
        let mut command = services.without(&[], "spatiafi post /x --data");
        command.arg(format!("@{}", file.display())).env("SPATIAFI_API_URL", server(answer));
        let output = command.output().unwrap();
        assert_eq!((output.status.code(), out(&output)), (Some(status), "no\n"), "{}", err(&output));
        assert!(err(&output).contains(says), "{}", err(&output));
    }
}

/// If a server closes with part of the request unread, the end of the body may be lost.
#[test]
fn refusal_with_a_truncated_body_stays_a_refusal() {
    let services = Services::start();
    let file = services.file("body", vec![b'x'; 8 << 20]);
    let answers: [(&[u8], i32, &str); 5] = [
        (b"HTTP/1.0 400 Bad\r\n\r\nno\n", 8, "HTTP 400"),
        (b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 99\r\n\r\nno\n", 8, "HTTP 413"),
        (b"HTTP/1.1 422 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nno\n\r\n", 8, "HTTP 422"),
        (b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nno\n\r\nzz\r\n", 8, "HTTP 500"),
        (b"HTTP/1.1 429 No\r\nRetry-After: 3600\r\nContent-Length: 99\r\n\r\nno\n", 6, "HTTP 429"),
    ];
    let lines = services.file("lines", *b"/x\n");
    for (answer, status, says) in answers {
        let url = server(answer);
        for method in ["post", "put"] {
            let mut command = services.without(&[], &format!("spatiafi {method} /x --data"));
            command.arg(format!("@{}", file.display())).env("SPATIAFI_API_URL", &url);
            let output = command.output().unwrap();
            assert_eq!((output.status.code(), out(&output)), (Some(status), "no\n"), "{}", err(&output));
            assert!(err(&output).contains(says), "{}", err(&output));
        }
        if says == "HTTP 400" {
            continue;
        }
        let output = services.without(&[], "spatiafi get /x").env("SPATIAFI_API_URL", &url).output().unwrap();
        assert_eq!((output.status.code(), out(&output)), (Some(status), "no\n"), "{}", err(&output));
        let mut batch = services.without(&[], "spatiafi batch");
        let output = batch.arg(&lines).env("SPATIAFI_API_URL", &url).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{}", err(&output));
        assert!(out(&output).contains(says), "{}", out(&output));
    }
}
