//! Reads the certificates in a CA file: PEM (RFC 7468) as programs write it, with other content between the certificates.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// Calls `keep` with the DER of each certificate that can be an authority of a server, and returns the results. Skips blocks of another
/// kind, such as keys. The error text completes "the CA file …".
pub(crate) fn certificates<T>(file: &[u8], keep: impl Fn(&[u8]) -> T) -> Result<Vec<T>, String> {
    if let Some(what) = no_text(file) {
        return Err(what.to_owned());
    }
    // A PEM block is ASCII, so replacing invalid UTF-8 damages no certificate.
    let text = str::from_utf8(file).map_or_else(|_| String::from_utf8_lossy(file), Cow::Borrowed);
    let mut found = Vec::new();
    let (mut number, mut servers_own) = (0, None);
    // Reused, because a bundle has more than a hundred certificates.
    let (mut base64, mut der) = (Vec::new(), Vec::new());
    let mut at = 0;
    while let Some(start) = text[at..].find(BEGIN).map(|start| at + start) {
        at = start + BEGIN.len();
        let line_so_far = text[..start].rsplit(['\n', '\r']).next().unwrap_or_default();
        // Skips a comment, or a certificate that a person has commented out.
        if line_so_far.trim_start_matches('\u{feff}').trim_start().starts_with('#') {
            continue;
        }
        // One dash is found faster than five. The label of a certificate has none.
        let Some((label, body)) = text[at..].split_once('-') else { break };
        let Some(body) = body.strip_prefix(&DASHES[1..]) else { continue };
        let is_openssls = match label.trim() {
            "CERTIFICATE" | "X509 CERTIFICATE" => false,
            // OpenSSL's own form: the certificate is followed by the purposes that it is trusted for.
            "TRUSTED CERTIFICATE" => true,
            _ => continue,
        };
        number += 1;
        // Counted only for an error: for each certificate it would take longer than everything else.
        let line = || text[..start].matches('\n').count() + 1;
        let broken = |why: &str| {
            let line = line();
            format!(
                "is broken: its certificate {number} (line {line}) {why}; get the file again from its source"
            )
        };
        // No base64 has a dash, which is found faster than the whole line.
        let end = body.find('-').filter(|end| body[*end..].starts_with(END));
        let body = &body[..end.ok_or_else(|| broken("has no line of '-----END CERTIFICATE-----'"))?];
        at += label.len() + DASHES.len() + body.len() + END.len();
        // Nearly all lines have the length of the first one, and white space at their ends only.
        let body = body.trim();
        let line_len = body.find('\n').unwrap_or(body.len()) + 1;
        base64.clear();
        for line in body.as_bytes().chunks(line_len) {
            base64.extend_from_slice(line.trim_ascii_end());
        }
        if der.len() < base64.len() {
            der = vec![0; base64.len()];
        }
        let len = STANDARD
            .decode_slice(&base64, &mut der)
            .or_else(|_| STANDARD.decode_slice(body.split_whitespace().collect::<String>(), &mut der));
        let der = &der[..len.map_err(|_| broken("is not base64"))?];
        let (certificate, rest) = split(der).ok_or_else(|| broken("is cut off or no certificate"))?;
        let fields = Fields::of(&certificate).ok_or_else(|| broken("is cut off or no certificate"))?;
        if !rest.is_empty() && !is_openssls {
            return Err(broken("has something after its end"));
        }
        if fields.is_servers_own() {
            servers_own.get_or_insert_with(|| (number, line()));
        } else if is_trusted_for_servers(rest) {
            found.push(keep(certificate.whole));
        }
    }
    match servers_own {
        _ if !found.is_empty() => Ok(found),
        Some((number, line)) => Err(format!(
            "holds no authority: its certificate {number} (line {line}) is a server's own, which vouches for nobody; put in \
             the certificate of the authority that signed it"
        )),
        None if number > 0 => Err("holds no certificate that is trusted for servers".to_owned()),
        None => Err("holds no certificate: it should hold '-----BEGIN CERTIFICATE-----'".to_owned()),
    }
}

