//! The embedded engine: one folder with a log and records.

use crate::config::Config;
use crate::engine::FlushMode;
use arqon_core::env::{Clock, Random};
use arqon_core::port::{Log, Records, StoreError};
use arqon_store_embedded::records::EmbeddedRecords;
use arqon_store_embedded::{EmbeddedLog, Flush, LogConfig};
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
    let (log, found) = EmbeddedLog::open(folder, log_config, clock, random).map_err(said)?;
    tracing::info!(
        folder = %folder.display(),
        segments = found.segments,
        rooms = found.rooms,
        records = found.records,
        "log opened"
    );
    if let Some((segment, bytes)) = found.torn_tail {
        tracing::warn!(segment, bytes, "the log ended in a write that was never confirmed; it was cut");
    }
    for fault in &found.faults {
        tracing::error!(?fault, "the log is damaged here; readers get a gap");
    }
    for room in &found.new_epochs {
        tracing::warn!(%room, "the end of this room's history may be lost; it goes on in a new epoch");
    }
    Ok(Arc::new(log))
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
