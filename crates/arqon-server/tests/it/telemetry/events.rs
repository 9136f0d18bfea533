//! Each type of event: what causes it is done through a socket, and it is heard through another one.

use super::{Talk, eye, port, site};
use crate::http::ask;
use crate::site::Site;
use arqon_core::Role;
use arqon_core::bus::Publish;
use arqon_core::{Ctx, Principal, Target, Tenant};
use arqon_server::config::{ByteSize, InspectionMode};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// A client of the bus, behind its welcome.
async fn client(site: &Site, token: &str, more: &str) -> Talk {
    let mut client = Talk::open(&format!("ws://{}/ws?token={token}{more}", site.addr)).await;
    client.next().await.unwrap();
    client
}

/// Sends a command and waits for what it is answered with.
async fn call(client: &mut Talk, name: &str, args: Value) -> Value {
    client.send(&json!({"type": "command", "id": name, "command": name, "args": args})).await;
    loop {
        let said = client.next().await.unwrap();
        if said["request_id"] == name {
            return said;
        }
    }
}

#[tokio::test]
async fn a_connection_is_told_from_its_token_to_its_end() {
    let site = site(|_| ()).await;
    let mut eye =
        eye(&site, &["client_authenticated", "client_authorized", "client_connected", "client_disconnected"])
            .await;
    let limited = site.limited("repo:*", "repo:*,news:*");
    let worker = client(&site, &limited, "").await;
    let who = eye.next().await.unwrap();
    assert_eq!(who["event_type"], "client_authenticated");
    assert_eq!((&who["metadata"]["subject"], &who["metadata"]["role"]), (&json!("limited"), &json!("user")));
    assert!(who["metadata"]["expires_at"].is_string(), "{who}");
    let may = eye.next().await.unwrap();
    assert_eq!(may["event_type"], "client_authorized");
    assert_eq!(may["metadata"]["subscribe"], json!(["repo:*", "news:*"]));
    let there = eye.next().await.unwrap();
    assert_eq!((&there["event_type"], &there["severity"]), (&json!("client_connected"), &json!("info")));
    assert_eq!(there["metadata"]["transport"], "websocket");
    drop(worker);
    let gone = eye.next().await.unwrap();
    assert_eq!(
        (&gone["event_type"], &gone["client_id"]),
        (&json!("client_disconnected"), &there["client_id"])
    );
    assert!(gone["client_id"].as_str().unwrap().starts_with("arq_client_"));
}

#[tokio::test]
async fn rooms_and_channels_are_told_from_their_making_to_their_end() {
    let site = site(|_| ()).await;
    let types = [
        "room_created",
        "channel_created",
        "client_joined_room",
        "client_joined_channel",
        "client_left_channel",
        "client_left_room",
        "channel_deleted",
        "room_deleted",
    ];
    let mut eye = eye(&site, &types).await;
    let mut client = client(&site, &site.owner, "").await;
    for (command, channel) in [
        ("create_channel", "a"),
        ("create_channel", "b"),
        ("join_channel", "a"),
        ("join_channel", "b"),
        ("join_channel", "b"),
        ("leave_channel", "a"),
        ("leave_channel", "b"),
        ("delete_channel", "a"),
        ("delete_channel", "b"),
    ] {
        let answer = call(&mut client, command, json!({"room": "repo", "channel": channel})).await;
        assert_eq!(answer["type"], "response", "{answer}");
    }
    for (what, address) in [
        ("room_created", None),
        ("channel_created", Some("repo:a")),
        ("channel_created", Some("repo:b")),
        ("client_joined_room", None),
        ("client_joined_channel", Some("repo:a")),
        ("client_joined_channel", Some("repo:b")),
        ("client_left_channel", Some("repo:a")),
        ("client_left_channel", Some("repo:b")),
        ("client_left_room", None),
        ("channel_deleted", Some("repo:a")),
        ("channel_deleted", Some("repo:b")),
        ("room_deleted", None),
    ] {
        let event = eye.next().await.unwrap();
        assert_eq!(event["event_type"], what, "{event}");
        assert_eq!(
            (&event["metadata"]["room"], &event["metadata"]["address"]),
            (&json!("repo"), &json!(address))
        );
    }
}

