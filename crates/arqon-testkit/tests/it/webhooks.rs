//! Webhooks of a real server to a real HTTP receiver, made through every door; signatures are checked with code that the
//! server does not have.

use arqon_testkit::TestServer;
use arqon_testkit::door::Door;
use arqon_testkit::receiver::{Receiver, Request};
use serde_json::{Value, json};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(30);

async fn server() -> TestServer {
    TestServer::start_with(|config| config.webhooks.allow_private_addresses = true).await
}

/// Waits without keeping the runtime from its work.
async fn wait_for(receiver: &std::sync::Arc<Receiver>, count: usize) -> Vec<Request> {
    let receiver = receiver.clone();
    tokio::task::spawn_blocking(move || receiver.wait_for(count, LONG)).await.expect("it waits in peace")
}

fn numbers(requests: &[Request]) -> Vec<u64> {
    requests.iter().map(|r| r.json()["envelope"]["payload"]["n"].as_u64().expect("a number")).collect()
}

#[tokio::test]
async fn a_rule_made_through_any_door_posts_what_subscribers_get_signed_and_in_order() {
    let server = server().await;
    for (i, door) in Door::ALL.into_iter().enumerate() {
        let receiver = std::sync::Arc::new(Receiver::start());
        let mut driver = door.open(server.url(), server.token()).await;
        let room = format!("repo{i}");
        let wish = json!({
            "url": receiver.url("/in?x=1"), "room": room, "headers": { "X-Team": "a b", "Authorization": "Bearer t" },
        });
        let rule = driver.call("op.webhook.register", wish).await.unwrap();
        let secret = rule["secret"].as_str().unwrap();
        assert_eq!((&rule["room"], &rule["channel"]), (&json!(room), &Value::Null), "{rule}");
        assert_eq!(rule["timeout_seconds"].as_f64(), Some(2.0));
        let client = server.client().await;
        for n in 0..20 {
            client.publish(&format!("{room}:main"), json!({ "n": n })).await.unwrap();
        }
        client.close().await.unwrap();
        let requests = wait_for(&receiver, 20).await;
        assert_eq!(numbers(&requests), (0..20).collect::<Vec<u64>>(), "{door:?}");
        let mut reader = door.open(server.url(), server.token()).await;
        let read = reader.read(&format!("{room}:*"), "earliest", 20).await;
        for (request, message) in requests.iter().zip(&read) {
            assert_eq!(request.line, "POST /in?x=1 HTTP/1.1");
            assert!(request.is_signed_by(secret), "{request:?}");
            assert_eq!(request.header("content-type"), "application/json");
            assert_eq!((request.header("x-team"), request.header("authorization")), ("a b", "Bearer t"));
            let body = request.json();
            assert_eq!((&body["rule_version"], &body["rule_id"]), (&json!("v1"), &rule["rule_id"]));
            assert_eq!(body["sender_client_id"], body["envelope"]["sender"]);
            assert_eq!(body["envelope"]["payload"], message.payload);
            let position = body["envelope"]["position"].as_str().unwrap();
            assert_eq!(request.header("webhook-id"), format!("msg_{position}"));
        }
        let listed = driver.call("op.webhook.list", json!({})).await.unwrap();
        let mine =
            listed["rules"].as_array().unwrap().iter().find(|r| r["rule_id"] == rule["rule_id"]).unwrap();
        assert_eq!(mine["secret"], Value::Null);
        assert_eq!(mine["headers"], json!(["Authorization", "X-Team"]), "their values are nobody's business");
        let named = json!({ "rule_id": rule["rule_id"] });
        assert_eq!(driver.call("op.webhook.unregister", named.clone()).await.unwrap(), named);
        let refused = driver.call("op.webhook.unregister", named).await.unwrap_err();
        assert_eq!(refused.code, "NOT_FOUND");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_refused_comes_again_under_the_same_id_and_then_is_a_dead_letter() {
    let server = server().await;
    let receiver = std::sync::Arc::new(Receiver::start());
    receiver.answer(&[
        "503 Service Unavailable",
        "302 Found\r\nlocation: http://127.0.0.1:1/",
        "204 No Content",
        "500 No",
        "400 No",
    ]);
    let client = server.client().await;
    let rule = json!({ "url": receiver.url("/"), "room": "repo", "max_attempts": 3 });
    let secret = client.call("op.webhook.register", rule).await.unwrap()["secret"].clone();
    for n in 0..3 {
        client.publish("repo:main", json!({ "n": n })).await.unwrap();
    }
    // The second message is refused twice, and taken at its last try.
    let requests = wait_for(&receiver, 7).await;
    assert_eq!(numbers(&requests), [0, 0, 0, 1, 1, 1, 2]);
    assert!(requests.iter().all(|request| request.is_signed_by(secret.as_str().unwrap())));
    assert_eq!(requests[0].header("webhook-id"), requests[2].header("webhook-id"));
    assert_ne!(requests[2].header("webhook-id"), requests[3].header("webhook-id"));
    receiver.answer(&["500 No"; 3]);
    client.publish("repo:main", json!({ "n": 3 })).await.unwrap();
    client.publish("repo:main", json!({ "n": 4 })).await.unwrap();
    let requests = wait_for(&receiver, 11).await;
    assert_eq!(numbers(&requests[7..]), [3, 3, 3, 4]);
    let reason = loop {
        let letters = client.call("list_dead_letters", json!({})).await.unwrap();
        if let Some(letter) = letters["dead_letters"].get(0) {
            assert_eq!(letter["message"]["payload"], json!({ "n": 3 }));
            break letter["reason"].as_str().unwrap().to_owned();
        }
    };
    assert!(reason.contains("the receiver answered 500") && reason.contains("(3 tries)"), "{reason}");
    // The last one was answered a moment ago.
    let text = loop {
        let text = server.metrics().await;
        if text.contains("\narqon_webhook_deliveries_total 4\n") {
            break text;
        }
    };
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("no {name}")).parse::<f64>().expect("a number")
    };
    assert_eq!(value("arqon_webhook_rules"), 1.0);
    assert_eq!(value("arqon_webhook_failures_total"), 7.0);
    assert_eq!(value("arqon_webhook_dead_letters_total"), 1.0);
    assert_eq!(value("arqon_webhook_post_duration_seconds_count"), 11.0);
    assert!(value("arqon_webhook_post_duration_seconds_sum") > 0.0);
    assert_eq!(value("arqon_webhook_delivery_duration_seconds_count"), 4.0);
    // The first one was tried three times, with a second and then two between the tries.
    assert!(value("arqon_webhook_delivery_duration_seconds_sum") >= 3.0);
    client.close().await.unwrap();
    server.stop().await;
}

