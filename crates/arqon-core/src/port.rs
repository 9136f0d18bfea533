//! The ports: what the core asks of storage and of the world outside, as traits only.
//!
//! Invariant: an adapter decides nothing about the domain. It keeps the contract of the method's document,
//! which `arqon-store-contract` states as laws.

mod log;
mod outbound;
mod records;
mod tokens;

pub use log::*;
pub use outbound::*;
pub use records::*;
pub use tokens::*;

use crate::{Code, Error, Outcome};
use std::sync::Arc;

/// How a store failed; adapters map their driver's errors to this at the seam.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// Full disk, failing flush, engine away: nothing of the request was applied; it may work later.
    Unavailable,
    /// The engine failed half-way: the request may or may not have been applied.
    Unknown,
    /// A compare-and-set lost, or a producer's sequence fell out of its window.
    Conflict,
    /// The request breaks a limit of the engine (a record too large, too many rooms).
    Refused,
    /// Data on disk is not what was written.
    Damaged,
    /// The store is closed.
    Closed,
}

/// A store's failure: kind, a sentence for people, and the driver's error for the log.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// What can be done about it.
    pub kind: StoreErrorKind,
    /// A sentence without internals.
    pub message: String,
    /// The driver's error.
    #[source]
    pub source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl StoreError {
    /// A failure with a sentence.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        StoreError { kind, message: message.into(), source: None }
    }

    /// The same with the driver's error.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }
}

impl From<StoreError> for Error {
    fn from(e: StoreError) -> Self {
        let (code, outcome) = match e.kind {
            StoreErrorKind::Unavailable => (Code::Unavailable, Outcome::NotApplied),
            StoreErrorKind::Unknown => (Code::Unavailable, Outcome::Unknown),
            StoreErrorKind::Conflict => (Code::Conflict, Outcome::NotApplied),
            StoreErrorKind::Refused => (Code::TooLarge, Outcome::NotApplied),
            StoreErrorKind::Damaged => (Code::Internal, Outcome::NotApplied),
            StoreErrorKind::Closed => (Code::ShuttingDown, Outcome::NotApplied),
        };
        Error::new(code, e.message.clone()).with_outcome(outcome).with_source(e)
    }
}
