//! The settings of a transport are checked at their first use, once for all clones.

#![cfg(feature = "_tls")]
#![allow(clippy::disallowed_methods, reason = "the relay runs on the machine's clock")]

#[path = "support/folder.rs"]
mod folder;

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, io, thread};

use keyfob::flow::ClientCredentials;
use keyfob::{Auth, Basic, ClientAuth, ErrorKind, Transport};
use keyfob_sandbox::Sandbox;

use folder::Folder;

/// An authority that signed no server's certificate here.
const OTHER_AUTHORITY: &str = "-----BEGIN CERTIFICATE-----
MIIBTDCB9KADAgECAhQh593dyKbNpyGxCI4phv/V/ePAcDAKBggqhkjOPQQDAjAMMQowCAYDVQQDDAFhMCAXDTI2MTEyODE1NTk1OFoYDzIxMjYxMTA0MTU1OTU4
WjAMMQowCAYDVQQDDAFhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEDFHqtI76R12gXq3O8UHB3sty97cYvmuLV4WuNOza/3nZlbPUnNe3jignRQpDf5YHsv/D
FlrJo7p8nsdpTTj9f6MyMDAwDwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4EFgQUtwytCVYpLu+KILYO6H84cGILllAwCgYIKoZIzj0EAwIDRwAwRAIgc8M2nKfWee5Q
ko24QE7F6OIGK/cQ3jhzz13MZH1qpFUCID26syOA+0Ac+T46ZR4O4HRvSZxJccJhyTXjXgiN7gho
-----END CERTIFICATE-----
";

const KEY: &str = "a secret of at least thirty-two bytes";

fn exchange(transport: &Transport, url: &str) -> Result<(), keyfob::Error> {
    ClientCredentials::new(format!("{url}/token"), ClientAuth::secret_jwt("id", KEY)).run(transport).map(drop)
}

#[test]
fn first_exchange_and_agent_report_a_setting_that_cannot_be_used() {
    let folder = Folder::new();
    let missing = folder.join("missing.pem");
    let sandbox = Sandbox::start_tls();
    for (transport, text) in [
        (
            Transport::new().with_ca_file(&missing),
            format!("could not read the CA file {}: there is no such file or folder", missing.display()),
        ),
        (Transport::new().with_user_agent("a\nb"), "the user agent holds a control character".to_owned()),
        (
            Transport::new().with_proxy("socks5://h"),
            "the proxy URL is not of the form http://host:port".to_owned(),
        ),
    ] {
        let agent = keyfob::AgentBuilder::new(transport.clone(), Auth::Basic(Basic::new("a", "b").unwrap()));
        for error in [
            transport.check().unwrap_err(),
            exchange(&transport, &sandbox.auth_url()).unwrap_err(),
            agent.origin(sandbox.auth_url()).build().unwrap_err(),
        ] {
            assert!(error.to_string().starts_with(&text), "{error}");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
    }
    assert!(sandbox.requests().is_empty());
}

#[test]
fn ca_file_is_read_once_for_all_clones_and_a_failure_is_not_remembered() {
    let sandbox = Sandbox::start_tls();
    let folder = Folder::new();
    let path = folder.join("ca.pem");
    let transport = Transport::new().with_ca_file(&path);
    let clone = transport.clone();
    assert!(transport.check().is_err(), "there is no file yet");
    fs::copy(sandbox.ca_file().unwrap(), &path).unwrap();
    transport.check().unwrap();
    fs::remove_file(&path).unwrap();
    let reached = |transport: &Transport| exchange(transport, &sandbox.auth_url()).unwrap_err().kind();
    assert_eq!(reached(&clone), ErrorKind::Refused, "the sandbox does not know this client");
    assert_eq!(reached(&clone.with_timeout(std::time::Duration::from_secs(20))), ErrorKind::Refused);
    // Any other change of the connection's settings reads the file again.
    assert!(transport.with_user_agent("another").check().is_err());
}

#[test]
fn order_of_the_setters_does_not_matter() {
    let sandbox = Sandbox::start_tls();
    let ca = &sandbox.ca_file().unwrap();
    let setters: [fn(Transport, &std::path::Path) -> Transport; 4] = [
        |transport, ca| transport.with_ca_file(ca),
        |transport, _| transport.with_user_agent("ordered"),
        |transport, _| transport.with_buffer_sizes(8 * 1024, 8 * 1024),
        |transport, _| transport.with_connect_timeout(std::time::Duration::from_secs(5)),
    ];
    for start in 0..setters.len() {
        let order = setters.iter().cycle().skip(start).take(setters.len());
        let transport = order.fold(Transport::new(), |transport, set| set(transport, ca));
        assert_eq!(exchange(&transport, &sandbox.auth_url()).unwrap_err().kind(), ErrorKind::Refused);
    }
    assert_eq!(sandbox.requests().len(), setters.len());
}

/// Makes an exchange with the sandbox at `URL` by the settings of the environment, and prints what it ended with.
#[test]
fn child_that_uses_the_environment() {
    let Ok(url) = std::env::var("KEYFOB_TEST_URL") else { return };
    let outcome = match Transport::from_env() {
        Ok(transport) => [exchange(&transport, &url), exchange(&transport, &url)]
            .map(|result| {
                result.map_or_else(|error| format!("{:?}: {error}", error.kind()), |()| "token".to_owned())
            })
            .join(" | "),
        Err(error) => error.to_string(),
    };
    println!("\nRESULT {outcome}");
}

fn with_environment(url: &str, variables: &[(&str, &str)]) -> String {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["child_that_uses_the_environment", "--exact", "--nocapture"]).env_clear();
    let output = child.env("KEYFOB_TEST_URL", url).envs(variables.iter().copied()).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let result = shown.lines().find_map(|line| line.strip_prefix("RESULT "));
    result.unwrap_or_else(|| panic!("{output:?}")).replace(url, "URL")
}

