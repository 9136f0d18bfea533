//! The readers inside, for the fuzz targets; no part of what this crate offers.
//!
//! A fuzzer does not guess checksums. So the small readers are called behind theirs, and whole files get right ones
//! after they were changed: that is what a bug in a writer, or somebody who means harm, could leave on a disk.

use crate::log::fuzzing as log;
use crate::records::fuzzing as records;
use bytes::Bytes;

/// Reads `data` as each of the parts that files of the log and of the records are made of.
pub fn parts(data: &[u8]) {
    log::parts(data);
    records::document(&Bytes::copy_from_slice(data));
}

/// Gives a file of the log right checksums. `name` is its name in the log's folder.
pub fn seal(name: &str, bytes: &mut [u8], log_id: u64) {
    log::seal(name, bytes, log_id);
}
