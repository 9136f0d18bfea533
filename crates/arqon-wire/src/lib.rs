//! The wire: version 1.0 of the envelope in JSON and in protobuf, the older one beside it, and nothing else that the
//! outside sees.
//!
//! Boundary: no input or output happens here, and no other crate names a serialisation format for public shapes.
//! Invariant: a message's payload, metadata and unknown members pass through unread, byte for byte, except that
//! line breaks between JSON tokens are taken out, so that an envelope always fits on one line.

pub mod cloudevents;
mod field;
mod form;
mod incoming;
pub mod json;
mod members;
pub mod older;
mod outgoing;
pub mod proto;
mod question;
mod scan;
mod server_says;
mod start;
mod target;
#[cfg(test)]
mod testing;
mod text;
mod time;
mod value;

#[cfg(test)]
mod document;

pub use form::{Decoder, Form};
pub use incoming::{Command, Incoming, Question, Rejected, Sent};
pub use outgoing::{Stamp, Welcome, outcome_text};
pub use server_says::{Delivered, GapSaid, ServerSays};
pub use start::{parse_start, positions_text, start_value};
pub use target::parse_target;
pub use time::{parse_timestamp, timestamp_text, write_timestamp};
pub use value::{args_from_json, value_from_json, value_to_json, write_value};
