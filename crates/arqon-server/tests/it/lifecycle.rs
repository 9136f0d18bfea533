//! Starting and stopping.

use crate::http::{Events, ask};
use crate::site::Site;
use arqon_server::{Config, Obstacle, Server, Signals};
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

#[tokio::test]
async fn stopping_takes_nothing_new_lets_work_finish_and_ends_streams() {
    let site = Site::start().await;
    let addr = site.addr;
    let mut stream = Events::open(addr, ask("GET", "/api/v1/events?pattern=*").token(&site.owner)).await;
    // A request that is being worked on keeps the server in its second step.
    let owner = site.owner.clone();
    let body = r#"{"address":"slow:work","payload":{},"timeout_ms":1500}"#;
    let asked = tokio::spawn(ask("POST", "/api/v1/requests").token(&owner).body(body).send(addr));
    let question = stream.next().await.unwrap().json();
    assert_eq!(question["room"], "slow");
    let bus = site.server.bus().clone();
    let Site { server, .. } = site;
    let stopping = tokio::spawn(server.stop());

    assert_eq!(stream.next().await, None);
    let ready = ask("GET", "/ready").send(addr).await;
    assert_eq!((ready.status, &ready.json()["checks"]["lifecycle"]), (503, &json!("stopping")));
    let late =
        ask("POST", "/api/v1/messages").token(&owner).body(r#"{"to":"a:b","payload":{}}"#).send(addr).await;
    assert_eq!((late.status, late.code().as_str()), (503, "SHUTTING_DOWN"));
    assert_eq!(late.headers["retry-after"], "1");
    // What was begun before is answered.
    let answer = asked.await.unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (504, "TIMEOUT"));
    stopping.await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
    assert!(bus.readiness().is_err());
}

#[tokio::test]
async fn a_connection_that_does_not_finish_is_ended_after_the_drain_time() {
    let site = Site::with(|c| c.shutdown.drain_seconds = Duration::from_millis(200)).await;
    let mut stream = Events::open(site.addr, ask("GET", "/api/v1/events?pattern=*").token(&site.owner)).await;
    let body = r#"{"address":"slow:work","payload":{},"timeout_ms":60000}"#;
    let asked = ask("POST", "/api/v1/requests").token(&site.owner).body(body);
    let mut socket = tokio::net::TcpStream::connect(site.addr).await.unwrap();
    let head = asked.clone().header("content-length", &body.len().to_string()).head();
    tokio::io::AsyncWriteExt::write_all(&mut socket, format!("{head}{body}").as_bytes()).await.unwrap();
    stream.next().await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), site.server.stop()).await.expect("in time").unwrap();
    let mut rest = Vec::new();
    let ended = tokio::io::AsyncReadExt::read_to_end(&mut socket, &mut rest).await;
    assert!(ended.is_err() || rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
}

#[tokio::test]
async fn a_signal_stops_the_run_with_success() {
    let dir = tempfile::tempdir().unwrap();
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let mut config = Config::scratch(dir.path());
    config.logging.level = "off".to_owned();
    let running = tokio::spawn(arqon_server::run(config, Signals::from_channel(receiver)));
    sender.send(()).await.unwrap();
    let code = tokio::time::timeout(Duration::from_secs(20), running).await.unwrap().unwrap().unwrap();
    assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS));
}

#[tokio::test]
async fn a_second_instance_on_the_same_folder_is_refused_with_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let first = Server::start(Config::scratch(dir.path())).await.unwrap();
    let refused = obstacle(Config::scratch(dir.path())).await;
    assert!(refused.what.contains("another Arqon is using"), "{refused}");
    assert!(refused.what.contains(&dir.path().display().to_string()), "{refused}");
    assert!(refused.todo.contains("--data"), "{refused:?}");
    first.stop().await.unwrap();
    let again = Server::start(Config::scratch(dir.path())).await.unwrap();
    again.stop().await.unwrap();
}

#[tokio::test]
async fn what_was_confirmed_is_there_after_a_restart_and_so_are_key_and_subscriptions() {
    let dir = tempfile::tempdir().unwrap();
    let first = Server::start(Config::scratch(dir.path())).await.unwrap();
    let (addr, owner) = (first.addr(), first.owner_token().to_owned());
    let lines: String = (1..=50).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let sent =
        ask("POST", "/api/v1/messages?address=repo:main").token(&owner).lines(lines).send(addr).await.lines();
    assert_eq!(sent.len(), 50);
    let poll = "/api/v1/poll?pattern=repo:*&durable=w&from=earliest&limit=20";
    let page = ask("GET", poll).token(&owner).send(addr).await.json();
    let next = page["next"].as_str().unwrap().to_owned();
    first.stop().await.unwrap();

    let second = Server::start(Config::scratch(dir.path())).await.unwrap();
    assert_eq!(second.owner_token(), owner);
    let found = ask("GET", "/api/v1/channels/repo:main/messages?limit=100")
        .token(&owner)
        .send(second.addr())
        .await
        .json();
    let positions: Vec<_> = found["messages"].as_array().unwrap().iter().map(|m| &m["position"]).collect();
    assert_eq!(positions, sent.iter().map(|l| &l["position"]).collect::<Vec<_>>());
    let rest = ask("GET", &format!("/api/v1/poll?pattern=repo:*&durable=w&limit=100&from={next}"));
    let rest = rest.token(&owner).send(second.addr()).await.json();
    assert_eq!(crate::site::numbers(&rest["messages"]), (21..=50).collect::<Vec<_>>());
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_is_said() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::scratch(dir.path());
    config.server.engine = "memory:".to_owned();
    config.server.listen = taken.local_addr().unwrap();
    let refused = obstacle(config).await;
    assert!(refused.what.contains("is in use") && refused.todo.contains("--listen"), "{refused:?}");
}

/// What stands in the way of a start that must fail.
async fn obstacle(config: Config) -> Obstacle {
    let error = Server::start(config).await.err().expect("it cannot start");
    error.downcast_ref::<Obstacle>().unwrap_or_else(|| panic!("{error:#} says not what to do")).clone()
}

#[tokio::test]
async fn an_address_of_another_machine_is_said_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::scratch(dir.path());
    // From the block for documentation: no machine has it.
    config.server.listen = "192.0.2.1:0".parse().unwrap();
    let refused = obstacle(config).await;
    assert!(refused.what.contains("this machine has no address 192.0.2.1"), "{refused}");
    assert!(refused.todo.contains("--listen"), "{refused:?}");
}

#[tokio::test]
async fn a_data_folder_that_is_a_file_is_said_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    for folder in [file.clone(), file.join("below")] {
        let refused = obstacle(Config::scratch(&folder)).await;
        assert!(refused.what.contains("is a file") && refused.todo.contains("--data"), "{refused:?}");
    }
}

#[tokio::test]
async fn the_owners_token_is_left_by_url_and_taken_back_where_the_port_was_picked() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config/credentials.json");
    let mut config = Config::scratch(&dir.path().join("data"));
    config.auth.leave_credentials = true;
    config.auth.credentials_file = Some(file.clone());
    let server = Server::start(config).await.unwrap();
    let read = || serde_json::from_slice::<serde_json::Value>(&std::fs::read(&file).unwrap()).unwrap();
    let entry = read()["servers"][server.url()].clone();
    assert_eq!((entry["token"].as_str(), &entry["tenant"]), (Some(server.owner_token()), &json!("default")));
    server.stop().await.unwrap();
    assert_eq!(read(), json!({"version": 1, "servers": {}}));
}
