//! The JSON form of the envelope, both directions.
//!
//! Boundary: messages never become a value tree here; payload, metadata and unknown members are copied or shared as
//! raw text.

pub mod client;
mod decode;
mod encode;
mod peek;

pub use decode::{Decoder, payload};
pub(crate) use decode::{
    boxed, check_version_text, missing_command, missing_type, pair_producer, refuse_type,
};
pub use encode::*;
pub use peek::{Peeked, peek};

/// The place of this form's bytes in a record.
pub(crate) const FORM: usize = 0;

#[cfg(test)]
pub(crate) mod tests;
