//! The tests of the embedded engine.

// In a test an unwrap is an assertion.
#![allow(clippy::unwrap_used)]

mod log_check;
mod log_contract;
mod log_damage;
mod log_disk;
mod log_rig;
mod log_store;
mod records;
