//! TLS on loopback: an authority made for the occasion, and a front that ends TLS before an httpmock server.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};

use crate::random;
use crate::sync::lock;

/// The certificate that a sandbox shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerCertificate {
    /// For `127.0.0.1`, `[::1]` and `localhost`, at any time.
    #[default]
    Valid,
    /// Ran out in 2001.
    Expired,
    /// Starts in the year 4000.
    NotYetValid,
    /// For `elsewhere.example` only.
    WrongHost,
}

/// A certificate authority that exists as long as its sandbox.
pub(crate) struct TestAuthority(CertifiedIssuer<'static, KeyPair>);

impl TestAuthority {
    pub(crate) fn new() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "keyfob sandbox authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        CertifiedIssuer::self_signed(params, KeyPair::generate()?).map(Self)
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn server_config(&self, kind: ServerCertificate) -> Arc<ServerConfig> {
        self.try_server_config(kind).expect("a certificate of our own making is accepted")
    }

    fn try_server_config(
        &self,
        kind: ServerCertificate,
    ) -> Result<Arc<ServerConfig>, Box<dyn std::error::Error>> {
        let names: &[&str] = match kind {
            ServerCertificate::WrongHost => &["elsewhere.example"],
            _ => &["127.0.0.1", "::1", "localhost"],
        };
        let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        params.distinguished_name.push(DnType::CommonName, "keyfob sandbox");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        match kind {
            ServerCertificate::Expired => params.not_after = date_time_ymd(2001, 1, 1),
            ServerCertificate::NotYetValid => params.not_before = date_time_ymd(4000, 1, 1),
            ServerCertificate::Valid | ServerCertificate::WrongHost => {}
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.0)?;

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// Ends TLS and passes the bytes on, connection by connection, until it is dropped.
pub(crate) struct Front {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    upstream: SocketAddr,
    config: Mutex<Arc<ServerConfig>>,
    closing: AtomicBool,
    open: Mutex<HashMap<SocketAddr, TcpStream>>,
    /// The bits of a share.
    cut_share: AtomicU64,
    cuts: AtomicU64,
}

impl Front {
    pub(crate) fn start(upstream: SocketAddr, config: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            upstream,
            config: Mutex::new(config),
            closing: AtomicBool::new(false),
            open: Mutex::default(),
            cut_share: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
        });
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.accept(&listener)
        });
        Self { address, shared, acceptor: Some(acceptor) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Shows another certificate from the next connection on.
    pub(crate) fn set_config(&self, config: Arc<ServerConfig>) {
        *lock(&self.shared.config) = config;
    }

    pub(crate) fn set_cuts(&self, share: f64) {
        self.shared.cut_share.store(share.to_bits(), Ordering::SeqCst);
    }

    pub(crate) fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        // Wakes the acceptor, which then closes the port.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        for (_, client) in lock(&self.shared.open).drain() {
            let _ = client.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        while let Ok((client, peer)) = listener.accept() {
            if self.closing.load(Ordering::SeqCst) {
                return;
            }
            let Ok(handle) = client.try_clone() else { continue };
            lock(&self.open).insert(peer, handle);
            let shared = Arc::clone(self);
            thread::spawn(move || {
                // A broken connection is the client's to notice.
                let _ = shared.serve(&client);
                let _ = client.shutdown(Shutdown::Both);
                lock(&shared.open).remove(&peer);
            });
        }
    }

    fn serve(&self, client: &TcpStream) -> io::Result<()> {
        let config = Arc::clone(&lock(&self.config));
        let tls = Mutex::new(ServerConnection::new(config).map_err(io::Error::other)?);
        let upstream = TcpStream::connect(self.upstream)?;
        client.set_nodelay(true)?;
        upstream.set_nodelay(true)?;
        thread::scope(|scope| {
            scope.spawn(|| {
                let _ = self.seal(&tls, &upstream, client);
                let _ = client.shutdown(Shutdown::Both);
            });
            let opened = self.unseal(&tls, client, &upstream);
            let _ = upstream.shutdown(Shutdown::Both);
            opened
        })
    }

    /// Client to server: reads TLS, writes what was in it. Shakes hands on the way.
    fn unseal(
        &self,
        tls: &Mutex<ServerConnection>,
        mut client: &TcpStream,
        mut upstream: &TcpStream,
    ) -> io::Result<()> {
        let mut sealed = vec![0; 16 * 1024];
        loop {
            let length = client.read(&mut sealed)?;
            if length == 0 {
                return Ok(());
            }
            let mut rest = &sealed[..length];
            let mut plain = Vec::new();
            {
                let mut tls = lock(tls);
                while !rest.is_empty() {
                    tls.read_tls(&mut rest)?;
                    let state = tls.process_new_packets().map_err(io::Error::other);
                    // A refused handshake still has its alert to send.
                    flush(&mut tls, client)?;
                    let start = plain.len();
                    plain.resize(start + state?.plaintext_bytes_to_read(), 0);
                    tls.reader().read_exact(&mut plain[start..])?;
                }
            }
            if !plain.is_empty() && self.cuts() {
                return Ok(());
            }
            upstream.write_all(&plain)?;
        }
    }

    /// Server to client.
    fn seal(
        &self,
        tls: &Mutex<ServerConnection>,
        mut upstream: &TcpStream,
        client: &TcpStream,
    ) -> io::Result<()> {
        let mut plain = vec![0; 16 * 1024];
        loop {
            let length = upstream.read(&mut plain)?;
            let mut tls = lock(tls);
            if length == 0 {
                tls.send_close_notify();
                return flush(&mut tls, client);
            }
            let cut = self.cuts();
            tls.writer().write_all(&plain[..if cut { length / 2 } else { length }])?;
            flush(&mut tls, client)?;
            if cut {
                return Ok(());
            }
        }
    }

    /// Whether to cut here, which is one of two places for each request.
    fn cuts(&self) -> bool {
        let cut = random::happens(f64::from_bits(self.cut_share.load(Ordering::SeqCst)) / 2.0);
        self.cuts.fetch_add(cut.into(), Ordering::SeqCst);
        cut
    }
}

fn flush(tls: &mut ServerConnection, mut client: &TcpStream) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(&mut client)?;
    }
    Ok(())
}
