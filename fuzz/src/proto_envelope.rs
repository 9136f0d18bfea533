//! What a client sends as protobuf.
//!
//! Invariant: a refusal names its field; what is taken means the same in both forms.

use crate::says_same;
use arqon_wire::Form;
use arqon_wire::proto::Decoder;
use bytes::Bytes;

/// The law.
///
/// # Panics
/// When it is broken.
pub fn check(data: &[u8]) {
    let frame = Bytes::copy_from_slice(data);
    says_same::envelope(&Decoder::default().decode(&frame));
    says_same::older(Form::OlderProto, &frame);
}