/// Describes a file that cannot be PEM.
fn no_text(file: &[u8]) -> Option<&'static str> {
    match file {
        _ if file.trim_ascii().is_empty() => Some("is empty: it should hold '-----BEGIN CERTIFICATE-----'"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, b'-', ..] | [b'-', 0, ..] => {
            Some("is UTF-16: save it as ASCII or UTF-8")
        }
        [0x30, 0x80..=0x84, ..] => Some(
            "is binary (DER or PKCS #12), not PEM: convert it, as with `openssl x509 -inform der` or `openssl pkcs12 -cacerts \
             -nokeys`",
        ),
        _ => None,
    }
}

/// One value in DER: its tag and content.
pub(super) struct Value<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    pub(super) whole: &'a [u8],
}

/// Returns the value at the start and the bytes after it.
pub(super) fn split(der: &[u8]) -> Option<(Value<'_>, &[u8])> {
    let (&[tag, first], mut rest) = der.split_first_chunk()?;
    let len = match first {
        0..=0x7f => usize::from(first),
        0x81..=0x83 => {
            let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
            rest = after;
            bytes.iter().fold(0, |len, &byte| len << 8 | usize::from(byte))
        }
        _ => return None,
    };
    let (content, after) = rest.split_at_checked(len)?;
    Some((Value { tag, content, whole: &der[..der.len() - after.len()] }, after))
}

/// The fields of a certificate that matter here (RFC 5280 4.1).
struct Fields<'a> {
    issuer: &'a [u8],
    subject: &'a [u8],
    extensions: &'a [u8],
}

impl<'a> Fields<'a> {
    fn of(certificate: &Value<'a>) -> Option<Self> {
        const SEQUENCE: u8 = 0x30;
        let next = |der: &mut &'a [u8], tag| {
            let (value, rest) = split(der).filter(|(value, _)| value.tag == tag)?;
            *der = rest;
            Some(value)
        };
        let mut parts = Some(certificate).filter(|value| value.tag == SEQUENCE)?.content;
        let mut signed = next(&mut parts, SEQUENCE)?.content;
        let _algorithm = next(&mut parts, SEQUENCE)?;
        let _signature = next(&mut parts, 3).filter(|_| parts.is_empty())?;
        let _version = next(&mut signed, 0xa0);
        let _serial = next(&mut signed, 2)?;
        let _algorithm = next(&mut signed, SEQUENCE)?;
        let issuer = next(&mut signed, SEQUENCE)?.content;
        let _validity = next(&mut signed, SEQUENCE)?;
        let subject = next(&mut signed, SEQUENCE)?.content;
        let _key = next(&mut signed, SEQUENCE)?;
        let _unique = (next(&mut signed, 0x81), next(&mut signed, 0x82));
        let extensions = next(&mut signed, 0xa3).map_or(&[][..], |value| value.content);
        signed.is_empty().then_some(Self { issuer, subject, extensions })
    }

    /// Whether this is a certificate of a server: another certificate signed it, and it is not an authority. It is not an authority if it
    /// says so. If it says nothing about that, it is not an authority if it has names as servers have.
    fn is_servers_own(&self) -> bool {
        const BASIC_CONSTRAINTS: &[u8] = b"\x06\x03\x55\x1d\x13";
        const NAMES: &[u8] = b"\x06\x03\x55\x1d\x11";
        if self.issuer == self.subject {
            return false;
        }
        let after = |oid: &[u8]| {
            let at = self.extensions.windows(oid.len()).position(|part| part == oid)?;
            Some(&self.extensions[at + oid.len()..])
        };
        let is_authority = after(BASIC_CONSTRAINTS).map(|mut rest| {
            if let Some((critical, after)) = split(rest).filter(|(value, _)| value.tag == 1) {
                (_, rest) = (critical, after);
            }
            let constraints = split(rest).and_then(|(value, _)| Some(split(value.content)?.0));
            constraints.is_some_and(|value| value.content.starts_with(b"\x01\x01\xff"))
        });
        !is_authority.unwrap_or_else(|| after(NAMES).is_none())
    }
}

