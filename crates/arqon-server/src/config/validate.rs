//! What is wrong with a combination of values that are each readable.

use super::load::{Origin, Problem};
use super::{Config, DeliveryRule, InspectionConfig, range};
use crate::config::delivery::ClassName;
use crate::engine::Place;

/// Every problem, in the order of the keys.
pub(super) fn problems(config: &Config) -> Vec<Problem> {
    let mut list = Vec::new();
    engine(config, &mut list);
    tls(config, &mut list);
    auth(config, &mut list);
    range::problems(config, &mut list);
    inspection(config, &mut list);
    origins(config, &mut list);
    omega(config, &mut list);
    webhooks(config, &mut list);
    telemetry(config, &mut list);
    if let Err(e) = crate::logging::filter(&config.logging.level) {
        list.push(
            problem("logging.level", e).with_hint("write a level such as `info`, or `info,arqon_ws=debug`"),
        );
    }
    for (i, rule) in config.delivery.iter().enumerate() {
        delivery(i, rule, &mut list);
    }
    for (i, room) in config.rooms.iter().enumerate() {
        if let Err(e) = room.to_seed() {
            let key = format!("rooms[{i}].{}", e.field().unwrap_or("name"));
            list.push(problem(&key, e.message()));
        }
    }
    list
}

pub(super) fn problem(key: &str, message: impl Into<String>) -> Problem {
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
    let wrong = crate::listener::tls_problems(&config.tls);
    list.extend(wrong.into_iter().map(|wrong| problem(wrong.key, wrong.message)));
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
    if auth.previous_jwt_secrets.list().iter().any(|s| s.reveal().len() < 32) {
        list.push(problem("auth.previous_jwt_secrets", "expected at least 32 bytes each"));
    }
    if auth.api_key.as_ref().is_some_and(|key| key.reveal().len() < 16) {
        let hint = "make one with `openssl rand -hex 16`";
        list.push(problem("auth.api_key", "expected at least 16 bytes").with_hint(hint));
    }
    if let Some(path) = &auth.eddsa_private_key
        && let Err(e) = crate::identity::check_private_key(path)
    {
        list.push(problem("auth.eddsa_private_key", e.to_string()));
    }
    for entry in &auth.eddsa_public_keys {
        if let Err(e) = crate::identity::check_public_key(entry) {
            list.push(problem("auth.eddsa_public_keys", e.to_string()));
        }
    }
}

fn inspection(config: &Config, list: &mut Vec<Problem>) {
    // Compiling the shapes takes milliseconds, and the default is tested.
    if config.inspection == InspectionConfig::default() {
        return;
    }
    let wrong = arqon_core::inspect::Inspector::check(&config.inspection.to_policy());
    list.extend(wrong.into_iter().map(|p| problem(&format!("inspection.{}", p.key), p.message)));
}

fn omega(config: &Config, list: &mut Vec<Problem>) {
    if let Err(e) = config.omega.to_settings() {
        list.push(problem("omega.lab_room", format!("the lab is no channel: {}", e.message())));
    }
}

fn webhooks(config: &Config, list: &mut Vec<Problem>) {
    if let Some(message) = crate::outbound::ca_problem(&config.webhooks) {
        list.push(problem("webhooks.ca", message));
    }
}

fn telemetry(config: &Config, list: &mut Vec<Problem>) {
    if let Err(message) = config.telemetry.events() {
        let hint = "docs/telemetry.md lists them";
        list.push(problem("telemetry.filtered_events", message).with_hint(hint));
    }
    let (own, main) = (config.telemetry.listen, config.server.listen);
    if main.port() != 0 && own.is_some_and(|own| own.port() == main.port()) {
        list.push(problem("telemetry.listen", format!("the port {} is the server's own", main.port())));
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
