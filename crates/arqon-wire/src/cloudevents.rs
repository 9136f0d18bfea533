//! CloudEvents 1.0 ⇄ messages: the JSON form (one event, or a batch), and the binary form, whose attributes are headers.
//!
//! Attributes are kept in `metadata.cloudevents`. Data that is a JSON object is the payload; other data is held by a member of
//! the payload, which `data_in` names.
//! Invariant: an event that came in goes out with the attributes and the data that it had; what only the server knows (who
//! sent it, where it stands) is the server's word.

mod read;
mod write;

pub use read::{batch, from_binary, from_json};
pub use write::write_event;

/// The member of `metadata` that keeps the attributes.
const KEPT: &str = "cloudevents";
/// Beside the attributes: which member of the payload holds the data. No attribute can be called so.
const DATA_IN: &str = "data_in";
/// No data at all.
const NOTHING: &str = "nothing";
/// Data that is JSON and no object, or text.
const DATA: &str = "data";
/// Any other data.
const DATA_BASE64: &str = "data_base64";

/// Whether a name may be an attribute's.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

#[cfg(test)]
mod tests;
