//! After everything was freed, no piece of a secret is left in the memory of a program. Another process
//! searches it.

#![cfg(target_os = "linux")]

mod support;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;

use keyfob_sandbox::{AcmeSandbox, Sandbox, SpacebringSandbox};
use support::servers::Recorder;
use support::{Flavor, Program};

/// The shortest piece of a secret that counts.
const PIECE: usize = 12;

/// The secrets contain no word of the sandbox's own.
const CUSTOMER_SECRET: &str = "kQ7-customer-vX2-marked-secret-8Zt";
const SERVICE_SECRET: &str = "zF5-service-qM8-marked-secret-3Jw";
const API_KEY: &str = "uG6-header-xE2-marked-api-key-9Rd";
const DEVICE_CODE: &str = "pL1-device-sY7-marked-code-5Hv";
const ACCESS_TOKEN: &str = "hT3-access-nW9-marked-token-4Lc";
const REFRESH_TOKEN: &str = "rB8-refresh-yD1-marked-token-6Ps";

#[test]
fn no_secret_is_left_in_memory_after_everything_was_freed() {
    // They run at the same time, because they wait for timeouts.
    thread::scope(|scope| {
        for flavor in [Flavor::Static, Flavor::Shared] {
            for start in [Sandbox::start, Sandbox::start_tls] {
                scope.spawn(move || {
                    let marks = marks_left(&start(), flavor);
                    assert!(marks.is_empty(), "{flavor:?}: {marks:#?}");
                });
            }
        }
    });
}

/// Returns the pieces of secrets in the memory of the program, and where they are.
fn marks_left(sandbox: &Sandbox, flavor: Flavor) -> Vec<String> {
    let program = Program::test("secrets", flavor);
    let spacebring = SpacebringSandbox::beside(sandbox);
    spacebring.add_client_with_secret("customer", CUSTOMER_SECRET);
    let acme = AcmeSandbox::beside(sandbox);
    acme.add_client_with_secret("service", SERVICE_SECRET);
    let answer = format!(
        r#"{{"active":true,"device_code":"{DEVICE_CODE}","user_code":"AB-CD","verification_uri":"https://acme.example","interval":1,
        "access_token":"{ACCESS_TOKEN}","refresh_token":"{REFRESH_TOKEN}","#
    );
    let broken = Recorder::start(answer.clone());
    let good = Recorder::start(answer + r#""token_type":"Bearer","expires_in":3600}"#);
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let silent_url = format!("http://{}", silent.local_addr().expect("it has an address"));

    let (given, found) = (program.home().join("given"), program.home().join("found"));
    let secrets = [
        sandbox.client_id(),
        sandbox.client_secret(),
        sandbox.username(),
        sandbox.password(),
        CUSTOMER_SECRET,
        SERVICE_SECRET,
        API_KEY,
    ];
    fs::write(&given, secrets.join("\n")).expect("it can be written");
    let mut command = program.command();
    // The secrets are not passed in the environment, which the kernel keeps.
    let open = ["URL", "FILE", "NETWORK_ID", "ISSUER"];
    let variables = sandbox.env().into_iter().chain(spacebring.env()).chain(acme.env());
    command.envs(variables.filter(|(name, _)| open.iter().any(|end| name.ends_with(end))));
    command.env("SECRETS", &given).env("FOUND", &found).env("SILENT", silent_url);
    // The system does not assign such a port, so nothing listens there.
    command.env("REFUSED", "http://127.0.0.1:1").env("BROKEN", broken.url()).env("GOOD", good.url());

    let mut secrets =
        [sandbox.client_secret(), sandbox.password(), CUSTOMER_SECRET, SERVICE_SECRET, API_KEY, DEVICE_CODE]
            .into_iter()
            .chain([ACCESS_TOKEN, REFRESH_TOKEN])
            .map(str::to_owned)
            .collect::<Vec<_>>();
    let mut marks = Vec::new();
    program.talks_to(&mut command, |process, line, input| {
        if let Some(url) = line.strip_prefix("paste ") {
            let callback = spacebring.approve(url);
            writeln!(input.as_ref().expect("it is open"), "{callback}").expect("it reads");
            secrets.extend(parameters(&callback, &["code", "state"]));
            return;
        }
        assert_eq!(line, "done");
        secrets.extend(fs::read_to_string(&found).expect("text").lines().map(str::to_owned));
        for request in [&broken, &good].iter().flat_map(|recorder| recorder.requests()) {
            let sent = parameters(&request, &["code_verifier", "client_assertion"]);
            // All assertions have the same header.
            secrets.extend(
                sent.iter().map(|sent| sent.split_once('.').map_or(&**sent, |(_, rest)| rest).to_owned()),
            );
        }
        secrets.sort();
        secrets.dedup();
        assert!(secrets.len() >= 25 && secrets.iter().all(|secret| secret.len() >= PIECE), "{secrets:#?}");
        marks = pieces_of(&secrets, process);
        drop(input.take());
    });
    let mode = fs::metadata(&found).expect("it was written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    marks
}

/// Returns the values of these parameters in a query or form.
fn parameters(text: &str, names: &[&str]) -> Vec<String> {
    let pairs = text.split(['?', '&', '\n']).filter_map(|pair| pair.trim_end().split_once('='));
    pairs.filter(|(name, _)| names.contains(name)).map(|(_, value)| decoded(value)).collect()
}

fn decoded(value: &str) -> String {
    let mut parts = value.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let byte = u8::from_str_radix(&part[..2], 16).expect("two digits");
        text + &char::from(byte).to_string() + &part[2..]
    })
}

