//! Between what values a number may lie: checked when a configuration is read, and said in the manual and the schema.
//!
//! Invariant: the table below is the only place that knows a bound, so the manual cannot tell another one.

use super::Config;
use super::load::Problem;
use super::quantity::{parse_bytes, parse_duration, show_bytes, show_duration};
use super::setting::{Kind, Section};
use super::validate::problem;
use std::time::Duration;
use toml::Value;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
// Durations are counted in milliseconds here.
const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 24 * 60 * MINUTE;

/// Key, least, most. Counts as they are, sizes in bytes, durations in milliseconds. Upper bounds are far above what is
/// of use and below what cannot work: they find slips of the unit. Two have reasons of their own: deliveries come again
/// after 30 s without an acknowledgement, which bounds `settle_seconds`; and all of stopping shall take less than a
/// minute, which bounds `drain_seconds`.
const RANGES: [(&str, u64, u64); 32] = [
    ("server.max_connections", 1, 1_000_000),
    ("server.header_bytes", 8 * KIB, MIB),
    ("server.header_timeout_seconds", 1, 10 * MINUTE),
    ("auth.leeway_seconds", 0, 10 * MINUTE),
    ("limits.message_bytes", KIB, 64 * MIB),
    ("limits.batch", 1, 1_000_000),
    ("limits.queue_records", 1, 1_000_000),
    ("limits.queue_bytes", KIB, GIB),
    ("limits.subscriptions", 1, 1_000_000),
    ("limits.connections", 1, 10_000_000),
    ("limits.consumers", 1, 10_000_000),
    ("limits.request_timeout_seconds", 1, DAY),
    ("log.segment_bytes", 64 * KIB, 2 * GIB),
    ("log.flush_interval_ms", 1, MINUTE),
    ("records.reserve_bytes", 0, 1024 * TIB),
    ("ws.ping_interval_seconds", 1, 60 * MINUTE),
    ("ws.ping_timeout_seconds", 1, 60 * MINUTE),
    ("ws.slow_consumer_timeout_seconds", 1, 60 * MINUTE),
    ("http.body_bytes", KIB, GIB),
    ("http.body_timeout_seconds", 1, 60 * MINUTE),
    ("http.keep_alive_seconds", 1, 60 * MINUTE),
    ("http.settle_seconds", 0, 20 * SECOND),
    ("omega.max_events", 1, 1_000_000),
    ("omega.max_substrates", 1, 100_000),
    ("webhooks.concurrency", 1, 10_000),
    ("telemetry.max_connections", 1, 1_000_000),
    ("telemetry.keep_events", 0, 1_000_000),
    ("telemetry.info_seconds", 0, DAY),
    ("shutdown.drain_seconds", 0, 30 * SECOND),
    ("delivery.history", 0, 1_000_000),
    ("delivery.max_age", 1, 36_500 * DAY),
    ("delivery.max_bytes", 1, 1024 * TIB),
];

/// The bounds of a key in words; `None` for one that has none.
pub(super) fn describe(key: &str, kind: Kind) -> Option<String> {
    let (least, most) = bounds(key)?;
    Some(match least {
        0 => format!("at most {}", show(most, kind)),
        _ => format!("{} to {}", show(least, kind), show(most, kind)),
    })
}

/// The least and the most of a key.
pub(super) fn bounds(key: &str) -> Option<(u64, u64)> {
    RANGES.iter().find(|(name, ..)| *name == key).map(|(_, least, most)| (*least, *most))
}

/// Every value that lies outside.
pub(super) fn problems(config: &Config, list: &mut Vec<Problem>) {
    for (prefix, section) in config.sections() {
        outside(section, prefix, prefix, list);
    }
    for (i, rule) in config.delivery.iter().enumerate() {
        outside(rule, "delivery", &format!("delivery[{i}]"), list);
    }
}

fn outside(section: &dyn Section, prefix: &str, shown_as: &str, list: &mut Vec<Problem>) {
    for (key, (name, value)) in section.keys().iter().zip(section.show()) {
        let full = format!("{prefix}.{name}");
        let (Some(value), Some((least, most))) = (value, bounds(&full)) else { continue };
        let range = u128::from(least) * SCALE..=u128::from(most) * SCALE;
        let inside = measure(&value, key.kind).is_some_and(|n| range.contains(&n));
        if !inside {
            let expected = describe(&full, key.kind).unwrap_or_default();
            let found = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            list.push(problem(&format!("{shown_as}.{name}"), format!("expected {expected}, found {found}")));
        }
    }
}

/// Everything is compared in thousandths, so that microseconds of durations count.
const SCALE: u128 = 1000;

fn measure(value: &Value, kind: Kind) -> Option<u128> {
    match kind {
        Kind::Bytes => parse_bytes(value.as_str()?).map(|n| u128::from(n) * SCALE),
        Kind::Duration => parse_duration(value.as_str()?).map(|d| d.as_micros()),
        _ => u128::try_from(value.as_integer()?).ok().map(|n| n * SCALE),
    }
}

fn show(n: u64, kind: Kind) -> String {
    match kind {
        Kind::Bytes => show_bytes(n),
        Kind::Duration => show_duration(Duration::from_millis(n)),
        _ => n.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DeliveryRule;

    #[test]
    fn every_range_is_of_a_key_that_can_be_measured_and_holds_its_default() {
        let config = Config::default();
        let rule = DeliveryRule::default();
        let sections = config.sections();
        let all = sections.iter().map(|(p, s)| (*p, *s)).chain([("delivery", &rule as &dyn Section)]);
        let known: Vec<(String, Kind)> = all
            .flat_map(|(p, s)| s.keys().into_iter().map(move |k| (format!("{p}.{}", k.name), k.kind)))
            .collect();
        for (key, least, most) in RANGES {
            let (_, kind) = known.iter().find(|(name, _)| name == key).unwrap();
            assert!(matches!(kind, Kind::Count | Kind::Bytes | Kind::Duration), "{key}");
            assert!(least < most, "{key}");
        }
        let mut list = Vec::new();
        problems(&config, &mut list);
        assert_eq!(list, []);
    }
}
