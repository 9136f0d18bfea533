//! TLS and mutual TLS on the one port.

use crate::http::{Answer, ask};
use crate::site::Site;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

struct Pki {
    dir: tempfile::TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    fn new() -> Pki {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Pki { dir: tempfile::tempdir().unwrap(), authority }
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.authority).unwrap(), key)
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    async fn site(&self, mutual: bool) -> Site {
        let (cert, key) = self.issue("localhost");
        let (cert, key) = (self.file("cert.pem", &cert.pem()), self.file("key.pem", &key.serialize_pem()));
        let authority = self.file("ca.pem", &self.authority.pem());
        Site::with(|config| {
            config.tls.cert = Some(cert);
            config.tls.key = Some(key);
            config.tls.client_ca = mutual.then_some(authority);
        })
        .await
    }

    fn client(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        identity: Option<(rcgen::Certificate, KeyPair)>,
    ) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.authority.der().to_vec())).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let builder = builder.with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                builder.with_client_auth_cert(vec![cert.der().clone()], key).unwrap()
            }
        };
        TlsConnector::from(Arc::new(config))
    }
}

async fn get(site: &Site, client: &TlsConnector) -> std::io::Result<Answer> {
    let stream = TcpStream::connect(site.addr).await?;
    let mut stream = client.connect(ServerName::try_from("localhost").unwrap(), stream).await?;
    // A server that refuses the client's certificate says so only after the client's half of the handshake.
    let request = ask("GET", "/ready").header("connection", "close").head();
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await?;
    let mut bytes = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut bytes).await?;
    Ok(crate::http::read_answer(tokio::io::BufReader::new(&bytes[..])).await)
}

#[tokio::test]
async fn tls_1_3_is_spoken_and_nothing_older_unless_asked_for() {
    let pki = Pki::new();
    let site = pki.site(false).await;
    assert!(site.server.url().starts_with("https://127.0.0.1:"));
    assert_eq!(get(&site, &pki.client(&[&rustls::version::TLS13], None)).await.unwrap().status, 200);
    assert!(get(&site, &pki.client(&[&rustls::version::TLS12], None)).await.is_err());
    // Plain HTTP on a TLS port gets no answer, and the server goes on.
    let plain = TcpStream::connect(site.addr).await.unwrap();
    let (mut reader, mut writer) = plain.into_split();
    tokio::io::AsyncWriteExt::write_all(&mut writer, b"GET /ready HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut bytes = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut bytes).await;
    assert!(!bytes.starts_with(b"HTTP/"), "{}", String::from_utf8_lossy(&bytes));
    assert_eq!(get(&site, &pki.client(&[&rustls::version::TLS13], None)).await.unwrap().status, 200);
}

#[tokio::test]
async fn with_mutual_tls_only_clients_of_the_authority_get_in() {
    let pki = Pki::new();
    let site = pki.site(true).await;
    let known = pki.client(&[&rustls::version::TLS13], Some(pki.issue("client")));
    assert_eq!(get(&site, &known).await.unwrap().status, 200);
    assert!(get(&site, &pki.client(&[&rustls::version::TLS13], None)).await.is_err());
    let stranger = Pki::new();
    assert!(
        get(&site, &pki.client(&[&rustls::version::TLS13], Some(stranger.issue("client")))).await.is_err()
    );
}

/// Each problem of a configuration with these files, as a key and its sentence.
fn problems(pki: &Pki, files: [Option<PathBuf>; 3]) -> Vec<(String, String)> {
    let mut config = arqon_server::Config::scratch(pki.dir.path());
    let [cert, key, authority] = files;
    (config.tls.cert, config.tls.key, config.tls.client_ca) = (cert, key, authority);
    config.validate().into_iter().map(|p| (p.key, p.message)).collect()
}

#[tokio::test]
async fn files_that_are_no_certificate_are_said_by_the_check_and_by_the_start() {
    let pki = Pki::new();
    let nonsense = pki.file("nonsense.pem", "nonsense");
    let said = problems(&pki, [(); 3].map(|()| Some(nonsense.clone())));
    let keys: Vec<&str> = said.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["server.tls.cert", "server.tls.key", "server.tls.client_ca"]);
    assert!(said.iter().all(|(_, message)| message.contains("nonsense.pem")), "{said:?}");

    let mut config = arqon_server::Config::scratch(pki.dir.path());
    config.tls.cert = Some(nonsense.clone());
    config.tls.key = Some(nonsense);
    let refused = arqon_server::Server::start(config).await.err().unwrap().to_string();
    assert!(refused.contains("`server.tls.cert`") && refused.contains("`server.tls.key`"), "{refused}");
}

#[test]
fn files_that_do_not_fit_together_are_said_by_the_check() {
    let pki = Pki::new();
    let ((cert, key), (_, other)) = (pki.issue("localhost"), pki.issue("localhost"));
    let cert = Some(pki.file("cert.pem", &cert.pem()));
    let (key, other) = (key.serialize_pem(), other.serialize_pem());
    let (key, other) = (Some(pki.file("key.pem", &key)), Some(pki.file("other.pem", &other)));
    assert_eq!(problems(&pki, [cert.clone(), key.clone(), None]), []);
    for (files, wrong, part) in [
        ([cert.clone(), other, None], "server.tls.key", "is not the key of the certificate"),
        ([cert.clone(), cert.clone(), None], "server.tls.key", "holds no private key"),
        ([key.clone(), key.clone(), None], "server.tls.cert", "holds no certificate"),
        ([cert.clone(), key.clone(), key.clone()], "server.tls.client_ca", "holds no certificate"),
        ([cert.clone(), None, None], "server.tls.key", "is needed"),
        ([None, key, None], "server.tls.cert", "is needed"),
        ([None, None, cert.clone()], "server.tls.client_ca", "needs"),
        ([cert, Some("/does/not/exist".into()), None], "server.tls.key", "cannot be read"),
    ] {
        let said = problems(&pki, files);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].0 == wrong && said[0].1.contains(part), "{said:?}");
    }
}

/// A second server stands in for a receiver that speaks TLS: what it answers shows that it was reached.
#[tokio::test]
async fn webhooks_trust_the_authorities_that_the_configuration_names() {
    let pki = Pki::new();
    let receiver = pki.site(false).await;
    let authority = pki.file("ca.pem", &pki.authority.pem());
    for (ca, expected) in [(Some(authority), "the receiver answered 4"), (None, "TLS with localhost")] {
        let site = Site::with(|config| {
            config.webhooks.allow_private_addresses = true;
            config.webhooks.ca = ca;
        })
        .await;
        let url = format!("https://localhost:{}/health", receiver.addr.port());
        let rule = serde_json::json!({ "url": url, "room": "repo" }).to_string();
        let made = site.send(ask("POST", "/api/v1/webhooks").body(rule)).await;
        assert!(made.status < 300, "{made:?}");
        site.publish("repo:main", 1).await;
        let problem = loop {
            let rules = site.get("/api/v1/webhooks").await.json();
            if let Some(problem) = rules["rules"][0]["problem"].as_str() {
                break problem.to_owned();
            }
        };
        assert!(problem.contains(expected), "{problem}");
    }
}
