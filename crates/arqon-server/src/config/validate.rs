//! What is wrong with a combination of values that are each readable.

use super::load::{Origin, Problem};
use super::{Config, DeliveryRule};
use crate::config::delivery::ClassName;
use crate::engine::Place;
use std::path::Path;
use std::time::Duration;

/// Every problem, in the order of the keys.
pub(super) fn problems(config: &Config) -> Vec<Problem> {
    let mut list = Vec::new();
    engine(config, &mut list);
    tls(config, &mut list);
    auth(config, &mut list);
    bounds(config, &mut list);
    origins(config, &mut list);
    if let Err(e) = crate::logging::filter(&config.logging.level) {
        list.push(
            problem("logging.level", e).with_hint("write a level such as `info`, or `info,arqon_ws=debug`"),
        );
    }
    for (i, rule) in config.delivery.iter().enumerate() {
        delivery(i, rule, &mut list);
    }
    list
}

fn problem(key: &str, message: impl Into<String>) -> Problem {
    Problem::new(key, Origin::Whole, message)
}

fn engine(config: &Config, list: &mut Vec<Problem>) {
    if let Err(message) = Place::parse(&config.server.engine, &config.server.data) {
        list.push(problem("server.engine", message));
    }
    if let Some(url) = &config.log.engine
        && let Err(message) = Place::parse(url, &config.server.data)
    {
        list.push(problem("log.engine", message));
    }
}

fn tls(config: &Config, list: &mut Vec<Problem>) {
    let tls = &config.tls;
    if tls.cert.is_some() != tls.key.is_some() {
        let (have, lack) = if tls.cert.is_some() { ("cert", "key") } else { ("key", "cert") };
        let message = format!("is needed, since `server.tls.{have}` is set");
        list.push(problem(&format!("server.tls.{lack}"), message));
    }
    if tls.client_ca.is_some() && tls.cert.is_none() {
        list.push(problem("server.tls.client_ca", "needs `server.tls.cert` and `server.tls.key`"));
    }
    let files = [
        ("server.tls.cert", &tls.cert),
        ("server.tls.key", &tls.key),
        ("server.tls.client_ca", &tls.client_ca),
    ];
    for (key, path) in files {
        if let Some(path) = path {
            readable(key, path, list);
        }
    }
}

fn auth(config: &Config, list: &mut Vec<Problem>) {
    let auth = &config.auth;
    if auth.insecure_dev && !config.server.listen.ip().is_loopback() {
        let message = format!("lets everybody in, so it is refused on {}", config.server.listen);
        list.push(problem("auth.insecure_dev", message).with_hint("listen on 127.0.0.1, or use tokens"));
    }
    if auth.jwt_secret.as_ref().is_some_and(|s| s.reveal().len() < 32) {
        let hint =
            "make one with `openssl rand -base64 32`, or leave it out and the server makes a key of its own";
        list.push(problem("auth.jwt_secret", "expected at least 32 bytes").with_hint(hint));
    }
    for path in &auth.eddsa_public_keys {
        readable("auth.eddsa_public_keys", Path::new(path), list);
    }
}

fn readable(key: &str, path: &Path, list: &mut Vec<Problem>) {
    if let Err(e) = std::fs::File::open(path) {
        list.push(problem(key, format!("{} cannot be read: {e}", path.display())));
    }
}

fn bounds(config: &Config, list: &mut Vec<Problem>) {
    let limits = &config.limits;
    let least = [
        ("limits.message_bytes", limits.message_bytes.0, 1024),
        ("limits.batch", limits.batch as u64, 1),
        ("limits.queue_records", limits.queue_records as u64, 1),
        ("limits.queue_bytes", limits.queue_bytes.0, 1024),
        ("limits.subscriptions", limits.subscriptions as u64, 1),
        ("limits.connections", limits.connections as u64, 1),
        ("limits.consumers", limits.consumers as u64, 1),
        ("log.segment_bytes", config.log.segment_bytes.0, 64 * 1024),
        ("server.max_connections", config.server.max_connections as u64, 1),
        ("server.header_bytes", config.server.header_bytes.0, 8192),
        ("http.body_bytes", config.http.body_bytes.0, 1024),
    ];
    for (key, value, least) in least {
        if value < least {
            list.push(problem(key, format!("expected at least {least}, found {value}")));
        }
    }
    let durations = [
        ("limits.request_timeout_seconds", limits.request_timeout_seconds),
        ("log.flush_interval_ms", config.log.flush_interval_ms),
        ("ws.ping_interval_seconds", config.ws.ping_interval_seconds),
        ("ws.ping_timeout_seconds", config.ws.ping_timeout_seconds),
        ("ws.slow_consumer_timeout_seconds", config.ws.slow_consumer_timeout_seconds),
        ("server.header_timeout_seconds", config.server.header_timeout_seconds),
        ("http.body_timeout_seconds", config.http.body_timeout_seconds),
        ("http.keep_alive_seconds", config.http.keep_alive_seconds),
    ];
    for (key, value) in durations {
        if value.is_zero() {
            list.push(problem(key, "expected more than nothing"));
        }
    }
    // Deliveries come again when they are not acknowledged within 30 s.
    if config.http.settle_seconds > Duration::from_secs(20) {
        list.push(problem("http.settle_seconds", "expected at most 20s"));
    }
    // With the other steps this keeps all of stopping below a minute.
    if config.shutdown.drain_seconds > Duration::from_secs(30) {
        list.push(problem("shutdown.drain_seconds", "expected at most 30s"));
    }
}

fn origins(config: &Config, list: &mut Vec<Problem>) {
    for origin in &config.server.origins {
        let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        let plain = rest.is_some_and(|host| !host.is_empty() && !host.contains('/'));
        if !plain && origin != "*" {
            let message =
                format!("expected an origin such as `https://console.example.com`, found `{origin}`");
            list.push(problem("server.origins", message));
        }
    }
    if config.auth.insecure_dev && config.server.origins.iter().any(|o| o == "*") {
        let message = "`*` with `auth.insecure_dev` would let any web page use this server";
        list.push(problem("server.origins", message).with_hint("name the origins"));
    }
}

fn delivery(i: usize, rule: &DeliveryRule, list: &mut Vec<Problem>) {
    if let Err(e) = rule.to_policy() {
        list.push(problem(&format!("delivery[{i}].pattern"), e.message()));
    }
    let kept = rule.max_age.is_some() || rule.max_bytes.is_some() || rule.max_records.is_some();
    if kept && rule.class != ClassName::Durable {
        let message = "`max_age`, `max_bytes` and `max_records` are for the class `durable`";
        list.push(problem(&format!("delivery[{i}]"), message));
    }
    if rule.history.is_some() && rule.class != ClassName::History {
        list.push(problem(&format!("delivery[{i}].history"), "is for the class `history`"));
    }
}