/// Parses the part that OpenSSL puts after a certificate: the purposes that it is trusted for, then in `[0]` those that it is not trusted
/// for.
fn is_trusted_for_servers(more: &[u8]) -> bool {
    const SERVERS: &[u8] = b"\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01";
    const ANYTHING: &[u8] = b"\x06\x04\x55\x1d\x25\x00";
    let names =
        |list: &[u8]| [SERVERS, ANYTHING].iter().any(|oid| list.windows(oid.len()).any(|part| part == *oid));
    let mut rest = split(more).map_or(&[][..], |(value, _)| value.content);
    let mut is_trusted = true;
    while let Some((value, after)) = split(rest) {
        match value.tag {
            0x30 => is_trusted &= names(value.content),
            0xa0 => is_trusted &= !names(value.content),
            _ => {}
        }
        rest = after;
    }
    is_trusted
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made by openssl, valid until 2126: an authority, a certificate of a server that it signed with CA:FALSE, and one without that field.
    const CA: &str = "\
        MIIBTDCB9KADAgECAhQh593dyKbNpyGxCI4phv/V/ePAcDAKBggqhkjOPQQDAjAMMQowCAYDVQQDDAFhMCAXDTI2MTEyODE1NTk1\
        OFoYDzIxMjYxMTA0MTU1OTU4WjAMMQowCAYDVQQDDAFhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEDFHqtI76R12gXq3O8UHB\
        3sty97cYvmuLV4WuNOza/3nZlbPUnNe3jignRQpDf5YHsv/DFlrJo7p8nsdpTTj9f6MyMDAwDwYDVR0TAQH/BAUwAwEB/zAdBgNV\
        HQ4EFgQUtwytCVYpLu+KILYO6H84cGILllAwCgYIKoZIzj0EAwIDRwAwRAIgc8M2nKfWee5Qko24QE7F6OIGK/cQ3jhzz13MZH1q\
        pFUCID26syOA+0Ac+T46ZR4O4HRvSZxJccJhyTXjXgiN7gho";
    const LEAF: &str = "\
        MIIBajCCARCgAwIBAgIBATAKBggqhkjOPQQDAjAMMQowCAYDVQQDDAFhMCAXDTI2MTEyODE1NTk1OFoYDzIxMjYxMTA0MTU1OTU4\
        WjAMMQowCAYDVQQDDAFiMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEennq4pM62p1DdAILnf42J49lYm8tO5wSuWk6Z40ZecRe\
        DGxxgNI1ur0/TIBgj5oaKyHQK7USFiHgttt1ELNfZaNhMF8wDwYDVR0RBAgwBocEfwAAATAMBgNVHRMBAf8EAjAAMB0GA1UdDgQW\
        BBSSHcwgKAwrF6kyEuDhL3TQVUQ7PTAfBgNVHSMEGDAWgBS3DK0JViku74ogtg7ofzhwYguWUDAKBggqhkjOPQQDAgNIADBFAiEA\
        2aZNeSEDfPJMSTo3wlUG0xdXjORRxsbRPyax0PjXYFYCIAqneTIUPhyOonBs/hCv8VBMHZdrflmKO8A4r9i7UMNH";
    const SAN: &str = "\
        MIIBXzCCAQSgAwIBAgIBATAKBggqhkjOPQQDAjAMMQowCAYDVQQDDAFhMCAXDTI2MTEyODE1NTk1OFoYDzIxMjYxMTA0MTU1OTU4\
        WjAMMQowCAYDVQQDDAFiMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEennq4pM62p1DdAILnf42J49lYm8tO5wSuWk6Z40ZecRe\
        DGxxgNI1ur0/TIBgj5oaKyHQK7USFiHgttt1ELNfZaNVMFMwEQYDVR0RBAowCIIGYS50ZXN0MB0GA1UdDgQWBBSSHcwgKAwrF6ky\
        EuDhL3TQVUQ7PTAfBgNVHSMEGDAWgBS3DK0JViku74ogtg7ofzhwYguWUDAKBggqhkjOPQQDAgNJADBGAiEAtXJXiGOiJsfmCOe2\
        wD13pcUWGn0Ims5lKRaPCa7mcq8CIQDpJ4OAngBugE41W2HdKCWYm69+X75C/8TtjZuWxgy/Eg==";

    fn block(label: &str, base64: &str) -> String {
        format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
    }

    fn read(file: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        certificates(file, <[u8]>::to_vec)
    }

    fn der(base64: &str) -> Vec<u8> {
        STANDARD.decode(base64).unwrap()
    }

    #[test]
    fn certificates_are_found_among_any_other_content() {
        let ca = block("CERTIFICATE", CA);
        let lines: Vec<&str> =
            CA.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let wrapped = block("CERTIFICATE", &lines.join("\n"));
        let key = |label: &str| format!("{}{ca}", block(label, "MC4CAQAwBQYDK2VwBCIEIAAA"));
        for file in [
            ca.clone(),
            wrapped.clone(),
            wrapped.replace('\n', "\r\n"),
            wrapped.replace('\n', "\r"),
            wrapped.replace('\n', "  \n\t"),
            wrapped.replace('\n', " "),
            wrapped.replace('\n', ""),
            block("CERTIFICATE", &[&CA[..10], &CA[10..90], &CA[90..]].join("\n")),
            ca.trim_end().to_owned(),
            format!("\u{feff}{wrapped}"),
            format!("\u{feff}\r\n\r\n{ca}"),
            format!("# An authority\nsubject=CN = a\u{e9}\n{ca}That was all.\n"),
            format!("# '-----BEGIN CERTIFICATE-----' is how each begins:\n{ca}"),
            format!("{ca} #-----BEGIN CERTIFICATE-----\n #AAAA\n #-----END CERTIFICATE-----\n"),
            format!("\u{feff}# {}{ca}", wrapped.trim_end().replace('\n', "\r# ") + "\r"),
            wrapped
                .replace("BEGIN CERTIFICATE-----", "BEGIN CERTIFICATE-----   ")
                .replace("-----END", "   -----END"),
            block("X509 CERTIFICATE", CA),
            block("TRUSTED CERTIFICATE", CA),
            key("PRIVATE KEY"),
            key("ENCRYPTED PRIVATE KEY"),
            key("RSA PRIVATE KEY"),
            key("EC PARAMETERS"),
            key("DH PARAMETERS"),
            key("X509 CRL"),
            key("PUBLIC KEY"),
            key("CERTIFICATE REQUEST"),
            key("OPENSSH PRIVATE KEY"),
            key("PKCS7"),
            key("ATTRIBUTE CERTIFICATE"),
            key("NEW CERTIFICATE REQUEST"),
            key("SSH2 ENCRYPTED PRIVATE KEY"),
            format!(
                "Bag Attributes\n    localKeyID: 01\nKey Attributes: <No Attributes>\n{}",
                key("ENCRYPTED PRIVATE KEY")
            ),
            format!("{wrapped}\x1a"),
            format!("    {}", wrapped.replace('\n', "\n    ")),
            format!("\x0c\n{ca}\0\0"),
            wrapped.replace('\n', "\u{b}\n"),
            format!("{ca}-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA"),
            format!("{ca}{}", block("EC PRIVATE KEY", "!")),
            format!(
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n{ca}"
            ),
            format!("-----BEGIN PRIVATE KEY-----\nAAAA\n{ca}"),
            // A chain as servers have it. A certificate that vouches for nobody does no harm.
            format!("{}{ca}", block("CERTIFICATE", LEAF)),
        ] {
            assert_eq!(read(file.as_bytes()), Ok(vec![der(CA)]), "{file}");
        }
        assert_eq!(read((ca.clone() + &ca).as_bytes()).unwrap().len(), 2);
    }

    #[test]
    fn certificate_that_openssl_trusts_for_other_purposes_is_skipped() {
        let servers = b"\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01";
        let clients = b"\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02";
        let trust = |oid: &[u8]| [b"\x30\x0c\x30\x0a", oid].concat();
        let reject = |oid: &[u8]| [b"\x30\x0c\xa0\x0a", oid].concat();
        for (more, is_trusted) in [
            (trust(servers), true),
            (b"\x30\x08\x30\x06\x06\x04\x55\x1d\x25\x00".to_vec(), true),
            (b"\x30\x03\x0c\x01x".to_vec(), true),
            (reject(clients), true),
            (trust(clients), false),
            (reject(servers), false),
        ] {
            let file = block("TRUSTED CERTIFICATE", &STANDARD.encode([der(CA), more.clone()].concat()));
            let expected = if is_trusted {
                Ok(vec![der(CA)])
            } else {
                Err("holds no certificate that is trusted for servers".to_owned())
            };
            assert_eq!(read(file.as_bytes()), expected, "{more:x?}");
        }
    }

    #[test]
    fn file_that_is_no_ca_file_is_refused_with_the_reason() {
        let (ca, leaf) = (block("CERTIFICATE", CA), block("CERTIFICATE", LEAF));
        let utf16 =
            |text: &str, to: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(to).collect::<Vec<u8>>();
        let empty = "is empty: it should hold '-----BEGIN CERTIFICATE-----'";
        let nothing = "holds no certificate: it should hold '-----BEGIN CERTIFICATE-----'";
        let is_utf16 = "is UTF-16: save it as ASCII or UTF-8";
        let binary = "is binary (DER or PKCS #12), not PEM: convert it, as with `openssl x509 -inform der` or `openssl pkcs12 \
                      -cacerts -nokeys`";
        let broken = |number: u32, line: u32, why: &str| {
            format!(
                "is broken: its certificate {number} (line {line}) {why}; get the file again from its source"
            )
        };
        let own = |number: u32, line: u32| {
            format!(
                "holds no authority: its certificate {number} (line {line}) is a server's own, which vouches for nobody; put \
                 in the certificate of the authority that signed it"
            )
        };
        let cut = |base64: &str| {
            broken(
                2,
                4,
                if base64.len().is_multiple_of(4) { "is cut off or no certificate" } else { "is not base64" },
            )
        };
        for (file, why) in [
            (Vec::new(), empty.to_owned()),
            (b" \r\n\n".to_vec(), empty.to_owned()),
            (b"\x00\x01".to_vec(), nothing.to_owned()),
            (b"No certificate".to_vec(), nothing.to_owned()),
            (b"-----BEGIN CERTIFICATE".to_vec(), nothing.to_owned()),
            (block("PRIVATE KEY", "AAAA").into(), nothing.to_owned()),
            (utf16(&format!("\u{feff}{ca}"), u16::to_le_bytes), is_utf16.to_owned()),
            (utf16(&format!("\u{feff}{ca}"), u16::to_be_bytes), is_utf16.to_owned()),
            (utf16(&ca, u16::to_le_bytes), is_utf16.to_owned()),
            (der(CA), binary.to_owned()),
            (block("CERTIFICATE", "!").into(), broken(1, 1, "is not base64")),
            (block("CERTIFICATE", "").into(), broken(1, 1, "is cut off or no certificate")),
            (block("CERTIFICATE", "AAAA").into(), broken(1, 1, "is cut off or no certificate")),
            ((ca.clone() + &block("CERTIFICATE", &CA[..100])).into(), cut(&CA[..100])),
            ((ca.clone() + &block("CERTIFICATE", &CA[..101])).into(), cut(&CA[..101])),
            (
                (ca.clone() + &block("CERTIFICATE", &CA.replacen("MIIB", "MIIC", 1))).into(),
                broken(2, 4, "is cut off or no certificate"),
            ),
            (
                block("CERTIFICATE", &STANDARD.encode([der(CA), vec![0]].concat())).into(),
                broken(1, 1, "has something after its end"),
            ),
            (ca.replace("-----END", "").into(), broken(1, 1, "has no line of '-----END CERTIFICATE-----'")),
            (
                (ca.replace("-----END CERTIFICATE-----", "") + &ca).into(),
                broken(1, 1, "has no line of '-----END CERTIFICATE-----'"),
            ),
            (format!("\n\n{leaf}{leaf}").into(), own(1, 3)),
            ((block("EC PARAMETERS", "BggqhkjOPQMBBw==") + &block("CERTIFICATE", SAN)).into(), own(1, 4)),
        ] {
            assert_eq!(read(&file), Err(why), "{}", String::from_utf8_lossy(&file));
        }
    }
}
