//! Storage: from an engine's URL to the ports that the bus stands on.
//!
//! Invariant: a URL that cannot be served is refused with a sentence before anything is opened.

mod embedded;

use crate::config::Config;
use crate::config::setting::{ByteSize, choice, section};
use arqon_core::env::Env;
use arqon_core::port::{Log, Records};
use arqon_store_embedded::records::EmbeddedRecords;
use arqon_store_memory::{MemoryLog, MemoryRecords};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

choice! {
    /// When the log flushes.
    pub enum FlushMode {
        /// Before each confirm.
        Always = "always",
        /// Every so often; a confirm means that the kernel has it.
        Interval = "interval",
    }
}

section! {
    /// The log of the embedded engine.
    pub struct LogConfig {
        /// Another engine for the log alone, by URL. Not set: the engine of `server.engine`.
        pub engine: Option<String> = None;
        /// Size of one segment file. 64 MiB: large enough that flushes need no metadata writes for long, small enough
        /// that trimmed space comes back soon.
        pub segment_bytes: ByteSize = ByteSize(64 << 20);
        /// `always` flushes to disk before each confirm (all that waits shares one flush); `interval` confirms at once
        /// and may lose the last moments when the machine, not the program, dies.
        pub flush: FlushMode = FlushMode::Always;
        /// With `flush = "interval"`: how often. At most this much is lost with the machine.
        pub flush_interval_ms: Duration = Duration::from_millis(100);
    }
}

section! {
    /// The records of the embedded engine: subscriptions, policies and what else is no message.
    pub struct RecordsConfig {
        /// No record is written while less than this is free on the disk, and `/ready` says so: a full disk, met half-way
        /// through a write, would stop the records until the next start. Not set: 5 % of the file system and at most
        /// 64 MiB, so that a small disk is not refused from the beginning. `0` refuses nothing.
        pub reserve_bytes: Option<ByteSize> = None;
    }
}

/// Where a store lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In this folder, by the embedded engine.
    Embedded(PathBuf),
    /// In memory; gone with the process.
    Memory,
}

type Read = fn(rest: &str, data: &Path) -> Result<Place, String>;

/// From scheme to place. The engines that are designed and not part of this version say so themselves.
const SCHEMES: [(&str, Read); 6] = [
    ("embedded", |rest, data| {
        Ok(Place::Embedded(if rest.is_empty() { data.to_path_buf() } else { PathBuf::from(rest) }))
    }),
    ("memory", |rest, _| match rest {
        "" => Ok(Place::Memory),
        rest => Err(format!("`memory:` takes nothing after the colon, found `{rest}`")),
    }),
    ("redis", |_, _| later("Redis")),
    ("rediss", |_, _| later("Redis")),
    ("postgres", |_, _| later("PostgreSQL")),
    ("kafka", |_, _| later("Kafka")),
];

fn later(name: &str) -> Result<Place, String> {
    Err(format!("this version of Arqon has no {name} engine; use `embedded:PATH` or `memory:`"))
}

impl Place {
    /// Reads an engine's URL; `data` is the folder of `embedded:` without a path.
    pub fn parse(url: &str, data: &Path) -> Result<Place, String> {
        let Some((scheme, rest)) = url.split_once(':') else {
            return Err(format!("expected a URL such as `embedded:PATH` or `memory:`, found `{url}`"));
        };
        match SCHEMES.iter().find(|(name, _)| *name == scheme) {
            Some((_, read)) => read(rest, data),
            None => Err(format!("no engine has the scheme `{scheme}:`; use `embedded:PATH` or `memory:`")),
        }
    }
}

/// The two ports of storage, and what their stores know to be damaged or missing.
pub(crate) struct Storage {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) records: Arc<dyn Records>,
    pub(crate) damage: Damage,
}

/// Asked anew each time: reading finds more.
pub(crate) type Damage = Arc<dyn Fn() -> arqon_rest::Damage + Send + Sync>;

/// Opens what the configuration asks for. The log comes first: it takes the folder for this process.
pub(crate) fn build_storage(config: &Config, env: &Env) -> anyhow::Result<Storage> {
    let place = |url: &str| Place::parse(url, &config.server.data).map_err(anyhow::Error::msg);
    let main = place(&config.server.engine)?;
    let log_place = config.log.engine.as_deref().map_or_else(|| Ok(main.clone()), place)?;
    if log_place == Place::Memory && main != Place::Memory {
        tracing::warn!("the log is in memory: no message outlives the process");
    }
    let (log, found) = build_log(&log_place, config, env)?;
    let (records, embedded) = build_records(&main, config)?;
    let damage = {
        let log = log.clone();
        Arc::new(move || {
            let records = embedded.as_ref();
            arqon_rest::Damage {
                // What opening found is counted as far as it concerns records; a file that is no log at all is not.
                log_places: log.stats().damaged.max(found.log_places),
                lost_batches: records.map_or(0, |r| r.report().lost_batches),
                documents: records.map_or(0, EmbeddedRecords::damaged),
                ..found
            }
        })
    };
    Ok(Storage { log, records, damage })
}

/// The log, and what was wrong with it when it was opened.
fn build_log(
    place: &Place,
    config: &Config,
    env: &Env,
) -> anyhow::Result<(Arc<dyn Log>, arqon_rest::Damage)> {
    let (clock, random) = (env.clock.clone(), env.random.clone());
    match place {
        Place::Memory => Ok((Arc::new(MemoryLog::new(clock, random)), arqon_rest::Damage::default())),
        Place::Embedded(folder) => {
            let (log, report) = embedded::log(folder, config, clock, random)?;
            let (places, epochs) = (report.faults.len() as u64, report.new_epochs.len() as u64);
            let found = arqon_rest::Damage {
                log_places: places,
                new_epochs: epochs,
                ..arqon_rest::Damage::default()
            };
            Ok((Arc::new(log), found))
        }
    }
}

fn build_records(
    place: &Place,
    config: &Config,
) -> anyhow::Result<(Arc<dyn Records>, Option<EmbeddedRecords>)> {
    match place {
        Place::Memory => Ok((Arc::new(MemoryRecords::new()), None)),
        Place::Embedded(folder) => {
            let records = embedded::records(folder, config)?;
            Ok((Arc::new(records.clone()), Some(records)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_places_and_what_is_missing_says_so() {
        let data = Path::new("/data");
        assert_eq!(Place::parse("embedded:", data), Ok(Place::Embedded("/data".into())));
        assert_eq!(Place::parse("embedded:./x", data), Ok(Place::Embedded("./x".into())));
        assert_eq!(Place::parse("memory:", data), Ok(Place::Memory));
        for (url, word) in [
            ("redis://localhost", "Redis"),
            ("postgres://localhost", "PostgreSQL"),
            ("kafka://localhost", "Kafka"),
            ("memory:x", "takes nothing"),
            ("sqlite:x", "no engine has the scheme `sqlite:`"),
            ("data", "expected a URL"),
        ] {
            assert!(Place::parse(url, data).unwrap_err().contains(word), "{url}");
        }
    }
}
