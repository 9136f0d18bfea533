//! The embedded engine: one folder with a log and records.

use crate::config::Config;
use crate::engine::FlushMode;
use anyhow::Context;
use arqon_core::env::{Clock, Random};
use arqon_core::port::{Log, Records, StoreError};
use arqon_store_embedded::records::EmbeddedRecords;
use arqon_store_embedded::{EmbeddedLog, Flush, LogConfig};
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
) -> anyhow::Result<Arc<dyn Log>> {
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
    let (log, _) = EmbeddedLog::open(folder, log_config, clock, random).map_err(said)?;
    Ok(Arc::new(log))
}

/// Makes the data folder, if it is not there, so that nobody else on the machine can read messages.
fn private_folder(folder: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("cannot make the data folder {}", folder.display()))
}

/// A store's sentence, with its cause.
fn said(error: StoreError) -> anyhow::Error {
    match &error.source {
        Some(source) => anyhow::anyhow!("{}: {source}", error.message),
        None => anyhow::anyhow!("{}", error.message),
    }
}

/// Opens the records and says what is missing.
pub(super) fn records(folder: &Path) -> anyhow::Result<Arc<dyn Records>> {
    let records = EmbeddedRecords::open(folder).map_err(said)?;
    let found = records.report();
    if found.lost_batches > 0 {
        tracing::error!(
            batches = found.lost_batches,
            synced = found.lost_synced,
            "records that were written are missing: subscriptions may repeat, settings may be older"
        );
    }
    Ok(Arc::new(records))
}
