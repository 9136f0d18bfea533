//! The older protocol, which clients from before Arqon speak: its envelope in JSON and in protobuf, both directions.
//!
//! Invariant: what the server says to an older client has only members that its envelope knows, since its libraries
//! refuse others; and both wire forms of it say the same.

mod encode;
mod json;
mod parts;
mod place;
mod proto;
pub mod telemetry;

pub use encode::*;
pub use parts::{Answer, Command, Incoming, Message, Rejected, Why};
pub use place::Place;

use crate::Form;
use bytes::Bytes;

/// Decodes one envelope of an older client; raw parts share `frame`.
pub fn decode(form: Form, frame: &Bytes) -> Result<Incoming, Box<Rejected>> {
    if form.is_text() { json::parts(frame)?.understand() } else { proto::parts(frame)?.understand() }
}

/// Whether an envelope that the current protocol refuses has a shape that only older clients send.
pub fn is_older(form: Form, frame: &Bytes) -> bool {
    if form.is_text() { json::is_older(frame) } else { proto::is_older(frame) }
}

#[cfg(test)]
mod tests;
