//! The causes of a TLS failure, as far as the TLS libraries and the server tell them, and what to do.

use std::borrow::Cow;
use std::error::Error;
use std::io;

use crate::error::{Advice, ErrorKind};

/// The causes of a TLS failure. The texts of the libraries are never shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    NotYetValid,
    Expired,
    WrongName,
    /// The certificate has no subjectAltName. Browsers and TLS libraries do not use its common name (RFC 9525 2).
    NamesNoHost,
    UnknownIssuer,
    /// As `UnknownIssuer`, if the trusted authorities are those of a CA file.
    NotInCaFile,
    AuthorityAsServer,
    ServerAsAuthority,
    BadSignature,
    UnsupportedKey,
    CriticalExtension,
    Purpose,
    Revoked,
    NameConstraint,
    BrokenCertificate,
    NoCertificate,
    OtherCertificate,
    OldVersion,
    NothingInCommon,
    ClientCertificate,
    Denied,
    ServerFailed,
    UnknownName,
    NotTls,
    NoName,
    CutOff,
    TimedOut,
    /// The server ended the connection with this alert (RFC 8446 6).
    Alert(&'static str),
    Misbehaved,
    Unknown,
}

/// rustls's name of an alert, its number, and its cause from the client's view.
const ALERTS: [(&str, u8, Cause); 29] = [
    ("UnexpectedMessage", 10, Cause::Alert("unexpected_message")),
    ("BadRecordMac", 20, Cause::Alert("bad_record_mac")),
    ("DecryptionFailed", 21, Cause::Alert("decryption_failed")),
    ("RecordOverflow", 22, Cause::Alert("record_overflow")),
    ("DecompressionFailure", 30, Cause::Alert("decompression_failure")),
    ("HandshakeFailure", 40, Cause::NothingInCommon),
    ("NoCertificate", 41, Cause::ClientCertificate),
    ("BadCertificate", 42, Cause::ClientCertificate),
    ("UnsupportedCertificate", 43, Cause::ClientCertificate),
    ("CertificateRevoked", 44, Cause::ClientCertificate),
    ("CertificateExpired", 45, Cause::ClientCertificate),
    ("CertificateUnknown", 46, Cause::ClientCertificate),
    ("IllegalParameter", 47, Cause::Alert("illegal_parameter")),
    ("UnknownCA", 48, Cause::ClientCertificate),
    ("AccessDenied", 49, Cause::Denied),
    ("DecodeError", 50, Cause::Alert("decode_error")),
    ("DecryptError", 51, Cause::Alert("decrypt_error")),
    ("ExportRestriction", 60, Cause::Alert("export_restriction")),
    ("ProtocolVersion", 70, Cause::OldVersion),
    ("InsufficientSecurity", 71, Cause::NothingInCommon),
    ("InternalError", 80, Cause::ServerFailed),
    ("InappropriateFallback", 86, Cause::OldVersion),
    ("UserCanceled", 90, Cause::Alert("user_canceled")),
    ("NoRenegotiation", 100, Cause::Alert("no_renegotiation")),
    ("MissingExtension", 109, Cause::Alert("missing_extension")),
    ("UnsupportedExtension", 110, Cause::Alert("unsupported_extension")),
    ("UnrecognisedName", 112, Cause::UnknownName),
    ("CertificateRequired", 116, Cause::ClientCertificate),
    ("NoApplicationProtocol", 120, Cause::Alert("no_application_protocol")),
];

/// The variants of the errors of rustls and webpki. Some exist only in newer versions.
const NAMES: [(&[&str], Cause); 15] = [
    (&["NotValidYet", "NotValidYetContext"], Cause::NotYetValid),
    (&["Expired", "ExpiredContext"], Cause::Expired),
    (&["NotValidForName", "NotValidForNameContext"], Cause::WrongName),
    (&["UnknownIssuer"], Cause::UnknownIssuer),
    (&["CaUsedAsEndEntity"], Cause::AuthorityAsServer),
    (&["EndEntityUsedAsCa", "PathLenConstraintViolated"], Cause::ServerAsAuthority),
    (&["BadSignature"], Cause::BadSignature),
    (
        &[
            "UnsupportedSignatureAlgorithm",
            "UnsupportedSignatureAlgorithmContext",
            "UnsupportedSignatureAlgorithmForPublicKeyContext",
            "NoSignatureSchemesInCommon",
            "SignedKxWithWrongAlgorithm",
            "SignedHandshakeWithUnadvertisedSigScheme",
        ],
        Cause::UnsupportedKey,
    ),
    (&["UnhandledCriticalExtension", "UnsupportedCriticalExtension"], Cause::CriticalExtension),
    (&["InvalidPurpose", "InvalidPurposeContext"], Cause::Purpose),
    (&["Revoked"], Cause::Revoked),
    (&["NameConstraintViolation"], Cause::NameConstraint),
    (
        &["BadEncoding", "UnsupportedCertVersion", "MalformedExtensions", "InvalidSerialNumber"],
        Cause::BrokenCertificate,
    ),
    (&["NoCertificatesPresented"], Cause::NoCertificate),
    (&["ServerDoesNotSupportTls12Or13", "ServerTlsVersionIsDisabledByOurConfig"], Cause::OldVersion),
];

