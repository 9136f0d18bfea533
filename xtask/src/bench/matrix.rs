//! What is measured: groups of loads, and which systems have each of them.
//!
//! Invariant: a case is known by its words alone, so that results of different days can be told apart and put together.

use serde::{Deserialize, Serialize};

/// Bytes of a payload, unless said.
pub const PAYLOAD: usize = 256;

/// One load in one form for several systems.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The table that it belongs to.
    pub group: Group,
    /// The load by the generator's word.
    pub load: String,
    /// `max` or `half`.
    pub pace: &'static str,
    /// Bytes.
    pub payload: usize,
    /// The systems.
    pub systems: Vec<&'static str>,
    /// How many repeats at most: what takes long is not repeated as often.
    pub repeats: u32,
    /// Seconds of a run beside warming up and measuring, for the estimate.
    pub overhead: f64,
    /// How much longer than others it is measured.
    pub stretch: f64,
}

/// A table, by the word that `--only` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Publish to many, at most once.
    FanOut,
    /// Question and answer.
    RequestReply,
    /// Durable publish, confirmed.
    Confirmed,
    /// Durable subscription with acknowledgements.
    Durable,
    /// Reading from the beginning.
    Replay,
    /// Latency on a schedule.
    Latency,
    /// Small and large payloads.
    Payloads,
    /// Cost as rooms, connections and the log grow.
    Scaling,
    /// Starting with a log.
    StartUp,
    /// Memory of idle connections.
    Idle,
    /// The command line as a pipe.
    Pipes,
}

impl Group {
    /// All, in the order of the document.
    pub const ALL: [Group; 11] = [
        Group::FanOut,
        Group::RequestReply,
        Group::Confirmed,
        Group::Durable,
        Group::Replay,
        Group::Latency,
        Group::Payloads,
        Group::Scaling,
        Group::StartUp,
        Group::Idle,
        Group::Pipes,
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Group::FanOut => "fan-out",
            Group::RequestReply => "request-reply",
            Group::Confirmed => "confirmed",
            Group::Durable => "durable",
            Group::Replay => "replay",
            Group::Latency => "latency",
            Group::Payloads => "payloads",
            Group::Scaling => "scaling",
            Group::StartUp => "start-up",
            Group::Idle => "idle",
            Group::Pipes => "pipes",
        }
    }

    /// The heading of its section.
    pub fn heading(self) -> &'static str {
        match self {
            Group::FanOut => "Fan-out, at most once",
            Group::RequestReply => "Request and reply",
            Group::Confirmed => "Durable publish, confirmed",
            Group::Durable => "Durable subscription with acknowledgements",
            Group::Replay => "Replay from the first record",
            Group::Latency => "Latency at half of the maximum rate",
            Group::Payloads => "Small and large payloads",
            Group::Scaling => "Cost as things grow",
            Group::StartUp => "Start-up with a long log",
            Group::Idle => "Memory of idle connections",
            Group::Pipes => "The command line as a pipe",
        }
    }
}

const OURS: [&str; 2] = ["arqon", "arqon-proto"];
const LIVE: [&str; 6] = ["floor", "redis", "nats", "nats-ws", "arqon", "arqon-proto"];
const DISK: [&str; 7] =
    ["floor", "redis-always", "redis-everysec", "jetstream-always", "jetstream", "arqon", "arqon-proto"];
/// Those that keep records which can be read.
const KEPT: [&str; 6] =
    ["redis-always", "redis-everysec", "jetstream-always", "jetstream", "arqon", "arqon-proto"];

