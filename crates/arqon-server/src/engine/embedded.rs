//! The embedded engine: one folder with a log and records.

use crate::config::Config;
use crate::engine::FlushMode;
use crate::obstacle::Obstacle;
use arqon_core::env::{Clock, Random};
use arqon_core::port::{StoreError, StoreErrorKind};
use arqon_store_embedded::records::{EmbeddedRecords, RecordsConfig};
use arqon_store_embedded::{EmbeddedLog, Flush, LogConfig, OpenReport};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

/// What a stored message may be larger than its payload: names, keys, and the head of the record.
const RECORD_SLACK: usize = 64 << 10;

/// Opens the log and says what it found.
pub(super) fn log(
    folder: &Path,
    config: &Config,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
) -> anyhow::Result<(EmbeddedLog, OpenReport)> {
    let flush = match config.log.flush {
        FlushMode::Always => Flush::Always,
        FlushMode::Interval => Flush::Interval(config.log.flush_interval_ms),
    };
    let default = LogConfig::default();
    let log_config = LogConfig {
        segment_bytes: config.log.segment_bytes.0,
        flush,
        max_record_bytes: default.max_record_bytes.max(config.limits.message_bytes.as_usize() + RECORD_SLACK),
        ..default
    };
    private_folder(folder)?;
    // What it found is said in the log by the store itself.
    EmbeddedLog::open(folder, log_config, clock, random).map_err(not_opened)
}

/// Makes the data folder, if it is not there, so that nobody else on the machine can read messages.
fn private_folder(folder: &Path) -> Result<(), Obstacle> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|e| Obstacle::of_folder(folder, &e))
}

/// A store's sentence, with its cause.
fn said(error: StoreError) -> anyhow::Error {
    match &error.source {
        Some(source) => anyhow::anyhow!("{}: {source}", error.message),
        None => anyhow::anyhow!("{}", error.message),
    }
}

/// What the log says when it cannot be opened. Its own bounds hold in a checked configuration, so that what it refuses
/// is a folder that another process has.
fn not_opened(error: StoreError) -> anyhow::Error {
    if error.kind == StoreErrorKind::Refused {
        let todo = "stop the other one, or choose another folder with --data (server.data)";
        return Obstacle::new(error.message, todo).into();
    }
    said(error)
}

/// Opens the records; what is missing is said in the log by the store itself.
pub(super) fn records(folder: &Path, config: &Config) -> anyhow::Result<EmbeddedRecords> {
    let reserve_bytes = config.records.reserve_bytes.map(|size| size.0);
    let config = RecordsConfig { reserve_bytes, ..RecordsConfig::default() };
    EmbeddedRecords::open_with(folder, config).map_err(said)
}
