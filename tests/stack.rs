//! Once a flow has ended, with success or failure, no piece of a secret is left on the stack of its thread.
//! Another thread reads that stack.
//!
//! The frames of a flow mostly overwrite each other's copies. So a logger leaves copies of a secret wherever ureq and keyfob log, and a
//! flow that does not wipe its stack is found. Steps that log nothing, such as the start of a login with a browser, are left to
//! `scripts/leftovers`.

#![cfg(target_os = "linux")]

mod support;

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyfob::flow::{
    AuthorizationCode, ClientCredentials, DeviceCode, ExtensionGrant, Introspect, Refresh, Revoke,
};
use keyfob::spatiafi::{BasicToken, CreateClient};
use keyfob::{ClientAuth, Error, Secret, Token, Transport};
use serde_json::json;
use support::*;

const PIECE: usize = 12;

const PASSWORD: &str = "pa5$W0rd/mark+q8=Zk&3v%T7~x!e";
const CLIENT_SECRET: &str = "cS1/9x&Kd-mark+Wq3=p7%Lz/5$b8~Yh2";
const ACCESS_TOKEN: &str = "aT4/hN8+mark=Bv2~Xc6-Rj1/Ud9+Se5";
const REFRESH_TOKEN: &str = "rT6/fM3+mark=Gw9~Zi4-Po7/Ln2+Ka8";
const NEW_SECRET: &str = "nS8/yQ5+mark=Ht1~Ve7-Cx3/Jb6+Mu4";
const CODE: &str = "cO3/vB1+mark=Lk8~Qs5-Tw6/Fd2+Zp4";
const DEVICE_CODE: &str = "dC7/mK5+mark=Yr3~Wh9-Ub1/Nf4+Gz8";
const ASSERTION: &str = "aS2/kT9+mark=Mv4~Rc1-Dn6/Xe3+Bq7";
const REDIRECT: &str = "https://app.example/cb";

/// Runs one flow on a thread of its own. It keeps nothing.
type Work = fn(&str);

fn server(good: bool) -> Server {
    let (status, body) = if good {
        (
            200,
            json!({ "access_token": ACCESS_TOKEN, "token_type": "bearer", "refresh_token": REFRESH_TOKEN,
            "expires_in": 60, "client_id": "id", "client_secret": NEW_SECRET, "active": true }),
        )
    } else {
        (400, json!({ "error": "invalid_grant", "error_description": "no" }))
    };
    let codes = json!({ "device_code": DEVICE_CODE, "user_code": "WDJB-MJHT", "expires_in": 60,
        "verification_uri": "https://as.example/device" });
    Server::answering(move |request| {
        if request.head.starts_with("POST /device ") {
            answer(200, "", codes.to_string())
        } else {
            answer(status, "", body.to_string())
        }
    })
}

fn login(origin: &str, redirect: &str) -> keyfob::flow::PendingLogin {
    let client = ClientAuth::secret_post("id", CLIENT_SECRET);
    let flow = AuthorizationCode::new(format!("{origin}/authorize"), origin, client, redirect);
    flow.clone().with_scope("a").start(&Transport::new()).unwrap()
}

fn device_login(origin: &str) -> keyfob::flow::PendingLogin {
    let client = ClientAuth::secret_post("id", CLIENT_SECRET);
    DeviceCode::new(format!("{origin}/device"), origin, client).start(&Transport::new()).unwrap()
}

fn parameter(url: &str, name: &str) -> String {
    let mut pairs = url.split(['?', '&']).filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).expect(name)
}

fn callback(login: &keyfob::flow::PendingLogin, rest: &str) -> String {
    format!("{REDIRECT}?state={}&{rest}", parameter(login.url(), "state"))
}

