//! Certificates for one test.

use std::path::{Path, PathBuf};
use std::sync::Once;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use redis::{ClientTlsConfig, TlsCertificates};
use tempfile::TempDir;

use crate::error::ServerError;

/// An authority of its own with a certificate for the server and one for a client, as PEM files in a temporary folder.
///
/// The server is known as `localhost`, `127.0.0.1` and `::1`. Another value of this is another authority: its clients are
/// strangers to this one's servers.
#[derive(Debug)]
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// Makes them.
    ///
    /// # Errors
    ///
    /// Fails where the files can not be written.
    pub fn make() -> Result<Self, ServerError> {
        let made = || -> Result<[(&'static str, String); 5], rcgen::Error> {
            let authority = authority()?;
            // A server is a client too: of its primary, and of the other nodes of its cluster.
            let both = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            let (server, server_key) = signed("server", &both, &authority)?;
            let (client, client_key) = signed("client", &both[1..], &authority)?;
            Ok([
                ("ca.pem", authority.pem()),
                ("server.pem", server),
                ("server.key", server_key),
                ("client.pem", client),
                ("client.key", client_key),
            ])
        };
        let failed = "making certificates";
        let files = made().map_err(std::io::Error::other).map_err(ServerError::system(failed))?;
        let folder = tempfile::tempdir().map_err(ServerError::system(failed))?;
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).map_err(ServerError::system(failed))?;
        }
        Ok(Self { folder })
    }

    /// Returns the certificate of the authority.
    pub fn authority(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// Returns the certificate of the client and its key.
    pub fn client(&self) -> (PathBuf, PathBuf) {
        (self.file("client.pem"), self.file("client.key"))
    }

    /// Returns the certificate of the server and its key.
    pub fn server(&self) -> (PathBuf, PathBuf) {
        (self.file("server.pem"), self.file("server.key"))
    }

    /// Returns what the client library takes, with the client's certificate or without.
    ///
    /// # Panics
    ///
    /// Panics if somebody has removed the files.
    pub fn for_client(&self, with_certificate: bool) -> TlsCertificates {
        let read = |path: &Path| std::fs::read(path).expect("the files stay as long as this");
        let (certificate, key) = self.client();
        let identity = || ClientTlsConfig { client_cert: read(&certificate), client_key: read(&key) };
        TlsCertificates {
            client_tls: with_certificate.then(identity),
            root_cert: Some(read(&self.authority())),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "an authority for one test");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

/// Returns a certificate and its key, as PEM.
fn signed(
    name: &str,
    usages: &[ExtendedKeyUsagePurpose],
    authority: &CertifiedIssuer<'static, KeyPair>,
) -> Result<(String, String), rcgen::Error> {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = usages.to_vec();
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, authority)?.pem(), key.serialize_pem()))
}

/// Makes `ring` the provider of this process's TLS, where nobody has chosen one.
pub(crate) fn install_provider() {
    static ONCE: Once = Once::new();
    // Fails if there is one; then that is right.
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}