#[test]
fn environment_chooses_between_built_in_system_and_named_authorities() {
    let sandbox = Sandbox::start_tls();
    let url = sandbox.auth_url();
    let folder = Folder::new();
    let ca = sandbox.ca_file().unwrap().to_str().unwrap().to_owned();
    let other = folder.write("other.pem", OTHER_AUTHORITY);
    let missing = folder.join("missing.pem").to_str().unwrap().to_owned();
    let empty = folder.write("empty.pem", "");
    let (other, empty) = (other.to_str().unwrap(), empty.to_str().unwrap());
    let refused = "could not get a token with the client credentials from URL";
    let reached = format!("Refused: {refused}: the server refused (HTTP 404): ");
    let unknown = format!(
        "Network: {refused}: the server's certificate is not from a trusted authority; name the CA file of its authority, or check the proxy"
    );
    let in_file = format!(
        "Network: {refused}: the server's certificate is not from an authority in the CA file; add the server's authority to the file, or check the proxy"
    );
    for (ca_file, bundle, expected) in [
        ("", "", unknown.as_str()),
        ("", &ca, &unknown),
        ("builtin", &ca, &unknown),
        ("system", &ca, &reached),
        ("auto", &ca, &reached),
        (&ca, other, &reached),
        (other, &ca, &in_file),
        ("auto", other, &unknown),
        ("system", other, &unknown),
        (
            "system",
            &missing,
            "InvalidInput: could not read the CA file that SSL_CERT_FILE names: there is no such file or folder",
        ),
        (
            "auto",
            &missing,
            "InvalidInput: could not read the CA file that SSL_CERT_FILE names: there is no such file or folder",
        ),
        ("system", empty, "InvalidInput: the CA file that SSL_CERT_FILE names is empty: "),
        ("auto", empty, "InvalidInput: the CA file that SSL_CERT_FILE names is empty: "),
    ] {
        sandbox.clear_requests();
        let outcome = with_environment(&url, &[("KEYFOB_CA_FILE", ca_file), ("SSL_CERT_FILE", bundle)]);
        let outcomes: Vec<_> = outcome.split(" | ").collect();
        assert_eq!(outcomes.len(), 2, "{outcome}");
        for outcome in outcomes {
            assert!(outcome.starts_with(expected), "{ca_file}, {bundle}:\n{outcome}\n{expected}");
        }
        assert_eq!(sandbox.requests().is_empty(), expected != reached, "{ca_file}, {bundle}");
    }
}

