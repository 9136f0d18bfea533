//! Every number of `/metrics` over a real socket, by name: after something was done, it says that it was done.

mod delivery;
mod exposition;

use crate::http::{PATIENCE, ask};
use crate::site::Site;
use crate::ws::Socket;
use arqon_core::Role;
use exposition::Page;
use serde_json::json;
use std::time::Duration;

async fn scrape(site: &Site) -> Page {
    let answer = ask("GET", "/metrics").send(site.addr).await;
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    Page::read(&answer.body)
}

/// Looks until it is so.
async fn scrape_until(site: &Site, is_so: impl Fn(&Page) -> bool) -> Page {
    let look = async {
        loop {
            let page = scrape(site).await;
            if is_so(&page) {
                return page;
            }
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("the numbers in time")
}

#[tokio::test]
async fn messages_are_counted_on_their_way() {
    let site = Site::start().await;
    let mut reader = Socket::open(&site).await;
    reader.command("subscribe", json!({ "pattern": "a:*" })).await;
    site.publish("a:b", 1).await;
    site.publish("a:c", 2).await;
    assert_eq!(reader.read().await.unwrap()["type"], "message");
    assert_eq!(reader.read().await.unwrap()["type"], "message");
    // Refused: who may not publish there.
    let limited = site.limited("b:*", "b:*");
    let body = json!({ "address": "a:b", "payload": { "n": 3 } }).to_string();
    assert_eq!(ask("POST", "/api/v1/messages").token(&limited).body(body).send(site.addr).await.status, 403);
    let page = scrape(&site).await;
    assert_eq!(page.counter("arqonbus_messages_received_total"), 3.0);
    assert_eq!(page.counter("arqonbus_total_messages"), 3.0);
    assert_eq!(page.counter("arqonbus_messages_processed_total"), 2.0);
    assert_eq!(page.counter("arqonbus_messages_failed_total"), 1.0);
    assert_eq!(page.counter("arqonbus_messages_sent_total"), 2.0);
    // The first batch of a server is among those that are timed.
    let (count, seconds) = page.durations("arqonbus_message_routing_duration_seconds", "");
    assert!(count == 1.0 && seconds > 0.0 && seconds < 5.0, "{count} {seconds}");
    assert_eq!(page.gauge("arqonbus_rooms_total"), 1.0);
    assert_eq!(page.gauge("arqonbus_channels_total"), 2.0);
    assert_eq!(page.counter("arqon_messages_processed_total"), 2.0);
    assert_eq!(page.counter("arqon_messages_refused_total"), 1.0);
    assert_eq!(page.durations("arqon_message_routing_duration_seconds", ""), (count, seconds));
    for name in ["arqon_messages_stored_total", "arqon_messages_received_total", "arqon_messages_sent_total"]
    {
        assert!(page.counter(name) >= 2.0, "{name}");
    }
}

#[tokio::test]
async fn commands_are_counted_by_name_and_by_what_became_of_them() {
    let site = Site::start().await;
    let mut caller = Socket::open(&site).await;
    caller.command("ping", json!({})).await;
    caller.command("ping", json!({})).await;
    caller
        .send(json!({"type": "command", "id": "x", "command": "channel_info", "args": {"address": "no:one"}}))
        .await;
    assert_eq!(caller.read().await.unwrap()["type"], "error");
    caller.send(json!({"type": "command", "id": "y", "command": "no_such_thing", "args": {}})).await;
    assert_eq!(caller.read().await.unwrap()["type"], "error");
    let page = scrape(&site).await;
    assert_eq!(page.counter("arqonbus_total_commands"), 4.0);
    assert_eq!(page.counter("arqonbus_command_success_total"), 2.0);
    assert_eq!(page.counter("arqonbus_command_failure_total"), 2.0);
    assert_eq!(page.counter("arqonbus_errors_total"), 2.0);
    assert_eq!(page.gauge("arqonbus_error_rate"), 0.5);
    let calls = |command: &str| page.counter_of("arqonbus_command_executions_total", command);
    assert_eq!(calls("command=\"ping\""), 2.0);
    assert_eq!(calls("command=\"channel_info\""), 1.0);
    assert_eq!(calls("command=\"no_such_thing\""), 0.0, "names that are none cost no memory");
    let (count, seconds) = page.durations("arqonbus_command_duration_seconds", "");
    assert!(count == 1.0 && seconds > 0.0, "{count} {seconds}");
    assert_eq!(
        (page.counter("arqon_commands_total"), page.counter("arqon_command_success_total")),
        (4.0, 2.0)
    );
    assert_eq!((page.counter("arqon_errors_total"), page.gauge("arqon_error_rate")), (2.0, 0.5));
    assert_eq!(page.counter_of("arqon_command_executions_total", "command=\"ping\""), 2.0);
    assert_eq!(page.durations("arqon_command_duration_seconds", ""), (count, seconds));
}

#[tokio::test]
async fn connections_are_counted_by_kind_and_timed_when_they_end() {
    let site = Site::start().await;
    let (open, closing) = (Socket::open(&site).await, Socket::open(&site).await);
    // An event stream is a connection, and no WebSocket.
    let stream = ask("GET", "/api/v1/events?pattern=a:*").token(&site.owner);
    let _stream = crate::http::Events::open(site.addr, stream).await;
    let page = scrape(&site).await;
    assert_eq!(page.gauge("arqonbus_active_clients"), 3.0);
    assert_eq!(page.gauge("arqonbus_active_connections"), 3.0);
    assert_eq!(page.gauge("arqonbus_websocket_connections"), 2.0);
    assert_eq!(page.counter("arqonbus_websocket_connections_total"), 2.0);
    assert_eq!(page.durations("arqonbus_websocket_connection_duration_seconds", ""), (0.0, 0.0));
    assert_eq!(
        (page.gauge("arqon_active_connections"), page.gauge("arqon_websocket_connections")),
        (3.0, 2.0)
    );
    drop(closing);
    // The server hears of the end in its own time.
    let page = scrape_until(&site, |page| page.gauge("arqonbus_websocket_connections") == 1.0).await;
    let (count, seconds) = page.durations("arqonbus_websocket_connection_duration_seconds", "");
    assert!(count == 1.0 && seconds > 0.0, "{count} {seconds}");
    assert_eq!(page.counter("arqonbus_websocket_connections_total"), 2.0);
    assert_eq!(page.counter("arqon_websocket_connections_total"), 2.0);
    assert_eq!(page.durations("arqon_websocket_connection_duration_seconds", ""), (count, seconds));
    drop(open);
}

#[tokio::test]
async fn events_and_who_listens_to_them_are_counted() {
    let site = Site::start().await;
    let page = scrape(&site).await;
    assert_eq!(page.gauge("arqonbus_telemetry_connections"), 0.0);
    let mut listener = Socket::open(&site).await;
    listener.command("subscribe", json!({ "pattern": "system:*" })).await;
    let _other = Socket::open(&site).await;
    // The events of what was done: that there is another client is among them.
    while listener.read().await.unwrap()["payload"]["event_type"] != "client_connected" {}
    let page = scrape(&site).await;
    assert_eq!(page.gauge("arqonbus_telemetry_connections"), 1.0);
    assert_eq!(page.gauge("arqonbus_telemetry_active_clients"), 1.0);
    assert!(page.counter("arqonbus_telemetry_events_total") >= 1.0);
    let (count, seconds) = page.durations("arqonbus_telemetry_broadcast_duration_seconds", "");
    assert!(count >= 1.0 && seconds > 0.0, "{count} {seconds}");
    assert_eq!(page.durations("arqon_telemetry_broadcast_duration_seconds", ""), (count, seconds));
    assert_eq!(page.gauge("arqon_telemetry_connections"), 1.0);
    assert!(page.counter("arqon_events_published_total") >= 1.0);
    assert_eq!(page.counter("arqon_events_dropped_total"), 0.0, "so few are no flood");
}

#[tokio::test]
async fn storage_is_counted_and_timed_by_operation() {
    // The engine that writes to disk, so that an append takes its time.
    let site = Site::with(|c| c.server.engine = arqon_server::Config::default().server.engine).await;
    site.publish("a:b", 1).await;
    let mut caller = Socket::open(&site).await;
    caller.command("history", json!({ "address": "a:b" })).await;
    caller.command("op.store.set", json!({ "key": "k", "value": 1 })).await;
    caller.command("op.store.get", json!({ "key": "k" })).await;
    let page = scrape(&site).await;
    for operation in ["append", "read", "lookup", "commit"] {
        let label = format!("operation=\"{operation}\"");
        let done = page.counter_of("arqonbus_storage_operations_total", &label);
        let (timed, seconds) = page.durations("arqonbus_storage_operation_duration_seconds", &label);
        assert!(done >= 1.0 && timed >= 1.0 && timed <= done && seconds > 0.0, "{label} {done} {timed}");
    }
    let label = "operation=\"append\"";
    let (_, seconds) = page.durations("arqonbus_storage_operation_duration_seconds", label);
    assert!(seconds > 20e-6, "no disk is that fast: {seconds}");
    assert_eq!(page.durations("arqon_storage_operation_duration_seconds", label).1, seconds);
    assert_eq!(page.counter_of("arqon_storage_operations_total", label), 1.0);
    assert_eq!((page.gauge("arqon_rooms_total"), page.gauge("arqon_channels_total")), (1.0, 1.0));
    assert_eq!((page.gauge("arqon_rooms_in_use"), page.gauge("arqon_log_records")), (1.0, 1.0));
    assert!(page.gauge("arqon_log_disk_bytes") > 100.0 && page.gauge("arqon_log_flushes") >= 1.0);
}

#[tokio::test]
async fn requests_are_counted_and_timed_by_route() {
    let site = Site::start().await;
    for _ in 0..3 {
        assert_eq!(site.get("/health").await.status, 200);
    }
    assert_eq!(site.get("/nowhere").await.status, 404);
    let page = scrape(&site).await;
    let health = "endpoint=\"/health\"";
    assert_eq!(page.counter_of("arqonbus_http_requests_total", health), 3.0);
    assert_eq!(page.counter_of("arqonbus_http_requests_total", "endpoint=\"other\""), 1.0);
    assert_eq!(page.counter_of("arqonbus_http_errors_total", health), 0.0);
    assert_eq!(page.counter_of("arqonbus_http_errors_total", "endpoint=\"other\""), 1.0);
    let (count, seconds) = page.durations("arqonbus_http_request_duration_seconds", health);
    assert!(count == 3.0 && seconds > 0.0, "{count} {seconds}");
    assert_eq!(page.counter_of("arqon_http_route_requests_total", health), 3.0);
    assert_eq!(page.counter_of("arqon_http_route_errors_total", "endpoint=\"other\""), 1.0);
    assert_eq!(page.durations("arqon_http_request_duration_seconds", health), (count, seconds));
    assert_eq!(page.counter_of("arqon_http_requests_total", "status=\"2xx\""), 3.0);
    assert_eq!(page.counter_of("arqon_http_requests_total", "status=\"4xx\""), 1.0);
}

#[tokio::test]
async fn the_process_is_looked_at() {
    let site = Site::start().await;
    let page = scrape(&site).await;
    assert!(page.gauge("arqonbus_memory_usage_bytes") > 1e6);
    let before = page.counter("arqonbus_uptime_seconds");
    let after = scrape(&site).await.counter("arqonbus_uptime_seconds");
    assert!(before > 0.0 && after > before, "{before} {after}");
    assert!(page.gauge("arqon_open_files") > 3.0 && page.counter("arqon_cpu_seconds_total") >= 0.0);
}

/// What is documented is what is told: every name of the table is there, and none beside it.
#[tokio::test]
async fn every_documented_name_is_told_and_no_other() {
    let site = Site::start().await;
    site.get("/health").await;
    let text = ask("GET", "/metrics").send(site.addr).await.body;
    drop(Page::read(&text));
    let mut told: Vec<&str> =
        text.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    told.sort_unstable();
    let mut documented = Vec::new();
    for info in arqon_rest::all_metrics() {
        documented.push(format!("arqon_{}", info.name));
        documented.extend(info.older.iter().map(|name| format!("arqonbus_{name}")));
    }
    documented.sort_unstable();
    assert_eq!(told, documented);
}

#[tokio::test]
async fn both_paths_say_the_same() {
    let site = Site::start().await;
    let user = site.token("default", Role::User, Duration::from_secs(60));
    let answer = ask("GET", "/metrics/prometheus").token(&user).send(site.addr).await;
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert!(Page::read(&answer.body).counter("arqon_uptime_seconds") > 0.0);
}
