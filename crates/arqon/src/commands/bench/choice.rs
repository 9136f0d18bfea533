//! Which load, and how much of it: a word and a few numbers.
//!
//! Invariant: a number that the chosen load has no use for is refused, not passed over.

use crate::failure::Failure;
use arqon_bench::load::Load;
use clap::{Args, ValueEnum};

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Scenario {
    /// Nine loads, two seconds each
    Tour,
    /// One publisher, many subscribers
    FanOut,
    /// One asks, one answers
    RequestReply,
    /// Durable publishes, each on disk before it is confirmed
    Confirmed,
    /// Durable publish, delivery, acknowledgement
    DurableSubscription,
    /// A reader that joins from the first record
    Replay,
    /// From start to ready, after an orderly stop and after a kill
    StartUp,
    /// Memory of connections that do nothing
    Idle,
    /// Durable publishes that go round many rooms
    Rooms,
    /// Fan-out 1 → 1 beside many other connections
    Connections,
    /// Durable publishes into a log that grows
    LogGrowth,
}

/// The load.
#[derive(Args)]
pub(super) struct Choice {
    /// What to measure.
    #[arg(value_enum, default_value = "tour")]
    scenario: Scenario,
    /// fan-out: how many subscribe [default: 10].
    #[arg(long, value_name = "N")]
    subscribers: Option<u32>,
    /// confirmed: how many publish [default: 1].
    #[arg(long, value_name = "N")]
    publishers: Option<u32>,
    /// confirmed, request-reply: how many of each publisher wait for an answer at any time [default: 256; 1].
    #[arg(long, value_name = "N")]
    in_flight: Option<u32>,
    /// durable-subscription: deliveries for each acknowledgement [default: 64].
    #[arg(long, value_name = "N")]
    batch: Option<u32>,
    /// replay, start-up, log-growth: records in the log [default: 1000000].
    #[arg(long, value_name = "N")]
    records: Option<u64>,
    /// rooms: how many [default: 1000].
    #[arg(long, value_name = "N")]
    rooms: Option<u32>,
    /// idle, connections: how many [default: 1000].
    #[arg(long, value_name = "N")]
    connections: Option<u32>,
}

impl Choice {
    pub(super) fn is_tour(&self) -> bool {
        self.scenario == Scenario::Tour
    }

    /// The loads to run, in order.
    pub(super) fn loads(&self) -> Result<Vec<Load>, Failure> {
        self.check()?;
        let records = self.records.unwrap_or(1_000_000);
        let connections = self.connections.unwrap_or(1000);
        Ok(vec![match self.scenario {
            Scenario::Tour => return Ok(tour()),
            Scenario::FanOut => Load::FanOut { subscribers: self.subscribers.unwrap_or(10) },
            Scenario::RequestReply => Load::RequestReply { outstanding: self.in_flight.unwrap_or(1) },
            Scenario::Confirmed => Load::Confirmed {
                publishers: self.publishers.unwrap_or(1),
                in_flight: self.in_flight.unwrap_or(256),
            },
            Scenario::DurableSubscription => Load::DurableSubscription { batch: self.batch.unwrap_or(64) },
            Scenario::Replay => Load::Replay { records },
            Scenario::StartUp => Load::StartUp { records },
            Scenario::Idle => Load::Idle { connections },
            Scenario::Rooms => Load::Rooms { rooms: self.rooms.unwrap_or(1000) },
            Scenario::Connections => Load::Connections { connections },
            Scenario::LogGrowth => Load::LogGrowth { records },
        }])
    }

    fn check(&self) -> Result<(), Failure> {
        use Scenario as S;
        let given: [(&str, Option<u64>, &[S]); 7] = [
            ("subscribers", self.subscribers.map(u64::from), &[S::FanOut]),
            ("publishers", self.publishers.map(u64::from), &[S::Confirmed]),
            ("in-flight", self.in_flight.map(u64::from), &[S::Confirmed, S::RequestReply]),
            ("batch", self.batch.map(u64::from), &[S::DurableSubscription]),
            ("records", self.records, &[S::Replay, S::StartUp, S::LogGrowth]),
            ("rooms", self.rooms.map(u64::from), &[S::Rooms]),
            ("connections", self.connections.map(u64::from), &[S::Idle, S::Connections]),
        ];
        for (name, value, scenarios) in given {
            let Some(value) = value else { continue };
            if value == 0 {
                return Err(Failure::usage(format!("--{name} must be at least 1")));
            }
            if !scenarios.contains(&self.scenario) {
                let words: Vec<String> = scenarios.iter().map(|scenario| word(*scenario)).collect();
                let (is, words) = (word(self.scenario), words.join(" and "));
                return Err(Failure::usage(format!("--{name} is for {words}, not for {is}"))
                    .todo("`arqon bench --help` lists what each scenario takes"));
            }
        }
        Ok(())
    }
}

fn word(scenario: Scenario) -> String {
    scenario.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// A first impression of everything, in the order of the documentation.
fn tour() -> Vec<Load> {
    vec![
        Load::FanOut { subscribers: 1 },
        Load::FanOut { subscribers: 100 },
        Load::RequestReply { outstanding: 1 },
        Load::RequestReply { outstanding: 64 },
        Load::Confirmed { publishers: 1, in_flight: 1 },
        Load::Confirmed { publishers: 1, in_flight: 256 },
        Load::DurableSubscription { batch: 64 },
        Load::Replay { records: 200_000 },
        Load::Idle { connections: 200 },
    ]
}

/// Bytes: a number, or one with `k` or `m`.
pub(super) fn payload(text: &str) -> Result<usize, String> {
    let lower = text.to_ascii_lowercase();
    let (digits, unit) = match lower.strip_suffix('k') {
        Some(digits) => (digits, 1024),
        None => lower.strip_suffix('m').map_or((lower.as_str(), 1), |digits| (digits, 1024 * 1024)),
    };
    let smallest = arqon_bench::template::SMALLEST;
    let largest = 64 * 1024 * 1024;
    let bytes = digits.parse::<usize>().ok().and_then(|n| n.checked_mul(unit));
    bytes
        .filter(|bytes| (smallest..=largest).contains(bytes))
        .ok_or_else(|| format!("expected bytes from {smallest} to 64m, such as `256` or `4k`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_bytes_with_a_unit() {
        assert_eq!((payload("256"), payload("4k"), payload("1M")), (Ok(256), Ok(4096), Ok(1 << 20)));
        for wrong in ["", "k", "1", "100g", "65m", "-1"] {
            assert!(payload(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_number_that_has_no_use_is_refused() {
        let choice = |scenario| Choice {
            scenario,
            subscribers: Some(3),
            publishers: None,
            in_flight: None,
            batch: None,
            records: None,
            rooms: None,
            connections: None,
        };
        assert_eq!(choice(Scenario::FanOut).loads().unwrap(), [Load::FanOut { subscribers: 3 }]);
        assert!(choice(Scenario::Replay).loads().is_err());
        assert!(Choice { subscribers: Some(0), ..choice(Scenario::FanOut) }.loads().is_err());
    }
}
