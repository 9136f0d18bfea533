//! Counters of the bus, as plain atomics, and their names.

use super::Bus;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only rises.
    Counter,
    /// Goes both ways.
    Gauge,
}

/// One number for the outside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// Its name, without the `arqon_` prefix.
    pub name: &'static str,
    /// What it counts, and the unit.
    pub help: &'static str,
    /// How it behaves.
    pub kind: MetricKind,
    /// The value.
    pub value: f64,
}

macro_rules! counters {
    ($($name:ident: $wire:literal, $help:literal;)*) => {
        /// What happened since the start.
        #[derive(Default)]
        pub(super) struct Counters { $(pub(super) $name: AtomicU64,)* }
        impl Counters {
            fn list(&self) -> Vec<Metric> {
                vec![$(Metric {
                    name: $wire, help: $help, kind: MetricKind::Counter, value: self.$name.load(Relaxed) as f64,
                },)*]
            }
        }
    };
}

counters! {
    received: "messages_received_total", "Messages taken from publishers.";
    stored: "messages_stored_total", "Messages made durable.";
    duplicates: "messages_duplicate_total", "Messages recognised as sent before, and not stored again.";
    refused: "messages_refused_total", "Messages refused with an error.";
    delivered: "messages_sent_total", "Deliveries handed to connections.";
    expired: "messages_expired_total", "Deliveries left out because the message had expired.";
    gaps: "gaps_total", "Gaps named to readers.";
    fell_behind: "subscriptions_fell_behind_total", "Times a subscription left its queue for reading the log.";
    redelivered: "messages_redelivered_total", "Deliveries after the first try.";
    acknowledged: "messages_acknowledged_total", "Acknowledged deliveries.";
    dead_lettered: "messages_dead_lettered_total", "Messages given up, with the reason kept.";
    commands: "commands_total", "Commands run.";
    errors: "errors_total", "Commands that answered with an error.";
}

impl Bus {
    /// Since the start.
    pub(crate) fn uptime(&self) -> Duration {
        self.shared.env.clock.monotonic().saturating_sub(self.shared.started)
    }

    /// Every number of the bus, for metrics and status.
    pub fn metrics(&self) -> Vec<Metric> {
        let shared = &self.shared;
        let mut list = shared.counters.list();
        let log = shared.log.stats();
        let gauges = [
            ("uptime_seconds", "Seconds since the start.", self.uptime().as_secs_f64()),
            ("active_connections", "Open connections of all transports.", shared.connections.count() as f64),
            ("subscriptions", "Live subscriptions.", shared.connections.subscriptions() as f64),
            ("durable_subscriptions", "Named subscriptions in memory.", shared.consumers.count() as f64),
            ("agents_online", "Agents with an open connection.", shared.agents.count() as f64),
            ("cron_jobs", "Jobs that send messages by the clock.", shared.cron.count() as f64),
            ("rooms_in_use", "Rooms in memory.", shared.rooms.count() as f64),
            ("rooms_total", "Rooms with a log.", log.rooms as f64),
            ("log_records", "Records kept in the log.", log.records as f64),
            ("log_disk_bytes", "Bytes that the log takes on disk.", log.disk_bytes as f64),
            ("log_flushes", "Flushes of the log since the start.", log.flushes as f64),
            ("log_damaged", "Damaged places known in the log.", log.damaged as f64),
        ];
        let gauges = gauges.into_iter().chain(super::holdings::gauges(self));
        list.extend(gauges.map(|(name, help, value)| Metric { name, help, kind: MetricKind::Gauge, value }));
        let (seen, (published, dropped)) = (shared.inspector.counts(), shared.events.counts());
        let inspection = [
            ("events_published_total", "Events published to those who listen.", published),
            (
                "events_dropped_total",
                "Events left out, since there were more than could be published.",
                dropped,
            ),
            (
                "inspection_inspected_total",
                "Messages and commands that content inspection read.",
                seen.inspected,
            ),
            ("inspection_secrets_total", "Those with a probable secret.", seen.secrets),
            ("inspection_redacted_total", "Those with something to redact.", seen.redacted),
            ("inspection_blocked_total", "Those that content inspection blocked.", seen.blocked),
            ("inspection_spared_total", "Those that `enforce` would have blocked.", seen.spared),
            ("inspection_failed_total", "Those that content inspection could not read.", seen.failed),
        ];
        let kind = MetricKind::Counter;
        list.extend(inspection.map(|(name, help, n)| Metric { name, help, kind, value: n as f64 }));
        list
    }
}
