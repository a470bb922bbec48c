//! Certificates of all kinds, made for a test, and a TLS peer that does exactly what a test says.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType,
};
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dates {
    /// Now.
    Now,
    /// Until yesterday.
    Past,
    /// From tomorrow on.
    Future,
}

/// An authority, and the folder in which it keeps its files.
#[derive(Debug)]
pub struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// The files of a certificate and its key.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The chain, without the root.
    pub cert: PathBuf,
    /// The key.
    pub key: PathBuf,
}

fn params(name: &str, names: &[&str], dates: Dates) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names = names
        .iter()
        .map(|name| match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName((*name).try_into().unwrap()),
        })
        .collect();
    let now = SystemTime::now();
    let (from, until) = match dates {
        Dates::Now => (now - DAY, now + 30 * DAY),
        Dates::Past => (now - 30 * DAY, now - DAY),
        Dates::Future => (now + DAY, now + 30 * DAY),
    };
    params.not_before = from.into();
    params.not_after = until.into();
    params
}

impl Authority {
    /// A new one; its root is `root.pem`.
    pub fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = params(name, &[], Dates::Now);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap();
        fs::write(folder.path().join("root.pem"), root.pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    /// The file of its root.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A certificate for these names and addresses.
    pub fn certify(&self, file: &str, names: &[&str], dates: Dates) -> Pair {
        let key = KeyPair::generate().unwrap();
        let cert = params(file, names, dates).signed_by(&key, &self.issuer).unwrap();
        self.write(file, &cert.pem(), &key)
    }

    /// A certificate that nobody but itself has signed.
    pub fn self_signed(&self, file: &str, names: &[&str], is_ca: IsCa) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = params(file, names, Dates::Now);
        params.is_ca = is_ca;
        self.write(file, &params.self_signed(&key).unwrap().pem(), &key)
    }

    fn write(&self, file: &str, cert: &str, key: &KeyPair) -> Pair {
        let path = |ending: &str| self.folder.path().join(format!("{file}.{ending}"));
        let pair = Pair { cert: path("pem"), key: path("key") };
        fs::write(&pair.cert, cert).unwrap();
        fs::write(&pair.key, key.serialize_pem()).unwrap();
        pair
    }
}

/// SHA-256 of the first certificate in a file, in hex digits.
pub fn sha256(pem: &Path) -> String {
    let der = CertificateDer::from_pem_file(pem).unwrap();
    hex::encode(ring::digest::digest(&ring::digest::SHA256, &der))
}

/// A peer in the test itself.
#[derive(Debug)]
pub struct Peer {
    /// Its socket, for what TLS knows nothing of.
    pub socket: TcpStream,
    /// The state of TLS.
    pub tls: rustls::Connection,
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A server on an accepted connection, after its handshake.
pub fn serve(socket: TcpStream, pair: &Pair) -> Peer {
    let mut peer = server(socket, pair);
    peer.shake_hands();
    peer
}

/// A server on an accepted connection, before its handshake.
pub fn server(socket: TcpStream, pair: &Pair) -> Peer {
    let chain = vec![CertificateDer::from_pem_file(&pair.cert).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&pair.key).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.send_tls13_tickets = 0;
    let tls = ServerConnection::new(Arc::new(config)).unwrap().into();
    Peer { socket, tls }
}

/// A client that trusts this root, after its handshake.
pub fn connect(socket: TcpStream, root: &Path, name: &str) -> Peer {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(root).unwrap()).unwrap();
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build().unwrap();
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_webpki_verifier(verifier)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let tls = ClientConnection::new(Arc::new(config), name).unwrap().into();
    let mut peer = Peer { socket, tls };
    peer.shake_hands();
    peer
}

impl Peer {
    #[track_caller]
    fn shake_hands(&mut self) {
        while self.tls.is_handshaking() {
            self.tls.complete_io(&mut self.socket).unwrap();
        }
        self.flush();
    }

    #[track_caller]
    fn flush(&mut self) {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.socket).unwrap();
        }
    }

    /// Sends all of it.
    #[track_caller]
    pub fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let n = self.tls.writer().write(bytes).unwrap();
            bytes = &bytes[n..];
            self.flush();
        }
    }

    /// Sends a close_notify, and nothing else.
    #[track_caller]
    pub fn notify(&mut self) {
        self.tls.send_close_notify();
        self.flush();
    }

    /// Everything until the end, and whether that was a close_notify.
    #[track_caller]
    pub fn read_to_end(&mut self) -> (Vec<u8>, bool) {
        let mut all = Vec::new();
        let is_whole = self.read_while(&mut all, |_| true);
        (all, is_whole)
    }

    /// Exactly so many bytes.
    #[track_caller]
    pub fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        let mut all = Vec::new();
        self.read_while(&mut all, |all| all.len() < count);
        // What comes behind it stays in TLS when the pieces are small.
        assert!(all.len() >= count, "{} bytes and the end", all.len());
        all.truncate(count);
        all
    }

    /// Reads on while more is wanted; whether an end that came was a close_notify.
    #[track_caller]
    fn read_while(&mut self, all: &mut Vec<u8>, wanted: impl Fn(&[u8]) -> bool) -> bool {
        let mut piece = vec![0; 65536];
        while wanted(all) {
            match self.tls.reader().read(&mut piece) {
                Ok(0) => return true,
                Ok(n) => all.extend_from_slice(&piece[..n]),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return false,
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
                    self.tls.read_tls(&mut self.socket).expect("something in time");
                    self.tls.process_new_packets().expect("TLS");
                    self.flush();
                }
            }
        }
        true
    }
}
