//! TLS on loopback: a new certificate authority, and a front that ends TLS before an httpmock server.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, ServerConnection};

use crate::random;
use crate::sync::lock;

/// The certificate that a sandbox shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerCertificate {
    /// For `127.0.0.1`, `[::1]`, `localhost` and `0.0.0.0`, at any time. The last one is this machine for clients that treat loopback in a
    /// special way.
    #[default]
    Valid,
    /// Ran out in 2001.
    Expired,
    /// Starts in the year 4000.
    NotYetValid,
    /// For `elsewhere.example` only.
    WrongHost,
    /// For no host, but for a common name.
    NoHost,
    /// Signed by itself.
    SelfSigned,
    /// The authority's own.
    Authority,
    /// Signed with a server's certificate.
    ByServer,
    /// For clients only.
    ForClients,
    /// With a critical extension that nobody knows.
    Critical,
    /// Signed by another authority of the same name.
    OtherKey,
    /// A valid one; the client must show a certificate too.
    Mutual,
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

    /// A client's certificate and its key, both in PEM.
    pub(crate) fn client_certificate(&self) -> Result<(String, String), rcgen::Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "keyfob sandbox client");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &self.0)?.pem(), key.serialize_pem()))
    }

    pub(crate) fn server_config(&self, kind: ServerCertificate) -> Arc<ServerConfig> {
        self.try_server_config(kind).expect("a certificate of our own making is accepted")
    }

    fn try_server_config(
        &self,
        kind: ServerCertificate,
    ) -> Result<Arc<ServerConfig>, Box<dyn std::error::Error>> {
        let (chain, key) = self.certificate(kind)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let signing = provider.key_provider;
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let builder = if kind == ServerCertificate::Mutual {
            let mut roots = RootCertStore::empty();
            roots.add(self.0.der().clone())?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        // Unchecked: some are wrong on purpose.
        let key = signing.load_private_key(PrivateKeyDer::Pkcs8(key.into()))?;
        let shown = SingleCertAndKey::from(CertifiedKey::new(chain, key));
        let mut config = builder.with_cert_resolver(Arc::new(shown));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// A chain, and the key of its first certificate.
    fn certificate(
        &self,
        kind: ServerCertificate,
    ) -> Result<(Vec<CertificateDer<'static>>, Vec<u8>), rcgen::Error> {
        let names: &[&str] = match kind {
            ServerCertificate::WrongHost => &["elsewhere.example"],
            ServerCertificate::NoHost => &[],
            _ => &["127.0.0.1", "::1", "localhost", "0.0.0.0"],
        };
        let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        params.distinguished_name.push(DnType::CommonName, "keyfob sandbox");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        match kind {
            ServerCertificate::Expired => params.not_after = date_time_ymd(2001, 1, 1),
            ServerCertificate::NotYetValid => params.not_before = date_time_ymd(4000, 1, 1),
            ServerCertificate::ForClients => {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }
            ServerCertificate::Critical => {
                let mut extension =
                    CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
                extension.set_criticality(true);
                params.custom_extensions.push(extension);
            }
            _ => {}
        }
        let key = KeyPair::generate()?;
        let chain = match kind {
            ServerCertificate::SelfSigned => vec![params.self_signed(&key)?.der().clone()],
            ServerCertificate::Authority => {
                return Ok((vec![self.0.der().clone()], self.0.key().serialize_der()));
            }
            ServerCertificate::ByServer => {
                let mut server = CertificateParams::new(vec!["localhost".to_owned()])?;
                server.distinguished_name.push(DnType::CommonName, "keyfob sandbox server");
                server.is_ca = IsCa::ExplicitNoCa;
                let signing = KeyPair::generate()?;
                let between = server.signed_by(&signing, &self.0)?.der().clone();
                let issuer = Issuer::new(server, signing);
                vec![params.signed_by(&key, &issuer)?.der().clone(), between]
            }
            ServerCertificate::OtherKey => vec![params.signed_by(&key, &Self::new()?.0)?.der().clone()],
            _ => vec![params.signed_by(&key, &self.0)?.der().clone()],
        };
        Ok((chain, key.serialize_der()))
    }
}

/// A proxy that forwards each connection to `upstream`, until it is dropped. Terminates TLS if it has a TLS configuration.
pub(crate) struct Front {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    upstream: SocketAddr,
    config: Mutex<Option<Arc<ServerConfig>>>,
    closing: AtomicBool,
    open: Mutex<HashMap<SocketAddr, TcpStream>>,
    /// Whether the end of an answer is marked within TLS (`close_notify`).
    close_notify: bool,
    /// The bits of a share.
    cut_share: AtomicU64,
    cuts: AtomicU64,
}

impl Front {
    /// Listens at `listener`, or at any free port.
    pub(crate) fn start(
        listener: Option<TcpListener>,
        upstream: SocketAddr,
        config: Option<Arc<ServerConfig>>,
    ) -> Self {
        Self::ending(listener, upstream, config, true)
    }

    fn ending(
        listener: Option<TcpListener>,
        upstream: SocketAddr,
        config: Option<Arc<ServerConfig>>,
        close_notify: bool,
    ) -> Self {
        let any = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let listener = listener.unwrap_or_else(any);
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            upstream,
            config: Mutex::new(config),
            closing: AtomicBool::new(false),
            open: Mutex::default(),
            close_notify,
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
        *lock(&self.shared.config) = Some(config);
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
        let config = lock(&self.config).clone();
        let upstream = TcpStream::connect(self.upstream)?;
        client.set_nodelay(true)?;
        upstream.set_nodelay(true)?;
        let Some(config) = config else { return relay(client, &upstream) };
        let tls = Mutex::new(ServerConnection::new(config).map_err(io::Error::other)?);
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
                if self.close_notify {
                    tls.send_close_notify();
                }
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

    /// Whether to cut the connection now. Asked for the request and for the answer, so the chance is half the share each time.
    fn cuts(&self) -> bool {
        let cut = random::happens(f64::from_bits(self.cut_share.load(Ordering::SeqCst)) / 2.0);
        self.cuts.fetch_add(cut.into(), Ordering::SeqCst);
        cut
    }
}

/// Passes on plain bytes in both directions, until both sides have ended.
fn relay(mut client: &TcpStream, mut upstream: &TcpStream) -> io::Result<()> {
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = io::copy(&mut &*upstream, &mut &*client);
            let _ = client.shutdown(Shutdown::Write);
        });
        let received = io::copy(&mut client, &mut upstream);
        let _ = upstream.shutdown(Shutdown::Write);
        received.map(drop)
    })
}