#[tokio::test]
async fn a_message_is_told_from_the_sender_to_the_reader() {
    let site = site(|_| ()).await;
    let types =
        ["message_received", "message_routed", "message_sent", "message_failed", "message_history_retrieved"];
    let mut eye = eye(&site, &types).await;
    let mut reader = client(&site, &site.owner, "").await;
    call(&mut reader, "subscribe", json!({"pattern": "repo:*"})).await;
    site.publish("repo:main", 1).await;
    let id = reader.next().await.unwrap()["id"].clone();
    for what in ["message_received", "message_routed", "message_sent"] {
        let event = eye.next().await.unwrap();
        assert_eq!((&event["event_type"], &event["message_id"]), (&json!(what), &id));
        assert_eq!(event["metadata"]["address"], "repo:main");
        if what == "message_routed" {
            let metadata = &event["metadata"];
            assert_eq!((&metadata["subscriptions"], &metadata["class"]), (&json!(1), &json!("durable")));
        }
    }
    let body = json!({"to": "system:x", "payload": {}}).to_string();
    assert_eq!(site.send(ask("POST", "/api/v1/messages").body(body)).await.status, 403);
    let failed = eye.next().await.unwrap();
    assert_eq!(
        (&failed["event_type"], &failed["metadata"]["to"]),
        (&json!("message_failed"), &json!("system:x"))
    );
    assert_eq!(failed["metadata"]["error_code"], "AUTHORIZATION_ERROR");
    call(&mut reader, "op.history.get", json!({"room": "repo"})).await;
    assert_eq!(eye.next().await.unwrap()["event_type"], "message_history_retrieved");
}

#[tokio::test]
async fn a_command_is_told_with_what_became_of_it_and_a_request_is_one() {
    let site = site(|_| ()).await;
    let types = ["command_executed", "command_succeeded", "command_failed", "command_rate_limited"];
    let mut eye = eye(&site, &types).await;
    let user = site.token("default", Role::User, MINUTE);
    let mut client = client(&site, &user, "").await;
    for _ in 0..11 {
        call(&mut client, "ping", json!({})).await;
    }
    for _ in 0..10 {
        assert_eq!(eye.next().await.unwrap()["event_type"], "command_executed");
        let done = eye.next().await.unwrap();
        assert_eq!(
            (&done["event_type"], &done["metadata"]["command"]),
            (&json!("command_succeeded"), &json!("ping"))
        );
    }
    for what in ["command_executed", "command_rate_limited", "command_failed"] {
        assert_eq!(eye.next().await.unwrap()["event_type"], what);
    }
    call(&mut client, "request", json!({"address": "repo:nobody", "payload": {}, "timeout_ms": 1})).await;
    assert_eq!(eye.next().await.unwrap()["metadata"]["command"], "request");
    let failed = eye.next().await.unwrap();
    assert_eq!(
        (&failed["event_type"], &failed["metadata"]["command"]),
        (&json!("command_failed"), &json!("request"))
    );
}

#[tokio::test]
async fn too_many_messages_are_told() {
    let site = site(|config| config.limits.publishes_per_second = 1).await;
    let mut eye = eye(&site, &["client_rate_limited"]).await;
    let mut client = client(&site, &site.token("default", Role::User, MINUTE), "").await;
    for n in 0..20 {
        client.send(&json!({"type": "message", "to": "repo:main", "payload": {"n": n}})).await;
    }
    let event = eye.next().await.unwrap();
    assert_eq!(
        (&event["event_type"], &event["severity"]),
        (&json!("client_rate_limited"), &json!("warning"))
    );
}

