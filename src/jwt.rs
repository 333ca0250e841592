//! [`AssertionKey`]: signs client assertions, JWTs with HS256 (RFC 7515, 7519, 7523).
//!
//! There is no verifier, and the header is a constant, so attacks that choose `alg` are impossible.

use std::fmt;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroize as _;

use crate::secret::Secret;
use crate::secret::on_wiped_stack;

/// `{"alg":"HS256","typ":"JWT"}` in base64url.
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";

/// RFC 7518 3.2: a key for HS256 must have at least the size of the hash output.
pub(crate) const MIN_KEY_LEN: usize = 32;

/// The length of an HS256 signature in base64url without padding.
const SIGNATURE_LEN: usize = 43;

/// Signs assertions for one client and one audience.
#[derive(Clone)]
pub struct AssertionKey {
    /// The start of every assertion: the header, a dot, and `{"iss":…,"sub":…,"aud":…,` in base64url. Not secret.
    start: String,
    /// The last one or two bytes of the claims so far, if they do not fill a base64 group of three.
    rest: Vec<u8>,
    /// The HMAC state after `start`. `sha2` wipes it on drop.
    mac: Hmac<Sha256>,
}

impl AssertionKey {
    /// A key for assertions whose `iss` and `sub` are the client id (RFC 7523 3).
    #[allow(clippy::missing_panics_doc, reason = "neither can happen")]
    pub fn new(client_id: &str, audience: &str, client_secret: &Secret) -> Self {
        // `hmac` and `base64` leave copies of the key and the claims on the stack.
        on_wiped_stack(|| Self::made(client_id, audience, client_secret))
    }

    fn made(client_id: &str, audience: &str, client_secret: &Secret) -> Self {
        let json = |text: &str| serde_json::to_string(text).expect("a string is always JSON");
        let id = json(client_id);
        let claims = format!(r#"{{"iss":{id},"sub":{id},"aud":{},"#, json(audience));
        let (whole, rest) = claims.as_bytes().split_at(claims.len() / 3 * 3);
        let start = format!("{HEADER}.{}", URL_SAFE_NO_PAD.encode(whole));
        let mac = hmac(client_secret.expose()).chain_update(&start);
        Self { start, rest: rest.to_vec(), mac }
    }

    /// Signs one assertion. Times are Unix seconds. Each `jti` may be used once.
    pub fn mint(&self, issued_at: i64, expires_at: i64, jti: &[u8; 16]) -> Secret {
        let mut claims = Vec::with_capacity(128);
        claims.extend_from_slice(&self.rest);
        let jti = URL_SAFE_NO_PAD.encode(jti);
        let _ = write!(claims, r#""iat":{issued_at},"exp":{expires_at},"jti":"{jti}"}}"#);

        let encoded_len = (4 * claims.len()).div_ceil(3);
        let mut jwt = Secret::with_capacity(self.start.len() + encoded_len + 1 + SIGNATURE_LEN);
        jwt.extend(self.start.as_bytes());
        let encoded = jwt.extend_zeroed(encoded_len);
        encode(&claims, encoded);
        let mut signature = self.mac.clone().chain_update(encoded).finalize().into_bytes();
        jwt.extend(b".");
        encode(&signature, jwt.extend_zeroed(SIGNATURE_LEN));
        signature.as_mut_slice().zeroize();
        jwt
    }
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

impl fmt::Debug for AssertionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AssertionKey(***)")
    }
}

fn encode(bytes: &[u8], out: &mut [u8]) {
    URL_SAFE_NO_PAD.encode_slice(bytes, out).expect("the buffer has the size of the unpadded encoding");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &[u8]) -> AssertionKey {
        AssertionKey::new("id", "aud", &Secret::from(secret.to_vec()))
    }

    fn hmac(secret: &[u8], data: &[u8]) -> Vec<u8> {
        super::hmac(secret).chain_update(data).finalize().into_bytes().to_vec()
    }

