//! A client certificate and its key, for TLS (RFC 8705 2), from PEM files.
//!
//! The TLS libraries end the program if a key cannot be used. So everything that they check is checked here first.

use std::fs;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ureq::tls::{Certificate, ClientCert, PrivateKey};

use crate::error::Error;
use crate::secret::Secret;
use crate::sys::file;
use crate::text::shown;
use crate::transport::ca_file::{Value, split};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 2;
const BIT_STRING: u8 = 3;
const OCTET_STRING: u8 = 4;

/// The content of an `AlgorithmIdentifier` (RFC 3279 2.3.1, RFC 5480 2.1.1).
const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
const P256: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const P384: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22";

/// Reads the certificate, with those that lead to its authority, and its key.
pub(super) fn read(certificate: &Path, key: &Path) -> Result<ClientCert, Error> {
    let named =
        |what: &str, path: &Path, why: &str| Error::invalid(format!("the {what} {} {why}", shown(path)));
    let chain = content("client certificate", certificate)?;
    let chain = certificates(&chain).map_err(|why| named("client certificate", certificate, why))?;
    let pem = content("client key", key)?;
    if is_readable_by_all(key) {
        let advice = file::open_to_others(key).unwrap_or_default();
        return Err(named("client key", key, &format!("may be read by everyone on this machine: {advice}")));
    }
    let unusable = |why| named("client key", key, why);
    let (pkcs8, public) = private_key(&pem).map_err(unusable)?;
    let public_of_certificate = chain.first().and_then(|der| Leaf::of(der.expose())).ok_or_else(|| {
        let why = "is none that TLS can use: it must be of version 3 (X.509), without a critical extension that is not supported";
        named("client certificate", certificate, why)
    })?;
    if public_of_certificate.0 != public.expose() {
        return Err(unusable("does not belong to the client certificate: name the two files of one pair"));
    }
    let chain: Vec<_> = chain.iter().map(|der| Certificate::from_der(der.expose()).to_owned()).collect();
    let key = PrivateKey::from_pem(in_pem(&pkcs8).expose()).map_err(|_| unusable("cannot be used"))?;
    Ok(ClientCert::new_with_certs(&chain, key))
}

fn content(what: &str, path: &Path) -> Result<Secret, Error> {
    file::read(path).and_then(|pem| pem.ok_or_else(|| io::ErrorKind::NotFound.into())).map_err(|e| {
        Error::invalid(format!("could not read the {what} {}: {}", shown(path), file::why_at(path, &e)))
            .with_source(&e)
    })
}

#[cfg(unix)]
fn is_readable_by_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn is_readable_by_all(path: &Path) -> bool {
    let _ = fs::metadata(path);
    false
}

/// Returns the blocks of a PEM file (RFC 7468), each with label and content.
fn blocks(pem: &Secret) -> Vec<(&str, &str)> {
    let mut rest = pem.expose_str().unwrap_or_default();
    let mut blocks = Vec::new();
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let Some((label, body)) = after.split_once("-----") else { break };
        let Some((body, after)) = body.split_once("-----END ") else { break };
        blocks.push((label, body));
        rest = after;
    }
    blocks
}

fn decoded(body: &str) -> Option<Secret> {
    let mut base64 = Secret::with_capacity(body.len());
    for part in body.split_ascii_whitespace() {
        base64.extend(part.as_bytes());
    }
    let mut der = Secret::with_capacity(base64.len());
    let len = STANDARD.decode_slice(base64.expose(), der.extend_zeroed(base64.len())).ok()?;
    der.truncate(len);
    Some(der)
}

/// Returns the key in the PEM form that ureq accepts.
fn in_pem(pkcs8: &Secret) -> Secret {
    let mut pem = Secret::with_capacity(pkcs8.len() * 2 + 64);
    pem.extend(b"-----BEGIN PRIVATE KEY-----\n");
    let start = pem.len();
    let len = pkcs8.len().div_ceil(3) * 4;
    let buffer = pem.extend_zeroed(len);
    let written = STANDARD.encode_slice(pkcs8.expose(), buffer).unwrap_or_default();
    pem.truncate(start + written);
    pem.extend(b"\n-----END PRIVATE KEY-----\n");
    pem
}

/// Returns all certificates in a PEM file, in DER.
fn certificates(pem: &Secret) -> Result<Vec<Secret>, &'static str> {
    let blocks = blocks(pem);
    let bodies = blocks.iter().filter(|(label, _)| matches!(*label, "CERTIFICATE" | "X509 CERTIFICATE"));
    let found: Option<Vec<_>> = bodies.map(|(_, body)| decoded(body)).collect();
    match found {
        None => Err("is broken: a certificate in it is not base64"),
        Some(found) if found.is_empty() => {
            Err("holds no certificate: it should hold '-----BEGIN CERTIFICATE-----'")
        }
        Some(found) => Ok(found),
    }
}

