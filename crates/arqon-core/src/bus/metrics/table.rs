//! The one table of the bus's metrics: name, older names, type, unit, meaning, and where the value is read.
//!
//! Invariant: nothing is made up: a row reads what the bus counts, or is not there.

use super::View;
use crate::metrics::MetricKind::{Counter, Gauge, Histogram};
use crate::metrics::{MetricInfo, MetricRow, Reading};

type Row = MetricRow<View>;
type Read = fn(&View) -> Reading;

const fn counter(name: &'static str, unit: &'static str, help: &'static str, read: Read) -> Row {
    Row { info: MetricInfo { name, older: &[], kind: Counter, unit, help }, read }
}

const fn gauge(name: &'static str, unit: &'static str, help: &'static str, read: Read) -> Row {
    Row { info: MetricInfo { name, older: &[], kind: Gauge, unit, help }, read }
}

const fn durations(name: &'static str, help: &'static str, read: Read) -> Row {
    Row { info: MetricInfo { name, older: &[], kind: Histogram, unit: "seconds", help }, read }
}

/// The same row, which older dashboards know by these names.
const fn known_as(row: Row, older: &'static [&'static str]) -> Row {
    let MetricInfo { name, kind, unit, help, .. } = row.info;
    Row { info: MetricInfo { name, older, kind, unit, help }, read: row.read }
}

