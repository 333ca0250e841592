//! A TLS failure is reported with its own cause, and no request is sent.

#![cfg(feature = "_tls")]
#![allow(clippy::disallowed_methods, reason = "the servers run on the machine's clock")]

#[path = "support/folder.rs"]
mod folder;

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use keyfob::flow::ClientCredentials;
use keyfob::{Auth, Basic, ClientAuth, ErrorKind, Transport};
use keyfob_sandbox::{Sandbox, ServerCertificate};

const KEY: &str = "a secret of at least thirty-two bytes";
const ANOTHER: &str = "the server's certificate is not from an authority in the CA file; add the server's authority to the file, or check the proxy";
const NOTHING: &str = "TLS found no cipher suite, key exchange or signature that both sides support (alert handshake_failure); the server needs a \
                       certificate with ECDSA P-256 or P-384 or RSA, and key exchange by ECDHE";
const OLD: &str =
    "the server speaks neither TLS 1.2 nor TLS 1.3; the server, or a proxy on the way, needs an update";
const CLIENT: &str = "the server requires a client certificate that it accepts; set a client certificate and its key, or check those that are set";
const NO_TLS: &str =
    "the server does not speak TLS on this port; check the port and the scheme of the URL, and the proxy";

/// Checks that a token exchange and an API call both fail with this text.
#[track_caller]
fn says(http: &Transport, origin: &str, expected: &str) {
    let flow = ClientCredentials::new(format!("{origin}/token"), ClientAuth::secret_jwt("id", KEY));
    let error = flow.run(http).unwrap_err();
    let text = format!("could not get a token with the client credentials from {origin}: {expected}");
    assert_eq!((error.to_string(), error.kind()), (text, ErrorKind::Network));
    let agent = keyfob::AgentBuilder::new(http.clone(), Auth::Basic(Basic::new("a", "b").unwrap()));
    let agent = agent.origin(origin).build().unwrap();
    let error = keyfob::Error::from(agent.get(origin).call().unwrap_err());
    assert_eq!(
        (error.to_string(), error.kind()),
        (format!("could not call the API: {expected}"), ErrorKind::Network)
    );
}

const SIGNATURE: &str = "the server's certificate was not signed by the authority that it names, or one of the two has an RSA key of \
                         less than 2048 bits; check the CA file for an old certificate of that authority, and the server's key";

#[test]
fn error_names_the_fault_of_a_certificate() {
    let sandbox = Sandbox::start_tls();
    let trusting = Transport::new().with_ca_file(sandbox.ca_file().unwrap());
    for (certificate, expected) in [
        (ServerCertificate::SelfSigned, ANOTHER),
        (
            ServerCertificate::Authority,
            "the server's certificate is that of an authority (CA:TRUE), which no server may use; the server needs a certificate of its own, \
             signed by that authority",
        ),
        (
            ServerCertificate::ByServer,
            "the server's certificate was signed with a certificate that is not that of an authority; the server needs a certificate from an authority",
        ),
        (
            ServerCertificate::ForClients,
            "the server's certificate is not for servers (extended key usage); the server needs a certificate for server authentication",
        ),
        (
            ServerCertificate::Critical,
            "the server's certificate has a critical extension that is not supported; the server needs a certificate without it",
        ),
        (ServerCertificate::OtherKey, SIGNATURE),
        (ServerCertificate::WrongHost, "the server's certificate is for another host; check the URL"),
        (
            ServerCertificate::NoHost,
            if cfg!(feature = "rustls") {
                "the server's certificate names no host (it has no subjectAltName); the server needs a new certificate"
            } else {
                "the server's certificate is for another host; check the URL"
            },
        ),
        (ServerCertificate::Mutual, CLIENT),
    ] {
        sandbox.set_certificate(certificate);
        // OpenSSL checks the purpose of a signature first, and accepts every certificate in the CA file as a
        // server's.
        let expected = match certificate {
            ServerCertificate::Authority if !cfg!(feature = "rustls") => continue,
            ServerCertificate::OtherKey if !cfg!(feature = "rustls") => ANOTHER,
            _ => expected,
        };
        says(&trusting, &sandbox.auth_url(), expected);
    }
    sandbox.set_certificate(ServerCertificate::SelfSigned);
    let untrusted = "the server's certificate is not from a trusted authority; name the CA file of its authority, or check the proxy";
    says(&Transport::new(), &sandbox.auth_url(), untrusted);
    assert!(sandbox.requests().is_empty());
}

