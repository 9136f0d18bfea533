//! The small readers of the disk, behind their checksums: headers, directories, sections, journal entries, documents.
//!
//! Invariant: no panic and no allocation by a number that was read; a stored message is the same when stored again.

/// The law.
///
/// # Panics
/// When it is broken.
pub fn check(data: &[u8]) {
    arqon_store_embedded::fuzzing::parts(data);
}
