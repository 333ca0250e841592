//! The sandbox over TLS.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use keyfob_sandbox::{Endpoint, Fault, Sandbox, ServerCertificate};
use support::*;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

fn trusting_agent(ca_pem: &str) -> Agent {
    let roots = RootCerts::new_with_certs(&[Certificate::from_pem(ca_pem.as_bytes()).unwrap()]);
    Agent::config_builder()
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .into()
}

#[test]
fn steps_work_over_tls() {
    let sandbox = Sandbox::start_tls();
    let agent = trusting_agent(&sandbox.ca_pem().unwrap());
    assert!(sandbox.token_url().starts_with("https://127.0.0.1:"));
    assert_ne!(sandbox.auth_url(), sandbox.api_url());

    temporary_token(&sandbox, &agent);
    let token = access_token(&sandbox, &agent);
    assert_eq!(info(&sandbox, &agent, &token).status, 200);

    let clients = sandbox.clients_url();
    let reply = call(&agent, "POST", clients.trim_end_matches('/'), &[], "");
    assert_eq!((reply.status, reply.header("location")), (307, Some(clients.as_str())));

    // The plain URL behind the front is not the audience.
    let mut claims = claims(&sandbox);
    claims["aud"] = sandbox.token_url().replace("https", "http").into();
    let reply = exchange(&sandbox, &agent, &signed(HEADER, &claims.to_string(), sandbox.client_secret()));
    assert_eq!(reply.json()["error_description"], format!("aud must be {}", sandbox.token_url()));
}

#[test]
fn large_bodies_are_passed_on_in_both_directions() {
    let sandbox = Sandbox::start_tls();
    let agent = trusting_agent(&sandbox.ca_pem().unwrap());
    let token = bearer(&access_token(&sandbox, &agent));
    let body = "0123456789abcdef".repeat(1 << 16);
    let url = format!("{}/api/echo", sandbox.api_url());
    let reply = call(&agent, "POST", &url, &[("authorization", &token)], &body);
    assert_eq!(reply.json()["body"], body);
}

#[test]
fn each_kind_of_invalid_certificate_is_refused_by_a_client() {
    let sandbox = Sandbox::start_tls();
    let ca_pem = sandbox.ca_pem().unwrap();
    let attempt =
        |agent: &Agent| try_call(agent, "GET", &info_url(&sandbox), &[], "").map(|reply| reply.status);

    for (kind, expected) in [
        (ServerCertificate::Expired, "Expired"),
        (ServerCertificate::NotYetValid, "NotValidYet"),
        (ServerCertificate::WrongHost, "NotValidForName"),
        (ServerCertificate::NoHost, "NotValidForName"),
    ] {
        sandbox.set_certificate(kind);
        let refused = format!("{:?}", attempt(&trusting_agent(&ca_pem)));
        assert!(refused.contains(expected), "{refused}");
    }
    sandbox.set_certificate(ServerCertificate::Valid);
    let other_authority = format!("{:?}", attempt(&trusting_agent(&Sandbox::start_tls().ca_pem().unwrap())));
    assert!(
        other_authority.contains("UnknownIssuer") || other_authority.contains("BadSignature"),
        "{other_authority}"
    );
    assert_eq!(sandbox.total(), 0);

    assert_eq!(attempt(&trusting_agent(&ca_pem)).unwrap(), 401);
}

#[test]
fn connection_is_kept_and_its_end_is_passed_on() {
    let sandbox = Sandbox::start_tls();
    let mut connection = Tls::connect(&sandbox);
    for _ in 0..3 {
        connection.write_all(request(&sandbox).as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"Access Denied\"}") {
            let mut byte = [0];
            connection.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 401"));
    }
    connection.write_all(request(&sandbox).replace("keep-alive", "close").as_bytes()).unwrap();
    // Without a close_notify this would be an error.
    assert!(connection.read_to_end(&mut Vec::new()).is_ok());
    assert_eq!(sandbox.count(Endpoint::Info), 4);
}

#[test]
fn delayed_requests_do_not_delay_others_over_tls() {
    let sandbox = Sandbox::start_tls();
    let agent = trusting_agent(&sandbox.ca_pem().unwrap());
    let token = access_token(&sandbox, &agent);
    sandbox.fault(Endpoint::Info, Fault::delay(Duration::from_secs(10)));
    thread::scope(|scope| {
        let slow = scope.spawn(|| {
            let mut slow = Tls::connect(&sandbox);
            slow.write_all(request(&sandbox).as_bytes()).unwrap();
            slow
        });
        let _slow = slow.join().unwrap();
        while sandbox.count(Endpoint::Info) == 0 {
            thread::yield_now();
        }
        assert_eq!(info(&sandbox, &agent, &token).status, 200);
    });
}

#[test]
fn dropped_sandbox_closes_connections_and_removes_its_ca_file() {
    let sandbox = Sandbox::start_tls();
    let ca_file = sandbox.ca_file().unwrap();
    assert_eq!(std::fs::read_to_string(&ca_file).unwrap(), sandbox.ca_pem().unwrap());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&ca_file).unwrap().permissions().mode() & 0o777, 0o644);
    }
    let mut idle = Tls::connect(&sandbox);
    let address = address(&sandbox);
    drop(sandbox);

    assert!(TcpStream::connect(&address).is_err(), "the port is closed");
    assert!(!matches!(idle.read(&mut [0]), Ok(1..)), "open connections end");
    assert!(!ca_file.parent().unwrap().exists(), "the file is gone");
}

fn address(sandbox: &Sandbox) -> String {
    sandbox.api_url().trim_start_matches("https://").to_owned()
}

fn request(sandbox: &Sandbox) -> String {
    format!("GET /api/info HTTP/1.1\r\nHost: {}\r\nConnection: keep-alive\r\n\r\n", address(sandbox))
}

/// A TLS connection without an HTTP client.
struct Tls;

impl Tls {
    fn connect(sandbox: &Sandbox) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
        use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(sandbox.ca_pem().unwrap().as_bytes()).unwrap()).unwrap();
        let config =
            rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let socket = TcpStream::connect(address(sandbox)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        rustls::StreamOwned::new(connection, socket)
    }
}

#[test]
fn connections_can_be_cut_at_random() {
    let sandbox = Sandbox::start_tls();
    let agent = trusting_agent(&sandbox.ca_pem().unwrap());
    let token = access_token(&sandbox, &agent);
    let attempt = || {
        let authorization = bearer(&token);
        try_call(&agent, "GET", &info_url(&sandbox), &[("authorization", &authorization)], "").is_ok()
    };
    assert!((0..10).all(|_| attempt()));
    assert_eq!(sandbox.cuts(), 0);
    sandbox.set_cuts(1.0);
    let failed = (0..40).filter(|_| !attempt()).count();
    // Cut at one of two places with a half each: three of four fail.
    assert!(failed > 10, "{failed}");
    assert_eq!(sandbox.cuts(), failed as u64);
    sandbox.set_cuts(0.0);
    // The pool may hold a connection that was cut.
    let _ = attempt();
    assert!((0..10).all(|_| attempt()));
}