/// Answers each `ClientHello` with these bytes, until the test ends.
fn answering(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("https://{}", listener.local_addr().unwrap());
    let answer = move |mut client: TcpStream| {
        let mut header = [0; 5];
        client.read_exact(&mut header)?;
        let len = u64::from(u16::from_be_bytes([header[3], header[4]]));
        io::copy(&mut (&client).take(len), &mut io::sink())?;
        client.write_all(bytes)?;
        // The client closes: otherwise a reset could lose the answer.
        io::copy(&mut client, &mut io::sink())
    };
    thread::spawn(move || listener.incoming().try_for_each(|client| answer(client?).map(drop)));
    origin
}

#[test]
fn error_names_the_answer_of_a_server_without_tls() {
    for (bytes, expected) in [
        (&b"\x15\x03\x03\x00\x02\x02\x28"[..], NOTHING),
        (b"\x15\x03\x03\x00\x02\x02\x47", NOTHING),
        (b"\x15\x03\x01\x00\x02\x02\x46", OLD),
        (b"\x15\x03\x03\x00\x02\x02\x56", OLD),
        (b"\x15\x03\x03\x00\x02\x02\x74", CLIENT),
        (b"\x15\x03\x03\x00\x02\x02\x2a", CLIENT),
        (
            b"\x15\x03\x03\x00\x02\x02\x50",
            "the server failed while TLS was set up (alert internal_error); try again later, or ask the operator of the server",
        ),
        (
            b"\x15\x03\x03\x00\x02\x02\x70",
            "the server knows no host of this name (alert unrecognized_name); check the URL",
        ),
        (
            b"\x15\x03\x03\x00\x02\x02\x31",
            "the server refused this client in TLS (alert access_denied); ask the operator of the server",
        ),
        (
            b"\x15\x03\x03\x00\x02\x02\x2f",
            "the server ended the connection while TLS was set up (alert illegal_parameter); check the URL and the proxy",
        ),
        (
            b"\x15\x03\x03\x00\x02\x02\x32",
            "the server ended the connection while TLS was set up (alert decode_error); check the URL and the proxy",
        ),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", NO_TLS),
        (b"<html>The plain HTTP request was sent to HTTPS port</html>", NO_TLS),
        (b"SSH-2.0-OpenSSH_9.2\r\n", NO_TLS),
        (b"220 mail.example.test ESMTP\r\n", NO_TLS),
    ] {
        says(&Transport::new(), &answering(bytes), expected);
    }
    if cfg!(feature = "rustls") {
        let unknown = "the server ended the connection while TLS was set up (alert unknown); check the URL and the proxy";
        says(&Transport::new(), &answering(b"\x15\x03\x03\x00\x02\x02\xfe"), unknown);
        let no_hello = b"\x16\x03\x03\x00\x05\x02\x00\x00\x01\x00";
        says(
            &Transport::new(),
            &answering(no_hello),
            "the server violates the rules of TLS; check the URL and the proxy",
        );
    }
}

/// Settings that OpenSSL supports and rustls does not.
#[cfg(feature = "rustls")]
mod openssl {
    use std::io::{BufRead as _, BufReader};
    use std::path::Path;
    use std::process::{Child, Command, Stdio};

    use super::folder::Folder;
    use super::*;

    const KIND_OF_KEY: &str = "the server's certificate, or one in its chain, has a kind of key or signature that is not \
                           supported, such as P-521 or SHA-1; the server needs a certificate with ECDSA P-256 or P-384, or RSA of \
                           2048 bits or more";

    struct OpenSsl(Child, String);

    impl Drop for OpenSsl {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn openssl(folder: &Path, words: &str) -> Command {
        let mut command = Command::new("openssl");
        command.args(words.split_whitespace()).current_dir(folder);
        command
    }

