//! TLS as libpq does it (PostgreSQL docs 34.19), over rustls: which certificates are trusted and what is checked.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::{ConnInfo, Error, Result};

/// How the refusal of a server without TLS ends, in the driver's words and in ours.
pub(super) const NOT_OFFERED: &str = "server does not support TLS";

/// What `sslmode` asks of the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// Nothing, unless a root file exists: then the chain.
    ChainIfRoots,
    /// The chain.
    Chain,
    /// The chain and the name.
    ChainAndName,
}

/// The client side of a handshake for these settings.
pub(super) fn client_config(info: &ConnInfo, check: Check) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier::new(info, check, Arc::clone(&provider))?;
    let setup = |e: rustls::Error| setting("sslcert", &e.to_string());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(protocol_versions(info)?)
        .map_err(|e| setting("ssl_min_protocol_version", &e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match client_certificate(info)? {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(setup)?,
        None => builder.with_no_client_auth(),
    };
    if info.param("sslnegotiation") == Some("direct") {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    config.enable_sni = info.param("sslsni") != Some("0");
    Ok(config)
}

static NEWEST_ONLY: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

fn protocol_versions(info: &ConnInfo) -> Result<&'static [&'static rustls::SupportedProtocolVersion]> {
    match info.param("ssl_min_protocol_version") {
        None | Some("TLSv1" | "TLSv1.1" | "TLSv1.2") => Ok(rustls::ALL_VERSIONS),
        Some("TLSv1.3") => Ok(NEWEST_ONLY),
        Some(_) => Err(setting("ssl_min_protocol_version", "must be TLSv1.2 or TLSv1.3")),
    }
}

/// Certificate and key of the client: named, or `~/.postgresql/postgresql.{crt,key}` where they exist.
fn client_certificate(info: &ConnInfo) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>> {
    let mode = info.param("sslcertmode").unwrap_or("allow");
    let default = info.home_file("postgresql.crt").filter(|path| path.exists());
    let path = info.param("sslcert").map(PathBuf::from).or(default);
    let path = match (mode, path) {
        ("require", None) => return Err(setting("sslcert", "is not set, and sslcertmode is require")),
        ("disable", _) | (_, None) => return Ok(None),
        (_, Some(path)) => path,
    };
    let key = info.param("sslkey").map(PathBuf::from).or_else(|| info.home_file("postgresql.key"));
    let key = key.ok_or_else(|| setting("sslkey", "is not set"))?;
    check_key_mode(&key)?;
    let parsed = PrivateKeyDer::from_pem_file(&key)
        .map_err(|e| file(&key, &format!("read the private key: {e}; an encrypted key is not supported")))?;
    Ok(Some((certificates(&path)?, parsed)))
}

/// libpq's rule: 0600 or less, or 0640 when root owns the file.
fn check_key_mode(path: &Path) -> Result<()> {
    let meta = std::fs::metadata(path).map_err(|e| file(path, &format!("read the private key: {e}")))?;
    let forbidden = if meta.uid() == 0 { 0o037 } else { 0o077 };
    if meta.mode() & forbidden == 0 {
        return Ok(());
    }
    Err(file(path, "group or others may read the private key; permissions must be u=rw (0600) or less"))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = |e: rustls::pki_types::pem::Error| file(path, &format!("read the certificates: {e}"));
    let list = CertificateDer::pem_file_iter(path).map_err(read)?.collect::<Result<Vec<_>, _>>().map_err(read)?;
    if list.is_empty() { Err(file(path, "holds no certificate")) } else { Ok(list) }
}

/// The trusted certificates; `None` where nothing is to be checked.
fn roots(info: &ConnInfo, check: Check) -> Result<Option<Vec<CertificateDer<'static>>>> {
    match info.param("sslrootcert") {
        Some("system") => {
            let native = rustls_native_certs::load_native_certs();
            if native.certs.is_empty() {
                Err(setting("sslrootcert", "this system has no certificate store"))
            } else {
                Ok(Some(native.certs))
            }
        }
        Some(path) => certificates(Path::new(path)).map(Some),
        None => match info.home_file("root.crt") {
            Some(path) if path.exists() => certificates(&path).map(Some),
            _ if check == Check::ChainIfRoots => Ok(None),
            path => {
                let looked = path.map(|p| format!(" and {} does not exist", p.display())).unwrap_or_default();
                Err(setting("sslrootcert", &format!("is not set{looked}; name the CA file, or use system")))
            }
        },
    }
}

fn revocations(info: &ConnInfo) -> Result<Vec<CertificateRevocationListDer<'static>>> {
    let default = info.home_file("root.crl").filter(|path| path.exists());
    let Some(path) = info.param("sslcrl").map(PathBuf::from).or(default) else { return Ok(Vec::new()) };
    let read = |e: rustls::pki_types::pem::Error| file(&path, &format!("read the revocation lists: {e}"));
    CertificateRevocationListDer::pem_file_iter(&path).map_err(read)?.collect::<Result<_, _>>().map_err(read)
}

fn setting(name: &str, what: &str) -> Error {
    Error::Setting { name: name.into(), what: what.into() }
}

fn file(path: &Path, what: &str) -> Error {
    Error::File { path: path.into(), what: what.into() }
}

/// Checks as much as `sslmode` asks for; signatures of the handshake always.
#[derive(Debug)]
struct Verifier {
    chain: Option<Arc<WebPkiServerVerifier>>,
    trusted: Vec<CertificateDer<'static>>,
    with_name: bool,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(info: &ConnInfo, check: Check, provider: Arc<CryptoProvider>) -> Result<Self> {
        let with_name = check == Check::ChainAndName;
        let Some(trusted) = roots(info, check)? else {
            return Ok(Self { chain: None, trusted: Vec::new(), with_name, provider });
        };
        let mut store = RootCertStore::empty();
        if store.add_parsable_certificates(trusted.iter().cloned()).0 == 0 {
            return Err(setting("sslrootcert", "holds no certificate that can be used as a root"));
        }
        let crls = revocations(info)?;
        let builder =
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider)).with_crls(crls);
        let chain = builder.build().map_err(|e| setting("sslcrl", &e.to_string()))?;
        Ok(Self { chain: Some(chain), trusted, with_name, provider })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        // The documentation's own recipe is a self-signed server certificate used as root.crt. Web PKI refuses a root
        // as end entity; being listed byte for byte in the operator's file is trust enough.
        if self.trusted.iter().any(|root| root.as_ref() == end_entity.as_ref()) {
            if self.with_name {
                let parsed = rustls::server::ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&parsed, name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        match chain.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            // The chain has been checked before the name.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.with_name => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
