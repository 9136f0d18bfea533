//! The embedded engine: a log of its own, and records on fjall, in one folder.
//!
//! Invariant: confirmed means on disk.

pub mod disk;
#[doc(hidden)]
pub mod fuzzing;
mod log;
pub mod records;

pub use log::{
    BatchResult, CheckReport, DumpFilter, DumpItem, EmbeddedLog, Engine, Fault, Flush, LogConfig, OpenReport,
    Progress, RoomCheck, SegmentCheck, Turns, User, check, check_on, dump, dump_on,
};
