//! What is measured, and what one run of it yields.

use crate::machine::Usage;
use crate::{confirmed, fan_out};
use anyhow::Result;
use arqon_testkit::process::Site;
use hdrhistogram::Histogram;
use std::time::Duration;

/// The payload of every message, in bytes: a JSON object with a number and padding.
pub const PAYLOAD: usize = 256;
/// How many digits the number in a payload has.
pub const DIGITS: usize = 10;
/// Not measured: connections, caches and the allocator settle.
pub const WARM_UP: Duration = Duration::from_secs(1);

/// When others take more than this many cores, a run is disturbed.
pub const QUIET: f64 = 0.1;

/// One kind of load.
#[derive(Debug, Clone, Copy)]
pub enum Case {
    /// One publisher, ephemeral, to so many subscribers.
    FanOut(usize),
    /// One publisher, durable and confirmed, with so many unconfirmed at any time.
    Confirmed(u64),
}

/// All of them, in the order of the table.
pub const CASES: &[Case] = &[Case::FanOut(1), Case::FanOut(100), Case::Confirmed(1), Case::Confirmed(256)];

impl Case {
    /// What the table calls it.
    pub fn name(self) -> String {
        match self {
            Case::FanOut(subscribers) => format!("fan-out 1 → {subscribers}"),
            Case::Confirmed(in_flight) => format!("durable, confirmed, {in_flight} in flight"),
        }
    }

    /// What is counted.
    pub fn unit(self) -> &'static str {
        match self {
            Case::FanOut(_) => "deliveries",
            Case::Confirmed(_) => "confirms",
        }
    }
}

/// What one run came to.
pub struct Run {
    /// How many deliveries or confirms, within the measured time.
    pub count: u64,
    /// The measured time.
    pub time: Duration,
    /// Processor time within it.
    pub usage: Usage,
    /// From sending to the confirm, in microseconds; empty for fan-out.
    pub latency: Histogram<u64>,
}

impl Run {
    /// A second.
    pub fn rate(&self) -> f64 {
        self.count as f64 / self.time.as_secs_f64()
    }

    /// Processor seconds of the server for a million.
    pub fn server_cpu(&self) -> f64 {
        self.usage.server / self.count as f64 * 1e6
    }

    /// How many cores others took.
    pub fn others(&self) -> f64 {
        self.usage.others() / self.time.as_secs_f64()
    }

    /// One line for whoever waits.
    pub fn line(&self) -> String {
        let (rate, cpu, others) = (self.rate(), self.server_cpu(), self.others());
        let load = self.usage.load / self.count as f64 * 1e6;
        let latency = (!self.latency.is_empty()).then(|| {
            let (p50, p99) = (self.latency.value_at_quantile(0.5), self.latency.value_at_quantile(0.99));
            format!(", p50 {p50} µs, p99 {p99} µs")
        });
        let latency = latency.unwrap_or_default();
        format!(
            "{rate:>10.0}/s, server {cpu:.2} CPU-s/M, generator {load:.2}, others {others:.2} cores{latency}"
        )
    }
}

/// Runs one case against a running server.
pub async fn run(case: Case, site: &Site, server: u32, length: Duration) -> Result<Run> {
    match case {
        Case::FanOut(subscribers) => fan_out::run(site, server, subscribers, length).await,
        Case::Confirmed(in_flight) => confirmed::run(site, server, in_flight, length).await,
    }
}

/// A histogram of microseconds, up to a minute.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are in order")
}

/// A publish as a prepared frame, and where in it the number stands. The number is text, so that it has one width.
pub fn prepare(address: &str, confirm: bool) -> (Vec<u8>, usize) {
    let fixed = r#"{"n":"","pad":""}"#.len() + DIGITS;
    let payload = format!(r#"{{"n":"{}","pad":"{}"}}"#, "0".repeat(DIGITS), "x".repeat(PAYLOAD - fixed));
    let confirm = if confirm { r#""confirm":"stored","# } else { "" };
    let text = format!(r#"{{"type":"message","to":"{address}",{confirm}"payload":{payload}}}"#);
    let frame = crate::socket::frame(&text);
    let at = frame.windows(6).position(|w| w == br#"{"n":""#).expect("it was just written") + 6;
    (frame, at)
}

/// Writes a number into its place.
pub fn put_number(frame: &mut [u8], at: usize, mut number: u64) {
    for digit in frame[at..at + DIGITS].iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Reads the number of a delivery, which ends with the payload and one brace.
pub fn number_of(delivery: &[u8]) -> Option<u64> {
    let begin = delivery.len().checked_sub(PAYLOAD + 1)?;
    let digits = delivery[begin..].strip_prefix(br#"{"n":""#)?.get(..DIGITS)?;
    digits.iter().try_fold(0u64, |n, d| d.is_ascii_digit().then(|| n * 10 + u64::from(d - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_back_from_a_frame() {
        let (mut frame, at) = prepare("live:main", false);
        put_number(&mut frame, at, 4_711);
        assert_eq!(number_of(&frame), Some(4_711));
        assert_eq!(number_of(b"{}"), None);
    }
}