/// Returns the private key in a PEM file as PKCS #8, and its public key as a certificate has it (`SubjectPublicKeyInfo`).
fn private_key(pem: &Secret) -> Result<(Secret, Secret), &'static str> {
    const ENCRYPTED: &str =
        "is encrypted: write it without a password, as with `openssl pkey -in OLD -out NEW`";
    const BROKEN: &str = "is broken: write it again, as with `openssl pkey -in OLD -out NEW`";
    const UNSUPPORTED: &str = "is of a kind that is not supported: use ECDSA with P-256 or P-384, or RSA with 2048, 3072 or 4096 bits";
    let blocks = blocks(pem);
    let Some((label, body)) = blocks.iter().find(|(label, _)| label.ends_with("PRIVATE KEY")) else {
        return Err("holds no private key: it should hold '-----BEGIN PRIVATE KEY-----'");
    };
    if *label == "ENCRYPTED PRIVATE KEY" || body.contains("ENCRYPTED") {
        return Err(ENCRYPTED);
    }
    let der = decoded(body).ok_or(BROKEN)?;
    match *label {
        "PRIVATE KEY" => {
            let mut fields = sequence(der.expose()).ok_or(BROKEN)?;
            let version = next(&mut fields, INTEGER).ok_or(BROKEN)?;
            let algorithm = next(&mut fields, SEQUENCE).ok_or(BROKEN)?.content;
            let key = next(&mut fields, OCTET_STRING).ok_or(BROKEN)?.content;
            if version.content != [0] {
                return Err(UNSUPPORTED);
            }
            match algorithm {
                RSA => rsa(key).ok_or(UNSUPPORTED),
                P256 => ec(key, Some(P256)),
                P384 => ec(key, Some(P384)),
                _ => Err(UNSUPPORTED),
            }
        }
        "RSA PRIVATE KEY" => rsa(der.expose()).ok_or(UNSUPPORTED),
        "EC PRIVATE KEY" => ec(der.expose(), None),
        _ => Err(UNSUPPORTED),
    }
}

/// Returns both keys of an `RSAPrivateKey` (RFC 8017 A.1.2), if its size and public exponent are supported.
fn rsa(key: &[u8]) -> Option<(Secret, Secret)> {
    let mut fields = sequence(key)?;
    next(&mut fields, INTEGER).filter(|version| version.content == [0])?;
    let mut positive = || next(&mut fields, INTEGER).filter(|value| is_positive(value.content));
    let (modulus, exponent) = (positive()?, positive()?);
    for _private in 0..6 {
        positive()?;
    }
    let digits = |value: &Value<'_>| {
        value.content.iter().position(|&byte| byte != 0).map(|at| value.content.len() - at)
    };
    let has_size = matches!(digits(&modulus)?, 256 | 384 | 512) && modulus.content.first() == Some(&0);
    let exponent_value = exponent.content.iter().fold(0, |value: u64, &byte| value << 8 | u64::from(byte));
    let has_exponent =
        digits(&exponent)? <= 5 && (65_537..1 << 33).contains(&exponent_value) && exponent_value % 2 == 1;
    let public = encode(SEQUENCE, &[modulus.whole, exponent.whole]);
    (fields.is_empty() && has_size && has_exponent).then(|| both(RSA, key, public.expose()))
}

/// Whether this is the shortest encoding of a positive integer.
fn is_positive(integer: &[u8]) -> bool {
    match integer {
        [0, next, ..] => *next >= 0x80,
        [first, ..] => (1..0x80).contains(first),
        [] => false,
    }
}

/// Returns both keys of an `ECPrivateKey` (RFC 5915). Its size decides the curve, and `algorithm` must agree.
fn ec(key: &[u8], algorithm: Option<&'static [u8]>) -> Result<(Secret, Secret), &'static str> {
    const UNSUPPORTED: &str = "is of a curve that is not supported: use P-256 or P-384";
    const NO_PUBLIC: &str =
        "holds no public key beside the private one: write it again, as with `openssl pkey -in OLD -out NEW`";
    let mut fields = sequence(key).ok_or(UNSUPPORTED)?;
    next(&mut fields, INTEGER).filter(|version| version.content == [1]).ok_or(UNSUPPORTED)?;
    let private = next(&mut fields, OCTET_STRING).ok_or(UNSUPPORTED)?.content;
    let curve = match private.len() {
        32 => P256,
        48 => P384,
        _ => return Err(UNSUPPORTED),
    };
    let named = next(&mut fields, 0xa0).map(|value| value.content);
    if algorithm.is_some_and(|algorithm| algorithm != curve)
        || named.is_some_and(|oid| Some(oid) != curve.get(9..))
    {
        return Err(UNSUPPORTED);
    }
    let public = next(&mut fields, 0xa1).filter(|_| fields.is_empty()).ok_or(NO_PUBLIC)?;
    // The point is not compressed (SEC 1 2.3.3).
    let point =
        split(public.content).and_then(|(bits, _)| bits.content.strip_prefix(b"\0\x04")).ok_or(NO_PUBLIC)?;
    if point.len() != 2 * private.len() {
        return Err(NO_PUBLIC);
    }
    let point = [b"\x04", point].concat();
    Ok(both(curve, key, &point))
}

/// Encodes a key as PKCS #8 (RFC 5208 5) and `SubjectPublicKeyInfo` (RFC 5280 4.1).
fn both(algorithm: &[u8], private: &[u8], public: &[u8]) -> (Secret, Secret) {
    let algorithm = encode(SEQUENCE, &[algorithm]);
    let private = encode(OCTET_STRING, &[private]);
    let public = encode(BIT_STRING, &[b"\0", public]);
    let pkcs8 = encode(SEQUENCE, &[b"\x02\x01\0", algorithm.expose(), private.expose()]);
    (pkcs8, encode(SEQUENCE, &[algorithm.expose(), public.expose()]))
}

/// The `SubjectPublicKeyInfo` of a certificate that the TLS libraries accept from a client.
struct Leaf<'a>(&'a [u8]);