/// All cases. `quick`: smaller sizes, to see that everything works.
pub fn cases(quick: bool) -> Vec<Case> {
    let size = |full: u64, small: u64| if quick { small } else { full };
    let mut cases = Vec::new();
    for subscribers in [1, 10, 100, 1000] {
        cases.push(case(Group::FanOut, &format!("fan-out:{subscribers}"), &LIVE));
    }
    for outstanding in [1, 64] {
        cases.push(case(Group::RequestReply, &format!("request-reply:{outstanding}"), &LIVE));
    }
    for load in ["confirmed:1", "confirmed:256", "confirmed:16x1", "confirmed:16x256"] {
        // One at a time is the disk's time, in whatever form.
        let is_single = load.ends_with('1');
        cases.push(case(Group::Confirmed, load, if is_single { &DISK[..6] } else { &DISK }));
    }
    for batch in [1, 64] {
        cases.push(case(Group::Durable, &format!("durable-subscription:{batch}"), &KEPT));
    }
    let replay = case(Group::Replay, &format!("replay:{}", size(1_000_000, 50_000)), &KEPT[1..]);
    let without_always = replay.systems.iter().copied().filter(|name| *name != "jetstream-always").collect();
    cases.push(Case { systems: without_always, overhead: if quick { 1.0 } else { 5.0 }, ..replay });
    // Without the floor, and without JetStream flushing each, whose confirms come in few large lots.
    let disk = ["redis-always", "redis-everysec", "jetstream", "arqon", "arqon-proto"];
    for (load, systems) in
        [("fan-out:10", &LIVE[1..]), ("request-reply:64", &LIVE[1..]), ("confirmed:256", &disk[..])]
    {
        let latency = case(Group::Latency, load, systems);
        cases.push(Case { pace: "half", overhead: 2.3, ..latency });
    }
    for payload in [64, 4096, 256 * 1024] {
        let live = case(Group::Payloads, "fan-out:10", &["redis", "nats", "arqon", "arqon-proto"]);
        let disk =
            case(Group::Payloads, "confirmed:256", &["redis-always", "jetstream", "arqon", "arqon-proto"]);
        cases.push(Case { payload, repeats: 2, ..live });
        cases.push(Case { payload, repeats: 2, ..disk });
    }
    for rooms in [10, 100, 1000, size(10_000, 2000)] {
        cases.push(Case { repeats: 2, ..case(Group::Scaling, &format!("rooms:{rooms}"), &["arqon"]) });
    }
    for connections in [10, 100, 1000, size(5000, 2000)] {
        let load = format!("connections:{connections}");
        cases.push(Case { repeats: 2, overhead: 2.0, ..case(Group::Scaling, &load, &["arqon"]) });
    }
    let growth = format!("log-growth:{}", size(50_000_000, 500_000));
    let overhead = if quick { 3.0 } else { 150.0 };
    cases.push(Case { repeats: 1, overhead, stretch: 0.0, ..case(Group::Scaling, &growth, &["arqon"]) });
    let start = format!("start-up:{}", size(10_000_000, 200_000));
    let overhead = if quick { 3.0 } else { 60.0 };
    cases.push(Case { repeats: 1, overhead, stretch: 0.0, ..case(Group::StartUp, &start, &["arqon"]) });
    let idle = case(Group::Idle, &format!("idle:{}", size(5000, 500)), &LIVE);
    cases.push(Case { repeats: 2, overhead: 4.0, stretch: 0.0, ..idle });
    let pipes = case(Group::Pipes, &format!("pipes:{}", size(1_000_000, 20_000)), &["redis-always", "arqon"]);
    cases.push(Case { overhead: if quick { 2.0 } else { 14.0 }, stretch: 0.0, ..pipes });
    cases
}

fn case(group: Group, load: &str, systems: &[&'static str]) -> Case {
    Case {
        group,
        load: load.to_owned(),
        pace: "max",
        payload: PAYLOAD,
        systems: systems.to_vec(),
        repeats: u32::MAX,
        overhead: 0.7,
        stretch: 1.0,
    }
}

/// How people read a system's word.
pub fn name_of(system: &str) -> &'static str {
    match system {
        "arqon" => "Arqon, JSON",
        "arqon-proto" => "Arqon, protobuf",
        "redis" => "Redis pub/sub",
        "redis-always" => "Redis, appendfsync always",
        "redis-everysec" => "Redis, appendfsync everysec",
        "nats" => "NATS",
        "nats-ws" => "NATS WebSocket",
        "jetstream-always" => "JetStream, sync always",
        "jetstream" => "JetStream, default",
        _ => "floor",
    }
}

/// Whether a system is ours.
pub fn is_ours(system: &str) -> bool {
    OURS.contains(&system)
}

/// What a confirm or a delivery of that system survives, where it is weaker than the disk.
pub fn promise_of(system: &str) -> &'static str {
    match system {
        "redis-everysec" => "in memory; a second may be lost",
        "jetstream" => "in the kernel; two minutes may be lost",
        _ => "",
    }
}

/// How people read a load's word.
pub fn load_name(load: &str) -> String {
    let (kind, number) = load.split_once(':').unwrap_or((load, ""));
    let number = match number.parse::<f64>() {
        Ok(figure) => super::tables::thousands(figure),
        Err(_) => number.to_owned(),
    };
    match kind {
        "fan-out" => format!("1 → {number}"),
        "request-reply" => format!("{number} outstanding"),
        "confirmed" => match number.split_once('x') {
            Some((publishers, in_flight)) => format!("{publishers} publishers, {in_flight} in flight each"),
            None => format!("{number} in flight"),
        },
        "durable-subscription" if number == "1" => "acknowledged one by one".to_owned(),
        "durable-subscription" => format!("acknowledged {number} at a time"),
        "replay" => format!("{number} records"),
        "start-up" => format!("{number} records"),
        "idle" => format!("{number} connections"),
        "rooms" => format!("{number} rooms"),
        "connections" => format!("{number} connections"),
        "log-growth" => format!("log of up to {number} records"),
        "pipes" => format!("{number} lines"),
        _ => load.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_told_from_every_other() {
        for quick in [false, true] {
            let cases = cases(quick);
            for (i, a) in cases.iter().enumerate() {
                let same = |b: &&Case| {
                    (a.group, &a.load, a.pace, a.payload) == (b.group, &b.load, b.pace, b.payload)
                };
                assert_eq!(cases.iter().filter(same).count(), 1, "{i}: {a:?}");
                assert!(Group::ALL.contains(&a.group) && !a.systems.is_empty());
            }
            for group in Group::ALL {
                assert!(cases.iter().any(|case| case.group == group), "{group:?} has no case");
            }
        }
    }

    #[test]
    fn words_are_read_as_people_do() {
        assert_eq!(load_name("fan-out:1000"), "1 → 1,000");
        assert_eq!(load_name("confirmed:16x256"), "16 publishers, 256 in flight each");
        assert_eq!(load_name("durable-subscription:1"), "acknowledged one by one");
    }
}
