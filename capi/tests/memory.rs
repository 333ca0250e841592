//! Nothing is left of a secret in the memory of a program once all has been freed: looked at from outside.

#![cfg(target_os = "linux")]

mod support;

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::PermissionsExt as _;
use std::process::ChildStdin;

use keyfob_sandbox::Sandbox;
use support::{Flavor, Program};

/// The shortest piece of a secret that counts.
const PIECE: usize = 12;

/// Neither is the sandbox's own word for anything.
const CUSTOMER_SECRET: &str = "kQ7-customer-vX2-marked-secret-8Zt";

#[test]
fn no_secret_is_left_after_all_has_been_freed() {
    for sandbox in [Sandbox::start(), Sandbox::start_tls()] {
        for flavor in [Flavor::Static, Flavor::Shared] {
            let marks = marks_left(&sandbox, flavor);
            assert!(marks.is_empty(), "{flavor:?}: {marks:#?}");
        }
    }
}

/// The pieces of secrets in the memory of the program, and where they are.
fn marks_left(sandbox: &Sandbox, flavor: Flavor) -> Vec<String> {
    let program = Program::test("secrets", flavor);
    let (given, found) = (program.home().join("given"), program.home().join("found"));
    let secrets = [
        sandbox.client_id(),
        sandbox.client_secret(),
        sandbox.username(),
        sandbox.password(),
        CUSTOMER_SECRET,
    ];
    fs::write(&given, secrets.join("\n")).expect("it can be written");
    let mut command = program.command();
    // The environment is the kernel's to keep: no secrets in it.
    command
        .envs(sandbox.env().into_iter().filter(|(name, _)| name.ends_with("URL") || name.ends_with("FILE")));
    command.env("SECRETS", &given).env("FOUND", &found);
    let mut marks = Vec::new();
    program.talks_to(&mut command, |process, line, input| {
        assert_eq!(line, "done");
        let mut secrets: Vec<_> = secrets.iter().skip(1).map(|secret| (*secret).to_owned()).collect();
        secrets.retain(|secret| secret != sandbox.username());
        secrets.extend(fs::read_to_string(&found).expect("text").lines().map(str::to_owned));
        assert!(secrets.len() >= 7 && secrets.iter().all(|secret| secret.len() >= PIECE), "{secrets:?}");
        secrets.push(base64(&format!("{}:{}", sandbox.username(), sandbox.password())));
        secrets.push(base64(&format!("customer:{CUSTOMER_SECRET}")));
        marks = pieces_of(&secrets, process);
        drop::<Option<ChildStdin>>(input.take());
    });
    let mode = fs::metadata(&found).expect("it was written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    marks
}

fn pieces_of(secrets: &[String], process: u32) -> Vec<String> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).expect("it lives");
    let mut memory = File::open(format!("/proc/{process}/mem")).expect("a child of ours");
    let pieces: std::collections::HashMap<&[u8], usize> = secrets
        .iter()
        .enumerate()
        .flat_map(|(number, secret)| secret.as_bytes().windows(PIECE).map(move |piece| (piece, number)))
        .collect();
    let mut marks = Vec::new();
    let mut looked_at = 0;
    for map in maps.lines() {
        let mut fields = map.split_whitespace();
        let (range, mode) = (fields.next().expect("a range"), fields.next().expect("a mode"));
        if !mode.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-').expect("a range");
        let [start, end] = [start, end].map(|at| u64::from_str_radix(at, 16).expect("an address"));
        let mut bytes = vec![0; usize::try_from(end - start).expect("it fits")];
        memory.seek(SeekFrom::Start(start)).expect("an address");
        if memory.read_exact(&mut bytes).is_err() {
            continue;
        }
        looked_at += bytes.len();
        let mut last = None;
        for (at, piece) in bytes.windows(PIECE).enumerate() {
            let Some(&number) = pieces.get(piece) else { continue };
            // One mark for each run of them.
            if last.replace(at + 1) != Some(at) {
                let (name, piece) =
                    (fields.clone().next_back().unwrap_or(""), String::from_utf8_lossy(piece));
                marks.push(format!(
                    "secret {number} from {piece:?} on, in {name}, {} from its end",
                    bytes.len() - at
                ));
            }
        }
    }
    assert!(looked_at > 100_000, "{looked_at} bytes, in {maps}");
    marks
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut digits = String::new();
    for chunk in text.as_bytes().chunks_exact(3) {
        let number = chunk.iter().fold(0_usize, |number, &byte| number << 8 | usize::from(byte));
        digits.extend([18, 12, 6, 0].map(|shift| char::from(DIGITS[number >> shift & 63])));
    }
    digits
}
