//! Compares minting a client assertion with keyfob and with its peers, with the same claims.
//!
//! The measured time of keyfob includes encoding the `jti` and wiping the buffers. The peers receive the
//! `jti` as text. A peer that consumes its claims receives a copy that was made outside the measured time.
#![allow(clippy::disallowed_methods, reason = "benchmarks read the clock by themselves")]

mod turns;

use std::hint::black_box;
use std::time::Instant;

use chrono::DateTime;
use criterion::Criterion;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jwt_compact::AlgorithmExt as _;
use jwt_simple::prelude::{HS256Key, MACLike as _};
use keyfob::Secret;
use keyfob::internals::AssertionKey;
use serde::Serialize;
use sha2::Sha256;

use turns::Turns;

const SECRET: &[u8; 48] = b"a secret of the length that SpatiaFi hands out..";
const CLIENT_ID: &str = "client-012345678901";
const AUDIENCE: &str = "https://auth.spatiafi.com/api/v1/auth/jwt/token";
const ISSUED_AT: u32 = 1_700_000_000;
const EXPIRES_AT: u32 = ISSUED_AT + 300;
const JTI: [u8; 16] = [0x5a; 16];
const JTI_TEXT: &str = "WlpaWlpaWlpaWlpaWlpaWg";

/// Header, dot and claims, as long as those of a real client.
const SIGNING_INPUT: usize = 275;
/// Dot and signature.
const REST: usize = 44;

fn main() {
    let key = AssertionKey::new(CLIENT_ID, AUDIENCE, &Secret::from(SECRET.to_vec()));
    let keyfob = || key.mint(ISSUED_AT.into(), EXPIRES_AT.into(), black_box(&JTI));
    let (jsonwebtoken, jwt_compact) = (jsonwebtoken(), jwt_compact());

    let mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("HMAC takes keys of any length");

    let minted = keyfob();
    let jwt = minted.expose();
    assert_eq!(jwt.len(), SIGNING_INPUT + REST);
    assert_eq!(jsonwebtoken().len(), jwt.len());
    assert_eq!(jwt_compact().len(), jwt.len());

    let mut turns = Turns::new("mint");
    turns.add("keyfob", keyfob);
    turns.add("jsonwebtoken", jsonwebtoken);
    turns.add("jwt-compact", jwt_compact);
    turns.add_timed("jwt-simple", jwt_simple());
    turns.add("raw HMAC, key state kept", || {
        mac.clone().chain_update(black_box(&jwt[..SIGNING_INPUT])).finalize()
    });

    let mut criterion = Criterion::default().configure_from_args();
    turns.run(&mut criterion);
    criterion.final_summary();
}

fn jsonwebtoken() -> impl Fn() -> String {
    #[derive(Serialize)]
    struct Claims {
        iss: &'static str,
        sub: &'static str,
        aud: &'static str,
        iat: u32,
        exp: u32,
        jti: &'static str,
    }
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET);
    let claims = Claims {
        iss: CLIENT_ID,
        sub: CLIENT_ID,
        aud: AUDIENCE,
        iat: ISSUED_AT,
        exp: EXPIRES_AT,
        jti: JTI_TEXT,
    };
    move || jsonwebtoken::encode(&header, black_box(&claims), &key).expect("HS256 signs anything")
}

fn jwt_compact() -> impl Fn() -> String {
    #[derive(Serialize)]
    struct Names {
        iss: &'static str,
        sub: &'static str,
        aud: &'static str,
        jti: &'static str,
    }
    let header = jwt_compact::Header::empty().with_token_type("JWT");
    let key = jwt_compact::alg::Hs256Key::new(SECRET);
    let names = Names { iss: CLIENT_ID, sub: CLIENT_ID, aud: AUDIENCE, jti: JTI_TEXT };
    let mut claims = jwt_compact::Claims::new(names);
    claims.issued_at = DateTime::from_timestamp(ISSUED_AT.into(), 0);
    claims.expiration = DateTime::from_timestamp(EXPIRES_AT.into(), 0);
    move || {
        let algorithm = jwt_compact::alg::Hs256;
        algorithm.token(&header, black_box(&claims), &key).expect("HS256 signs anything")
    }
}

fn jwt_simple() -> impl FnMut(u64) -> std::time::Duration {
    use jwt_simple::prelude::{Claims, Duration, UnixTimeStamp};
    let key = HS256Key::from_bytes(SECRET);
    let mut claims = Claims::create(Duration::from_secs(300))
        .with_issuer(CLIENT_ID)
        .with_subject(CLIENT_ID)
        .with_audience(AUDIENCE)
        .with_jwt_id(JTI_TEXT);
    claims.issued_at = Some(UnixTimeStamp::from_secs(ISSUED_AT.into()));
    claims.expires_at = Some(UnixTimeStamp::from_secs(EXPIRES_AT.into()));
    // `create` sets this claim, which an assertion does not have.
    claims.invalid_before = None;
    move |iterations| {
        let copies: Vec<_> = (0..iterations).map(|_| claims.clone()).collect();
        let started = Instant::now();
        for claims in copies {
            let jwt = key.authenticate(claims).expect("the key is long enough");
            assert_eq!(jwt.len(), SIGNING_INPUT + REST);
        }
        started.elapsed()
    }
}
