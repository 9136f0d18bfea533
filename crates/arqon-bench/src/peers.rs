//! The systems that Arqon is measured beside, each started in a process of its own on a fresh folder.
//!
//! Boundary: the loads know nothing of this; a peer is a [`System`] like Arqon.
//! Invariant: a promise has one name: what confirms only in memory is another system than what confirms on disk.

mod bare;
pub mod floor;
mod nats;
mod nats_protocol;
mod process;
mod redis;
mod resp;

use crate::load::{Load, Plan};
use crate::system::{Dialect, Running, Stop, System};
use anyhow::{Context, Result};
use process::Process;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One way to run a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Moves bytes and does nothing else.
    Floor,
    /// Redis without persistence.
    Redis,
    /// Redis with an append-only file, flushed before each answer.
    RedisAlways,
    /// Redis with an append-only file, flushed every second.
    RedisEverysec,
    /// NATS over TCP.
    Nats,
    /// NATS over WebSocket.
    NatsWebSocket,
    /// JetStream, flushed before each confirm.
    JetStreamAlways,
    /// JetStream as it comes: flushed every two minutes.
    JetStream,
}

/// All of them, by their words.
const WAYS: &[(&str, Way)] = &[
    ("floor", Way::Floor),
    ("redis", Way::Redis),
    ("redis-always", Way::RedisAlways),
    ("redis-everysec", Way::RedisEverysec),
    ("nats", Way::Nats),
    ("nats-ws", Way::NatsWebSocket),
    ("jetstream-always", Way::JetStreamAlways),
    ("jetstream", Way::JetStream),
];

/// Where the peers' programs are: a path, or a name to look for where the system looks.
#[derive(Debug, Clone)]
pub struct Programs {
    /// `redis-server`.
    pub redis: PathBuf,
    /// `nats-server`.
    pub nats: PathBuf,
}

impl Default for Programs {
    fn default() -> Programs {
        Programs { redis: "redis-server".into(), nats: "nats-server".into() }
    }
}

/// The words of all peers.
pub fn names() -> impl Iterator<Item = &'static str> {
    WAYS.iter().map(|(name, _)| *name)
}

/// A peer by its word; `None` if there is none of that word.
pub fn find(name: &str, programs: &Programs) -> Option<Box<dyn System>> {
    let (name, way) = WAYS.iter().find(|(word, _)| *word == name)?;
    let program = match way {
        Way::Floor => PathBuf::new(),
        Way::Redis | Way::RedisAlways | Way::RedisEverysec => programs.redis.clone(),
        Way::Nats | Way::NatsWebSocket | Way::JetStreamAlways | Way::JetStream => programs.nats.clone(),
    };
    Some(Box::new(Peer { name, way: *way, program }))
}

/// A peer that can be started.
struct Peer {
    name: &'static str,
    way: Way,
    program: PathBuf,
}

impl System for Peer {
    fn name(&self) -> &str {
        self.name
    }

    fn can(&self, load: Load) -> bool {
        let live = matches!(load, Load::FanOut { .. } | Load::RequestReply { .. });
        let confirmed = matches!(load, Load::Confirmed { .. });
        let idle = matches!(load, Load::Idle { .. });
        match self.way {
            Way::Floor => live || confirmed || idle,
            Way::Redis | Way::Nats | Way::NatsWebSocket => {
                live || idle || matches!(load, Load::Connections { .. })
            }
            Way::RedisAlways | Way::RedisEverysec => {
                !live && !idle && !matches!(load, Load::Connections { .. })
            }
            Way::JetStreamAlways | Way::JetStream => {
                let read = matches!(load, Load::DurableSubscription { .. } | Load::Replay { .. });
                confirmed || read || matches!(load, Load::StartUp { .. } | Load::LogGrowth { .. })
            }
        }
    }

    fn start(&self, folder: &Path, plan: &Plan) -> Result<Box<dyn Running>> {
        let program = if self.way == Way::Floor {
            std::env::current_exe().context("the path of this program")?
        } else {
            let missing = || format!("{} is not installed", self.program.display());
            process::find(&self.program).with_context(missing)?
        };
        let disk = matches!(plan.load, Load::Confirmed { .. });
        let process = match self.way {
            Way::Floor => process::floor(&program, folder, if disk { "disk" } else { "relay" })?,
            Way::Redis => process::redis(&program, folder, None)?,
            Way::RedisAlways => process::redis(&program, folder, Some("always"))?,
            Way::RedisEverysec => process::redis(&program, folder, Some("everysec"))?,
            Way::JetStreamAlways => process::nats(&program, folder, Some("always"))?,
            Way::Nats | Way::NatsWebSocket | Way::JetStream => process::nats(&program, folder, None)?,
        };
        let dialect: Box<dyn Dialect> = match self.way {
            Way::Floor => Box::new(bare::Bare::new(process.port, disk)),
            Way::Redis | Way::RedisAlways | Way::RedisEverysec => Box::new(redis::Redis::new(process.port)),
            Way::NatsWebSocket => Box::new(nats::Nats::new(process.websocket, true)),
            Way::Nats | Way::JetStreamAlways | Way::JetStream => {
                Box::new(nats::Nats::new(process.port, false))
            }
        };
        let version = match self.way {
            Way::Floor => "floor".to_owned(),
            Way::Redis | Way::RedisAlways | Way::RedisEverysec => said("Redis", &program),
            _ => said("NATS", &program),
        };
        Ok(Box::new(Started { process, dialect, version, settings: settings(self.way, disk) }))
    }
}

fn said(name: &str, program: &Path) -> String {
    format!("{name} {}", process::version(program).unwrap_or_else(|| "of an unknown version".to_owned()))
}

/// What a reader has to know to compare.
fn settings(way: Way, disk: bool) -> &'static str {
    match way {
        Way::Floor if disk => "WebSocket frames appended to a preallocated file, fdatasync for all that wait",
        Way::Floor => "WebSocket frames handed on, nothing else",
        Way::Redis => "TCP, PUBLISH and SUBSCRIBE, no persistence",
        Way::RedisAlways => "TCP, streams, appendonly yes, appendfsync always",
        Way::RedisEverysec => "TCP, streams, appendonly yes, appendfsync everysec: a second may be lost",
        Way::Nats => "TCP, core subjects",
        Way::NatsWebSocket => "WebSocket without compression, core subjects",
        Way::JetStreamAlways => "TCP, file storage, sync_interval always",
        Way::JetStream => "TCP, file storage, sync_interval 2m (its default): two minutes may be lost",
    }
}

/// A peer that runs.
struct Started {
    process: Process,
    dialect: Box<dyn Dialect>,
    version: String,
    settings: &'static str,
}

impl Running for Started {
    fn version(&self) -> String {
        self.version.clone()
    }

    fn settings(&self) -> String {
        self.settings.to_owned()
    }

    fn pids(&self) -> Vec<u32> {
        vec![self.process.pid()]
    }

    fn dialect(&self) -> &dyn Dialect {
        &*self.dialect
    }

    fn restart(&mut self, how: Stop) -> Result<Duration> {
        self.process.restart(how)
    }
}
