//! What is measured, as plain data: the kinds of load, how they are paced, and how they are written in one word.
//!
//! Invariant: what `Display` writes, `FromStr` reads back; the words are what scripts and raw results know a load by.

use crate::profile::{Frequency, Recording};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// A kind of load. Numbers are how many at once, unless said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Load {
    /// One publisher, at most once, to so many subscribers of one channel. Counted: deliveries.
    FanOut {
        /// How many subscribe.
        subscribers: u32,
    },
    /// One that asks and one that answers, through the system's own request and reply. Counted: answers.
    RequestReply {
        /// Questions that wait for an answer at any time.
        outstanding: u32,
    },
    /// Durable publishes that are confirmed. Counted: confirms.
    Confirmed {
        /// Connections that publish, each to a room of its own.
        publishers: u32,
        /// Unconfirmed messages of each of them at any time.
        in_flight: u32,
    },
    /// Durable publish, delivery to a named subscription, acknowledgement. Counted: acknowledged deliveries.
    DurableSubscription {
        /// How many deliveries one acknowledgement covers; 1 is one by one.
        batch: u32,
    },
    /// A reader that joins from the first record. Counted: records read; filling is not measured.
    Replay {
        /// How many records there are.
        records: u64,
    },
    /// From starting the process to its being ready, after an orderly stop and after a kill. Figures, no count.
    StartUp {
        /// How many records its log has.
        records: u64,
    },
    /// Memory of connections that do nothing. Figures, no count.
    Idle {
        /// How many.
        connections: u32,
    },
    /// Durable publishes, 256 in flight, that go round so many rooms. Counted: confirms.
    Rooms {
        /// How many.
        rooms: u32,
    },
    /// Fan-out 1 → 1 while others of so many connections listen to other channels of the same room. Counted: deliveries.
    Connections {
        /// How many in all.
        connections: u32,
    },
    /// Durable publishes, 256 in flight, into a log that grows; a point at 1, 2, 5, 10, … million.
    LogGrowth {
        /// Up to how many records.
        records: u64,
    },
}

/// Each kind: its word, how its number is called, and what is counted.
const WORDS: &[(&str, &str)] = &[
    ("fan-out", "deliveries"),
    ("request-reply", "answers"),
    ("confirmed", "confirms"),
    ("durable-subscription", "acknowledged deliveries"),
    ("replay", "records"),
    ("start-up", "starts"),
    ("idle", "connections"),
    ("rooms", "confirms"),
    ("connections", "deliveries"),
    ("log-growth", "confirms"),
];

impl Load {
    fn index(self) -> usize {
        match self {
            Load::FanOut { .. } => 0,
            Load::RequestReply { .. } => 1,
            Load::Confirmed { .. } => 2,
            Load::DurableSubscription { .. } => 3,
            Load::Replay { .. } => 4,
            Load::StartUp { .. } => 5,
            Load::Idle { .. } => 6,
            Load::Rooms { .. } => 7,
            Load::Connections { .. } => 8,
            Load::LogGrowth { .. } => 9,
        }
    }

    /// The word without its numbers.
    pub fn kind(self) -> &'static str {
        WORDS[self.index()].0
    }

    /// What is counted.
    pub fn unit(self) -> &'static str {
        WORDS[self.index()].1
    }

    /// Whether there is a time in which a profile of the server can be taken.
    pub fn can_be_profiled(self) -> bool {
        !matches!(self, Load::Idle { .. })
    }

    /// Whether it can follow a schedule, so that latency at a given rate can be told.
    pub fn can_be_paced(self) -> bool {
        matches!(self, Load::FanOut { .. } | Load::RequestReply { .. } | Load::Confirmed { .. })
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match *self {
            Load::FanOut { subscribers: n }
            | Load::RequestReply { outstanding: n }
            | Load::DurableSubscription { batch: n }
            | Load::Confirmed { publishers: 1, in_flight: n }
            | Load::Idle { connections: n }
            | Load::Rooms { rooms: n }
            | Load::Connections { connections: n } => write!(f, "{kind}:{n}"),
            Load::Confirmed { publishers, in_flight } => write!(f, "{kind}:{publishers}x{in_flight}"),
            Load::Replay { records } | Load::StartUp { records } | Load::LogGrowth { records } => {
                write!(f, "{kind}:{records}")
            }
        }
    }
}

impl FromStr for Load {
    type Err = String;

