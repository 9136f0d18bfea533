//! Every number of the server in the text form 0.0.4 of Prometheus, under our names (`arqon_…`) and those that older
//! dashboards ask for (`arqonbus_…`).
//!
//! Invariant: what is written and what is documented are made from the same rows; a family stands once, its samples
//! together behind its type.

use crate::gate::RequestId;
use crate::problem;
use crate::process::Process;
use crate::rest::{Damage, Rest};
use arqon_core::auth::Permission;
use arqon_core::bus::metric_table;
use arqon_core::metrics::MetricKind::{Counter, Gauge, Histogram};
use arqon_core::metrics::{Measured, MetricInfo, MetricRow, Reading, Spread, read_all};
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What the rows of this door read, looked at once.
struct View {
    rest: Arc<Rest>,
    process: Process,
    damage: Damage,
}

const fn row(info: MetricInfo, read: fn(&View) -> Reading) -> MetricRow<View> {
    MetricRow { info, read }
}

const TABLE: &[MetricRow<View>] = &[
    row(
        MetricInfo {
            name: "http_requests_total",
            older: &[],
            kind: Counter,
            unit: "requests",
            help: "HTTP requests answered, by class of status (`status`).",
        },
        |v| {
            let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
            let count =
                |(class, count): (_, &std::sync::atomic::AtomicU64)| (class, count.load(Relaxed) as f64);
            Reading::Numbers("status", classes.into_iter().zip(&v.rest.answers).map(count).collect())
        },
    ),
    row(
        MetricInfo {
            name: "http_route_requests_total",
            older: &["http_requests_total"],
            kind: Counter,
            unit: "requests",
            help: "The same by route (`endpoint`); paths that are no route are `other`.",
        },
        |v| Reading::Numbers("endpoint", v.rest.traffic.answers()),
    ),
    row(
        MetricInfo {
            name: "http_route_errors_total",
            older: &["http_errors_total"],
            kind: Counter,
            unit: "requests",
            help: "Of them, those answered with 400 and above.",
        },
        |v| Reading::Numbers("endpoint", v.rest.traffic.errors()),
    ),
    row(
        MetricInfo {
            name: "http_request_duration_seconds",
            older: &["http_request_duration_seconds"],
            kind: Histogram,
            unit: "seconds",
            help: "Until the head of the answer, by route (`endpoint`).",
        },
        |v| Reading::Spreads("endpoint", v.rest.traffic.durations()),
    ),
    row(
        MetricInfo {
            name: "log_new_epochs",
            older: &[],
            kind: Gauge,
            unit: "rooms",
            help: "Rooms that went on in a new epoch at the start.",
        },
        |v| Reading::count(v.damage.new_epochs),
    ),
    row(
        MetricInfo {
            name: "records_lost_batches",
            older: &[],
            kind: Gauge,
            unit: "groups",
            help: "Groups of writes of records missing at the start.",
        },
        |v| Reading::count(v.damage.lost_batches),
    ),
    row(
        MetricInfo {
            name: "records_damaged",
            older: &[],
            kind: Gauge,
            unit: "times",
            help: "Times that a damaged record was met since the start.",
        },
        |v| Reading::count(v.damage.documents),
    ),
    row(
        MetricInfo {
            name: "memory_usage_bytes",
            older: &["memory_usage_bytes"],
            kind: Gauge,
            unit: "bytes",
            help: "Memory that the process holds; only where there is a `/proc`.",
        },
        |v| v.process.memory.map_or(Reading::Absent, Reading::Number),
    ),
    row(
        MetricInfo {
            name: "open_files",
            older: &[],
            kind: Gauge,
            unit: "files",
            help: "Open file descriptors; only where there is a `/proc`.",
        },
        |v| v.process.files.map_or(Reading::Absent, Reading::Number),
    ),
    row(
        MetricInfo {
            name: "cpu_seconds_total",
            older: &[],
            kind: Counter,
            unit: "seconds",
            help: "Processor time of the process; only where there is a `/proc`.",
        },
        |v| v.process.cpu_seconds.map_or(Reading::Absent, Reading::Number),
    ),
];

/// What is said of every metric of the server.
pub fn all_metrics() -> Vec<&'static MetricInfo> {
    metric_table().chain(TABLE.iter().map(|row| &row.info)).collect()
}

