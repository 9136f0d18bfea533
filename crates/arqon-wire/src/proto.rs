//! The protobuf form of the envelope, both directions; it says the same as the JSON form, field by field.
//!
//! Invariant: a record is encoded once; protobuf fields may come in any order, so what differs between subscriptions
//! is a prefix, and prefix and shared bytes together are one message.

pub mod client;
mod decode;
mod encode;
mod field;

pub use decode::Decoder;
pub use encode::*;

/// The generated types of `proto/arqon/v1/envelope.proto`.
pub mod v1 {
    #![allow(missing_docs, clippy::doc_markdown)]
    include!(concat!(env!("OUT_DIR"), "/arqon.v1.rs"));
}

/// The place of this form's bytes in a record.
pub(crate) const FORM: usize = 1;

#[cfg(test)]
mod tests;