    fn from_str(text: &str) -> Result<Load, String> {
        let (kind, numbers) = text.split_once(':').ok_or_else(|| {
            format!("`{text}` lacks its number; expected something like `fan-out:10` or `confirmed:16x256`")
        })?;
        let number = |text: &str| {
            let read: Option<u64> = text.replace('_', "").parse().ok().filter(|n| *n > 0);
            read.ok_or_else(|| format!("`{text}` in `{kind}` is not a number from 1 on"))
        };
        let small = |text: &str| {
            let read = u32::try_from(number(text)?).ok().filter(|n| *n <= 1_000_000);
            read.ok_or_else(|| format!("`{text}` in `{kind}` is more than a million"))
        };
        Ok(match kind {
            "fan-out" => Load::FanOut { subscribers: small(numbers)? },
            "request-reply" => Load::RequestReply { outstanding: small(numbers)? },
            "confirmed" => {
                let (publishers, in_flight) = numbers.split_once('x').unwrap_or(("1", numbers));
                Load::Confirmed { publishers: small(publishers)?, in_flight: small(in_flight)? }
            }
            "durable-subscription" => Load::DurableSubscription { batch: small(numbers)? },
            "replay" => Load::Replay { records: number(numbers)? },
            "start-up" => Load::StartUp { records: number(numbers)? },
            "idle" => Load::Idle { connections: small(numbers)? },
            "rooms" => Load::Rooms { rooms: small(numbers)? },
            "connections" => Load::Connections { connections: small(numbers)? },
            "log-growth" => Load::LogGrowth { records: number(numbers)? },
            _ => {
                let known: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
                return Err(format!("there is no load `{kind}`; there are {}", known.join(", ")));
            }
        })
    }
}

impl Serialize for Load {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Load {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Load, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// When the next message is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As soon as the system lets: a closed loop, for the highest rate. Latency is that of a sender who waits.
    Max,
    /// On a schedule of so many a second, whatever comes back: an open loop. Latency counts from the intended moment.
    Rate(f64),
    /// First `Max` for half of the time, then an open loop at half of what that came to.
    Half,
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pace::Max => f.write_str("max"),
            Pace::Half => f.write_str("half"),
            Pace::Rate(rate) => write!(f, "{rate}"),
        }
    }
}

impl FromStr for Pace {
    type Err = String;

    fn from_str(text: &str) -> Result<Pace, String> {
        match text {
            "max" => Ok(Pace::Max),
            "half" => Ok(Pace::Half),
            other => {
                let rate = other.replace('_', "").parse().ok().filter(|r: &f64| (1.0..=1e8).contains(r));
                rate.map(Pace::Rate).ok_or_else(|| {
                    format!("`{other}` is no rate; expected `max`, `half` or messages a second")
                })
            }
        }
    }
}

/// How Arqon's envelopes are written. Peers have no choice and ignore it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// JSON in text frames.
    #[default]
    Json,
    /// Protobuf in binary frames.
    Proto,
}

impl FromStr for Form {
    type Err = String;

    fn from_str(text: &str) -> Result<Form, String> {
        match text {
            "json" => Ok(Form::Json),
            "proto" => Ok(Form::Proto),
            other => Err(format!("`{other}` is no form; expected `json` or `proto`")),
        }
    }
}

/// One run to be made.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The load.
    pub load: Load,
    /// Its pace.
    pub pace: Pace,
    /// Bytes of each payload, a JSON object with a number in it; at least [`crate::template::SMALLEST`].
    pub payload: usize,
    /// Not measured: connections, caches and the allocator settle.
    pub warm_up: Duration,
    /// Measured after that.
    pub length: Duration,
    /// Nothing comes back for so long: something was lost.
    pub patience: Duration,
    /// For Arqon only.
    pub form: Form,
    /// Where a profile of the server's measured time goes, if one is wanted.
    pub profile: Option<PathBuf>,
}

impl Plan {
    /// Gets ready to record the server's processes, if a profile is wanted.
    pub fn prepare_recording(&self, pids: &[u32]) -> Result<Option<Recording>> {
        self.profile.as_deref().map(|file| Recording::prepare(file, pids, Frequency::Usual)).transpose()
    }

    /// Begins to record the server's processes, if a profile is wanted.
    pub fn record(&self, pids: &[u32]) -> Result<Option<Recording>> {
        let mut recording = self.prepare_recording(pids)?;
        if let Some(recording) = &mut recording {
            recording.enable()?;
            recording.wait()?;
        }
        Ok(recording)
    }
}

/// What a plan's patience is unless there is a reason for another: longer than a disk under load takes to flush.
pub const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_read_as_they_are_written() {
        let words = [
            "fan-out:10",
            "request-reply:64",
            "confirmed:256",
            "confirmed:16x256",
            "durable-subscription:64",
            "replay:1000000",
            "start-up:10000000",
            "idle:5000",
            "rooms:10000",
            "connections:5000",
            "log-growth:50000000",
        ];
        for word in words {
            assert_eq!(word.parse::<Load>().unwrap().to_string(), word);
        }
        assert_eq!(words.len() - 1, WORDS.len(), "every kind is read");
        assert_eq!("replay:1_000".parse(), Ok(Load::Replay { records: 1000 }));
        for wrong in ["fan-out", "fan-out:0", "fan-out:x", "fan-in:1", "confirmed:0x1", "idle:1000001"] {
            assert!(wrong.parse::<Load>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn paces_are_read_as_they_are_written() {
        for word in ["max", "half", "5000"] {
            assert_eq!(word.parse::<Pace>().unwrap().to_string(), word);
        }
        assert!("0".parse::<Pace>().is_err() && "fast".parse::<Pace>().is_err());
    }
}
