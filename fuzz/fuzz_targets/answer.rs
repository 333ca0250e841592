//! Answers of every form, in pieces of every size (`src/transport/adapter/message.rs`,
//! `src/transport/adapter/head.rs`).
#![no_main]

use keyfob::internals::answer;
use keyfob_fuzz::Input;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let (keeps_needed, seed) = (input.byte() & 1 == 0, input.number());
    let rest = input.rest();
    // Most random input has no start line.
    let start = if seed & 1 == 0 { &b"HTTP/1.1 200 OK\r\n"[..] } else { b"" };
    let came = [start, rest].concat();

    let (whole, taken, ended) = answer(&came, || came.len(), keeps_needed);
    let mut random = seed | 1;
    let piece = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % 9
    };
    let (pieces, took, also_ended) = answer(&came, piece, keeps_needed);
    let (head, body) = split(whole.expose());
    let (same_head, same_body) = split(pieces.expose());
    assert_eq!(ended, also_ended, "whether it is whole");
    if ended.is_some() {
        assert_eq!(
            (taken, head.map(said), decoded(head, body)),
            (took, same_head.map(said), decoded(same_head, same_body))
        );
    }

    if let Some(head) = head {
        let mut fields = [httparse::EMPTY_HEADER; 128];
        let mut response = httparse::Response::new(&mut fields);
        match response.parse(head) {
            Ok(status) => {
                assert_eq!(status, httparse::Status::Complete(head.len()), "one header section");
                let of = |name: &str| {
                    response.headers.iter().filter(|f| f.name.eq_ignore_ascii_case(name)).count()
                };
                assert!(of("content-length") + of("transfer-encoding") <= 1, "one framing");
            }
            // ureq refuses characters that no field may hold.
            Err(error) => assert!(
                !matches!(error, httparse::Error::TooManyHeaders | httparse::Error::NewLine),
                "{error}"
            ),
        }
    }
    comes_back(Input(data));
});

/// Reads a chunked body with everything that a server may put around the chunks.
fn comes_back(mut input: Input<'_>) {
    let mut came = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let mut content = Vec::new();
    for _ in 0..input.byte() % 8 {
        let (shape, data) = (input.byte(), input.piece());
        if data.is_empty() {
            continue;
        }
        came.extend(b"0".repeat((shape & 7).into()));
        let size = data.len();
        came.extend(if shape & 8 == 0 { format!("{size:x}") } else { format!("{size:X}") }.bytes());
        came.extend(b" ".repeat((shape >> 4 & 1).into()));
        if shape & 32 != 0 {
            came.push(b';');
            came.extend(input.piece().iter().filter(|&&byte| byte != b'\n'));
        }
        came.extend(b"\r\n");
        came.extend(data);
        came.extend(b"\r\n");
        content.extend(data);
    }
    came.extend(b"0\r\nTrailer: x\r\n\r\n");
    let step = usize::from(input.byte());
    let (out, taken, ended) = answer(&came, || step, false);
    let (head, body) = split(out.expose());
    assert_eq!((decoded(head, body), taken, ended), (Some(content), came.len(), Some(true)));
}

/// Returns the final header section, if it is complete, and the bytes after it.
fn split(out: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let mut rest = out;
    while let Some(end) = rest.windows(4).position(|end| end == b"\r\n\r\n") {
        let (head, after) = rest.split_at(end + 4);
        if head != b"HTTP/1.1 100 Continue\r\n\r\n" {
            return (Some(head), after);
        }
        rest = after;
    }
    assert!(rest.is_empty(), "header sections come whole");
    (None, rest)
}

/// Returns status and fields, however they are written.
fn said(head: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = head.split(|&byte| byte == b'\n').map(<[u8]>::to_ascii_lowercase);
    let status = lines.next().map(|line| line[..12].to_vec());
    let mut fields: Vec<_> = lines
        .map(|line| {
            let mut parts: Vec<_> = line.split(|&byte| byte == b':').map(<[u8]>::trim_ascii).collect();
            if let [b"content-length", length] = &mut parts[..] {
                *length = &length[length.iter().take_while(|&&digit| digit == b'0').count()..];
            }
            parts.join(&b':')
        })
        .collect();
    fields.sort();
    status.into_iter().chain(fields).collect()
}

fn is_chunked(head: &[u8]) -> bool {
    said(head).iter().any(|field| field == b"transfer-encoding:chunked")
}

/// Returns the body if its framing is the one given.
fn decoded(head: Option<&[u8]>, body: &[u8]) -> Option<Vec<u8>> {
    if !is_chunked(head?) {
        return Some(body.to_vec());
    }
    let mut rest = body;
    let mut all = Vec::new();
    while let Some(end) = rest.windows(2).position(|end| end == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        all.extend_from_slice(&rest[end + 2..][..size]);
        rest = &rest[end + 2 + size + 2..];
    }
    assert!(rest.is_empty(), "chunks come whole");
    Some(all)
}
