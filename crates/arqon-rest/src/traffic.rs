//! What requests came to, route by route.
//!
//! Invariant: there is one entry for each route and one for what has none, so no path that a client makes up costs memory.

use crate::endpoints;
use arqon_core::metrics::{Durations, Spread};
use arqon_core::value::Value;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The entry of paths that are no route.
const OTHER: &str = "other";

#[derive(Default)]
struct Entry {
    answers: AtomicU64,
    errors: AtomicU64,
    took: Durations,
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
        entry.took.note(took);
    }

    /// The routes that were asked for.
    fn seen(&self) -> impl Iterator<Item = (&'static str, &Entry)> {
        let asked = self.routes.iter().filter(|(_, entry)| entry.answers.load(Relaxed) > 0);
        asked.map(|(path, entry)| (*path, entry))
    }

    /// Answers by route.
    pub(crate) fn answers(&self) -> Vec<(&'static str, f64)> {
        self.seen().map(|(path, entry)| (path, entry.answers.load(Relaxed) as f64)).collect()
    }

    /// Of them, those with 400 and above.
    pub(crate) fn errors(&self) -> Vec<(&'static str, f64)> {
        self.seen().map(|(path, entry)| (path, entry.errors.load(Relaxed) as f64)).collect()
    }

    /// How long answers took, by route.
    pub(crate) fn durations(&self) -> Vec<(&'static str, Spread)> {
        self.seen().map(|(path, entry)| (path, entry.took.spread())).collect()
    }

    /// All of it as older dashboards read it in `/status`.
    pub(crate) fn to_value(&self, uptime: f64) -> Value {
        let millis = |seconds: f64| Value::Float((seconds * 1e5).round() / 100.0);
        let (mut total, mut failed, mut sum) = (0, 0, 0.0);
        let numbers = |entry: &Entry| {
            let (answers, errors) = (entry.answers.load(Relaxed), entry.errors.load(Relaxed));
            (answers, errors, entry.took.spread().sum.as_secs_f64())
        };
        for (_, entry) in self.seen() {
            let (answers, errors, seconds) = numbers(entry);
            (total, failed, sum) = (total + answers, failed + errors, sum + seconds);
        }
        let routes = self.seen().map(|(path, entry)| {
            let (answers, errors, seconds) = numbers(entry);
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
        assert_eq!(traffic.answers(), [("/health", 2.0), ("other", 2.0)]);
        assert_eq!(traffic.errors(), [("/health", 1.0), ("other", 2.0)]);
        let (path, took) = &traffic.durations()[0];
        assert_eq!((*path, took.count(), took.sum), ("/health", 2, Duration::from_millis(500)));
        assert_eq!(traffic.routes.len(), routes);
    }
}