#[tokio::test]
async fn those_who_have_no_business_here_are_told_and_the_stubborn_ones_as_suspicious() {
    let site = site(|_| ()).await;
    let types =
        ["authentication_failed", "authorization_denied", "security_violation", "suspicious_activity"];
    let mut eye = eye(&site, &types).await;
    // Whoever has no token at all is told, and is not suspicious.
    for _ in 0..5 {
        ask("GET", "/api/v1/rooms").send(site.addr).await;
        assert_eq!(eye.next().await.unwrap()["event_type"], "authentication_failed");
    }
    let elsewhere = Site::start().await;
    ask("GET", "/api/v1/rooms").token(&elsewhere.owner).send(site.addr).await;
    let failed = eye.next().await.unwrap();
    assert_eq!(failed["event_type"], "authentication_failed");
    assert_eq!(
        (&failed["metadata"]["peer"], &failed["metadata"]["path"]),
        (&json!("127.0.0.1"), &json!("/api/v1/rooms"))
    );
    let forged = eye.next().await.unwrap();
    assert_eq!((&forged["event_type"], &forged["severity"]), (&json!("security_violation"), &json!("error")));
    assert_eq!(forged["metadata"]["violation"], "forged_token");
    assert!(!forged.to_string().contains(&elsewhere.owner), "no token is told");
    for _ in 0..4 {
        ask("GET", "/api/v1/rooms").token("x.y.z").send(site.addr).await;
        assert_eq!(eye.next().await.unwrap()["event_type"], "authentication_failed");
    }
    let suspicious = eye.next().await.unwrap();
    assert_eq!(suspicious["event_type"], "suspicious_activity");
    assert_eq!(
        suspicious["metadata"],
        json!({"activity": "refused_tokens", "peer": "127.0.0.1", "count": 5})
    );

    let mut user = client(&site, &site.token("default", Role::User, MINUTE), "").await;
    for _ in 0..10 {
        call(&mut user, "create_token", json!({"subject": "me"})).await;
        assert_eq!(eye.next().await.unwrap()["event_type"], "authorization_denied");
    }
    let suspicious = eye.next().await.unwrap();
    assert_eq!(suspicious["event_type"], "suspicious_activity");
    assert_eq!(suspicious["metadata"]["subject"], "user-of-default");
    for _ in 0..10 {
        user.send(&json!("nonsense")).await;
    }
    let violation = eye.next().await.unwrap();
    assert_eq!(
        (&violation["event_type"], &violation["metadata"]["violation"]),
        (&json!("security_violation"), &json!("protocol"))
    );
}

#[tokio::test]
async fn what_inspection_finds_is_told() {
    let site = site(|config| {
        config.inspection.enabled = true;
        config.inspection.mode = InspectionMode::Enforce;
        config.inspection.block_on_probable_secret = true;
    })
    .await;
    let mut eye = eye(&site, &["casil_decision"]).await;
    let payload = json!({"key": format!("AKIA{}", "Z7QX2LMN4PRS5TUV")});
    let body = json!({"to": "repo:main", "payload": payload}).to_string();
    site.send(ask("POST", "/api/v1/messages").body(body)).await;
    let event = eye.next().await.unwrap();
    assert_eq!(
        (&event["event_type"], &event["metadata"]["decision"]),
        (&json!("casil_decision"), &json!("BLOCK"))
    );
}

#[tokio::test]
async fn an_agents_life_is_told_in_few_words_where_older_dashboards_look() {
    let site = site(|_| ()).await;
    let mut eye = eye(&site, &["agent_activity"]).await;
    let mut dashboard = client(&site, &site.owner, "&client_type=dashboard").await;
    for address in ["integriguard:dashboard-events", "arqonbus.telemetry:agent_activity"] {
        call(&mut dashboard, "subscribe", json!({"pattern": address})).await;
    }
    let mut agent = client(&site, &site.token("default", Role::User, MINUTE), "&client_type=ai-agent").await;
    call(&mut agent, "join_channel", json!({"room": "repo", "channel": "main"})).await;
    agent.send(&json!({"type": "message", "to": "repo:main", "payload": {}})).await;
    let mut told = Vec::new();
    for activity in ["connected", "joined", "called", "published"] {
        let event = eye.next().await.unwrap();
        assert_eq!(
            (&event["event_type"], &event["metadata"]["activity"]),
            (&json!("agent_activity"), &json!(activity))
        );
        told.push(event["event_id"].clone());
    }
    let mut seen = std::collections::BTreeMap::<String, Vec<Value>>::new();
    for _ in 0..8 {
        let said = dashboard.next().await.unwrap();
        let room = said["room"].as_str().unwrap().to_owned();
        seen.entry(room).or_default().push(said["payload"]["event_id"].clone());
    }
    let views: Vec<&str> = seen.keys().map(String::as_str).collect();
    assert_eq!(views, ["arqonbus.telemetry", "integriguard"]);
    assert!(seen.values().all(|ids| *ids == told), "each view shows the same: {seen:?}");
    // Only the server writes there, and only moderators read it.
    let refused = call(&mut agent, "subscribe", json!({"pattern": "integriguard:telemetry-stream"})).await;
    assert_eq!(refused["error_code"], "AUTHORIZATION_ERROR", "{refused}");
    let bad = ask("GET", &format!("/ws?token={}&client_type=cat", site.owner))
        .header("upgrade", "websocket")
        .header("connection", "upgrade")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .send(site.addr)
        .await;
    assert_eq!(bad.status, 400);
}

