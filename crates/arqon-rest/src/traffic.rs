//! What requests came to, route by route.
//!
//! Invariant: there is one entry for each route and one for what has none, so no path that a client makes up costs memory.

use crate::endpoints;
use arqon_core::value::Value;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The entry of paths that are no route.
const OTHER: &str = "other";

#[derive(Default)]
struct Entry {
    answers: AtomicU64,
    errors: AtomicU64,
    micros: AtomicU64,
}

/// See the module.
pub struct Traffic {
    routes: Vec<(&'static str, Entry)>,
}

impl Default for Traffic {
    fn default() -> Self {
        let mut paths: Vec<&str> = endpoints().iter().map(|endpoint| endpoint.path).chain([OTHER]).collect();
        paths.sort_unstable();
        paths.dedup();
        Traffic { routes: paths.into_iter().map(|path| (path, Entry::default())).collect() }
    }
}

impl Traffic {
    /// A request was answered; for a stream, with its head.
    pub(crate) fn count(&self, path: Option<&str>, is_error: bool, took: Duration) {
        let find = |path: &str| self.routes.binary_search_by(|(known, _)| (*known).cmp(path)).ok();
        let Some(at) = path.and_then(find).or_else(|| find(OTHER)) else { return };
        let (_, entry) = &self.routes[at];
        entry.answers.fetch_add(1, Relaxed);
        entry.errors.fetch_add(is_error.into(), Relaxed);
        entry.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Path, answers, errors and seconds of the routes that were asked for.
    fn seen(&self) -> impl Iterator<Item = (&'static str, u64, u64, f64)> {
        let read = |(path, entry): &(&'static str, Entry)| {
            let seconds = entry.micros.load(Relaxed) as f64 / 1e6;
            (*path, entry.answers.load(Relaxed), entry.errors.load(Relaxed), seconds)
        };
        self.routes.iter().map(read).filter(|(_, answers, ..)| *answers > 0)
    }

    /// Appends it for Prometheus, under the names of older dashboards.
    pub(crate) fn write(&self, out: &mut String) {
        let head = |out: &mut String, name: &str, help: &str, kind: &str| {
            writeln!(out, "# HELP arqonbus_{name} {help}\n# TYPE arqonbus_{name} {kind}").expect(NEVER);
        };
        head(out, "http_requests_total", "HTTP requests answered, by route.", "counter");
        for (path, answers, ..) in self.seen() {
            writeln!(out, "arqonbus_http_requests_total{{endpoint=\"{path}\"}} {answers}").expect(NEVER);
        }
        head(out, "http_errors_total", "Of them, those answered with 400 and above.", "counter");
        for (path, _, errors, _) in self.seen() {
            writeln!(out, "arqonbus_http_errors_total{{endpoint=\"{path}\"}} {errors}").expect(NEVER);
        }
        head(out, "http_request_duration_seconds", "Until the head of the answer, by route.", "summary");
        for (path, answers, _, seconds) in self.seen() {
            let name = "arqonbus_http_request_duration_seconds";
            writeln!(out, "{name}_sum{{endpoint=\"{path}\"}} {seconds}").expect(NEVER);
            writeln!(out, "{name}_count{{endpoint=\"{path}\"}} {answers}").expect(NEVER);
        }
    }

    /// The same as older dashboards read it in `/status`.
    pub(crate) fn to_value(&self, uptime: f64) -> Value {
        let millis = |seconds: f64| Value::Float((seconds * 1e5).round() / 100.0);
        let (mut total, mut failed, mut sum) = (0, 0, 0.0);
        for (_, answers, errors, seconds) in self.seen() {
            (total, failed, sum) = (total + answers, failed + errors, sum + seconds);
        }
        let routes = self.seen().map(|(path, answers, errors, seconds)| {
            let entry =
                [("count", answers.into()), ("errors", errors.into()), ("total_time_ms", millis(seconds))];
            (path.to_owned(), Value::map(entry))
        });
        let mean = if total == 0 { 0.0 } else { sum / total as f64 };
        Value::map([
            ("total_requests", total.into()),
            ("error_count", failed.into()),
            ("average_response_time_ms", millis(mean)),
            ("uptime_seconds", Value::Float(uptime)),
            ("requests_by_endpoint", Value::Map(routes.collect())),
        ])
    }
}

const NEVER: &str = "writing to a string cannot fail";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_route_and_made_up_paths_together() {
        let traffic = Traffic::default();
        let routes = traffic.routes.len();
        traffic.count(Some("/health"), false, Duration::from_millis(250));
        traffic.count(Some("/health"), true, Duration::from_millis(250));
        traffic.count(None, true, Duration::ZERO);
        traffic.count(Some("/made/up"), true, Duration::ZERO);
        let mut text = String::new();
        traffic.write(&mut text);
        for line in [
            "arqonbus_http_requests_total{endpoint=\"/health\"} 2",
            "arqonbus_http_requests_total{endpoint=\"other\"} 2",
            "arqonbus_http_errors_total{endpoint=\"/health\"} 1",
            "arqonbus_http_request_duration_seconds_sum{endpoint=\"/health\"} 0.5",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert_eq!(traffic.routes.len(), routes);
    }
}