pub(super) const TABLE: &[Row] = &[
    // Messages.
    known_as(
        counter("messages_received_total", "messages", "Messages taken from publishers.", |v| {
            v.count(|c| &c.received)
        }),
        &["messages_received_total", "total_messages"],
    ),
    known_as(
        counter("messages_processed_total", "messages", "Of those, the ones that were not refused.", |v| {
            Reading::count(v.sum(|c| [&c.kept, &c.stored, &c.duplicates]))
        }),
        &["messages_processed_total"],
    ),
    known_as(
        counter("messages_refused_total", "messages", "Of those, the ones refused with an error.", |v| {
            v.count(|c| &c.refused)
        }),
        &["messages_failed_total"],
    ),
    counter("messages_stored_total", "messages", "Messages made durable.", |v| v.count(|c| &c.stored)),
    counter(
        "messages_duplicate_total",
        "messages",
        "Messages recognised as sent before, and not stored again.",
        |v| v.count(|c| &c.duplicates),
    ),
    known_as(
        counter("messages_sent_total", "deliveries", "Deliveries handed to connections.", |v| {
            v.count(|c| &c.delivered)
        }),
        &["messages_sent_total"],
    ),
    counter(
        "messages_expired_total",
        "deliveries",
        "Deliveries left out because the message had expired.",
        |v| v.count(|c| &c.expired),
    ),
    counter("messages_redelivered_total", "deliveries", "Deliveries after the first try.", |v| {
        v.count(|c| &c.redelivered)
    }),
    counter("messages_acknowledged_total", "deliveries", "Acknowledged deliveries.", |v| {
        v.count(|c| &c.acknowledged)
    }),
    counter("messages_dead_lettered_total", "messages", "Messages given up, with the reason kept.", |v| {
        v.count(|c| &c.dead_lettered)
    }),
    counter("gaps_total", "gaps", "Gaps named to readers.", |v| v.count(|c| &c.gaps)),
    counter(
        "subscriptions_fell_behind_total",
        "times",
        "Times a subscription left its queue for reading the log.",
        |v| v.count(|c| &c.fell_behind),
    ),
    known_as(
        durations(
            "message_routing_duration_seconds",
            "From the arrival of a batch until it is with its subscriptions (what is kept in memory) or with the log; every 32nd batch, the first among them.",
            |v| Reading::Spread(v.shared().counters.routing.spread()),
        ),
        &["message_routing_duration_seconds"],
    ),
    // Commands.
    known_as(
        counter("commands_total", "commands", "Commands answered.", |v| {
            Reading::count(v.sum(|c| [&c.done, &c.errors]))
        }),
        &["total_commands"],
    ),
    known_as(
        counter("command_success_total", "commands", "Commands done.", |v| v.count(|c| &c.done)),
        &["command_success_total"],
    ),
    known_as(
        counter("errors_total", "commands", "Commands answered with an error.", |v| v.count(|c| &c.errors)),
        &["errors_total", "command_failure_total"],
    ),
    known_as(
        gauge("error_rate", "0 to 1", "Commands answered with an error, of all since the start.", |v| {
            let (errors, done) = (v.sum(|c| [&c.errors]) as f64, v.sum(|c| [&c.done]) as f64);
            Reading::Number(errors / (errors + done).max(1.0))
        }),
        &["error_rate"],
    ),
    known_as(
        counter(
            "command_executions_total",
            "commands",
            "Calls of each command (`command`); names that are none are not among them.",
            |v| Reading::Numbers("command", v.shared().counters.calls()),
        ),
        &["command_executions_total"],
    ),
    known_as(
        durations(
            "command_duration_seconds",
            "Until a command is answered, with what it waits for; every 32nd command, the first among them; questions to agents are not timed.",
            |v| Reading::Spread(v.shared().counters.answering.spread()),
        ),
        &["command_duration_seconds"],
    ),
    // Connections.
    known_as(
        gauge("active_connections", "connections", "Open connections of all transports.", |v| {
            Reading::count(v.census.all as u64)
        }),
        &["active_clients", "active_connections"],
    ),
    known_as(
        gauge("websocket_connections", "connections", "Open WebSockets.", |v| {
            Reading::count(v.census.websockets as u64)
        }),
        &["websocket_connections"],
    ),
    known_as(
        counter("websocket_connections_total", "connections", "WebSockets opened.", |v| {
            v.count(|c| &c.websockets)
        }),
        &["websocket_connections_total"],
    ),
    known_as(
        durations(
            "websocket_connection_duration_seconds",
            "How long a WebSocket was open; those that still are do not count yet.",
            |v| Reading::Spread(v.shared().counters.connected.spread()),
        ),
        &["websocket_connection_duration_seconds"],
    ),
    gauge("subscriptions", "subscriptions", "Live subscriptions.", |v| {
        Reading::count(v.shared().connections.subscriptions() as u64)
    }),
    gauge("durable_subscriptions", "subscriptions", "Named subscriptions in memory.", |v| {
        Reading::count(v.shared().consumers.count() as u64)
    }),
    gauge("agents_online", "agents", "Agents with an open connection.", |v| {
        Reading::count(v.shared().agents.count() as u64)
    }),
    // Events.
    known_as(
        gauge("telemetry_connections", "connections", "Open connections that listen to events.", |v| {
            Reading::count(v.census.listening as u64)
        }),
        &["telemetry_connections", "telemetry_active_clients"],
    ),
    known_as(
        counter("events_published_total", "events", "Events published to those who listen.", |v| {
            Reading::count(v.events.0)
        }),
        &["telemetry_events_total"],
    ),
    counter(
        "events_dropped_total",
        "events",
        "Events left out, since there were more than could be published.",
        |v| Reading::count(v.events.1),
    ),
    known_as(
        durations(
            "telemetry_broadcast_duration_seconds",
            "Handing a run of events to all who listen.",
            |v| Reading::Spread(v.shared().counters.broadcasts.spread()),
        ),
        &["telemetry_broadcast_duration_seconds"],
    ),
    // Storage.
    known_as(
        counter(
            "storage_operations_total",
            "operations",
            "What the stores were asked for (`operation`): batches appended to the log, pages read of it, documents looked up, batches of documents changed.",
            |v| {
                let work = &v.shared().counters.stores;
                let count = |spread: crate::metrics::Spread| spread.count() as f64;
                let each = vec![
                    ("append", work.appends.seen() as f64),
                    ("read", count(work.reads.spread())),
                    ("lookup", count(work.lookups.spread())),
                    ("commit", count(work.commits.spread())),
                ];
                Reading::Numbers("operation", each)
            },
        ),
        &["storage_operations_total"],
    ),
    known_as(
        durations(
            "storage_operation_duration_seconds",
            "How long that took (`operation`), an append until it is on disk; of appends every 32nd, the first among them.",
            |v| {
                let work = &v.shared().counters.stores;
                let each = vec![
                    ("append", work.appends.spread()),
                    ("read", work.reads.spread()),
                    ("lookup", work.lookups.spread()),
                    ("commit", work.commits.spread()),
                ];
                Reading::Spreads("operation", each)
            },
        ),
        &["storage_operation_duration_seconds"],
    ),
    known_as(
        gauge("rooms_total", "rooms", "Rooms with a log.", |v| Reading::count(v.log.rooms)),
        &["rooms_total"],
    ),
    known_as(
        gauge(
            "channels_total",
            "channels",
            "Channels that the log keeps messages of, without inboxes.",
            |v| v.channels.map_or(Reading::Absent, Reading::count),
        ),
        &["channels_total"],
    ),
    gauge("rooms_in_use", "rooms", "Rooms in memory.", |v| Reading::count(v.shared().rooms.count() as u64)),
    gauge("log_records", "records", "Records kept in the log.", |v| Reading::count(v.log.records)),
    gauge("log_disk_bytes", "bytes", "Bytes that the log takes on disk.", |v| {
        Reading::count(v.log.disk_bytes)
    }),
    gauge("log_flushes", "flushes", "Flushes of the log since the start.", |v| Reading::count(v.log.flushes)),
    gauge("log_damaged", "places", "Damaged places known in the log.", |v| Reading::count(v.log.damaged)),
    // What is held in memory.
    gauge("queued_records", "records", "Records that wait in memory for subscriptions.", |v| {
        Reading::count(v.held.queues.iter().map(|(records, _)| *records as u64).sum())
    }),
    gauge("queued_bytes", "bytes", "Bytes of records that wait in memory for subscriptions.", |v| {
        Reading::count(v.held.queues.iter().map(|(_, bytes)| *bytes as u64).sum())
    }),
    gauge(
        "deliveries_out",
        "deliveries",
        "Deliveries of durable subscriptions that are not acknowledged yet.",
        |v| Reading::count(v.held.durable.iter().map(|held| held.out as u64).sum()),
    ),
    gauge(
        "acknowledged_ahead",
        "acknowledgements",
        "Acknowledgements of what this server has not handed out yet.",
        |v| Reading::count(v.held.durable.iter().map(|held| held.ahead as u64).sum()),
    ),
    gauge("questions_open", "questions", "Questions that wait for their answer.", |v| {
        Reading::count(v.held.questions as u64)
    }),
    // Operators.
    gauge("cron_jobs", "jobs", "Jobs that send messages by the clock.", |v| {
        Reading::count(v.shared().cron.count() as u64)
    }),
    gauge("webhook_rules", "rules", "Webhooks in force.", |v| {
        Reading::count(v.shared().webhooks.count() as u64)
    }),
    counter("webhook_deliveries_total", "messages", "Messages that receivers of webhooks have taken.", |v| {
        Reading::count(v.shared().webhooks.work().delivered())
    }),
    counter("webhook_failures_total", "tries", "Tries to post that failed.", |v| {
        Reading::count(v.shared().webhooks.work().failed())
    }),
    counter(
        "webhook_dead_letters_total",
        "messages",
        "Messages of webhooks given up, after all tries or because they had expired.",
        |v| Reading::count(v.shared().webhooks.work().given_up()),
    ),
    durations(
        "webhook_post_duration_seconds",
        "One try to post, from looking the name up to the answer or the failure.",
        |v| Reading::Spread(v.shared().webhooks.work().posts()),
    ),
    durations(
        "webhook_delivery_duration_seconds",
        "From when a message was stored until its receiver has taken it, with all tries and what was in front of it.",
        |v| Reading::Spread(v.shared().webhooks.work().latencies()),
    ),
    // Inspection.
    counter(
        "inspection_inspected_total",
        "messages",
        "Messages and commands that content inspection read.",
        |v| Reading::count(v.seen.inspected),
    ),
    counter("inspection_secrets_total", "messages", "Those with a probable secret.", |v| {
        Reading::count(v.seen.secrets)
    }),
    counter("inspection_redacted_total", "messages", "Those with something to redact.", |v| {
        Reading::count(v.seen.redacted)
    }),
    counter("inspection_blocked_total", "messages", "Those that content inspection blocked.", |v| {
        Reading::count(v.seen.blocked)
    }),
    counter("inspection_spared_total", "messages", "Those that `enforce` would have blocked.", |v| {
        Reading::count(v.seen.spared)
    }),
    counter("inspection_failed_total", "messages", "Those that content inspection could not read.", |v| {
        Reading::count(v.seen.failed)
    }),
    known_as(
        counter("uptime_seconds", "seconds", "Seconds since the start.", |v| {
            Reading::Number(v.bus.uptime().as_secs_f64())
        }),
        &["uptime_seconds"],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_once_and_say_what_they_are() {
        let mut own: Vec<&str> = TABLE.iter().map(|row| row.info.name).collect();
        let mut older: Vec<&str> = TABLE.iter().flat_map(|row| row.info.older).copied().collect();
        for names in [&mut own, &mut older] {
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "a name is there twice");
        }
        for MetricInfo { name, kind, unit, help, .. } in TABLE.iter().map(|row| row.info) {
            assert!(help.ends_with('.') && !unit.is_empty(), "{name}");
            assert_eq!(name.ends_with("_duration_seconds"), kind == Histogram, "{name}");
            assert!(!name.ends_with("_total") || kind != Histogram, "{name}");
        }
    }
}
