//! Keys of tokens, through real sockets: made by the server, by an identity provider, and changed while clients hold on to
//! their tokens.

use crate::http::ask;
use crate::site::Site;
use arqon_server::{Config, Server};
use jsonwebtoken::{Algorithm, EncodingKey, Header, decode_header, encode};
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;

/// The status of a request, and of a WebSocket's handshake, with a token.
async fn statuses(addr: SocketAddr, token: &str) -> [u16; 2] {
    let upgrade = ask("GET", "/ws")
        .header("upgrade", "websocket")
        .header("connection", "upgrade")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let plain = ask("GET", "/api/v1/rooms").token(token).send(addr).await;
    // The answer to an upgrade has no end, so its head is all that is read.
    let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    let head = upgrade.token(token).head();
    tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.unwrap();
    let (upgraded, _) = crate::http::read_head(&mut tokio::io::BufReader::new(stream)).await;
    [plain.status, upgraded]
}

fn write(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn tokens_are_signed_and_verified_with_ed25519_from_end_to_end() {
    let dir = tempfile::tempdir().unwrap();
    let pair = || rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let (ours, provider, stranger) = (pair(), pair(), pair());
    let private = write(dir.path(), "private.pem", &ours.serialize_pem());
    let public = write(dir.path(), "public.pem", &ours.public_key_pem());
    let other = write(dir.path(), "provider.pem", &provider.public_key_pem());
    let site = Site::with(|c| {
        c.auth.eddsa_private_key = Some(private);
        c.auth.eddsa_public_keys = vec![public.display().to_string(), format!("idp-1={}", other.display())];
    })
    .await;
    assert_eq!(decode_header(&site.owner).unwrap().alg, Algorithm::EdDSA);
    let made = site.send(ask("POST", "/api/v1/tokens").body(r#"{"subject":"worker"}"#)).await.json();
    let made = made["token"].as_str().unwrap();
    assert_eq!(
        (decode_header(made).unwrap().alg, statuses(site.addr, made).await),
        (Algorithm::EdDSA, [200, 101])
    );

    let claims = json!({"sub": "from-elsewhere", "exp": 4_000_000_000u64});
    let sign = |key: &rcgen::KeyPair, kid: Option<&str>| {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = kid.map(str::to_owned);
        encode(&header, &claims, &EncodingKey::from_ed_der(&key.serialize_der())).unwrap()
    };
    for kid in [Some("idp-1"), None, Some("unknown")] {
        assert_eq!(statuses(site.addr, &sign(&provider, kid)).await, [200, 101], "{kid:?}");
        assert_eq!(statuses(site.addr, &sign(&stranger, kid)).await, [401, 401], "{kid:?}");
    }
    // Ours under the provider's name is not the provider's.
    assert_eq!(statuses(site.addr, &sign(&ours, Some("idp-1"))).await, [401, 401]);
}

#[tokio::test]
async fn the_servers_own_key_is_changed_while_clients_keep_their_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let identity = dir.path().join("identity");
    let first = Server::start(Config::scratch(dir.path())).await.unwrap();
    let old = first.owner_token().to_owned();
    first.stop().await.unwrap();

    let key = std::fs::read_to_string(identity.join("signing-key")).unwrap();
    write(&identity, "previous-signing-keys", &key);
    std::fs::remove_file(identity.join("signing-key")).unwrap();
    let second = Server::start(Config::scratch(dir.path())).await.unwrap();
    assert_eq!(statuses(second.addr(), &old).await, [200, 101]);
    let body = r#"{"subject":"worker"}"#;
    let made = ask("POST", "/api/v1/tokens").token(&old).body(body).send(second.addr()).await.json();
    let new = made["token"].as_str().unwrap().to_owned();
    assert_ne!(decode_header(&new).unwrap().kid, decode_header(&old).unwrap().kid);
    assert_eq!(statuses(second.addr(), &new).await, [200, 101]);
    second.stop().await.unwrap();

    std::fs::remove_file(identity.join("previous-signing-keys")).unwrap();
    let third = Server::start(Config::scratch(dir.path())).await.unwrap();
    assert_eq!(statuses(third.addr(), &old).await, [401, 401]);
    assert_eq!(statuses(third.addr(), &new).await, [200, 101]);
    assert_ne!(third.owner_token(), old);
    assert_eq!(statuses(third.addr(), third.owner_token()).await, [200, 101]);
    third.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_whose_secret_is_in_its_configuration_starts_in_an_empty_folder() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::scratch(dir.path());
    config.auth.jwt_secret = Some(arqon_server::config::Secret::new("a secret of thirty-two bytes or more"));
    let server = Server::start(config).await.unwrap();
    assert_eq!(statuses(server.addr(), server.owner_token()).await, [200, 101]);
    server.stop().await.unwrap();
}