/// Who has taken the new secret, and who has not yet: both can check what comes while both hold.
#[tokio::test]
async fn while_a_new_secret_takes_over_either_one_checks_what_comes() {
    let server = server().await;
    let receiver = std::sync::Arc::new(Receiver::start());
    let client = server.client().await;
    let rule = json!({ "url": receiver.url("/"), "room": "repo" });
    let made = client.call("op.webhook.register", rule).await.unwrap();
    let args = |overlap: u64| json!({ "rule_id": made["rule_id"], "overlap_seconds": overlap });
    let post = async |count: usize| {
        client.publish("repo:main", json!({ "n": count })).await.unwrap();
        wait_for(&receiver, count).await.pop().unwrap()
    };
    let first = made["secret"].as_str().unwrap();
    assert!(post(1).await.is_signed_by(first));
    let answer = client.call("op.webhook.rotate_secret", args(3600)).await.unwrap();
    let second = answer["secret"].as_str().unwrap();
    let request = post(2).await;
    assert!(request.is_signed_by(first) && request.is_signed_by(second));
    assert_eq!(request.header("webhook-signature").split(' ').count(), 2);
    let answer = client.call("op.webhook.rotate_secret", args(0)).await.unwrap();
    let third = answer["secret"].as_str().unwrap();
    let request = post(3).await;
    assert!(request.is_signed_by(third) && !request.is_signed_by(second) && !request.is_signed_by(first));
    client.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn rules_go_on_after_a_restart_with_what_came_meanwhile() {
    let mut server = server().await;
    let receiver = std::sync::Arc::new(Receiver::start());
    let client = server.client().await;
    let rule = json!({ "url": receiver.url("/"), "room": "repo:*" });
    let secret = client.call("op.webhook.register", rule).await.unwrap()["secret"].clone();
    client.publish("repo:main", json!({ "n": 0 })).await.unwrap();
    wait_for(&receiver, 1).await;
    server.restart().await;
    client.publish("repo:main", json!({ "n": 1 })).await.unwrap();
    // The first may come again: it was perhaps not acknowledged yet when the server stopped.
    let mut count = 2;
    let last = loop {
        let last = wait_for(&receiver, count).await.pop().unwrap();
        if last.json()["envelope"]["payload"]["n"] == 1 {
            break last;
        }
        count += 1;
    };
    assert!(last.is_signed_by(secret.as_str().unwrap()), "the secret is the same");
    client.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn private_addresses_are_refused_by_address_and_by_name() {
    let server = TestServer::start().await;
    let receiver = Receiver::start();
    let port = receiver.url("").rsplit(':').next().unwrap().to_owned();
    let client = server.client().await;
    let urls = [
        format!("http://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "https://10.1.2.3/".to_owned(),
        "http://0.0.0.0/".to_owned(),
    ];
    for url in urls {
        let refused = client.call("op.webhook.register", json!({ "url": url })).await.unwrap_err();
        let arqon_client::Error::Refused(error) = refused else { panic!("{url}: {refused:?}") };
        assert_eq!(error.reason(), Some("PRIVATE_ADDRESS"), "{url}: {error}");
        assert_eq!(error.field(), Some("args.url"));
    }
    for wish in [
        json!({ "url": "ftp://example.com/" }),
        json!({ "url": "https://me:pw@example.com/" }),
        json!({ "url": "https://example.com/", "headers": { "Host": "other" } }),
        json!({ "url": "https://example.com/", "headers": { "a": "b\r\nc: d" } }),
    ] {
        let refused = client.call("op.webhook.register", wish.clone()).await.unwrap_err();
        let arqon_client::Error::Refused(error) = refused else { panic!("{wish}: {refused:?}") };
        assert_eq!(error.code().as_str(), "VALIDATION_ERROR", "{wish}");
    }
    assert_eq!(client.call("op.webhook.list", json!({})).await.unwrap()["count"], 0);
    assert!(receiver.requests().is_empty());
    client.close().await.unwrap();
    server.stop().await;
}

/// A rule that was made while private addresses were allowed is judged at every try.
#[tokio::test]
async fn what_was_allowed_before_is_judged_anew_at_every_try() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start();
    let start = async |allow: bool| {
        let mut config = arqon_server::Config::scratch(folder.path());
        config.webhooks.allow_private_addresses = allow;
        arqon_server::Server::start(config).await.unwrap()
    };
    let server = start(true).await;
    let client =
        arqon_client::Client::builder(server.url()).token(server.owner_token()).connect().await.unwrap();
    client.call("op.webhook.register", json!({ "url": receiver.url("/"), "room": "repo" })).await.unwrap();
    client.close().await.unwrap();
    server.stop().await.unwrap();
    let server = start(false).await;
    let client =
        arqon_client::Client::builder(server.url()).token(server.owner_token()).connect().await.unwrap();
    client.publish("repo:main", json!({ "n": 1 })).await.unwrap();
    loop {
        let rules = client.call("op.webhook.list", json!({})).await.unwrap();
        if let Some(problem) = rules["rules"][0]["problem"].as_str() {
            assert!(problem.contains("is not a public one"), "{problem}");
            break;
        }
    }
    assert!(receiver.requests().is_empty());
    client.close().await.unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn history_by_time_is_the_same_through_every_door() {
    let server = TestServer::start().await;
    let client = server.client().await;
    for n in 0..10 {
        client.publish("repo:main", json!({ "n": n })).await.unwrap();
    }
    let all = client.call("op.history.get", json!({ "room": "repo" })).await.unwrap();
    let at = |entry: usize| all["entries"][entry]["stored_at"].clone();
    let (from, to) = (at(7), at(3));
    for door in Door::ALL {
        let mut driver = door.open(server.url(), server.token()).await;
        let found = driver
            .call(
                "history.get",
                json!({ "room": "repo", "channel": "main", "since": from, "until": to, "limit": 2 }),
            )
            .await
            .unwrap();
        let numbers = |answer: &Value| -> Vec<u64> {
            let entries = answer["entries"].as_array().unwrap();
            entries.iter().map(|entry| entry["envelope"]["payload"]["n"].as_u64().unwrap()).collect()
        };
        assert_eq!(numbers(&found), [5, 4], "{door:?}: {found}");
        let found = driver
            .call("op.history.replay", json!({ "room": "repo", "from_ts": from, "to_ts": to }))
            .await
            .unwrap();
        assert_eq!((numbers(&found), &found["count"]), (vec![3, 4, 5], &json!(3)), "{door:?}");
        let position = found["entries"][0]["storage_metadata"]["position"].as_str().unwrap().to_owned();
        assert_eq!(found["entries"][0]["envelope"]["position"], json!(position));
    }
    client.close().await.unwrap();
    server.stop().await;
}
