//! Who gets in: every endpoint without, with a bad and with an expired token; every operation with too low a role;
//! and the walls between tenants.

use crate::http::{Events, ask};
use crate::site::{Site, numbers};
use arqon_core::operations;
use arqon_core::value::Args;
use arqon_core::{Code, Ctx, Principal, Role, Tenant};
use arqon_rest::Gate;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Endpoints that answer without a token, and why: probes and scrapers of the same machine have none.
const OPEN: &str = include_str!("open-endpoints.txt");

fn concrete(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_endpoint_refuses_a_caller_without_a_good_token() {
    let site = Site::start().await;
    let expired = site.token("default", Role::Admin, Duration::ZERO);
    let open: Vec<&str> = OPEN.lines().collect();
    let mut seen = Vec::new();
    for endpoint in arqon_rest::endpoints() {
        let name = format!("{} {}", endpoint.method, endpoint.path);
        let path = concrete(endpoint.path);
        let plain = ask(endpoint.method, &path);
        let credentials = [
            ("Missing bearer token", plain.clone()),
            ("Invalid token", plain.clone().token("x.y.z")),
            ("Token expired", plain.token(&expired)),
        ];
        let is_open = open.contains(&name.as_str());
        assert_eq!(is_open, endpoint.gate == Gate::Open, "{name}");
        for (reason, ask) in credentials {
            let answer = ask.send(site.addr).await;
            if is_open {
                assert_eq!(answer.status, 200, "{name}");
                continue;
            }
            assert_eq!(answer.status, 401, "{name}: {reason}: {answer:?}");
            if endpoint.gate == Gate::Operator {
                let details = if reason == "Token expired" { "Invalid token" } else { reason };
                assert_eq!(answer.json(), json!({"error": "Unauthorized", "details": details}), "{name}");
            } else {
                assert_eq!(answer.code(), "AUTHENTICATION_FAILED", "{name}");
                assert_eq!(answer.json()["error"]["message"], reason, "{name}");
            }
            assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"arqonbus\"", "{name}");
        }
        seen.push(name);
    }
    for exception in open {
        assert!(seen.iter().any(|name| name == exception), "{exception} is no endpoint any more");
    }
}

#[tokio::test]
async fn every_operation_refuses_a_role_below_its_least_one() {
    let site = Site::start().await;
    let bus = site.server.bus();
    for operation in operations::all() {
        let least = operation.permission.least_role();
        let ctx = |role| {
            let subject = "somebody".into();
            let tenant = Tenant::default();
            Ctx::new(Arc::new(Principal {
                subject,
                tenant,
                role,
                publish: None,
                subscribe: None,
                expires_at: None,
            }))
        };
        for role in Role::ALL.into_iter().filter(|role| *role < least) {
            let error = bus.call(&ctx(role), None, operation.name, Args::default()).await.unwrap_err();
            assert_eq!(error.code(), Code::Forbidden, "{} as {}", operation.name, role.as_str());
        }
        let allowed = bus.call(&ctx(least), None, operation.name, Args::default()).await;
        // A reason says that it is not the role.
        assert!(
            !allowed.is_err_and(|e| e.code() == Code::Forbidden && e.reason().is_none()),
            "{} as {}",
            operation.name,
            least.as_str()
        );
    }
}