    /// `openssl s_server` with the certificate and key in `NAME.pem`.
    fn serve(folder: &Path, words: &str) -> OpenSsl {
        let mut command = openssl(folder, &format!("s_server -accept 127.0.0.1:0 -naccept 16 {words}"));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| Some(line.unwrap().strip_prefix("ACCEPT 127.0.0.1:")?.to_owned()));
        // Prevents the server from waiting for a reader.
        thread::spawn(move || lines.for_each(drop));
        OpenSsl(child, format!("https://127.0.0.1:{}", port.expect("openssl tells its port")))
    }

    #[test]
    #[ignore = "needs openssl"]
    fn error_names_tls_settings_of_openssl_that_rustls_refuses() {
        let folder = Folder::new();
        let make = |words: &str| {
            let output = openssl(&folder.0, words).output().unwrap();
            assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        };
        // Self-signed certificates for 127.0.0.1, which are no authority.
        let own = "req -x509 -nodes -days 365 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -addext \
               basicConstraints=critical,CA:FALSE";
        make(&format!("{own} -newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout p256.pem -out p256.pem"));
        make(&format!("{own} -newkey ec -pkeyopt ec_paramgen_curve:P-521 -keyout p521.pem -out p521.pem"));
        make(&format!("{own} -newkey rsa:2048 -keyout rsa.pem -out rsa.pem"));
        make(&format!("{own} -newkey rsa:2048 -sha1 -keyout sha1.pem -out sha1.pem"));
        make(&format!("{own} -newkey rsa:1024 -keyout rsa1024.pem -out rsa1024.pem"));
        // An authority with P-521, and a server certificate that it signed.
        make(
            "req -x509 -nodes -days 365 -subj /CN=a -newkey ec -pkeyopt ec_paramgen_curve:P-521 -keyout ca.key -out ca.pem",
        );
        make(
            "req -nodes -subj /CN=b -newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout by521.key -out by521.csr",
        );
        std::fs::write(folder.join("san"), "subjectAltName=IP:127.0.0.1").unwrap();
        make(
            "x509 -req -in by521.csr -CA ca.pem -CAkey ca.key -set_serial 1 -days 365 -extfile san -out by521.pem",
        );
        let weak = "-cipher ALL:@SECLEVEL=0";
        for (ca, words, expected) in [
            ("p521.pem", "-cert p521.pem".to_owned(), NOTHING),
            ("rsa.pem", "-cert rsa.pem -tls1_2 -cipher AES128-SHA:@SECLEVEL=0".to_owned(), NOTHING),
            ("rsa.pem", "-cert rsa.pem -tls1_2 -cipher AES256-GCM-SHA384".to_owned(), NOTHING),
            ("p256.pem", "-cert p256.pem -groups P-521".to_owned(), NOTHING),
            ("p256.pem", format!("-cert p256.pem -tls1_1 {weak}"), OLD),
            ("p256.pem", format!("-cert p256.pem -tls1 {weak}"), OLD),
            ("p256.pem", "-cert p256.pem -Verify 1".to_owned(), CLIENT),
            ("p256.pem", "-cert p256.pem -Verify 1 -tls1_2".to_owned(), CLIENT),
            ("ca.pem", "-cert by521.pem -key by521.key".to_owned(), KIND_OF_KEY),
            ("sha1.pem", format!("-cert sha1.pem {weak}"), KIND_OF_KEY),
            ("rsa1024.pem", format!("-cert rsa1024.pem {weak}"), SIGNATURE),
            ("rsa1024.pem", format!("-cert rsa1024.pem -tls1_2 {weak}"), SIGNATURE),
            ("ca.pem", "-cert p256.pem".to_owned(), ANOTHER),
        ] {
            let server = serve(&folder.0, &words);
            let http = Transport::new().with_ca_file(folder.join(ca));
            says(&http, &server.1, expected);
        }
        // With the usual settings the server works.
        let server = serve(&folder.0, "-cert p256.pem -www");
        let http = Transport::new().with_ca_file(folder.join("p256.pem"));
        let agent = keyfob::AgentBuilder::new(http, Auth::Basic(Basic::new("a", "b").unwrap()));
        let agent = agent.origin(&server.1).build().unwrap();
        assert_eq!(agent.get(&server.1).call().unwrap().status(), 200);
    }

