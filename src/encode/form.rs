//! Encodes `application/x-www-form-urlencoded` into a wiped buffer (RFC 6749 appendix B).

use crate::secret::Secret;

pub(crate) const CONTENT_TYPE: &str = "application/x-www-form-urlencoded";

/// The most bytes that one byte becomes: `%XX`.
const LONGEST: usize = 3;

/// Encodes names and values in order. The buffer is large enough from the start, so no copy is left behind.
pub(crate) fn encode(pairs: &[(&str, &[u8])]) -> Secret {
    let longest = pairs.iter().map(|(name, value)| LONGEST * (name.len() + value.len()) + 2).sum();
    let mut body = Secret::with_capacity(longest);
    for (i, (name, value)) in pairs.iter().enumerate() {
        if i > 0 {
            body.extend(b"&");
        }
        append(&mut body, name.as_bytes());
        body.extend(b"=");
        append(&mut body, value);
    }
    body
}

/// Encodes one value. RFC 6749 2.3.1 requires it of a client id and secret before HTTP Basic.
pub(crate) fn encode_value(value: &[u8]) -> Secret {
    let mut out = Secret::with_capacity(LONGEST * value.len());
    append(&mut out, value);
    out
}

/// Decodes one value. A `%` that starts no percent-encoding stays as it is.
pub(crate) fn decode_value(value: &[u8]) -> Secret {
    let mut out = Secret::with_capacity(value.len());
    let mut rest = value;
    while let Some((&byte, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|&b| char::from(b).to_digit(16));
        let (byte, len) = match (byte, digit(0), digit(1)) {
            (b'+', ..) => (b' ', 0),
            (b'%', Some(high), Some(low)) => (u8::try_from(16 * high + low).unwrap_or(0), 2),
            _ => (byte, 0),
        };
        out.extend(&[byte]);
        rest = &after[len..];
    }
    out
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'*' | b'-' | b'.' | b'_')
}

fn append(out: &mut Secret, bytes: &[u8]) {
    for run in bytes.chunk_by(|&a, &b| is_plain(a) && is_plain(b)) {
        match *run {
            [b' '] => out.extend(b"+"),
            [byte] if !is_plain(byte) => out.extend(percent_encoding::percent_encode_byte(byte).as_bytes()),
            _ => out.extend(run),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded::{Seeded, runs};

    fn text(secret: &Secret) -> &str {
        secret.expose_str().unwrap()
    }

    #[test]
    fn pairs_are_encoded_in_order() {
        let body =
            encode(&[("grant_type", b"client_credentials"), ("a b", "ü&=+/*-._~\n".as_bytes()), ("e", b"")]);
        assert_eq!(text(&body), "grant_type=client_credentials&a+b=%C3%BC%26%3D%2B%2F*-._%7E%0A&e=");
    }

    #[test]
    fn decoding_undoes_encoding() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode_value(encode_value(&all).expose()).expose(), all);
        for (encoded, decoded) in
            [("a%20b%2b+", "a b+ "), ("%", "%"), ("%4", "%4"), ("%zz%41", "%zzA"), ("%%41", "%A"), ("", "")]
        {
            assert_eq!(text(&decode_value(encoded.as_bytes())), decoded);
        }
    }

    /// Compares encoding and decoding with the crate `url`.
    #[test]
    fn forms_equal_those_of_the_crate_url() {
        let mut seeded = Seeded::new(1);
        for _ in 0..runs(5_000) {
            let value = seeded.bytes(64);
            let theirs: String = form_urlencoded::byte_serialize(&value).collect();
            assert_eq!(text(&encode_value(&value)), theirs);
            assert_eq!(decode_value(theirs.as_bytes()).expose(), value);

            let pairs: Vec<_> = (0..seeded.below(5)).map(|_| (seeded.text(12), seeded.text(24))).collect();
            let ours: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
            let body = encode(&ours);
            let theirs = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
            assert_eq!(text(&body), theirs);
            assert_eq!(form_urlencoded::parse(body.expose()).into_owned().collect::<Vec<_>>(), pairs);

            // Random input for the decoder: any byte, and often one that forms give a meaning.
            let rough: Vec<u8> = value
                .iter()
                .map(|&byte| if byte < 0x80 { b"%+0aF4 2"[usize::from(byte % 8)] } else { byte })
                .collect();
            let read = form_urlencoded::parse(&rough).next().map(|(name, _)| name.into_owned());
            let decoded = decode_value(&rough);
            assert_eq!(String::from_utf8_lossy(decoded.expose()), read.unwrap_or_default(), "{rough:?}");
        }
    }

    #[test]
    fn values_are_encoded_as_in_rfc_6749_appendix_b() {
        // The example there: U+0020, U+0025, U+0026, U+002B, U+00A3, U+20AC.
        assert_eq!(text(&encode_value(" %&+£€".as_bytes())), "+%25%26%2B%C2%A3%E2%82%AC");
    }

    #[test]
    fn every_byte_is_encoded_as_the_standard_says() {
        for byte in 0..=255_u8 {
            let plain = byte.is_ascii_alphanumeric() || b"*-._".contains(&byte);
            let expected = match byte {
                b' ' => "+".to_owned(),
                _ if plain => char::from(byte).to_string(),
                _ => format!("%{byte:02X}"),
            };
            assert_eq!(text(&encode_value(&[byte])), expected);
        }
    }
}