#[tokio::test]
async fn no_address_query_or_count_crosses_the_wall_between_tenants() {
    let site = Site::start().await;
    let (red, blue) = (
        site.token("red", Role::Admin, Duration::from_secs(60)),
        site.token("blue", Role::Admin, Duration::from_secs(60)),
    );
    let send = |token: &str, method: &str, path: &str, body: &str| {
        ask(method, path).token(token).body(body).send(site.addr)
    };
    let stream = format!("/api/v1/events?pattern=*&from=earliest&token={blue}");
    let mut events = Events::open(site.addr, ask("GET", &stream)).await;
    for n in 1..=3 {
        let body = json!({"address": "shared:room", "payload": {"n": n, "of": "red"}}).to_string();
        assert_eq!(send(&red, "POST", "/api/v1/messages", &body).await.status, 200);
    }
    let body = json!({"address": "shared:room", "payload": {"n": 9, "of": "blue"}}).to_string();
    assert_eq!(send(&blue, "POST", "/api/v1/messages", &body).await.status, 200);
    send(&red, "PUT", "/api/v1/policies/shared:*", r#"{"class":"ephemeral"}"#).await;
    let poll = "/api/v1/poll?pattern=shared:*&from=earliest&wait_ms=0";
    assert_eq!(send(&red, "GET", &format!("{poll}&durable=mine"), "").await.status, 200);

    assert_eq!(events.numbers(1).await, [9]);
    let get = |path: &'static str| {
        let ask = ask("GET", path).token(&blue).send(site.addr);
        async move { ask.await.json() }
    };
    assert_eq!(numbers(&get("/api/v1/channels/shared:room/messages").await["messages"]), [9]);
    assert_eq!(numbers(&get(poll).await["messages"]), [9]);
    assert_eq!(get("/api/v1/rooms").await["rooms"][0]["records"], 1);
    assert_eq!(get("/api/v1/channels/shared:room").await["records"], 1);
    assert_eq!(get("/api/v1/rooms/shared/channels").await["channels"][0]["records"], 1);
    assert_eq!(get("/api/v1/subscriptions").await["subscriptions"], json!([]));
    assert_eq!(get("/api/v1/dead-letters").await["dead_letters"], json!([]));
    let own = get("/api/v1/policies").await;
    assert!(own["policies"].as_array().unwrap().iter().all(|p| p["source"] == "config"), "{own}");
    let status = get("/api/v1/status").await;
    let others: Vec<&Value> = status["connections"].as_array().unwrap().iter().collect();
    assert!(others.iter().all(|c| c["subject"] == "admin-of-blue"), "{status}");
    // Only the owner of the server may reach over the wall, and an admin cannot make such a token.
    let foreign = send(&blue, "POST", "/api/v1/tokens", r#"{"subject":"spy","tenant":"red"}"#).await;
    assert_eq!((foreign.status, foreign.code().as_str()), (403, "AUTHORIZATION_ERROR"));
}

#[tokio::test]
async fn rights_to_addresses_hold_on_every_way_in() {
    let site = Site::start().await;
    let token = site.limited("repo:*", "repo:**");
    let status = |ask: crate::http::Ask| {
        let sent = ask.token(&token).send(site.addr);
        async move { sent.await.status }
    };
    let publish = |address: &str| {
        ask("POST", "/api/v1/messages").body(json!({"to": address, "payload": {}}).to_string())
    };
    assert_eq!(status(publish("repo:main")).await, 200);
    assert_eq!(status(publish("repo:main:deep")).await, 403);
    assert_eq!(status(publish("other:main")).await, 403);
    assert_eq!(status(publish("system:start")).await, 403);
    assert_eq!(status(ask("GET", "/api/v1/poll?pattern=repo:main&wait_ms=0")).await, 200);
    assert_eq!(status(ask("GET", "/api/v1/poll?pattern=*&wait_ms=0")).await, 403);
    assert_eq!(status(ask("GET", "/api/v1/events?pattern=other:*")).await, 403);
    assert_eq!(status(ask("GET", "/api/v1/poll?pattern=@owner&wait_ms=0")).await, 403);
    assert_eq!(status(ask("GET", "/api/v1/channels/other:main/messages")).await, 403);
    let request = ask("POST", "/api/v1/requests").body(r#"{"address":"other:main","payload":{}}"#);
    assert_eq!(status(request).await, 403);
    let lines = ask("POST", "/api/v1/messages")
        .lines("{\"to\":\"repo:a\",\"payload\":{}}\n{\"to\":\"other:a\",\"payload\":{}}\n");
    let answer = lines.token(&token).send(site.addr).await.lines();
    assert_eq!(
        (&answer[0]["room"], &answer[1]["error"]["code"]),
        (&json!("repo"), &json!("AUTHORIZATION_ERROR"))
    );
}

#[tokio::test]
async fn development_mode_needs_no_token_and_is_for_loopback_only() {
    let site = Site::with(|c| c.auth.insecure_dev = true).await;
    let answer = ask("GET", "/api/v1/status").send(site.addr).await;
    assert_eq!(answer.json()["you"]["subject"], "anonymous");
    let page = ask("GET", "/api/v1/status").header("origin", "https://evil.example").send(site.addr).await;
    assert_eq!(page.status, 403);
    let mut config = arqon_server::Config { ..Default::default() };
    config.auth.insecure_dev = true;
    config.server.listen = "0.0.0.0:0".parse().unwrap();
    let refused = arqon_server::Server::start(config).await.err().unwrap().to_string();
    assert!(refused.contains("lets everybody in, so it is refused on 0.0.0.0:0"), "{refused}");
}