fn flush(tls: &mut ServerConnection, mut client: &TcpStream) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(&mut client)?;
    }
    Ok(())
}

/// Terminates TLS in front of any server on loopback, until it is dropped. For tests of a client's transport.
pub struct TlsFront {
    front: Front,
    ca_file: tempfile::NamedTempFile,
}

impl TlsFront {
    /// Passes each connection on to `upstream`. When `upstream` closes a connection, the client receives a `close_notify` alert, as
    /// RFC 8446 6.1 requires, unless `close_notify` is false.
    ///
    /// # Panics
    /// If loopback has no free port, or the certificate cannot be made or written.
    pub fn start(upstream: SocketAddr, close_notify: bool) -> Self {
        let authority = TestAuthority::new().expect("an authority can be made");
        let config = authority.server_config(ServerCertificate::Valid);
        let ca_file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(&ca_file, authority.pem()).expect("a temporary file can be written");
        Self { front: Front::ending(None, upstream, Some(config), close_notify), ca_file }
    }

    /// `https://127.0.0.1:` and the port.
    pub fn origin(&self) -> String {
        format!("https://127.0.0.1:{}", self.front.port())
    }

    /// The authority that a client has to trust.
    pub fn ca_file(&self) -> &std::path::Path {
        self.ca_file.path()
    }
}
