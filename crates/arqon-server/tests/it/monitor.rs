//! What older dashboards and scripts ask for: the same paths and bodies, for the operator alone. (Metrics are in `metrics`.)

use crate::http::ask;
use crate::site::Site;
use arqon_core::Role;
use arqon_server::config::Secret;
use arqon_server::{Config, Control, Server};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn the_operator_sees_how_the_server_does() {
    let site = Site::start().await;
    let message = json!({"to": "science:explore", "payload": {"n": 1}}).to_string();
    site.send(ask("POST", "/api/v1/messages").body(message)).await;
    site.get("/nowhere").await;
    let status = site.get("/status").await.json();
    assert_eq!((&status["status"], &status["service"]), (&json!("healthy"), &json!("arqonbus")));
    assert_eq!(status["endpoints"], json!({"http": true, "websocket": true, "storage": true}));
    let requests = &status["requests"];
    assert_eq!((&requests["total_requests"], &requests["error_count"]), (&json!(2), &json!(1)));
    assert_eq!(requests["requests_by_endpoint"]["/api/v1/messages"]["count"], 1);
    assert_eq!(requests["requests_by_endpoint"]["other"]["errors"], 1);
    let stats = site.get("/storage/stats").await.json();
    assert_eq!((&stats["backend_type"], &stats["total_messages"]), (&json!("memory"), &json!(1)));
    let info = site.get("/system/info").await.json();
    assert_eq!(
        (&info["endpoints"]["websocket"], &info["features"]["persistence"]),
        (&json!("/ws"), &json!(false))
    );
    let missing = site.get("/storage/history").await;
    assert_eq!(missing.status, 400);
    assert_eq!(
        missing.json(),
        json!({"error": "Bad Request", "details": "room: missing; expected the name of a room"})
    );
    assert_eq!(site.get("/status?more=1").await.status, 400);
}

#[tokio::test]
async fn history_has_the_form_that_older_programs_read() {
    let site = Site::start().await;
    let worker = site.token("default", Role::User, Duration::from_secs(60));
    for n in 1..=3 {
        site.publish("science:explore", n).await;
    }
    let body = json!({"to": "science:design", "payload": {"n": 4}}).to_string();
    ask("POST", "/api/v1/messages").token(&worker).body(body).send(site.addr).await;
    let numbers = |answer: &Value| {
        let list = answer["history"].as_array().unwrap();
        list.iter().map(|m| m["payload"]["n"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    let all = site.get("/storage/history?room=science").await.json();
    assert_eq!((numbers(&all), &all["count"]), (vec![1, 2, 3, 4], &json!(4)));
    assert_eq!(all["query"], json!({"client_id": null, "room": "science", "channel": null, "limit": 50}));
    let first = &all["history"][0];
    assert_eq!((&first["from_client"], &first["to_client"]), (&json!("owner"), &Value::Null));
    assert_eq!(
        (&first["room"], &first["channel"], &first["type"]),
        (&json!("science"), &json!("explore"), &json!("message"))
    );
    let some = site.get("/storage/history?room=science&channel=explore&limit=2").await.json();
    assert_eq!(numbers(&some), [2, 3]);
    let own = site.get("/storage/history?room=science&client_id=user-of-default").await.json();
    assert_eq!(numbers(&own), [4]);
}

#[tokio::test]
async fn the_configuration_is_shown_without_its_secrets() {
    let site = Site::with(|c| {
        c.auth.jwt_secret = Some(Secret::new("a very secret secret of thirty-two bytes"));
        c.auth.api_key = Some(Secret::new("a-very-secret-api-key"));
    })
    .await;
    let answer = site.get("/system/config").await;
    assert_eq!(answer.json()["server"]["engine"], "memory:");
    assert_eq!(answer.json()["auth"]["api_key"], "[redacted]");
    assert!(!answer.body.contains("secret secret") && !answer.body.contains("a-very"), "{}", answer.body);
}

#[tokio::test]
async fn only_the_operator_is_let_in_by_key_or_by_token() {
    let site = Site::with(|c| c.auth.api_key = Some(Secret::new("0123456789abcdef"))).await;
    let by_key = |key: &str| ask("GET", "/status").header("x-api-key", key).send(site.addr);
    assert_eq!(by_key("0123456789abcdef").await.status, 200);
    let wrong = by_key("0123456789abcdeF").await;
    assert_eq!(
        (wrong.status, wrong.json()),
        (401, json!({"error": "Unauthorized", "details": "Invalid API key"}))
    );
    let admin = site.token("default", Role::Admin, Duration::from_secs(60));
    for (method, path) in [("GET", "/status"), ("POST", "/admin/shutdown"), ("POST", "/admin/restart")] {
        let refused = ask(method, path).token(&admin).send(site.addr).await;
        assert_eq!((refused.status, &refused.json()["error"]), (403, &json!("Forbidden")), "{path}");
    }
    // The key opens nothing else.
    let rooms = ask("GET", "/api/v1/rooms").header("x-api-key", "0123456789abcdef").send(site.addr).await;
    assert_eq!(rooms.status, 401);
}

#[tokio::test]
async fn what_the_operator_asks_for_is_passed_on() {
    for (path, control, said) in [
        ("/admin/shutdown", Control::Shutdown, ("shutdown_initiated", "Server shutdown initiated")),
        ("/admin/restart", Control::Restart, ("restart_initiated", "Server restart initiated")),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::scratch(dir.path());
        config.server.engine = "memory:".to_owned();
        let server = Server::start(config).await.unwrap();
        let answer = ask("POST", path).token(server.owner_token()).send(server.addr()).await;
        assert_eq!((answer.status, answer.json()), (200, json!({"status": said.0, "message": said.1})));
        assert_eq!(server.asked().await, control);
        server.stop().await.unwrap();
    }
}

#[tokio::test]
async fn the_operations_are_served_as_a_document_and_as_a_page() {
    let site = Site::start().await;
    let served = ask("GET", "/api/v1/asyncapi.json").send(site.addr).await;
    assert_eq!(
        (served.json()["asyncapi"].as_str(), served.headers["content-type"].as_str()),
        (Some("3.0.0"), "application/json")
    );
    assert_eq!(served.body, arqon_rest::asyncapi_document());
    let page = ask("GET", "/api/v1/docs").send(site.addr).await;
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    assert!(
        page.body.contains("<h3 id=\"set_policy\">")
            && page.headers["content-security-policy"].contains("'none'")
    );
}