/// Every number.
pub(crate) async fn metrics(
    State(rest): State<Arc<Rest>>,
    RequestId(id): RequestId,
    request: Request,
) -> Response {
    if !rest.settings.open_metrics {
        let (parts, _) = request.into_parts();
        let allowed = (rest.authenticate)(&parts).and_then(|ctx| ctx.require(Permission::SystemInfo));
        if let Err(error) = allowed {
            return problem::refuse(&error, &id, &*rest.bus.env().clock);
        }
    }
    let mut measured = rest.bus.measure().await;
    let view = View { process: Process::now(), damage: (rest.damage)(), rest };
    measured.extend(read_all(TABLE, &view));
    let mut text = String::with_capacity(32 * 1024);
    for measured in &measured {
        write(&mut text, measured).expect("writing to a string cannot fail");
    }
    let mut response = text.into_response();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// One metric under all its names.
fn write(out: &mut String, measured: &Measured) -> fmt::Result {
    let Measured { info, reading } = measured;
    if *reading == Reading::Absent {
        return Ok(());
    }
    let older = info.older.iter().map(|name| ("arqonbus_", *name));
    for (prefix, name) in std::iter::once(("arqon_", info.name)).chain(older) {
        let name = format!("{prefix}{name}");
        writeln!(out, "# HELP {name} {}\n# TYPE {name} {}", info.help, info.kind.as_str())?;
        write_values(out, &name, reading)?;
    }
    Ok(())
}

fn write_values(out: &mut String, name: &str, reading: &Reading) -> fmt::Result {
    match reading {
        Reading::Absent => Ok(()),
        Reading::Number(value) => writeln!(out, "{name} {value}"),
        Reading::Numbers(label, list) => {
            list.iter().try_for_each(|(of, value)| writeln!(out, "{name}{{{label}=\"{of}\"}} {value}"))
        }
        Reading::Spread(spread) => write_spread(out, name, "", spread),
        Reading::Spreads(label, list) => list
            .iter()
            .try_for_each(|(of, spread)| write_spread(out, name, &format!("{label}=\"{of}\""), spread)),
    }
}

/// Buckets hold what is at most their bound, so each counts those before it in.
fn write_spread(out: &mut String, name: &str, label: &str, spread: &Spread) -> fmt::Result {
    let comma = if label.is_empty() { "" } else { "," };
    let mut count = 0;
    for (bound, n) in spread.bounds.iter().zip(&spread.counts) {
        count += n;
        let seconds = *bound as f64 / 1e6;
        writeln!(out, "{name}_bucket{{{label}{comma}le=\"{seconds}\"}} {count}")?;
    }
    let (count, sum) = (spread.count(), spread.sum.as_secs_f64());
    writeln!(out, "{name}_bucket{{{label}{comma}le=\"+Inf\"}} {count}")?;
    let braces = if label.is_empty() { String::new() } else { format!("{{{label}}}") };
    writeln!(out, "{name}_sum{braces} {sum}\n{name}_count{braces} {count}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use arqon_core::metrics::Durations;
    use std::time::Duration;

    const INFO: MetricInfo =
        MetricInfo { name: "a_total", older: &["b_total"], kind: Counter, unit: "as", help: "As." };

    fn text(info: &'static MetricInfo, reading: Reading) -> String {
        let mut out = String::new();
        write(&mut out, &Measured { info, reading }).unwrap();
        out
    }

    #[test]
    fn a_number_stands_under_all_its_names() {
        let expected = "# HELP arqon_a_total As.\n# TYPE arqon_a_total counter\narqon_a_total 3\n\
                        # HELP arqonbus_b_total As.\n# TYPE arqonbus_b_total counter\narqonbus_b_total 3\n";
        assert_eq!(text(&INFO, Reading::count(3)), expected);
        assert_eq!(text(&INFO, Reading::Absent), "");
        let by = text(&INFO, Reading::Numbers("kind", vec![("x", 1.0), ("y", 2.5)]));
        assert!(by.contains("\narqon_a_total{kind=\"x\"} 1\narqon_a_total{kind=\"y\"} 2.5\n"), "{by}");
    }

    #[test]
    fn buckets_hold_all_below_their_bound() {
        const TIMES: MetricInfo =
            MetricInfo { name: "t_seconds", older: &[], kind: Histogram, unit: "seconds", help: "Ts." };
        let durations = Durations::new(&[1_000, 1_000_000]);
        for millis in [1, 500, 700, 2_000] {
            durations.note(Duration::from_millis(millis));
        }
        let expected = "# HELP arqon_t_seconds Ts.\n# TYPE arqon_t_seconds histogram\n\
                        arqon_t_seconds_bucket{le=\"0.001\"} 1\narqon_t_seconds_bucket{le=\"1\"} 3\n\
                        arqon_t_seconds_bucket{le=\"+Inf\"} 4\narqon_t_seconds_sum 3.201\narqon_t_seconds_count 4\n";
        assert_eq!(text(&TIMES, Reading::Spread(durations.spread())), expected);
        let by = text(&TIMES, Reading::Spreads("at", vec![("x", durations.spread())]));
        assert!(by.contains("\narqon_t_seconds_bucket{at=\"x\",le=\"1\"} 3\n"), "{by}");
        assert!(by.ends_with("arqon_t_seconds_sum{at=\"x\"} 3.201\narqon_t_seconds_count{at=\"x\"} 4\n"));
    }

    #[test]
    fn no_name_stands_twice() {
        let all = all_metrics();
        let mut names: Vec<String> = all.iter().map(|info| format!("arqon_{}", info.name)).collect();
        names.extend(all.iter().flat_map(|info| info.older.iter().map(|name| format!("arqonbus_{name}"))));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(all.iter().all(|info| !info.help.contains(['\n', '\\'])), "no help needs escaping");
    }
}
