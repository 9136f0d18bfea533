//! Why commands are refused, over a socket: the code says how to react, the reason what happened.

use arqon_client::{Client, Error};
use arqon_server::Config;
use arqon_server::config::{ByteSize, InspectionConfig, InspectionMode, RoomConfig};
use arqon_testkit::TestServer;
use serde_json::{Value, json};

/// The code and the reason; empty where there is none.
async fn refused(client: &Client, command: &str, args: Value) -> (String, String) {
    match client.call(command, args).await {
        Err(Error::Refused(error)) => {
            (error.code().as_str().to_owned(), error.reason().unwrap_or_default().to_owned())
        }
        other => panic!("{command}: {other:?}"),
    }
}

async fn server(change: impl FnOnce(&mut Config)) -> (TestServer, Client) {
    let server = TestServer::start_with(change).await;
    let client = server.client().await;
    (server, client)
}

/// A client of somebody else.
async fn somebody(server: &TestServer, owner: &Client, who: Value) -> Client {
    let made = owner.call("create_token", who).await.expect("the owner may");
    let builder = Client::builder(server.url()).token(made["token"].as_str().expect("it answers with one"));
    builder.connect().await.expect("the token is good")
}

/// Calls each and compares.
async fn all(client: &Client, cases: &[(&str, Value, &str, &str)]) {
    for (command, args, code, reason) in cases {
        let told = refused(client, command, args.clone()).await;
        assert_eq!((&*told.0, &*told.1), (*code, *reason), "{command} {args}");
    }
}