/// Passes each connection on to the server at `url`, and counts them.
fn relay(url: &str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let relay = format!("https://{}", listener.local_addr().unwrap());
    let server = url.strip_prefix("https://").unwrap().to_owned();
    let count = Arc::new(AtomicUsize::new(0));
    let connections = count.clone();
    thread::spawn(move || {
        for client in listener.incoming() {
            connections.fetch_add(1, Ordering::SeqCst);
            let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
            for (from, to) in [(&client, &server), (&server, &client)] {
                let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    (relay, count)
}

#[test]
fn server_known_to_the_system_alone_is_connected_to_again_once() {
    let sandbox = Sandbox::start_tls();
    let ca = sandbox.ca_file().unwrap();
    for (ca_file, connections) in [("auto", 3), ("system", 2), ("builtin", 2)] {
        let (url, count) = relay(&sandbox.auth_url());
        let outcome =
            with_environment(&url, &[("KEYFOB_CA_FILE", ca_file), ("SSL_CERT_FILE", ca.to_str().unwrap())]);
        assert_eq!(
            outcome.matches("the server refused").count(),
            if ca_file == "builtin" { 0 } else { 2 },
            "{outcome}"
        );
        assert_eq!(count.load(Ordering::SeqCst), connections, "{ca_file}");
    }
}

/// Files of a client certificate and its key, which nobody else may read.
#[cfg(unix)]
fn pair(folder: &Folder, certificate: &str, key: &str) -> (std::path::PathBuf, std::path::PathBuf) {
    use std::os::unix::fs::PermissionsExt as _;
    let key = folder.write("key.pem", key);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    (folder.write("certificate.pem", certificate), key)
}

#[test]
#[cfg(unix)]
fn client_certificate_is_shown_to_a_server_that_asks_for_one() {
    let sandbox = Sandbox::start_tls();
    sandbox.set_certificate(keyfob_sandbox::ServerCertificate::Mutual);
    let folder = Folder::new();
    let (certificate, key) = sandbox.client_certificate().unwrap();
    let trusting = Transport::new().with_ca_file(sandbox.ca_file().unwrap());
    let error = exchange(&trusting, &sandbox.auth_url()).unwrap_err().to_string();
    let text = "the server requires a client certificate that it accepts; set a client certificate and its key, or check those that are set";
    assert!(error.ends_with(text), "{error}");
    assert!(sandbox.requests().is_empty());

    let (certificate_file, key_file) = pair(&folder, &certificate, &key);
    let transport = trusting.clone().with_client_certificate(certificate_file, key_file);
    assert_eq!(exchange(&transport, &sandbox.auth_url()).unwrap_err().kind(), ErrorKind::Refused);
    let agent = keyfob::AgentBuilder::new(transport, Auth::Basic(Basic::new("a", "b").unwrap()));
    let agent = agent.origin(sandbox.auth_url()).status_as_error(false).build().unwrap();
    assert_eq!(agent.get(sandbox.auth_url()).call().unwrap().status(), 404);
    // After a byte order mark.
    let (certificate_file, key_file) =
        pair(&folder, &format!("\u{feff}{certificate}"), &format!("\u{feff}{key}"));
    let transport = trusting.clone().with_client_certificate(certificate_file, key_file);
    assert_eq!(exchange(&transport, &sandbox.auth_url()).unwrap_err().kind(), ErrorKind::Refused);
    // Both in one file.
    let (_, both) = pair(&folder, "", &format!("{key}{certificate}"));
    let transport = trusting.clone().with_client_certificate(&both, &both);
    assert_eq!(exchange(&transport, &sandbox.auth_url()).unwrap_err().kind(), ErrorKind::Refused);

    // Another authority's.
    let (certificate, key) = Sandbox::start_tls().client_certificate().unwrap();
    let (certificate, key) = pair(&folder, &certificate, &key);
    let transport = trusting.with_client_certificate(certificate, key);
    let error = exchange(&transport, &sandbox.auth_url()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network, "{error}");
}

#[test]
#[cfg(unix)]
fn client_certificate_that_cannot_be_used_is_refused_with_its_file_and_the_reason() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::start_tls();
    let folder = Folder::new();
    let (certificate, key) = sandbox.client_certificate().unwrap();
    let (_, other_key) = sandbox.client_certificate().unwrap();
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let is_encrypted = "is encrypted: write it without a password, as with `openssl pkey -in OLD -out NEW`";
    let broken = "is broken: write it again, as with `openssl pkey -in OLD -out NEW`";
    let unsupported = "is of a kind that is not supported: use ECDSA with P-256 or P-384, or RSA with 2048, 3072 or 4096 bits";
    let ed25519 = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n-----END PRIVATE KEY-----\n";
    for (certificate, key, of_key, why) in [
        ("", key.as_str(), false, "holds no certificate: it should hold '-----BEGIN CERTIFICATE-----'"),
        (&key, &key, false, "holds no certificate: it should hold '-----BEGIN CERTIFICATE-----'"),
        (&certificate, "", true, "holds no private key: it should hold '-----BEGIN PRIVATE KEY-----'"),
        (
            &certificate,
            &certificate,
            true,
            "holds no private key: it should hold '-----BEGIN PRIVATE KEY-----'",
        ),
        (&certificate, &encrypted, true, is_encrypted),
        (&certificate, legacy, true, is_encrypted),
        (
            &certificate,
            &key[..60],
            true,
            "holds no private key: it should hold '-----BEGIN PRIVATE KEY-----'",
        ),
        (&certificate, &key.replacen("MI", "!!", 1), true, broken),
        (&certificate, ed25519, true, unsupported),
        (
            &certificate,
            &other_key,
            true,
            "does not belong to the client certificate: name the two files of one pair",
        ),
        (
            &certificate.replacen("MI", "AA", 1),
            &key,
            false,
            "is none that TLS can use: it must be of version 3 (X.509), without a critical extension that is not supported",
        ),
        (&certificate.replacen("MI", "!!", 1), &key, false, "is broken: a certificate in it is not base64"),
    ] {
        let (certificate, key) = pair(&folder, certificate, key);
        let (what, path) = if of_key { ("key", &key) } else { ("certificate", &certificate) };
        let error = Transport::new().with_client_certificate(&certificate, &key).check().unwrap_err();
        assert_eq!(error.to_string(), format!("the client {what} {} {why}", path.display()));
    }
    let (certificate, key) = pair(&folder, &certificate, &key);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o604)).unwrap();
    let error = Transport::new().with_client_certificate(&certificate, &key).check().unwrap_err().to_string();
    let why = "may be read by everyone on this machine: run chmod 600 on it";
    assert_eq!(error, format!("the client key {} {why}", key.display()));
    let error =
        Transport::new().with_client_certificate(folder.join("none"), &key).check().unwrap_err().to_string();
    let path = folder.join("none");
    assert_eq!(
        error,
        format!("could not read the client certificate {}: there is no such file or folder", path.display())
    );
}
