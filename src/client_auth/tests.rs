use std::collections::HashSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};

use super::*;
use crate::clock::from_unix_seconds;
use crate::seeded::{Seeded, runs};

const KEY: &str = "a secret of at least thirty-two bytes";

fn request(auth: &ClientAuth) -> Payload {
    auth.check().unwrap();
    auth.request(&[("a", b"b")], from_unix_seconds(1_000), "https://as.example/token").unwrap()
}

#[test]
fn each_request_carries_one_authentication() {
    for (auth, authorization, form) in [
        (ClientAuth::secret_basic("i d", "s:1"), Some("Basic aStkOnMlM0Ex"), "a=b"),
        (ClientAuth::secret_post("i d", "s:1"), None, "client_id=i+d&client_secret=s%3A1&a=b"),
        (ClientAuth::none("i d"), None, "client_id=i+d&a=b"),
    ] {
        let payload = request(&auth);
        assert_eq!(payload.authorization.as_ref().and_then(Secret::expose_str), authorization);
        assert_eq!(payload.form.as_ref().and_then(Secret::expose_str), Some(form));
        assert!(payload.assertion.is_none());
    }
    let payload = request(&ClientAuth::secret_jwt("i d", KEY));
    let assertion = payload.assertion.as_ref().and_then(Secret::expose_str).unwrap();
    let form = format!(
        "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion={assertion}&a=b"
    );
    assert_eq!(payload.form.as_ref().and_then(Secret::expose_str), Some(form.as_str()));
    assert!(payload.authorization.is_none());
}

#[test]
fn bad_ids_and_secrets_are_refused() {
    let long = "a".repeat(16 * 1024 + 1);
    for (bad, why) in [
        ("", "is empty"),
        (long.as_str(), "is 16385 bytes long; at most 16384 are accepted: is it the right value?"),
        ("a\nb", "holds a control character at byte 1: remove it"),
        ("a\0b", "holds a control character at byte 1: remove it"),
        ("a\u{202e}b", "holds a character that changes the direction of text (U+202E) at byte 1: remove it"),
    ] {
        let refused = |auth: ClientAuth, what| {
            assert_eq!(auth.check().unwrap_err().to_string(), format!("the {what} {why}"));
        };
        refused(ClientAuth::none(bad), "client id");
        refused(ClientAuth::secret_basic(bad, "s"), "client id");
        refused(ClientAuth::secret_basic("i", bad), "client secret");
        refused(ClientAuth::secret_post(bad, "s"), "client id");
        refused(ClientAuth::secret_post("i", bad), "client secret");
        refused(ClientAuth::secret_jwt(bad, KEY), "client id");
        refused(ClientAuth::secret_jwt("i", bad), "client secret");
        refused(ClientAuth::secret_jwt("i", KEY).with_audience(bad), "audience");
    }
}

#[test]
fn settings_of_the_jwt_are_refused_for_other_authentications() {
    for auth in [ClientAuth::none("i"), ClientAuth::secret_basic("i", "s"), ClientAuth::secret_post("i", "s")]
    {
        for (auth, setting) in [
            (auth.clone().with_audience("a"), "with_audience"),
            (auth.clone().with_lifetime(Duration::from_secs(1)), "with_lifetime"),
            (auth.clone().allow_short_key(), "allow_short_key"),
        ] {
            assert_eq!(
                auth.check().unwrap_err().to_string(),
                format!(
                    "`{setting}` fits `ClientAuth::secret_jwt` only: remove it, or use `secret_jwt` if the server expects a \
                     signed JWT"
                )
            );
        }
    }
}

#[test]
fn lifetime_of_the_jwt_is_10_seconds_to_24_hours() {
    let check = |lifetime| {
        let auth = ClientAuth::secret_jwt("i", KEY).with_lifetime(lifetime);
        auth.check().map_err(|error| error.to_string())
    };
    let refused = |shown| {
        Err(format!(
            "the lifetime of the JWT is {shown}; 10 s to 24 h are accepted: does it have the right unit?"
        ))
    };
    for (lifetime, expected) in [
        (Duration::ZERO, refused("0ns")),
        (Duration::from_millis(60), refused("60ms")),
        (Duration::from_millis(9_999), refused("9.999s")),
        (Duration::from_secs(10), Ok(())),
        (Duration::from_secs(24 * 60 * 60), Ok(())),
        (Duration::new(24 * 60 * 60, 1), refused("86400.000000001s")),
        (Duration::from_secs(300_000), refused("300000s")),
        (Duration::MAX, refused("18446744073709551615.999999999s")),
    ] {
        assert_eq!(check(lifetime), expected, "{lifetime:?}");
    }
}

#[test]
fn debug_of_client_auth_shows_no_secret() {
    for auth in [
        ClientAuth::secret_basic("i", "s3cr3t"),
        ClientAuth::secret_post("i", "s3cr3t"),
        ClientAuth::secret_jwt("i", "s3cr3t"),
    ] {
        let shown = format!("{auth:?}");
        assert!(!shown.contains("s3cr3t") && !shown.contains("aTpzM2NyM3Q"), "{shown}");
    }
    assert_eq!(format!("{:?}", ClientAuth::none("i")), "ClientAuth::none(\"i\")");
}

#[derive(serde::Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
    jti: &'a str,
}

/// Compares each assertion byte for byte with `serde_json` and `jsonwebtoken`, at any time. `KEYFOB_RUNS` sets the number.
#[test]
fn assertions_equal_a_second_implementation_and_no_jti_comes_twice() {
    let mut seeded = Seeded::new(2);
    let mut seen = HashSet::new();
    let runs = runs(5_000);
    let (mut minted, mut repeated) = (0, 0);
    while minted < runs {
        let (id, secret, aud) = (seeded.text(24), seeded.bytes(100), seeded.text(24));
        let auth =
            ClientAuth::secret_jwt(id.clone(), secret.clone()).with_audience(aud.clone()).allow_short_key();
        if auth.check().is_err() {
            continue;
        }
        let (now, lifetime) = (seeded.any_seconds().max(-i64::MAX), seeded.any_number());
        let auth = auth.with_lifetime(Duration::from_secs(lifetime));
        for _ in 0..16 {
            let payload = auth.request(&[], from_unix_seconds(now), "another audience").unwrap();
            let jwt = payload.assertion.as_ref().and_then(Secret::expose_str).unwrap();
            let [header, claims, signature] = jwt.split('.').collect::<Vec<_>>()[..] else { panic!("{jwt}") };

            let received: serde_json::Value =
                serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
            let jti = received["jti"].as_str().unwrap();
            let raw: [u8; 16] = URL_SAFE_NO_PAD.decode(jti).unwrap().try_into().expect("128 bits");
            minted += 1;
            repeated += u64::from(!seen.insert(u128::from_le_bytes(raw)));

            let lifetime = i64::try_from(lifetime).unwrap_or(i64::MAX);
            let iat = now.saturating_sub(10.min(lifetime / 2));
            let exp = iat.saturating_add(lifetime);
            let expected = Claims { iss: &id, sub: &id, aud: &aud, iat, exp, jti };
            assert_eq!(claims, URL_SAFE_NO_PAD.encode(serde_json::to_vec(&expected).unwrap()));
            assert_eq!(header, URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#));
            let input = format!("{header}.{claims}");
            let key = EncodingKey::from_secret(&secret);
            assert_eq!(signature, crypto::sign(input.as_bytes(), &key, Algorithm::HS256).unwrap());
        }
    }
    println!("{repeated} of {minted} jti repeated");
    assert_eq!(repeated, 0);
}