    #[test]
    #[ignore = "needs openssl"]
    fn client_certificates_made_by_openssl_are_shown_or_refused() {
        let folder = Folder::new();
        let make = |words: &str| {
            let output = openssl(&folder.0, words).output().unwrap();
            assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        };
        let own = "req -x509 -nodes -days 365 -addext basicConstraints=critical,CA:FALSE";
        let server = "-subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1";
        make(&format!(
            "{own} {server} -newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout server.pem -out server.pem"
        ));
        for (name, kind) in [
            ("p256", "ec -pkeyopt ec_paramgen_curve:P-256"),
            ("p384", "ec -pkeyopt ec_paramgen_curve:P-384"),
            ("p521", "ec -pkeyopt ec_paramgen_curve:P-521"),
            ("rsa", "rsa:2048"),
            ("rsa1024", "rsa:1024"),
            ("rsa2560", "rsa:2560"),
            ("rsa5120", "rsa:5120"),
            ("ed25519", "ed25519"),
        ] {
            make(&format!("{own} -subj /CN={name} -newkey {kind} -keyout {name}.key -out {name}.pem"));
        }
        make("ec -in p256.key -out sec1.key");
        make("ecparam -name secp384r1 -genkey -out parameters.key");
        make(&format!("{own} -subj /CN=parameters -key parameters.key -out parameters.pem"));
        make("rsa -in rsa.key -traditional -out traditional.key");
        make("pkcs8 -topk8 -in p256.key -passout pass:secret -out encrypted.key");
        make("rsa -in rsa.key -traditional -aes128 -passout pass:secret -out legacy.key");
        // Of version 1, and without the public key.
        make("req -new -key p256.key -subj /CN=v1 -out v1.csr");
        make("x509 -req -in v1.csr -key p256.key -days 365 -out v1.pem");
        make("ec -in p256.key -no_public -out private.key");
        let kind = "is of a kind that is not supported: use ECDSA with P-256 or P-384, or RSA with 2048, 3072 or 4096 bits";
        let encrypted = "is encrypted: write it without a password, as with `openssl pkey -in OLD -out NEW`";
        for (certificate, key, refused) in [
            ("p256", "p256", None),
            ("p256", "sec1", None),
            ("p384", "p384", None),
            ("parameters", "parameters", None),
            ("rsa", "rsa", None),
            ("rsa", "traditional", None),
            ("p521", "p521", Some(kind)),
            ("rsa1024", "rsa1024", Some(kind)),
            ("rsa2560", "rsa2560", Some(kind)),
            ("rsa5120", "rsa5120", Some(kind)),
            ("ed25519", "ed25519", Some(kind)),
            ("p256", "encrypted", Some(encrypted)),
            ("rsa", "legacy", Some(encrypted)),
            (
                "p256",
                "private",
                Some(
                    "holds no public key beside the private one: write it again, as with `openssl pkey -in OLD -out NEW`",
                ),
            ),
            (
                "p256",
                "rsa",
                Some("does not belong to the client certificate: name the two files of one pair"),
            ),
            (
                "v1",
                "p256",
                Some(
                    "is none that TLS can use: it must be of version 3 (X.509), without a critical extension that is not supported",
                ),
            ),
        ] {
            let (certificate, key) = (format!("{certificate}.pem"), format!("{key}.key"));
            let transport = Transport::new()
                .with_ca_file(folder.join("server.pem"))
                .with_client_certificate(folder.join(&certificate), folder.join(&key));
            match (transport.check(), refused) {
                (Err(error), Some(why)) => {
                    assert!(error.to_string().ends_with(why), "{certificate}, {key}: {error}");
                    continue;
                }
                (Ok(()), None) => {}
                (outcome, _) => panic!("{certificate}, {key}: {outcome:?}"),
            }
            for version in ["-tls1_2", "-tls1_3"] {
                let words = format!(
                    "-cert server.pem -www -CAfile {certificate} -Verify 1 -verify_return_error {version}"
                );
                let server = serve(&folder.0, &words);
                let agent =
                    keyfob::AgentBuilder::new(transport.clone(), Auth::Basic(Basic::new("a", "b").unwrap()));
                let agent = agent.origin(&server.1).build().unwrap();
                assert_eq!(
                    agent.get(&server.1).call().unwrap().status(),
                    200,
                    "{certificate}, {key}, {version}"
                );
            }
        }
    }
}