fn code() -> String {
    format!("code={}", CODE.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D"))
}

/// The result does not matter: the server answers everything correctly, or nothing.
fn end<T>(result: Result<T, Error>) {
    drop(result);
}

fn tokens() -> Token {
    token(ACCESS_TOKEN).with_refresh_token(REFRESH_TOKEN)
}

const WORK: [(&str, Work); 13] = [
    ("a device login that is given up", |origin| drop(device_login(origin))),
    ("a device login", |origin| end(device_login(origin).poll())),
    ("an introspection", |origin| {
        let client = ClientAuth::secret_basic("id", CLIENT_SECRET);
        end(Introspect::new(origin, client).run(&Transport::new(), &Secret::from(ACCESS_TOKEN)));
    }),
    ("an extension grant", |origin| {
        let flow =
            ExtensionGrant::new(origin, ClientAuth::secret_post("id", CLIENT_SECRET), "urn:example:grant");
        end(flow.with_secret_parameter("assertion", ASSERTION).run(&Transport::new()));
    }),
    ("a ready assertion", |origin| {
        let client = ClientAuth::assertion("id", || Ok(ASSERTION.into()));
        end(ClientCredentials::new(origin, client).run(&Transport::new()));
    }),
    ("a pasted login", |origin| {
        let login = login(origin, REDIRECT);
        let url = callback(&login, &code());
        end(login.finish(&url));
    }),
    ("a login that is called back", |origin| {
        let login = login(origin, "http://127.0.0.1:0/cb");
        let url = format!("{}?state={}&{}", local(login.url()), parameter(login.url(), "state"), code());
        let browser = thread::spawn(move || drop(ureq::get(url).call()));
        end(login.wait(Duration::from_secs(20)));
        browser.join().unwrap();
    }),
    ("a renewal", |origin| {
        let client = ClientAuth::secret_basic("id", CLIENT_SECRET);
        end(Refresh::new(origin, client).run(&Transport::new(), &tokens()));
    }),
    ("a renewal with the secret in the body", |origin| {
        let client = ClientAuth::secret_post("id", CLIENT_SECRET);
        end(Refresh::new(origin, client).run(&Transport::new(), &tokens()));
    }),
    ("an assertion", |origin| {
        end(ClientCredentials::new(origin, ClientAuth::secret_jwt("id", CLIENT_SECRET))
            .run(&Transport::new()));
    }),
    ("a password", |origin| end(BasicToken::new(origin, "ada", PASSWORD).unwrap().run(&Transport::new()))),
    ("app credentials", |origin| {
        end(CreateClient::new(origin).unwrap().run(&Transport::new(), &tokens(), |_| Ok(())));
    }),
    ("a revocation", |origin| {
        let token = Secret::from(REFRESH_TOKEN);
        end(Revoke::in_query(origin).run(&Transport::new(), &token));
        let client = ClientAuth::secret_basic("id", CLIENT_SECRET);
        end(Revoke::new(origin, client).run(&Transport::new(), &token));
    }),
];

/// The redirect URI of a login URL.
fn local(login_url: &str) -> String {
    parameter(login_url, "redirect_uri").replace("%3A", ":").replace("%2F", "/")
}

/// Calls the work from a deeper stack frame than the code after it uses.
#[inline(never)]
fn further_down(work: Work, origin: &str) {
    let above = [0_u8; 16 * 1024];
    std::hint::black_box(&above);
    work(origin);
    std::hint::black_box(&above);
}

/// Returns the stack of a thread that has done this work and still runs, and how many records it has logged.
fn stack_after(work: Work, origin: &str) -> (Vec<u8>, usize) {
    let (say, said) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let origin = origin.to_owned();
    let worker = thread::spawn(move || {
        further_down(work, &origin);
        let here = 0_u8;
        say.send(std::ptr::from_ref(&here).addr()).unwrap();
        let _ = released.recv();
        RECORDS.get()
    });
    let here = said.recv().unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let (start, stop) = maps
        .lines()
        .filter_map(|line| line.split_once(' ')?.0.split_once('-'))
        .map(|(start, stop)| [start, stop].map(|at| usize::from_str_radix(at, 16).unwrap()))
        .map(|[start, stop]| (start, stop))
        .find(|(start, stop)| (*start..*stop).contains(&here))
        .expect("the stack is mapped");
    let mut memory = File::open("/proc/self/mem").unwrap();
    memory.seek(SeekFrom::Start(start as u64)).unwrap();
    let mut stack = vec![0; stop - start];
    memory.read_exact(&mut stack).unwrap();
    drop(release);
    (stack, worker.join().unwrap())
}

/// Returns the pieces of secrets, raw and in base64.
fn pieces(secrets: &[(String, Vec<u8>)]) -> HashMap<Vec<u8>, &str> {
    let mut pieces = HashMap::new();
    for (name, secret) in secrets {
        pieces.extend(secret.windows(PIECE).map(|piece| (piece.to_vec(), name.as_str())));
        // As SHA-256 reads a message: in big-endian words of four bytes, which most processors store in
        // reverse.
        for piece in secret.windows(PIECE) {
            pieces
                .insert(piece.chunks(4).flat_map(|word| word.iter().rev().copied()).collect(), name.as_str());
        }
        // As HMAC pads a key (RFC 2104 2).
        for pad in [0x36, 0x5c] {
            let padded: Vec<_> = secret.iter().map(|byte| byte ^ pad).collect();
            pieces.extend(padded.windows(PIECE).map(|piece| (piece.to_vec(), name.as_str())));
        }
        for before in ["", ":", "::"] {
            let text = URL_SAFE_NO_PAD.encode([before.as_bytes(), secret].concat());
            let within = &text.as_bytes()[4..text.len() - 4];
            pieces.extend(within.windows(16).map(|piece| (piece.to_vec(), name.as_str())));
        }
    }
    pieces
}

fn left(secrets: &[(String, Vec<u8>)], stack: &[u8]) -> Vec<String> {
    let pieces = pieces(secrets);
    // No secret contains NUL, and most of a stack is NUL.
    let texts: Vec<_> = stack.split(|&byte| byte == 0).filter(|text| text.len() >= PIECE).collect();
    let mut found: Vec<_> = [PIECE, 16]
        .iter()
        .flat_map(|len| texts.iter().flat_map(|text| text.windows(*len)))
        .filter_map(|window| pieces.get(window).map(|name| (*name).to_owned()))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Copies a secret to an array, as no flow does.
#[inline(never)]
fn copied(secret: &str) {
    let mut copy = [0; 64];
    copy[..secret.len()].copy_from_slice(secret.as_bytes());
    std::hint::black_box(&copy);
}

const LOGGED: &str = "lG6/pT2+mark=Ez7~Vm3-Ky9/Hs5+Wc1";

/// A logger that leaves copies of a secret below the frame that logs.
struct Careless;

thread_local! {
    static RECORDS: Cell<usize> = const { Cell::new(0) };
}

impl log::Log for Careless {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    #[inline(never)]
    fn log(&self, _: &log::Record<'_>) {
        // More than the frames that follow overwrite.
        let mut copies = [0; 4 * 1024];
        copies.chunks_exact_mut(64).for_each(|copy| copy[..LOGGED.len()].copy_from_slice(LOGGED.as_bytes()));
        std::hint::black_box(&copies);
        RECORDS.set(RECORDS.get() + 1);
    }

    fn flush(&self) {}
}

#[test]
fn piece_of_a_secret_on_the_stack_is_detected() {
    let secrets = [("password".to_owned(), PASSWORD.as_bytes().to_vec())];
    let (stack, _) = stack_after(|_| copied(PASSWORD), "");
    assert_eq!(left(&secrets, &stack), ["password"]);
}

#[test]
fn no_flow_leaves_a_secret_on_the_stack() {
    log::set_logger(&Careless).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let mut all = Vec::new();
    for good in [true, false] {
        for (what, work) in WORK {
            let server = server(good);
            let (stack, records) = stack_after(work, &server.origin());
            assert_ne!(records, 0, "{what} would leave nothing");
            let given = [
                PASSWORD,
                CLIENT_SECRET,
                ACCESS_TOKEN,
                REFRESH_TOKEN,
                NEW_SECRET,
                CODE,
                DEVICE_CODE,
                ASSERTION,
                LOGGED,
            ];
            let mut secrets: Vec<_> =
                given.iter().map(|secret| ((*secret).to_owned(), secret.as_bytes().to_vec())).collect();
            for request in server.requests() {
                for name in ["code_verifier", "client_assertion"] {
                    let Some(made) = request.form(name) else { continue };
                    // An assertion starts with known text: its header, the issuer and the audience.
                    let made = &made[made.len().saturating_sub(100)..];
                    secrets.push((name.to_owned(), made.as_bytes().to_vec()));
                    if let Ok(random) = URL_SAFE_NO_PAD.decode(made) {
                        secrets.push((format!("bytes of {name}"), random));
                    }
                }
            }
            for secret in left(&secrets, &stack) {
                all.push(format!("{what}, {}: {secret}", if good { "well" } else { "refused" }));
            }
        }
    }
    assert!(all.is_empty(), "{all:#?}");
}
