//! How fjall's failures read at the seam of the port.

use arqon_core::port::{StoreError, StoreErrorKind};
use fjall::{Error, LsmError};

/// A failure of the file system.
pub(super) fn io(text: &str, e: std::io::Error) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, text).with_source(e)
}

/// The store is closed.
pub(super) fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Closed, "the records are closed")
}

/// fjall stopped taking writes earlier.
pub(super) fn stopped() -> StoreError {
    let text = "a write of records failed, and none is taken until the server is started again";
    StoreError::new(StoreErrorKind::Unavailable, text)
}

/// What a failure of reading or opening means.
pub(super) fn of(e: Error) -> StoreError {
    let (kind, text) = match &e {
        Error::Poisoned => return stopped().with_source(e),
        Error::Locked => (StoreErrorKind::Unavailable, "another process uses this folder of records"),
        Error::Io(_) | Error::Storage(LsmError::Io(_)) => {
            (StoreErrorKind::Unavailable, "the folder of records cannot be read or written")
        }
        _ => (StoreErrorKind::Damaged, "the records on disk are not what was written"),
    };
    StoreError::new(kind, text).with_source(e)
}