fn pieces_of(secrets: &[String], process: u32) -> Vec<String> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).expect("it runs");
    let mut memory = File::open(format!("/proc/{process}/mem")).expect("a child of ours");
    // Groups the pieces by their first bytes, so that all of memory is searched once.
    let mut pieces: HashMap<Vec<u8>, Vec<(Vec<u8>, usize)>> = HashMap::new();
    for (number, secret) in secrets.iter().enumerate() {
        for (shape, length) in shapes(secret) {
            for piece in shape.windows(length) {
                let rest = (piece[PIECE..].to_owned(), number);
                pieces.entry(piece[..PIECE].to_owned()).or_default().push(rest);
            }
        }
    }
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
        let name = fields.next_back().unwrap_or("");
        // No form of a secret contains NUL, and most of memory is NUL.
        for text in bytes.split(|&byte| byte == 0).filter(|text| text.len() >= PIECE) {
            // Reports one mark for each text.
            let hit = (0..=text.len() - PIECE).find_map(|at| {
                let (start, rest) = text[at..].split_at(PIECE);
                let (end, number) = pieces.get(start)?.iter().find(|(end, _)| rest.starts_with(end))?;
                Some((String::from_utf8_lossy(&text[at..at + PIECE + end.len()]), number))
            });
            if let Some((piece, number)) = hit {
                let from_end = bytes.as_ptr_range().end as usize - text.as_ptr() as usize;
                marks.push(format!(
                    "{:?}: {piece:?} in {name}, {from_end} from its end: {:?}",
                    secrets[*number],
                    String::from_utf8_lossy(text)
                ));
            }
        }
    }
    assert!(looked_at > 100_000, "{looked_at} bytes, in {maps}");
    marks
}

/// Returns the forms in which a secret may appear, each with the length from which a piece of it counts.
fn shapes(secret: &str) -> Vec<(Vec<u8>, usize)> {
    let encoded = |escaped: fn(u8) -> bool| {
        secret.bytes().fold(String::new(), |mut text, byte| {
            if escaped(byte) {
                let _ = write!(text, "%{byte:02X}");
            } else {
                text.push(char::from(byte));
            }
            text
        })
    };
    let all = encoded(|_| true);
    let some = encoded(|byte| !byte.is_ascii_alphanumeric() && !b"-._~".contains(&byte));
    let mut shapes = vec![
        (secret.as_bytes().to_vec(), PIECE),
        (some.replace("%20", "+").into_bytes(), PIECE),
        (some.into_bytes(), PIECE),
        (all.to_lowercase().into_bytes(), 3 * PIECE),
        (all.into_bytes(), 3 * PIECE),
    ];
    // At each of the three offsets within a group. Characters that depend on neighbouring bytes are left out.
    for at in 0..3.min(secret.len()) {
        for last in [b"+/", b"-_"] {
            shapes.push((base64(&secret.as_bytes()[at..], *last), PIECE / 3 * 4));
        }
    }
    shapes
}

/// Encodes whole groups of three bytes only.
fn base64(bytes: &[u8], last: [u8; 2]) -> Vec<u8> {
    let digits: Vec<u8> = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').chain(last).collect();
    let number = |group: &[u8]| group.iter().fold(0, |number, &byte| number << 8 | usize::from(byte));
    bytes
        .chunks_exact(3)
        .map(number)
        .flat_map(|number| [18, 12, 6, 0].map(|shift| digits[number >> shift & 63]))
        .collect()
}