/// Texts of OpenSSL and of the libraries of macOS and Windows, in lower case. The first that is found counts.
const WORDS: [(&[&str], Cause); 16] = [
    (&["not yet valid", "not valid yet"], Cause::NotYetValid),
    (&["expired"], Cause::Expired),
    (&["hostname mismatch", "ip address mismatch", "does not match"], Cause::WrongName),
    (&["unhandled critical extension"], Cause::CriticalExtension),
    (&["certificate purpose", "invalid purpose"], Cause::Purpose),
    (&["revoked"], Cause::Revoked),
    (&["invalid ca certificate", "path length constraint"], Cause::ServerAsAuthority),
    (&["subtree violation"], Cause::NameConstraint),
    (&["signature failure"], Cause::BadSignature),
    (
        &[
            "key too weak",
            "key too small",
            "md too weak",
            "unsupported elliptic curve",
            "wrong curve",
            "bad ecpoint",
        ],
        Cause::UnsupportedKey,
    ),
    (
        &["self-signed", "self signed", "unable to get", "unable to verify", "not trusted"],
        Cause::UnknownIssuer,
    ),
    (&["verify failed"], Cause::OtherCertificate),
    (&["wrong version number", "http request"], Cause::NotTls),
    (&["unsupported protocol", "no protocols available", "protocol version"], Cause::OldVersion),
    (&["no shared cipher", "no suitable", "handshake failure"], Cause::NothingInCommon),
    (&["unexpected eof"], Cause::CutOff),
];

impl Cause {
    /// Returns the cause, or `None` if the error is no failure of TLS.
    pub(crate) fn of(error: &ureq::Error) -> Option<Self> {
        match error {
            // rustls and the system's library wrap their errors in these kinds. Other kinds may come from the body of a caller.
            ureq::Error::Io(cause)
                if cause.kind() == io::ErrorKind::InvalidData
                    || cfg!(feature = "native-tls") && cause.kind() == io::ErrorKind::Other =>
            {
                cause.get_ref().map(|cause| Self::of_cause(cause))
            }
            ureq::Error::Tls(text) => {
                Some(if text.contains("dns name") { Self::NoName } else { Self::Unknown })
            }
            #[cfg(feature = "rustls")]
            ureq::Error::Rustls(cause) => Some(Self::of_cause(cause)),
            #[cfg(feature = "native-tls")]
            ureq::Error::NativeTls(cause) => Some(Self::of_cause(cause)),
            _ => None,
        }
    }

    fn of_cause(error: &dyn Error) -> Self {
        let debug = format!("{error:?}");
        // The names of variants. Text in quotes or braces may come from the server.
        let names: Vec<_> =
            debug.split(['{', '"', '[']).next().unwrap_or_default().split(['(', ')', ' ']).collect();
        let has = |name: &&str| names.contains(name);
        match names[..] {
            ["AlertReceived", alert, ..] => {
                let known = ALERTS.iter().find(|(name, ..)| *name == alert);
                return known.map_or(Self::Alert("unknown"), |known| known.2);
            }
            ["InvalidMessage" | "PeerMisbehaved", ..] if !NAMES.iter().any(|(of, _)| of.iter().any(has)) => {
                return Self::Misbehaved;
            }
            _ => {}
        }
        if has(&"NotValidForNameContext") && debug.contains("presented: []") {
            return Self::NamesNoHost;
        }
        if let Some((_, cause)) = NAMES.iter().find(|(of, _)| of.iter().any(has)) {
            return *cause;
        }
        match names[..] {
            ["InvalidCertificate", ..] => return Self::OtherCertificate,
            ["PeerIncompatible", ..] => return Self::NothingInCommon,
            _ => {}
        }
        if !cfg!(feature = "native-tls") {
            return Self::Unknown;
        }
        let text = error.to_string().to_ascii_lowercase();
        let alert = text.split_once("alert number ").and_then(|(_, rest)| {
            let number: u8 = rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
            ALERTS.iter().find(|known| known.1 == number)
        });
        let words = || WORDS.iter().find(|(of, _)| of.iter().any(|words| text.contains(words)));
        alert.map(|known| known.2).or_else(|| words().map(|known| known.1)).unwrap_or(Self::Unknown)
    }
}

