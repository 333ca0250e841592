//! [`Roots`]: which certificate authorities are trusted.

use std::fmt;
use std::path::{Path, PathBuf};

/// The certificate authorities that keyfob trusts for the certificates of servers.
///
/// ```
/// use keyfob::{Roots, Transport};
/// let transport = Transport::new().with_roots(Roots::System);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Roots {
    /// The web's authorities, which are built into the program. The default.
    #[default]
    BuiltIn,
    /// The system's authorities: the first certificate bundle that exists at the usual paths of Linux distributions, the BSDs and
    /// macOS. `SSL_CERT_FILE` names another one, if the transport was made by [`Transport::from_env`](crate::Transport::from_env).
    System,
    /// The built-in authorities. If a server's authority is not among them, the system's authorities are tried. The bundle is not read
    /// before it is needed. The first connection to a server whose authority is only in the bundle is made twice.
    Auto,
    /// The authorities in this PEM file, and no others.
    File(PathBuf),
}

impl Roots {
    /// Parses the variable `KEYFOB_CA_FILE`: `builtin`, `system`, `auto`, or a path.
    pub(super) fn named(value: &str) -> Self {
        match value {
            "builtin" => Self::BuiltIn,
            "system" => Self::System,
            "auto" => Self::Auto,
            path => Self::File(path.into()),
        }
    }
}

impl fmt::Debug for Roots {
    /// Shows no path: a secret may have been given in its place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BuiltIn => "BuiltIn",
            Self::System => "System",
            Self::Auto => "Auto",
            Self::File(_) => "File",
        })
    }
}

/// Where systems keep their bundle.
#[cfg_attr(not(feature = "_tls"), expect(dead_code))]
const BUNDLES: [&str; 10] = [
    // Debian, Ubuntu, Arch, Gentoo, Alpine.
    "/etc/ssl/certs/ca-certificates.crt",
    // Fedora, RHEL, CentOS.
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    // openSUSE.
    "/etc/ssl/ca-bundle.pem",
    // FreeBSD, OpenBSD, macOS, Alpine.
    "/etc/ssl/cert.pem",
    "/usr/local/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
    // NetBSD.
    "/etc/openssl/certs/ca-certificates.crt",
    // illumos.
    "/etc/certs/ca-certificates.crt",
    // Termux.
    "/data/data/com.termux/files/usr/etc/tls/cert.pem",
];

/// Returns the first of these paths at which there is a file.
#[cfg_attr(not(any(feature = "_tls", test)), expect(dead_code))]
fn first_file<'a>(paths: &[&'a str]) -> Option<&'a Path> {
    paths.iter().map(|&path| Path::new(path)).find(|path| path.is_file())
}

#[cfg(feature = "_tls")]
pub(super) mod read {
    //! Reads authorities from files.

    use std::io;

    use ureq::tls::{Certificate, RootCerts};

    use super::{BUNDLES, Path, first_file};
    use crate::error::Error;
    use crate::sys::file;
    use crate::text::shown;
    use crate::transport::ca_file;

    /// Returns the authorities in a CA file.
    pub(crate) fn of_file(path: &Path) -> Result<RootCerts, Error> {
        read(&format!("CA file {}", shown(path)), path)
    }

    /// Returns the authorities of the system: those in the bundle that `SSL_CERT_FILE` named, or in the first bundle at a usual path.
    /// `None` if there is no bundle.
    pub(crate) fn of_system(named: Option<&Path>) -> Result<Option<RootCerts>, Error> {
        // The path is not shown, because a variable may hold a secret by mistake.
        let bundle = match named {
            Some(path) => Some(("CA file that SSL_CERT_FILE names".to_owned(), path)),
            None => first_file(&BUNDLES).map(|path| (format!("system's CA file {}", shown(path)), path)),
        };
        bundle.map(|(name, path)| read(&name, path)).transpose()
    }

    fn read(name: &str, path: &Path) -> Result<RootCerts, Error> {
        let pem = file::read(path).and_then(|pem| pem.ok_or_else(|| io::ErrorKind::NotFound.into()));
        let pem = pem.map_err(|e| {
            Error::invalid(format!("could not read the {name}: {}", file::why_at(path, &e))).with_source(&e)
        })?;
        // Wiped afterwards, because a private key may be beside a certificate.
        ca_file::certificates(pem.expose(), |der| Certificate::from_der(der).to_owned())
            .map(RootCerts::from)
            .map_err(|why| Error::invalid(format!("the {name} {why}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_existing_file_is_the_bundle() {
        let (manifest, folder) =
            (concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), env!("CARGO_MANIFEST_DIR"));
        for (paths, expected) in [
            (&[][..], None),
            (&["/missing/a", "/missing/b"], None),
            (&["/missing/a", folder, manifest, "/missing/b"], Some(Path::new(manifest))),
        ] {
            assert_eq!(first_file(paths), expected, "{paths:?}");
        }
    }

    #[test]
    fn debug_of_roots_shows_no_path() {
        assert_eq!(format!("{:?}", Roots::File("s3cr3t".into())), "File");
    }
}