#[tokio::test]
async fn channels_that_are_there_are_joined_or_are_the_servers_own() {
    let (server, client) = server(|config| {
        config.rooms = vec![RoomConfig {
            name: "science".to_owned(),
            channels: vec!["share".to_owned()],
            ..RoomConfig::default()
        }];
    })
    .await;
    let bench = json!({ "room": "lab", "channel": "bench" });
    client.call("create_channel", bench.clone()).await.unwrap();
    let other = client.call("create_channel", json!({ "address": "other:one" })).await.unwrap();
    client.call("join_channel", bench.clone()).await.unwrap();
    let nowhere = format!("arq_room_{}", "0".repeat(32));
    let mixed = json!({ "room": "lab", "channel": other["channel_id"] });
    all(
        &client,
        &[
            ("create_channel", bench.clone(), "ALREADY_EXISTS", "CHANNEL_EXISTS"),
            ("delete_channel", bench.clone(), "CONFLICT", "CHANNEL_IN_USE"),
            (
                "delete_channel",
                json!({ "address": "science:share" }),
                "AUTHORIZATION_ERROR",
                "CHANNEL_HARDCODED",
            ),
            ("channel_info", json!({ "address": "lab:none" }), "NOT_FOUND", "CHANNEL_NOT_FOUND"),
            ("channel_info", mixed, "VALIDATION_ERROR", "CHANNEL_ROOM_MISMATCH"),
            ("list_channels", json!({ "room": nowhere }), "NOT_FOUND", "ROOM_NOT_FOUND"),
            ("leave_channel", json!({ "address": "other:one" }), "NOT_FOUND", "NOT_JOINED"),
        ],
    )
    .await;
    client.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn times_that_are_none_and_sequences_that_go_back() {
    let (server, client) = server(|_| {}).await;
    for sequence in [2, 1] {
        let message = client.publish("repo:main", json!({})).metadata(json!({ "sequence": sequence }));
        message.await.unwrap();
    }
    let window =
        json!({ "room": "repo", "from_ts": "2020-01-01T00:00:00Z", "to_ts": "2100-01-01T00:00:00Z" });
    all(
        &client,
        &[
            ("ping", json!({ "sent_at": "yesterday" }), "VALIDATION_ERROR", "INVALID_TIMESTAMP"),
            (
                "history",
                json!({ "room": "repo", "channel": "main", "since": "noon" }),
                "VALIDATION_ERROR",
                "INVALID_TIMESTAMP",
            ),
            ("op.history.replay", window, "VALIDATION_ERROR", "SEQUENCE_BROKEN"),
        ],
    )
    .await;
    client.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn jobs_that_cannot_be_made() {
    let (server, client) = server(|_| {}).await;
    let job = |more: Value| {
        let mut all = json!({ "address": "tick:tock", "payload": {} });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    client.call("op.cron.schedule", job(json!({ "delay_seconds": 1000, "job_id": "mine" }))).await.unwrap();
    let schedule = "op.cron.schedule";
    all(
        &client,
        &[
            (schedule, job(json!({ "cron": "often" })), "VALIDATION_ERROR", "BAD_CRON"),
            (schedule, job(json!({ "cron": "0 0 30 2 *" })), "VALIDATION_ERROR", "NEVER_DUE"),
            (
                schedule,
                job(json!({ "cron": "@daily", "timezone": "Mars/Base" })),
                "VALIDATION_ERROR",
                "UNKNOWN_TIMEZONE",
            ),
            (
                schedule,
                job(json!({ "delay_seconds": 1000, "job_id": "mine" })),
                "ALREADY_EXISTS",
                "JOB_EXISTS",
            ),
            ("op.cron.get", json!({ "job_id": "cron_none" }), "NOT_FOUND", "JOB_NOT_FOUND"),
        ],
    )
    .await;
    // A thousand of a tenant, and not one more.
    for _ in 1..1000 {
        client.call(schedule, job(json!({ "delay_seconds": 1000 }))).await.unwrap();
    }
    all(&client, &[(schedule, job(json!({})), "RESOURCE_EXHAUSTED", "TOO_MANY_JOBS")]).await;
    client.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn what_belongs_to_others() {
    let (server, owner) = server(|_| {}).await;
    let user = somebody(&server, &owner, json!({ "subject": "user" })).await;
    let stranger =
        somebody(&server, &owner, json!({ "subject": "boss", "role": "admin", "tenant": "other" })).await;
    let job = json!({ "address": "tick:tock", "payload": {}, "delay_seconds": 1000, "job_id": "mine" });
    owner.call("op.cron.schedule", job).await.unwrap();
    owner.call("op.store.set", json!({ "key": "mine", "value": 1, "owner_only": true })).await.unwrap();
    let window = json!({ "from_ts": "2020-01-01T00:00:00Z", "to_ts": "2100-01-01T00:00:00Z" });
    let (forbidden, not_owner) = ("AUTHORIZATION_ERROR", "NOT_OWNER");
    all(
        &user,
        &[
            ("op.cron.cancel", json!({ "job_id": "mine" }), forbidden, not_owner),
            ("op.store.set", json!({ "key": "mine", "value": 2 }), forbidden, not_owner),
            ("op.store.get", json!({ "key": "a", "namespace": "@owner" }), forbidden, "NAMESPACE_CLOSED"),
            ("op.history.replay", window, forbidden, "ROOM_REQUIRED"),
        ],
    )
    .await;
    all(&stranger, &[("op.casil.reload", json!({ "enabled": false }), forbidden, "NOT_YOUR_POLICY")]).await;
    for client in [user, stranger, owner] {
        client.close().await.unwrap();
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_too_large_or_too_many() {
    let (server, client) = server(|config| {
        config.limits.subscriptions = 2;
        config.omega.enabled = true;
        config.omega.max_substrates = 1;
        config.webhooks.allow_private_addresses = true;
    })
    .await;
    for n in 0..2 {
        client.call("join_channel", json!({ "room": "lab", "channel": format!("c{n}") })).await.unwrap();
    }
    let substrate = json!({ "name": "loop", "kind": "agent" });
    client.call("op.omega.register_substrate", substrate.clone()).await.unwrap();
    let rule = json!({ "url": "http://127.0.0.1:1/in", "room": "repo" });
    for _ in 0..100 {
        client.call("op.webhook.register", rule.clone()).await.unwrap();
    }
    let made = client.call("op.webhook.list", json!({})).await.unwrap();
    let rotated = json!({ "rule_id": made["rules"][0]["rule_id"] });
    for _ in 0..4 {
        client.call("op.webhook.rotate_secret", rotated.clone()).await.unwrap();
    }
    let large = json!({ "key": "large", "value": "x".repeat(256 * 1024 + 1) });
    let unknown = json!({ "substrate_id": "omega_000000000000", "signal": "drift" });
    all(
        &client,
        &[
            ("join_channel", json!({ "address": "lab:c2" }), "RESOURCE_EXHAUSTED", "TOO_MANY_JOINED"),
            ("op.omega.register_substrate", substrate, "VALIDATION_ERROR", "TOO_MANY_SUBSTRATES"),
            ("op.omega.emit_event", unknown, "NOT_FOUND", "SUBSTRATE_NOT_FOUND"),
            ("op.webhook.register", rule, "RESOURCE_EXHAUSTED", "TOO_MANY_RULES"),
            ("op.webhook.rotate_secret", rotated, "RESOURCE_EXHAUSTED", "TOO_MANY_SECRETS"),
            ("op.store.set", large, "PAYLOAD_TOO_LARGE", "VALUE_TOO_LARGE"),
        ],
    )
    .await;
    client.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn policies_that_are_wrong_and_payloads_that_are_larger_than_they_allow() {
    let (server, client) = server(|config| {
        config.inspection = InspectionConfig {
            enabled: true,
            mode: InspectionMode::Enforce,
            max_payload_bytes: ByteSize(1000),
            ..InspectionConfig::default()
        };
    })
    .await;
    let wrong = json!({ "secret_patterns": ["(open"] });
    all(&client, &[("op.casil.reload", wrong, "VALIDATION_ERROR", "BAD_POLICY")]).await;
    let large = client.publish("repo:main", json!({ "text": "x".repeat(2000) })).await.unwrap_err();
    let Error::Refused(error) = large else { panic!("{large:?}") };
    assert_eq!(error.reason(), Some("CASIL_POLICY_OVERSIZE"), "{error:?}");
    client.close().await.unwrap();
    server.stop().await;
}
