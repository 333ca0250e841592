//! A request to the listener (`src/login/request.rs`), from a browser or anything else.
#![no_main]

use keyfob::internals::request_target;
use keyfob_fuzz::Input;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let address =
        ["127.0.0.1:8765", "127.0.0.1:80", "[::1]:8765", "localhost:8765"][usize::from(input.byte()) % 4];
    let head = input.rest();
    let outcome = request_target(head, head.len(), address);
    // The request arrives in pieces of any size.
    for part in [1, 7, 1_000] {
        let again = request_target(head, part, address);
        let exposed = |outcome: &Option<Result<keyfob::Secret, &'static str>>| {
            outcome.as_ref().map(|outcome| {
                outcome.as_ref().map(|target| target.expose().to_vec()).map_err(|&status| status)
            })
        };
        assert!(exposed(&again) == exposed(&outcome), "parts of {part}");
    }
    let mut lines = head.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    match outcome {
        None => {
            let lines: Vec<_> = lines.collect();
            // The last request is incomplete.
            assert!(lines[..lines.len() - 1].iter().all(|line| !line.is_empty()), "an empty line ends it");
        }
        Some(Err(status)) => {
            let known = [
                "400 Bad Request",
                "405 Method Not Allowed",
                "414 URI Too Long",
                "421 Misdirected Request",
                "431 Request Header Fields Too Large",
            ];
            assert!(known.contains(&status));
        }
        Some(Ok(target)) => {
            let target = target.expose();
            assert!(target.starts_with(b"/"));
            assert!(!target.iter().any(|b| matches!(b, b' ' | b'\n')), "the target ends where it ends");
            let first = [b"GET ", target, b" HTTP/1."].concat();
            assert!(lines.next().unwrap().starts_with(&first));
            let hosts: Vec<_> = lines
                .take_while(|line| !line.is_empty())
                .filter(|line| line.len() >= 5 && line[..5].eq_ignore_ascii_case(b"host:"))
                .map(|line| line[5..].trim_ascii())
                .collect();
            let [host] = hosts[..] else { panic!("{} hosts", hosts.len()) };
            let short = address.strip_suffix(":80").unwrap_or(address);
            assert!(host == address.as_bytes() || host == short.as_bytes(), "meant for another host");
        }
    }
});
