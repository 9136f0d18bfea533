//! The engine in memory: a [`MemoryLog`] and [`MemoryRecords`] that keep every promise of the ports but outliving
//! the process.
//!
//! Invariant: memory is bounded by config. Where the log must let go of records, readers are told by a gap; where
//! the records are full, writes are refused.

mod log;
mod records;

pub use log::{MemoryLog, MemoryLogConfig};
pub use records::{MemoryRecords, MemoryRecordsConfig};
