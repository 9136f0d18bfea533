//! The numbers of the envelope's fields and how to append one, so that encoding needs no intermediate structure.
//!
//! Invariant: the numbers are those of `envelope.proto`; the round-trip tests decode with the generated types.

use super::v1::{Priority as ProtoPriority, Type};
use crate::time::LAST;
use arqon_core::codec::number as varint;
use arqon_core::{Kind, Priority, Timestamp};

pub(super) const ID: u32 = 1;
pub(super) const ROOM: u32 = 3;
pub(super) const TIMESTAMP: u32 = 4;
pub(super) const CHANNEL: u32 = 7;
pub(super) const PAYLOAD: u32 = 8;
pub(super) const TYPE: u32 = 9;
pub(super) const SENDER: u32 = 11;
pub(super) const POSITION: u32 = 12;
pub(super) const SUBSCRIPTION: u32 = 13;
pub(super) const ATTEMPT: u32 = 14;
pub(super) const REQUEST_ID: u32 = 15;
pub(super) const PRIORITY: u32 = 17;
pub(super) const CONFIRM: u32 = 18;
pub(super) const TO: u32 = 19;
pub(super) const COMMAND: u32 = 23;
pub(super) const ARGS: u32 = 24;
pub(super) const STATUS: u32 = 25;
pub(super) const ERROR: u32 = 26;
pub(super) const ERROR_CODE: u32 = 27;
pub(super) const METADATA: u32 = 28;
pub(super) const IDEMPOTENCY_KEY: u32 = 29;
pub(super) const CORRELATION_ID: u32 = 30;
pub(super) const REPLY_TO: u32 = 31;
pub(super) const EXPIRES_AT: u32 = 32;
pub(super) const TRACEPARENT: u32 = 33;
pub(super) const PRODUCER: u32 = 34;
pub(super) const SEQUENCE: u32 = 35;
pub(super) const TIMESTAMP_MICROS: u32 = 36;
pub(super) const STORED_AT: u32 = 37;
pub(super) const EXTRA: u32 = 38;
pub(super) const GAP_FROM: u32 = 39;
pub(super) const GAP_TO: u32 = 40;
pub(super) const REASON: u32 = 41;

/// Appends a number field (`int64`, `uint32`, `uint64`, enumerations); zero is absent.
pub(super) fn number(out: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        varint(out, u64::from(field) << 3);
        varint(out, value);
    }
}

/// Appends a field of bytes or text; empty is absent.
pub(super) fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    if !value.is_empty() {
        varint(out, u64::from(field) << 3 | 2);
        varint(out, value.len() as u64);
        out.extend_from_slice(value);
    }
}

/// Appends a field of at most 127 bytes that `write` produces.
pub(super) fn short(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    varint(out, u64::from(field) << 3 | 2);
    let at = out.len();
    out.push(0);
    write(out);
    let len = out.len() - at - 1;
    debug_assert!(len < 128, "one length byte was reserved");
    out[at] = len as u8;
}

/// Appends a field whose text `write` produces, of any length.
pub(super) fn built(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let mut text = Vec::new();
    write(&mut text);
    bytes(out, field, &text);
}

/// Appends the two fields of the timestamp.
pub(super) fn timestamp(out: &mut Vec<u8>, at: Timestamp) {
    number(out, TIMESTAMP, at.as_millis());
    number(out, TIMESTAMP_MICROS, at.0 % 1000);
}

/// Reads the two fields of the timestamp; both zero is absent.
pub(super) fn read_timestamp(ms: i64, micros: u32) -> Option<Timestamp> {
    let ms = u64::try_from(ms).ok()?;
    let at = Timestamp(ms.saturating_mul(1000).saturating_add(u64::from(micros % 1000)));
    (at.0 > 0).then_some(at.min(LAST))
}

/// Reads microseconds; zero is absent.
pub(super) fn read_micros(value: i64) -> Option<Timestamp> {
    u64::try_from(value).ok().filter(|at| *at > 0).map(|at| Timestamp(at).min(LAST))
}

pub(super) fn type_of(kind: Kind) -> Type {
    match kind {
        Kind::Message => Type::Message,
        Kind::Telemetry => Type::Telemetry,
    }
}

pub(super) fn priority_number(priority: Priority) -> u64 {
    let found = match priority {
        Priority::Normal => ProtoPriority::Normal,
        Priority::Critical => ProtoPriority::Critical,
        Priority::High => ProtoPriority::High,
        Priority::Low => ProtoPriority::Low,
    };
    found as u64
}

pub(super) fn read_priority(number: i32) -> Option<Priority> {
    Some(match ProtoPriority::try_from(number).ok()? {
        ProtoPriority::Normal => Priority::Normal,
        ProtoPriority::Critical => Priority::Critical,
        ProtoPriority::High => Priority::High,
        ProtoPriority::Low => Priority::Low,
    })
}
