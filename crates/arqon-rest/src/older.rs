//! The metrics under the names that older dashboards and alarms ask for, beside our own.
//!
//! Invariant: a name is there only where there is something to count; no number is made up.

use crate::rest::Rest;
use arqon_core::bus::Metric;
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

/// One of our numbers, by name.
type Source<'a> = &'a dyn Fn(&str) -> Option<f64>;

struct Older {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(Source<'_>) -> Option<f64>,
}

const fn older(
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(Source<'_>) -> Option<f64>,
) -> Older {
    Older { name, kind, help, value }
}

const TABLE: [Older; 20] = [
    older("active_clients", "gauge", "Open connections of all kinds.", |of| of("active_connections")),
    older("active_connections", "gauge", "Open connections of all kinds.", |of| of("active_connections")),
    older("websocket_connections", "gauge", "Open WebSockets.", |of| of("websocket_connections")),
    older("telemetry_connections", "gauge", "Open connections for telemetry.", |of| {
        of("telemetry_connections")
    }),
    older("telemetry_events_total", "counter", "Events made.", |of| of("events_total")),
    older("messages_received_total", "counter", "Messages taken.", |of| of("messages_received_total")),
    older("messages_sent_total", "counter", "Deliveries made.", |of| of("messages_sent_total")),
    older("total_messages", "counter", "Messages taken.", |of| of("messages_received_total")),
    older("messages_processed_total", "counter", "Messages taken and not refused.", |of| {
        Some(of("messages_received_total")? - of("messages_refused_total")?)
    }),
    older("messages_failed_total", "counter", "Messages refused.", |of| of("messages_refused_total")),
    older("storage_operations_total", "counter", "Messages stored.", |of| of("messages_stored_total")),
    older("total_commands", "counter", "Commands run.", |of| of("commands_total")),
    older("command_success_total", "counter", "Commands done.", |of| {
        Some(of("commands_total")? - of("errors_total")?)
    }),
    older("command_failure_total", "counter", "Commands refused or failed.", |of| of("errors_total")),
    older("errors_total", "counter", "Commands refused or failed.", |of| of("errors_total")),
    older("error_rate", "gauge", "Of all commands, those refused or failed; 0 to 1.", |of| {
        Some(of("errors_total")? / of("commands_total")?.max(1.0))
    }),
    older("rooms_total", "gauge", "Rooms with a log.", |of| of("rooms_total")),
    older("channels_total", "gauge", "Channels.", |of| of("channels_total")),
    older("memory_usage_bytes", "gauge", "Memory that the process holds.", |of| of("memory_usage_bytes")),
    older("uptime_seconds", "counter", "Seconds since the start.", |of| of("uptime_seconds")),
];

/// Appends them.
pub(crate) fn write(out: &mut String, metrics: &[Metric], rest: &Rest) {
    let feeds = rest.feeds.load(Relaxed) as f64;
    let find = |name: &str| {
        let value = |name: &str| metrics.iter().find(|m| m.name == name).map(|m| m.value);
        match name {
            "websocket_connections" => value("active_connections").map(|all| (all - feeds).max(0.0)),
            name => value(name),
        }
    };
    for Older { name, kind, help, value } in &TABLE {
        let Some(value) = value(&find) else { continue };
        let written = writeln!(
            out,
            "# HELP arqonbus_{name} {help}\n# TYPE arqonbus_{name} {kind}\narqonbus_{name} {value}"
        );
        written.expect("writing to a string cannot fail");
    }
    rest.traffic.write(out);
}