    fn unhex(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap()).collect()
    }

    #[test]
    fn hmac_matches_the_vectors_of_rfc_4231() {
        let long_key = [0xaa; 131];
        let counting: Vec<u8> = (1..=25).collect();
        for (key, data, expected) in [
            (
                &[0x0b; 20][..],
                &b"Hi There"[..],
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (&[0xaa; 20], &[0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
            (&counting, &[0xcd; 50], "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
            (
                &long_key,
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (
                &long_key,
                b"This is a test using a larger than block-size key and a larger than block-size data. \
                  The key needs to be hashed before being used by the HMAC algorithm.",
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
            ),
        ] {
            assert_eq!(hmac(key, data), unhex(expected));
        }
        // Test case 5 truncates the output to 128 bits.
        assert_eq!(
            hmac(&[0x0c; 20], b"Test With Truncation")[..16],
            unhex("a3b6167473100ee06e0c796c2955552b")
        );
    }

    #[test]
    fn signature_matches_the_example_of_rfc_7515_a1() {
        let secret = URL_SAFE_NO_PAD
            .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
            .unwrap();
        let input = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
                     eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = URL_SAFE_NO_PAD.encode(hmac(&secret, input.as_bytes()));
        assert_eq!(signature, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    }

    #[test]
    fn header_and_claims_are_as_documented() {
        let secret = Secret::from(vec![b'k'; 32]);
        let key = AssertionKey::new(r#"a"\ü"#, "https://h/t", &secret);
        let jwt = key.mint(-5, 300, &[0xff; 16]);
        let parts: Vec<&str> = jwt.expose_str().unwrap().split('.').collect();
        let decoded = |part| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        assert_eq!(decoded(parts[0]), r#"{"alg":"HS256","typ":"JWT"}"#);
        assert_eq!(
            decoded(parts[1]),
            r#"{"iss":"a\"\\ü","sub":"a\"\\ü","aud":"https://h/t","iat":-5,"exp":300,"jti":"_____________________w"}"#
        );
        assert_eq!(parts[2].len(), SIGNATURE_LEN);
        assert_eq!(parts.len(), 3);
    }

    #[test]
    fn buffer_of_an_assertion_never_grows() {
        let jwt = key(&[7; 32]).mint(i64::MIN, i64::MAX, &[0; 16]);
        let mut same = Secret::with_capacity(jwt.len());
        same.extend(jwt.expose());
        assert_eq!(jwt.capacity(), same.capacity(), "exact capacity, so nothing was moved and left behind");
    }

    /// 100,000 random keys and claims, byte for byte against the `jsonwebtoken` crate (`KEYFOB_RUNS` sets the number).
    #[test]
    fn signatures_equal_jsonwebtoken() {
        use jsonwebtoken::{Algorithm, EncodingKey, crypto};
        let compare = || {
            let mut random = [0_u8; 256];
            getrandom::fill(&mut random).unwrap();
            let secret = &random[..=usize::from(random[255]) % 128];
            let text: String = random[128..200].iter().map(|&b| char::from(b)).collect();
            let (id, aud) = text.split_at(text.char_indices().nth(usize::from(random[254]) % 72).unwrap().0);
            let key = AssertionKey::new(id, aud, &Secret::from(secret.to_vec()));
            let iat = i64::from_le_bytes(random[200..208].try_into().unwrap());
            let jwt = key.mint(iat, iat.wrapping_add(300), random[208..224].try_into().unwrap());
            let (input, signature) = jwt.expose_str().unwrap().rsplit_once('.').unwrap();
            let expected =
                crypto::sign(input.as_bytes(), &EncodingKey::from_secret(secret), Algorithm::HS256);
            assert_eq!(signature, expected.unwrap());
        };
        let runs = usize::try_from(crate::seeded::runs(100_000)).unwrap();
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        std::thread::scope(|scope| {
            for first in 0..threads {
                scope.spawn(move || (first..runs).step_by(threads).for_each(|_| compare()));
            }
        });
    }
}