#[tokio::test]
async fn storage_is_told_of_when_it_is_tidied_and_when_it_fails() {
    let site = site(|_| ()).await;
    let mut heard = eye(&site, &["storage_operation"]).await;
    let mut owner = client(&site, &site.owner, "").await;
    let place = json!({"room": "repo", "channel": "main"});
    call(&mut owner, "create_channel", place.clone()).await;
    call(&mut owner, "delete_channel", place).await;
    let event = heard.next().await.unwrap();
    assert_eq!((&event["event_type"], &event["severity"]), (&json!("storage_operation"), &json!("debug")));
    assert_eq!(
        (&event["metadata"]["operation"], &event["metadata"]["room"]),
        (&json!("retain"), &json!("repo"))
    );

    // A disk on which more is to stay free than it has.
    let full = super::site(|config| {
        config.server.engine = "embedded:".to_owned();
        config.records.reserve_bytes = Some(ByteSize(1 << 50));
    })
    .await;
    let mut eye = eye(&full, &["storage_error", "system_error"]).await;
    // It is looked at every second.
    let error = eye.event("system_error").await;
    assert!(error["metadata"]["problem"].as_str().unwrap().contains("the disk is full"), "{error}");
    let mut owner = client(&full, &full.owner, "").await;
    let answer = call(&mut owner, "op.store.set", json!({"key": "k", "value": 1})).await;
    assert_eq!(answer["type"], "error", "{answer}");
    let error = eye.event("storage_error").await;
    assert_eq!((&error["severity"], &error["metadata"]["operation"]), (&json!("error"), &json!("command")));
}

#[tokio::test]
async fn the_server_is_told_of_from_its_beginning_to_its_end() {
    let site = site(|config| config.telemetry.info_seconds = Duration::from_secs(1)).await;
    let mut eye = Talk::open(&port(&site, &site.owner)).await;
    eye.next().await.unwrap();
    let started = eye.next().await.unwrap();
    assert_eq!(started["event_type"], "system_started");
    assert!(started["metadata"]["version"].is_string(), "{started}");
    let info = eye.event("system_info").await;
    assert_eq!((&info["metadata"]["connections"], &info["severity"]), (&json!(1), &json!("info")));
    // Another one is not told again when it began.
    let mut late = Talk::open(&port(&site, &site.owner)).await;
    late.next().await.unwrap();
    let Site { server, .. } = site;
    let stopping = tokio::spawn(server.stop());
    for talk in [&mut eye, &mut late] {
        let stopped = loop {
            let event = talk.next().await.expect("it is told before the connection ends");
            if event["event_type"] == "system_stopped" {
                break event;
            }
            assert_ne!(event["event_type"], "system_started");
        };
        assert_eq!(stopped["source"], "arqonbus");
        let end = loop {
            if let Err(code) = talk.next().await {
                break code;
            }
        };
        assert_eq!(end, 1001);
    }
    drop((eye, late));
    stopping.await.unwrap().unwrap();
}

#[tokio::test]
async fn more_events_than_can_be_published_are_told_as_a_number() {
    let site = site(|_| ()).await;
    let mut eye = eye(&site, &["system_warning"]).await;
    let principal = Principal {
        subject: "loud".into(),
        tenant: Tenant::default(),
        role: Role::User,
        publish: None,
        subscribe: None,
        expires_at: None,
    };
    let target = Target::parse("repo:main").unwrap();
    // One call of so many leaves the publishing of events no turn meanwhile.
    let batch = vec![Publish::new(target, "{}"); 10_000];
    let results = site.server.bus().publish(&Ctx::new(Arc::new(principal)), batch).await;
    assert!(results.iter().all(Result::is_ok), "the bus takes all of them");
    let warning = eye.next().await.unwrap();
    assert_eq!(warning["event_type"], "system_warning");
    assert!(warning["metadata"]["dropped_events"].as_u64().unwrap() > 0, "{warning}");
}