impl Cause {
    /// Returns the kind of an error with this cause.
    pub(crate) fn kind(self) -> ErrorKind {
        match self {
            Self::NotYetValid | Self::Expired => ErrorKind::Clock,
            Self::TimedOut => ErrorKind::Timeout,
            _ => ErrorKind::Network,
        }
    }

    /// Returns the problem, and what to do.
    pub(crate) fn text(self) -> (Cow<'static, str>, Advice) {
        let (what, advice) = match self {
            Self::NotYetValid => {
                ("the server's certificate is not valid yet at this machine's time", Advice::SetClock)
            }
            Self::Expired => (
                "the server's certificate has expired at this machine's time",
                Advice::SetClockOrRenewCertificate,
            ),
            Self::WrongName => ("the server's certificate is for another host", Advice::CheckUrl),
            Self::NamesNoHost => (
                "the server's certificate names no host (it has no subjectAltName)",
                Advice::RenewCertificate,
            ),
            Self::UnknownIssuer => {
                ("the server's certificate is not from a trusted authority", Advice::NameCaFile)
            }
            Self::NotInCaFile => {
                ("the server's certificate is not from an authority in the CA file", Advice::ExtendCaFile)
            }
            Self::AuthorityAsServer => (
                "the server's certificate is that of an authority (CA:TRUE), which no server may use",
                Advice::UseServerCertificate,
            ),
            Self::ServerAsAuthority => (
                "the server's certificate was signed with a certificate that is not that of an authority",
                Advice::UseAuthoritysCertificate,
            ),
            Self::BadSignature => (
                // rustls reports a key that is too small as a wrong signature.
                "the server's certificate was not signed by the authority that it names, or one of the two has an RSA key of less than 2048 \
                 bits",
                Advice::CheckCaFileAndKey,
            ),
            Self::UnsupportedKey => (
                "the server's certificate, or one in its chain, has a kind of key or signature that is not supported, such as P-521 \
                 or SHA-1",
                Advice::UseSupportedKey,
            ),
            Self::CriticalExtension => (
                "the server's certificate has a critical extension that is not supported",
                Advice::UseNoExtension,
            ),
            Self::Purpose => {
                ("the server's certificate is not for servers (extended key usage)", Advice::UseServerPurpose)
            }
            Self::Revoked => ("the server's certificate has been revoked", Advice::RenewCertificate),
            Self::NameConstraint => (
                "the authority of the server's certificate may not sign certificates for this host",
                Advice::UseOtherAuthority,
            ),
            Self::BrokenCertificate => ("the server's certificate is broken", Advice::RenewCertificate),
            Self::NoCertificate => ("the server sent no certificate", Advice::CheckUrlAndProxy),
            Self::OtherCertificate => {
                ("the server's certificate is not acceptable", Advice::ReplaceCertificate)
            }
            Self::OldVersion => ("the server speaks neither TLS 1.2 nor TLS 1.3", Advice::UpdateServer),
            Self::NothingInCommon => (
                "TLS found no cipher suite, key exchange or signature that both sides support (alert handshake_failure)",
                Advice::UseCommonAlgorithms,
            ),
            Self::ClientCertificate => {
                ("the server requires a client certificate that it accepts", Advice::SetClientCertificate)
            }
            Self::Denied => {
                ("the server refused this client in TLS (alert access_denied)", Advice::AskOperator)
            }
            Self::ServerFailed => (
                "the server failed while TLS was set up (alert internal_error)",
                Advice::TryAgainOrAskOperator,
            ),
            Self::UnknownName => {
                ("the server knows no host of this name (alert unrecognized_name)", Advice::CheckUrl)
            }
            Self::NotTls => ("the server does not speak TLS on this port", Advice::CheckPortAndScheme),
            Self::NoName => ("no certificate can be valid for this host name", Advice::CheckUrl),
            Self::CutOff => ("the connection was cut off while TLS was set up", Advice::TryAgain),
            Self::TimedOut => ("TLS was not set up in time", Advice::CheckNetwork),
            Self::Alert(name) => {
                let what = format!("the server ended the connection while TLS was set up (alert {name})");
                return (what.into(), Advice::CheckUrlAndProxy);
            }
            Self::Misbehaved => ("the server violates the rules of TLS", Advice::CheckUrlAndProxy),
            Self::Unknown => ("TLS failed", Advice::CheckUrlAndProxy),
        };
        (what.into(), advice)
    }
}
