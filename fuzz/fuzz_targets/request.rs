//! The request that a browser sends to the listener, or anyone else (`src/redirect.rs`).
#![no_main]

use keyfob::internals::request_target;
use keyfob_fuzz::Input;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let address = ["127.0.0.1:8765", "127.0.0.1:80", "[::1]:8765"][usize::from(input.byte()) % 3];
    let head = input.rest();
    match request_target(head, address.parse().unwrap()) {
        Err(status) => {
            let known = ["400 Bad Request", "405 Method Not Allowed", "421 Misdirected Request"];
            assert!(known.contains(&status));
        }
        Ok(target) => {
            let target = target.expose();
            assert!(target.starts_with(b"/"));
            assert!(!target.iter().any(|b| matches!(b, b' ' | b'\n')), "the target ends where it ends");
            let mut lines = head.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
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
