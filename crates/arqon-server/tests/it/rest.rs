//! HTTP over real sockets: operations, publishing, limits, and what is said about mistakes.

use crate::http::{Ask, ask, read_answer};
use crate::site::{Site, numbers};
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

#[tokio::test]
async fn the_server_says_how_it_is() {
    let site = Site::start().await;
    let health = ask("GET", "/health").send(site.addr).await.json();
    assert_eq!(health["status"], "ok");
    assert!(
        health["uptime_seconds"].as_f64().is_some() && health["timestamp"].as_str().unwrap().ends_with('Z')
    );
    let ready = ask("GET", "/ready").send(site.addr).await;
    assert_eq!(
        ready.json(),
        json!({"ready": true, "checks": {"lifecycle": "ok", "storage": "ok", "integrity": "ok"}})
    );
    let version = ask("GET", "/version").send(site.addr).await.json();
    assert_eq!((&version["name"], &version["protocol"]), (&json!("Arqon"), &json!("1.0")));
    let metrics = ask("GET", "/metrics").send(site.addr).await;
    assert_eq!(metrics.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    for name in [
        "arqon_messages_received_total",
        "arqon_memory_usage_bytes",
        "arqon_log_damaged",
        "arqon_log_new_epochs",
        "arqon_records_lost_batches",
        "arqon_records_damaged",
        "arqon_http_requests_total{status=\"2xx\"}",
    ] {
        assert!(metrics.body.lines().any(|line| line.starts_with(&format!("{name} "))), "{name}");
    }
    let head = ask("HEAD", "/health").send(site.addr).await;
    assert_eq!(head.status, 200);
}

#[tokio::test]
async fn a_message_goes_in_and_is_found_again() {
    let site = Site::start().await;
    let body = json!({
        "to": "repo:main", "type": "message", "payload": {"n": 1, "deep": {"x": [1, 2]}}, "priority": "high",
        "metadata": {"m": true}, "correlation_id": "c-1", "own": "kept"
    });
    let sent = site.send(ask("POST", "/api/v1/messages").body(body.to_string())).await;
    let receipt = sent.json();
    assert_eq!(
        (sent.status, &receipt["room"], &receipt["channel"], &receipt["duplicate"]),
        (200, &json!("repo"), &json!("main"), &json!(false))
    );
    site.publish("repo:main", 2).await;
    let found = site.get("/api/v1/channels/repo:main/messages?limit=5").await.json();
    assert_eq!(numbers(&found["messages"]), [1, 2]);
    let first = &found["messages"][0];
    for (name, value) in [
        ("payload", &body["payload"]),
        ("metadata", &body["metadata"]),
        ("own", &body["own"]),
        ("position", &receipt["position"]),
    ] {
        assert_eq!(&first[name], value, "{name}");
    }
    assert_eq!(first["sender"], "owner");
    let after =
        format!("/api/v1/channels/repo:main/messages?after={}", receipt["position"].as_str().unwrap());
    assert_eq!(numbers(&site.get(&after).await.json()["messages"]), [2]);
    let channel = site.get("/api/v1/channels/repo:main").await.json();
    assert_eq!((&channel["class"], &channel["records"]), (&json!("durable"), &json!(2)));
}

#[tokio::test]
async fn an_idempotency_key_is_stored_once() {
    let site = Site::start().await;
    let body = r#"{"to":"a:b","payload":{"n":1},"idempotency_key":"k"}"#;
    let first = site.send(ask("POST", "/api/v1/messages").body(body)).await.json();
    let second = site.send(ask("POST", "/api/v1/messages").body(body)).await.json();
    assert_eq!((&first["duplicate"], &second["duplicate"]), (&json!(false), &json!(true)));
    assert_eq!(first["position"], second["position"]);
    let none =
        site.send(ask("POST", "/api/v1/messages?confirm=none").body(r#"{"to":"a:b","payload":{}}"#)).await;
    assert!(none.status == 202 || none.status == 200, "{none:?}");
}

#[tokio::test]
async fn a_request_waits_for_its_reply() {
    let site = Site::start().await;
    let question = site.send(
        ask("POST", "/api/v1/requests")
            .body(r#"{"address":"math:add","payload":{"n":2},"timeout_ms":10000}"#),
    );
    let replier = async {
        let asked = site.get("/api/v1/poll?pattern=math:*&from=earliest").await.json();
        let question = &asked["messages"][0];
        let body = json!({"to": question["reply_to"], "correlation_id": question["correlation_id"], "payload": {"n": 4}});
        site.send(ask("POST", "/api/v1/messages").body(body.to_string())).await
    };
    let (answer, replied) = tokio::join!(question, replier);
    assert_eq!(replied.status, 200);
    assert_eq!((answer.status, &answer.json()["payload"]), (200, &json!({"n": 4})));
    let late = site
        .send(ask("POST", "/api/v1/requests").body(r#"{"address":"math:add","payload":{},"timeout_ms":1}"#))
        .await;
    assert_eq!((late.status, late.code().as_str()), (504, "TIMEOUT"));
}

#[tokio::test]
async fn policies_and_tokens_are_managed_over_http() {
    let site = Site::start().await;
    let set = site.send(ask("PUT", "/api/v1/policies/term:**").body(r#"{"class":"ephemeral"}"#)).await;
    assert_eq!(set.json(), json!({"pattern": "term:**"}));
    site.publish("term:1", 1).await;
    assert_eq!(site.get("/api/v1/rooms").await.json()["rooms"][0]["records"], 0);
    assert_eq!(site.send(ask("DELETE", "/api/v1/policies/term:**")).await.status, 200);
    assert_eq!(site.send(ask("DELETE", "/api/v1/policies/term:**")).await.status, 404);
    let made = site
        .send(ask("POST", "/api/v1/tokens?publish=a:*,b:*").body(r#"{"subject":"worker","ttl_s":60}"#))
        .await
        .json();
    let token = made["token"].as_str().unwrap();
    let status = ask("GET", "/api/v1/status").token(token).send(site.addr).await.json();
    assert_eq!((&status["you"]["subject"], &status["you"]["role"]), (&json!("worker"), &json!("user")));
    let publish = |to: &str| {
        ask("POST", "/api/v1/messages").token(token).body(json!({"to": to, "payload": {}}).to_string())
    };
    assert_eq!(publish("b:x").send(site.addr).await.status, 200);
    assert_eq!(publish("c:x").send(site.addr).await.status, 403);
}

#[tokio::test]
async fn mistakes_name_the_field_and_what_to_do() {
    let site = Site::start().await;
    let post = |path: &str, body: &str| ask("POST", path).body(body);
    let cases: [(Ask, u16, &str); 14] = [
        (post("/api/v1/messages", "{"), 400, "envelope"),
        (post("/api/v1/messages", ""), 400, "envelope"),
        (post("/api/v1/messages", r#"{"payload":{}}"#), 400, "to"),
        (post("/api/v1/messages", r#"{"to":"a:b"}"#), 400, "payload"),
        (post("/api/v1/messages", r#"{"to":"a:b","payload":[]}"#), 400, "payload"),
        (post("/api/v1/messages", r#"{"address":"nowhere","payload":{}}"#), 400, "address"),
        (post("/api/v1/messages?address=a:b", "7"), 400, "payload"),
        (post("/api/v1/messages?adress=a:b", "{}"), 400, "args.adress"),
        (post("/api/v1/messages?confirm=maybe", "{}"), 400, "args.confirm"),
        (post("/api/v1/requests", r#"{"address":"a:b","payload":{},"timeout":5}"#), 400, "args.timeout"),
        (ask("GET", "/api/v1/channels/a:b/messages?limit=0"), 400, "args.limit"),
        (ask("GET", "/api/v1/channels/nowhere"), 400, "args.address"),
        (ask("GET", "/api/v1/poll?from=earliest"), 400, "args.pattern"),
        (ask("GET", "/api/v1/poll?pattern=a:*&wait_ms=99999"), 400, "args.wait_ms"),
    ];
    for (ask, status, field) in cases {
        let answer = site.send(ask.clone()).await;
        let error = answer.json()["error"].clone();
        assert_eq!((answer.status, &error["details"]["field"]), (status, &json!(field)), "{ask:?} {error}");
        assert_eq!(error["details"]["outcome"], "not_applied", "{error}");
    }
    let lost = site.get("/api/v2/nothing").await;
    assert_eq!((lost.status, lost.code().as_str()), (404, "NOT_FOUND"));
    assert!(lost.json()["error"]["details"]["hint"].as_str().unwrap().contains("/api/v1/help"));
    let method = site.send(ask("DELETE", "/api/v1/rooms")).await;
    assert_eq!((method.status, method.headers["allow"].as_str()), (405, "GET,HEAD"));
    assert_eq!(method.json()["error"]["details"]["field"], "method");
}

#[tokio::test]
async fn a_request_id_goes_through_and_is_made_where_there_is_none() {
    let site = Site::start().await;
    let given = site.send(ask("GET", "/nowhere").header("x-request-id", "mine-1")).await;
    assert_eq!(
        (given.headers["x-request-id"].as_str(), &given.json()["error"]["request_id"]),
        ("mine-1", &json!("mine-1"))
    );
    let made = site.get("/api/v1/rooms").await.headers["x-request-id"].clone();
    let bad =
        site.send(ask("GET", "/health").header("x-request-id", "has space")).await.headers["x-request-id"]
            .clone();
    assert!(made.starts_with("req_") && bad.starts_with("req_") && made != bad, "{made} {bad}");
}

#[tokio::test]
async fn lines_are_published_in_order_and_a_bad_one_in_the_middle_hurts_only_itself() {
    let site = Site::start().await;
    let body = "{\"to\":\"a:b\",\"payload\":{\"n\":1}}\n\nnot json\n{\"to\":\"a:b\",\"payload\":{\"n\":2}}\r\n{\"to\":\"a:b\",\"payload\":3}\n{\"to\":\"a:b\",\"payload\":{\"n\":4}}";
    let answer = site.send(ask("POST", "/api/v1/messages").lines(body)).await;
    assert_eq!((answer.status, answer.headers["content-type"].as_str()), (200, "application/x-ndjson"));
    let lines = answer.lines();
    let shown: Vec<String> = lines
        .iter()
        .map(|l| format!("{}{}", l["line"], l["error"]["details"]["field"].as_str().unwrap_or("+")))
        .collect();
    assert_eq!(shown, ["1+", "3envelope", "4+", "5payload", "6+"]);
    let found = site.get("/api/v1/channels/a:b/messages").await.json();
    assert_eq!(numbers(&found["messages"]), [1, 2, 4]);
    assert_eq!(found["messages"][2]["position"], lines[4]["position"]);
    // With an address each line is a payload; without confirms only failures are answered.
    let bare = ask("POST", "/api/v1/messages?address=c:d&confirm=none").lines("{\"n\":1}\noops\n{\"n\":2}\n");
    let lines = site.send(bare).await.lines();
    assert_eq!((lines.len(), &lines[0]["line"]), (1, &json!(2)));
    assert_eq!(numbers(&site.get("/api/v1/channels/c:d/messages").await.json()["messages"]), [1, 2]);
}

#[tokio::test]
async fn many_lines_stream_through_a_client_that_writes_first_and_reads_later() {
    const COUNT: i64 = 20_000;
    let site = Site::start().await;
    let body: String = (0..COUNT).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let mut stream = TcpStream::connect(site.addr).await.unwrap();
    let head = ask("POST", "/api/v1/messages?address=bulk:load")
        .token(&site.owner)
        .header("content-type", "application/x-ndjson")
        .header("content-length", &body.len().to_string())
        .header("connection", "close")
        .head();
    tokio::time::timeout(crate::http::PATIENCE, async {
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
    })
    .await
    .expect("a client that does not read yet must not block");
    let lines = read_answer(BufReader::new(stream)).await.lines();
    assert_eq!(lines.len() as i64, COUNT);
    for (i, line) in lines.iter().enumerate() {
        assert_eq!(line["line"], i + 1);
        assert!(line["position"].as_str().unwrap().ends_with(&format!("-{}", i + 1)), "{line}");
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_kept() {
    let site = Site::with(|c| {
        c.http.body_bytes = arqon_server::config::ByteSize(4096);
        c.limits.message_bytes = arqon_server::config::ByteSize(2048);
    })
    .await;
    // The length is believed before a byte of the body was sent.
    let mut stream = TcpStream::connect(site.addr).await.unwrap();
    let head = ask("POST", "/api/v1/messages").token(&site.owner).header("content-length", "5000000").head();
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_answer(BufReader::new(stream)).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "PAYLOAD_TOO_LARGE"));
    // Without a length it is counted.
    let mut stream = TcpStream::connect(site.addr).await.unwrap();
    let head =
        ask("POST", "/api/v1/messages").token(&site.owner).header("transfer-encoding", "chunked").head();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(format!("1388\r\n{}\r\n", " ".repeat(5000)).as_bytes()).await.unwrap();
    assert_eq!(read_answer(BufReader::new(stream)).await.status, 413);
    // A message has a limit of its own, and so has a line.
    let large = json!({"to": "a:b", "payload": {"x": "y".repeat(3000)}}).to_string();
    let answer = site.send(ask("POST", "/api/v1/messages").body(large.clone())).await;
    assert_eq!((answer.status, &answer.json()["error"]["details"]["field"]), (413, &json!("payload")));
    let lines = format!("{large}\n{}\n{{\"to\":\"a:b\",\"payload\":{{\"n\":1}}}}\n", "z".repeat(50_000));
    let codes: Vec<_> = site.send(ask("POST", "/api/v1/messages").lines(lines)).await.lines();
    assert_eq!(
        (&codes[0]["error"]["code"], &codes[1]["error"]["code"]),
        (&json!("PAYLOAD_TOO_LARGE"), &json!("PAYLOAD_TOO_LARGE"))
    );
    assert_eq!(codes[2]["line"], 3);
    let head = site.send(ask("GET", "/health").header("x-big", &"h".repeat(40_000))).await;
    assert_eq!(head.status, 431);
}

#[tokio::test]
async fn a_client_that_trickles_or_comes_too_many_is_sent_away() {
    let site = Site::with(|c| {
        c.server.max_connections = 1;
        c.server.header_timeout_seconds = Duration::from_millis(300);
        c.http.body_timeout_seconds = Duration::from_millis(300);
    })
    .await;
    let mut slow = TcpStream::connect(site.addr).await.unwrap();
    slow.write_all(b"GET /health HTTP/1.1\r\n").await.unwrap();
    let refused = loop {
        // The first connection takes its slot once it is accepted.
        let answer = ask("GET", "/health").send(site.addr).await;
        if answer.status == 503 {
            break answer;
        }
    };
    assert_eq!(refused.code(), "RESOURCE_EXHAUSTED");
    // The slow one is closed, and its slot is free again.
    while ask("GET", "/health").send(site.addr).await.status != 200 {
        tokio::task::yield_now().await;
    }
    let mut body = TcpStream::connect(site.addr).await.unwrap();
    let head = ask("POST", "/api/v1/messages").token(&site.owner).header("content-length", "100").head();
    body.write_all(head.as_bytes()).await.unwrap();
    let answer = read_answer(BufReader::new(body)).await;
    assert_eq!((answer.status, &answer.json()["error"]["details"]["field"]), (504, &json!("body")));
}

#[tokio::test]
async fn browsers_of_listed_origins_may_call_and_others_get_no_leave() {
    let site = Site::with(|c| c.server.origins = vec!["https://ok.example".to_owned()]).await;
    let preflight = |origin: &str| {
        ask("OPTIONS", "/api/v1/messages")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
    };
    let good = preflight("https://ok.example").send(site.addr).await;
    assert_eq!(
        (good.status, good.headers["access-control-allow-origin"].as_str()),
        (200, "https://ok.example")
    );
    let bad = preflight("https://evil.example").send(site.addr).await;
    assert!(!bad.headers.contains_key("access-control-allow-origin"), "{bad:?}");
    let answer = site.send(ask("GET", "/api/v1/rooms").header("origin", "https://ok.example")).await;
    assert_eq!(answer.headers["access-control-allow-origin"], "https://ok.example");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn metrics_need_a_token_off_loopback() {
    let site = Site::with(|c| c.server.listen = "0.0.0.0:0".parse().unwrap()).await;
    let addr = ([127, 0, 0, 1], site.addr.port()).into();
    assert_eq!(ask("GET", "/metrics").send(addr).await.status, 401);
    assert_eq!(ask("GET", "/metrics").token(&site.owner).send(addr).await.status, 200);
    assert_eq!(ask("GET", "/health").send(addr).await.status, 200);
}
