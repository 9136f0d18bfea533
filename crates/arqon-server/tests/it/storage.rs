//! What is wrong with storage, as `/ready` and `/metrics` say it.

use crate::http::ask;
use arqon_server::config::ByteSize;
use arqon_server::{Config, Server};
use std::net::SocketAddr;
use std::path::Path;

async fn publish(server: &Server, n: u32) {
    let body = format!(r#"{{"to":"repo:main","payload":{{"marker":"find me {n}"}}}}"#);
    let sent = ask("POST", "/api/v1/messages").token(server.owner_token()).body(body);
    assert_eq!(sent.send(server.addr()).await.status, 200);
}

async fn metric(addr: SocketAddr, name: &str) -> f64 {
    let text = ask("GET", "/metrics").send(addr).await.body;
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).unwrap();
    line.parse().unwrap()
}

/// Changes a byte of the first message in the log.
fn spoil(folder: &Path) {
    let files = std::fs::read_dir(folder.join("log")).unwrap().map(|entry| entry.unwrap().path());
    for path in files.filter(|path| path.is_file()) {
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(9).position(|found| found == b"find me 1") {
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            return;
        }
    }
    panic!("the message is in no file of the log");
}

#[tokio::test]
async fn damage_is_said_and_the_server_is_ready_nevertheless() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(Config::scratch(dir.path())).await.unwrap();
    for n in 1..=3 {
        publish(&server, n).await;
    }
    let whole = ask("GET", "/ready").send(server.addr()).await;
    assert_eq!((whole.status, whole.json()["checks"]["integrity"].as_str()), (200, Some("ok")));
    assert!(metric(server.addr(), "arqon_log_damaged").await < 1.0);
    server.stop().await.unwrap();

    spoil(dir.path());
    let server = Server::start(Config::scratch(dir.path())).await.unwrap();
    let ready = ask("GET", "/ready").send(server.addr()).await;
    let said = ready.json()["checks"]["integrity"].as_str().unwrap().to_owned();
    assert_eq!(ready.status, 200, "{ready:?}");
    assert!(said.contains("damaged places in the log: run `arqon log check`"), "{said}");
    assert!(metric(server.addr(), "arqon_log_damaged").await >= 1.0);
    publish(&server, 4).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_reserve_that_the_disk_does_not_have_is_not_ready_and_none_is() {
    for (reserve, status, part) in [(1 << 50, 503, "the disk is full"), (0, 200, "ok")] {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::scratch(dir.path());
        config.records.reserve_bytes = Some(ByteSize(reserve));
        let server = match Server::start(config).await {
            Ok(server) => server,
            Err(error) => panic!("{error:#}"),
        };
        let ready = ask("GET", "/ready").send(server.addr()).await;
        assert_eq!(ready.status, status, "{ready:?}");
        assert!(ready.json()["checks"]["storage"].as_str().unwrap().contains(part), "{ready:?}");
        server.stop().await.unwrap();
    }
}
