//! Builds the HTTP client of one endpoint: whom we trust, who we are, and under which name the server is known.
//!
//! TLS by rustls with the ring provider, always verified: by the system's certificates, or by a file of the operator's
//! and nothing else. There is no way to switch verification off. Redirects are not followed (a token would go with
//! them), proxies of the environment are not looked at, at most one idle connection is kept.
//!
//! A server name: the client asks for the name's certificate and sends it as SNI and `Host`, while the connection goes
//! to the host of the address. So a server reached by an address, or through a tunnel, is verified all the same.

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Once};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, Identity, Url};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{HttpError, HttpSettings};

/// Time for TCP and TLS; a part of the whole timeout, so that an address that swallows packets is found out early.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(10);

/// A client, and the address that its requests begin with (no slash at its end).
pub(super) struct Built {
    pub(super) client: Client,
    pub(super) base: String,
}

/// Builds the client for the endpoint at `url`; opens no connection.
pub(super) fn client(settings: &HttpSettings, url: &str) -> Result<Built, HttpError> {
    install_crypto();
    let timeout = Duration::from_millis(settings.timeout_ms);
    let mut builder = Client::builder()
        .user_agent(concat!("panicsift/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .pool_max_idle_per_host(1)
        .timeout(timeout)
        .connect_timeout(timeout.min(CONNECT_TIMEOUT_MAX));
    if let Some(path) = &settings.ca_file {
        let certificates = Certificate::from_pem_bundle(&read(path)?).unwrap_or_default();
        if certificates.is_empty() {
            return Err(HttpError::NoCertificate { path: path.clone() });
        }
        builder = builder.tls_certs_only(certificates);
    }
    match (&settings.client_cert_file, &settings.client_key_file) {
        (Some(cert), Some(key)) => builder = builder.identity(identity(cert, key)?),
        (None, None) => {}
        (Some(path), None) | (None, Some(path)) => return Err(HttpError::HalfAPair { path: path.clone() }),
    }
    let mut base = url.trim_end_matches('/').to_owned();
    if let Some(name) = &settings.server_name {
        let (named, host) = renamed(&base, name)?;
        base = named;
        builder = builder.dns_resolver(OneHost { host: host.into() });
    }
    let client = builder.build().map_err(|error| HttpError::Client(super::chain(&error)))?;
    Ok(Built { client, base })
}

/// The ring provider becomes the process's; a provider that is there already stays.
fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

fn read(path: &Path) -> Result<Vec<u8>, HttpError> {
    std::fs::read(path).map_err(|error| HttpError::File { path: path.to_owned(), error })
}

/// Certificate and key of ours, after a look whether they are what they are said to be and belong together.
fn identity(cert_path: &Path, key_path: &Path) -> Result<Identity, HttpError> {
    let (mut cert_pem, key_pem) = (read(cert_path)?, read(key_path)?);
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&cert_pem).collect::<Result<_, _>>().unwrap_or_default();
    if chain.is_empty() {
        return Err(HttpError::NoCertificate { path: cert_path.to_owned() });
    }
    let is_encrypted = String::from_utf8_lossy(&key_pem).contains("ENCRYPTED");
    let no_key = |what: &str| HttpError::NoKey { path: key_path.to_owned(), what: what.to_owned() };
    let key = match PrivateKeyDer::from_pem_slice(&key_pem) {
        Ok(key) if !is_encrypted => key,
        _ if is_encrypted => return Err(no_key("the key is encrypted; name a file with the key as it is")),
        _ => return Err(no_key("no PEM private key in this file; name a file with a BEGIN PRIVATE KEY block")),
    };
    let provider = rustls::crypto::ring::default_provider();
    if let Err(error) = rustls::sign::CertifiedKey::from_der(chain, key, &provider) {
        return Err(no_key(&format!("the key does not fit the certificate {}: {error}", cert_path.display())));
    }
    cert_pem.push(b'\n');
    cert_pem.extend(key_pem);
    Identity::from_pem(&cert_pem).map_err(|error| no_key(&super::chain(&error)))
}

/// The address with the server's name in it, and the host that it is reached at.
fn renamed(base: &str, name: &str) -> Result<(String, String), HttpError> {
    let no_address = |what: String| HttpError::Address { url: base.to_owned(), what };
    let mut url = Url::parse(base).map_err(|error| no_address(error.to_string()))?;
    if url.scheme() != "https" {
        return Err(no_address("server_name needs https".to_owned()));
    }
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    if name.parse::<std::net::IpAddr>().is_ok() {
        return Err(no_address("server_name is a name, not an address".to_owned()));
    }
    url.set_host(Some(name)).map_err(|error| no_address(format!("server_name {name}: {error}")))?;
    Ok((url.as_str().trim_end_matches('/').to_owned(), host))
}

/// Whatever is asked for, the addresses of one host.
struct OneHost {
    host: Arc<str>,
}

impl Resolve for OneHost {
    fn resolve(&self, _: Name) -> Resolving {
        let host = Arc::clone(&self.host);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((&*host, 0)).await?.collect();
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

/// Whether the server's certificate is what an error is about.
pub(super) fn is_certificate_fault(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if matches!(innermost(error).downcast_ref(), Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// An error of the system may hold one of rustls, or another of the system that does; `source` passes over these.
fn innermost<'a>(mut error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    while let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        error = inner;
    }
    error
}

/// The server wants a client certificate, or another one than ours: an alert of TLS that only somebody can mend.
pub(super) fn is_client_certificate_fault(error: &reqwest::Error) -> bool {
    use rustls::AlertDescription::{
        AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateRevoked, CertificateUnknown,
        UnknownCA, UnsupportedCertificate,
    };
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(rustls::Error::AlertReceived(alert)) = innermost(error).downcast_ref() {
            return matches!(
                alert,
                AccessDenied
                    | BadCertificate
                    | CertificateExpired
                    | CertificateRequired
                    | CertificateRevoked
                    | CertificateUnknown
                    | UnknownCA
                    | UnsupportedCertificate
            );
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn data(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls").join(name)
    }

    fn written(dir: &tempfile::TempDir, content: Option<&[u8]>) -> PathBuf {
        let path = dir.path().join("file.pem");
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        path
    }

    #[track_caller]
    fn check(settings: &HttpSettings, url: &str, expected: &str) {
        let error = client(settings, url).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn a_certificate_file_that_is_none_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        for (content, expected) in
            [(None, "cannot be read"), (Some(b"hello".as_slice()), "no PEM certificate"), (Some(b""), "no PEM cert")]
        {
            let settings = HttpSettings { ca_file: Some(written(&dir, content)), ..HttpSettings::default() };
            check(&settings, "https://s", expected);
        }
    }

    #[test]
    fn a_client_certificate_is_certificate_and_key_that_belong_together() {
        let dir = tempfile::tempdir().unwrap();
        let pair = |cert: PathBuf, key: PathBuf| HttpSettings {
            client_cert_file: Some(cert),
            client_key_file: Some(key),
            ..HttpSettings::default()
        };
        assert!(client(&pair(data("server.pem"), data("server.key")), "https://s").is_ok());
        check(&pair(data("ca.pem"), data("server.key")), "https://s", "the key does not fit the certificate");
        check(&pair(data("server.key"), data("server.key")), "https://s", "no PEM certificate");
        check(&pair(data("server.pem"), data("ca.pem")), "https://s", "no PEM private key");
        let encrypted =
            written(&dir, Some(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n"));
        check(&pair(data("server.pem"), encrypted), "https://s", "the key is encrypted");
        let half = HttpSettings { client_cert_file: Some(data("server.pem")), ..HttpSettings::default() };
        check(&half, "https://s", "client_cert_file and client_key_file");
    }

    #[test]
    fn a_server_name_takes_the_hosts_place_and_needs_tls() {
        let (base, host) = renamed("https://[2001:db8::1]:8088/x", "splunk.example").unwrap();
        assert_eq!((base.as_str(), host.as_str()), ("https://splunk.example:8088/x", "2001:db8::1"));
        let (base, host) = renamed("https://10.0.0.1", "splunk.example").unwrap();
        assert_eq!((base.as_str(), host.as_str()), ("https://splunk.example", "10.0.0.1"));
        let named = |name: &str| HttpSettings { server_name: Some(name.to_owned()), ..HttpSettings::default() };
        check(&named("s.example"), "http://s:8088", "server_name needs https");
        check(&named("10.0.0.1"), "https://s:8088", "server_name is a name");
        check(&named(""), "https://s:8088", "server_name");
    }
}
