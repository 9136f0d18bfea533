//! What one run came to, as one line of JSON that outlives the process.
//!
//! Invariant: a run exists only if every message was accounted for; one in which something was lost or came twice is an
//! error and yields no figures.

use crate::load::{Form, Load};
use crate::usage::Usage;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// When others take more than this many cores, a run is disturbed.
pub const QUIET: f64 = 0.1;

/// The result of one run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// Which system, by its word.
    pub system: String,
    /// What it says of its version.
    pub version: String,
    /// The settings that matter, for a reader.
    pub settings: String,
    /// The load, by its word.
    pub load: Load,
    /// `max` for a closed loop, `half` or a number for an open one.
    pub pace: String,
    /// Arqon's form.
    pub form: Form,
    /// Bytes of each payload.
    pub payload: usize,
    /// What was counted.
    pub unit: String,
    /// How many, within the measured time.
    pub count: u64,
    /// The measured time.
    pub seconds: f64,
    /// `count / seconds`.
    pub rate: f64,
    /// Payload bytes a second.
    pub bytes_per_second: f64,
    /// Processor seconds of the server's processes for a million; `None` if the server is not on this machine.
    pub server_cpu_per_million: Option<f64>,
    /// Processor seconds of this generator for a million.
    pub generator_cpu_per_million: f64,
    /// Cores that the generator took; near 1 means that it is the bottleneck, for it has one thread.
    pub generator_cores: f64,
    /// Cores that neither the server nor the generator took; `None` if the server is not on this machine.
    pub others_cores: Option<f64>,
    /// The rate that was intended, of an open loop.
    pub intended_rate: Option<f64>,
    /// The rate of the closed loop that `half` is half of.
    pub max_rate: Option<f64>,
    /// Latencies, where the load has them.
    pub latency: Option<Latency>,
    /// How many messages were checked to have come exactly once and in order (or, for confirms, been confirmed).
    pub checked: u64,
    /// Other figures by name, with the unit as the last part: `ready_ms`, `memory_per_connection_kib`.
    pub figures: BTreeMap<String, f64>,
    /// A figure at several sizes.
    pub points: Vec<Point>,
}

/// One size of a load that grows.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Point {
    /// The size, such as records in the log.
    pub at: u64,
    /// A second.
    pub rate: f64,
    /// Processor seconds of the server for a million.
    pub server_cpu_per_million: Option<f64>,
}

/// Latencies in microseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Latency {
    /// `intended` (open loop, corrected for coordinated omission) or `sent` (closed loop).
    pub from: String,
    /// How many were taken.
    pub samples: u64,
    /// Half were faster.
    pub p50_us: u64,
    /// 99 of 100.
    pub p99_us: u64,
    /// 999 of 1000.
    pub p999_us: u64,
    /// The slowest.
    pub max_us: u64,
    /// Quantile and microseconds, for drawing.
    pub curve: Vec<(f64, u64)>,
}

impl Latency {
    /// The quantiles of a histogram of nanoseconds; `None` if nothing is in it.
    pub fn new(from: &str, histogram: &Histogram<u64>) -> Option<Latency> {
        const CURVE: [f64; 12] = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999, 1.0];
        if histogram.is_empty() {
            return None;
        }
        let at = |quantile: f64| histogram.value_at_quantile(quantile).div_ceil(1000);
        Some(Latency {
            from: from.to_owned(),
            samples: histogram.len(),
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: at(1.0),
            curve: CURVE.iter().map(|quantile| (*quantile, at(*quantile))).collect(),
        })
    }
}

/// A histogram of nanoseconds, up to a minute.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 60_000_000_000, 3).expect("the bounds are in order")
}

/// What a driver measures; the rest of a [`Run`] is known from the plan and the system.
#[derive(Debug, Default)]
pub struct Measured {
    /// How many, within the measured time.
    pub count: u64,
    /// The measured time.
    pub time: Duration,
    /// Processor time within it.
    pub usage: Usage,
    /// Latencies in nanoseconds.
    pub latency: Option<Histogram<u64>>,
    /// How many messages were checked, warming up included.
    pub checked: u64,
    /// Other figures.
    pub figures: BTreeMap<String, f64>,
    /// A figure at several sizes.
    pub points: Vec<Point>,
}

impl Measured {
    /// A second.
    pub fn rate(&self) -> f64 {
        if self.time.is_zero() { 0.0 } else { self.count as f64 / self.time.as_secs_f64() }
    }

    /// Processor seconds of the server for a million.
    pub fn server_cpu(&self) -> Option<f64> {
        self.usage.server.filter(|_| self.count > 0).map(|server| server / self.count as f64 * 1e6)
    }
}

impl Run {
    /// Whether others used the cores meanwhile, so that the figures are worth less.
    pub fn is_disturbed(&self) -> bool {
        self.others_cores.is_some_and(|cores| cores > QUIET)
    }
}