impl<'a> Leaf<'a> {
    fn of(der: &'a [u8]) -> Option<Self> {
        let mut parts = sequence(der)?;
        let mut signed = next(&mut parts, SEQUENCE)?.content;
        let algorithm = next(&mut parts, SEQUENCE)?;
        next(&mut parts, BIT_STRING).filter(|_| parts.is_empty())?;
        next(&mut signed, 0xa0).filter(|version| version.content == [INTEGER, 1, 2])?;
        let _serial = next(&mut signed, INTEGER)?;
        next(&mut signed, SEQUENCE).filter(|same| same.whole == algorithm.whole)?;
        for _name_or_validity in 0..3 {
            next(&mut signed, SEQUENCE)?;
        }
        let key = next(&mut signed, SEQUENCE)?;
        if let Some(extensions) = next(&mut signed, 0xa3) {
            let mut extensions = sequence(extensions.content)?;
            while !extensions.is_empty() {
                is_supported(next(&mut extensions, SEQUENCE)?.content).then_some(())?;
            }
        }
        signed.is_empty().then_some(Self(key.whole))
    }
}

/// Whether an extension (RFC 5280 4.2) is known or may be ignored.
fn is_supported(mut extension: &[u8]) -> bool {
    /// Key usage, alternative names, basic constraints, name constraints, distribution points, extended key usage.
    const KNOWN: [u8; 6] = [15, 17, 19, 30, 31, 37];
    let Some(id) = next(&mut extension, 6) else { return false };
    let is_critical = next(&mut extension, 1).is_some_and(|value| value.content == [0xff]);
    let is_known = matches!(id.content, [0x55, 0x1d, last] if KNOWN.contains(last));
    is_known || !is_critical
}

/// Returns the content of a DER sequence that fills all of `der`.
fn sequence(der: &[u8]) -> Option<&[u8]> {
    split(der)
        .filter(|(value, rest)| value.tag == SEQUENCE && rest.is_empty())
        .map(|(value, _)| value.content)
}

/// Takes the value at the start, if it has this tag.
fn next<'a>(der: &mut &'a [u8], tag: u8) -> Option<Value<'a>> {
    let (value, rest) = split(der).filter(|(value, _)| value.tag == tag)?;
    *der = rest;
    Some(value)
}

/// Encodes a value in DER, of less than 64 KiB.
fn encode(tag: u8, parts: &[&[u8]]) -> Secret {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let mut der = Secret::with_capacity(len + 4);
    der.extend(&[tag]);
    let [.., high, low] = len.to_be_bytes();
    match len {
        0..=0x7f => der.extend(&[low]),
        0x80..=0xff => der.extend(&[0x81, low]),
        _ => der.extend(&[0x82, high, low]),
    }
    for part in parts {
        der.extend(part);
    }
    der
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An `RSAPrivateKey` with a modulus of this many bytes.
    fn key(modulus: usize, exponent: &[u8]) -> Secret {
        let integer = |content: &[u8]| encode(INTEGER, &[content]);
        let modulus = [&[0][..], &vec![0xff; modulus]].concat();
        let mut fields = vec![integer(&[0]), integer(&modulus), integer(exponent)];
        fields.extend((0..6).map(|_| integer(&[1])));
        encode(SEQUENCE, &fields.iter().map(Secret::expose).collect::<Vec<_>>())
    }

    /// ring refuses all other keys, and ureq panics then.
    #[test]
    fn only_rsa_keys_that_ring_accepts_are_accepted() {
        for (modulus, exponent, is_taken) in [
            (128, &[1, 0, 1][..], false),
            (256, &[1, 0, 1], true),
            (257, &[1, 0, 1], false),
            (320, &[1, 0, 1], false),
            (384, &[1, 0, 1], true),
            (448, &[1, 0, 1], false),
            (512, &[1, 0, 1], true),
            (640, &[1, 0, 1], false),
            (256, &[3], false),
            (256, &[1, 0, 0], false),
            (256, &[1, 0xff, 0xff, 0xff, 0xff], true),
            (256, &[2, 0, 0, 0, 1], false),
        ] {
            assert_eq!(rsa(key(modulus, exponent).expose()).is_some(), is_taken, "{modulus} {exponent:?}");
        }
    }
}
