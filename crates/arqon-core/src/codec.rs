//! The stored form of a message: a compact binary layout that every engine keeps as opaque bytes.
//!
//! Layout (all integers LEB128 unless said): format 1 byte (1) · kind · priority · id tag and bytes · sender ·
//! channel · timestamp µs · stored_at µs · presence bits · each present extra, length-prefixed · payload to the end.
//! The room is not in it: the log knows it. Invariant: `decode(encode(m)) == m` for every message.

use crate::message::{Extras, Producer};
use crate::{Address, ChannelName, Kind, Message, MessageId, Priority, RoomName, Timestamp};
use bytes::{Buf, Bytes};
use std::sync::Arc;

const FORMAT: u8 = 1;

/// Bytes that are not a stored message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a stored message")]
pub struct Malformed;

/// Appends the stored form of `message` to `out`.
pub fn encode(message: &Message, out: &mut Vec<u8>) {
    out.push(FORMAT);
    out.push(match message.kind {
        Kind::Message => 0,
        Kind::Telemetry => 1,
    });
    out.push(message.priority as u8);
    match &message.id {
        MessageId::Ulid(value) => {
            out.push(0);
            out.extend_from_slice(&value.to_be_bytes());
        }
        MessageId::Legacy(text) => {
            out.push(1);
            put(out, text.as_bytes());
        }
    }
    put(out, message.sender.as_bytes());
    put(out, message.address.channel.as_str().as_bytes());
    number(out, message.timestamp.0);
    number(out, message.stored_at.0);
    match &message.extras {
        None => out.push(0),
        Some(extras) => encode_extras(extras, out),
    }
    out.extend_from_slice(&message.payload);
}

fn encode_extras(e: &Extras, out: &mut Vec<u8>) {
    let texts = [&e.to, &e.reply_to, &e.correlation_id, &e.idempotency_key, &e.traceparent];
    let raws = [&e.metadata, &e.unknown];
    // Bit 9 tells "there is an extras box" from "there is none", so that decoding is exact.
    let mut bits: u64 = 1 << 9;
    for (i, text) in texts.iter().enumerate() {
        bits |= u64::from(text.is_some()) << i;
    }
    for (i, raw) in raws.iter().enumerate() {
        bits |= u64::from(raw.is_some()) << (5 + i);
    }
    bits |= u64::from(e.producer.is_some()) << 7;
    bits |= u64::from(e.expires_at.is_some()) << 8;
    number(out, bits);
    texts.into_iter().flatten().for_each(|text| put(out, text.as_bytes()));
    raws.into_iter().flatten().for_each(|raw| put(out, raw));
    if let Some(producer) = &e.producer {
        put(out, producer.id.as_bytes());
        number(out, producer.sequence);
    }
    if let Some(at) = e.expires_at {
        number(out, at.0);
    }
}

/// Names of the message that was read last. Messages that lie in a row mostly have the same ones, and share them then
/// in place of each having its own.
#[derive(Debug, Default)]
pub struct Names {
    sender: Option<Arc<str>>,
    channel: Option<ChannelName>,
    producer: Option<Arc<str>>,
}

/// Reads the stored form; the payload and raw parts share `bytes`.
pub fn decode(room: &RoomName, bytes: Bytes) -> Result<Message, Malformed> {
    decode_next(room, bytes, &mut Names::default())
}

/// The same for one of several messages in a row, whose names are shared.
pub fn decode_next(room: &RoomName, mut bytes: Bytes, names: &mut Names) -> Result<Message, Malformed> {
    let input = &mut bytes;
    if byte(input)? != FORMAT {
        return Err(Malformed);
    }
    let kind = match byte(input)? {
        0 => Kind::Message,
        1 => Kind::Telemetry,
        _ => return Err(Malformed),
    };
    let priority = *Priority::ALL.get(usize::from(byte(input)?)).ok_or(Malformed)?;
    let id = match byte(input)? {
        0 if input.len() >= 16 => MessageId::Ulid(input.get_u128()),
        1 => MessageId::Legacy(text(input)?),
        _ => return Err(Malformed),
    };
    let sender = same_or_new(input, &mut names.sender)?;
    let channel = piece(input, |name| match &names.channel {
        Some(last) if last.as_str().as_bytes() == name => Ok(last.clone()),
        _ => {
            let name = std::str::from_utf8(name).map_err(|_| Malformed)?;
            Ok(names.channel.insert(ChannelName::parse(name).map_err(|_| Malformed)?).clone())
        }
    })?;
    let timestamp = Timestamp(read_number(input)?);
    let stored_at = Timestamp(read_number(input)?);
    let bits = read_number(input)?;
    let extras = if bits == 0 { None } else { Some(Box::new(decode_extras(bits, input, names)?)) };
    let address = Address { room: room.clone(), channel };
    Ok(Message { id, kind, address, sender, timestamp, stored_at, priority, payload: bytes, extras })
}

fn decode_extras(bits: u64, input: &mut Bytes, names: &mut Names) -> Result<Extras, Malformed> {
    let has = |i: u32| bits & (1 << i) != 0;
    let mut e = Extras::default();
    let texts =
        [&mut e.to, &mut e.reply_to, &mut e.correlation_id, &mut e.idempotency_key, &mut e.traceparent];
    for (i, slot) in (0..).zip(texts) {
        if has(i) {
            *slot = Some(text(input)?);
        }
    }
    for (i, slot) in (5..).zip([&mut e.metadata, &mut e.unknown]) {
        if has(i) {
            *slot = Some(take(input)?);
        }
    }
    if has(7) {
        let id = same_or_new(input, &mut names.producer)?;
        e.producer = Some(Producer { id, sequence: read_number(input)? });
    }
    if has(8) {
        e.expires_at = Some(Timestamp(read_number(input)?));
    }
    Ok(e)
}

/// Appends a LEB128 number.
pub fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a length and the bytes.
pub fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn byte(input: &mut Bytes) -> Result<u8, Malformed> {
    if input.is_empty() { Err(Malformed) } else { Ok(input.get_u8()) }
}

/// Reads a LEB128 number.
pub fn read_number(input: &mut Bytes) -> Result<u64, Malformed> {
    let mut value: u64 = 0;
    for shift in (0..64).step_by(7) {
        let b = byte(input)?;
        if shift == 63 && b > 1 {
            return Err(Malformed);
        }
        value |= u64::from(b & 0x7F) << shift;
        if b < 0x80 {
            return Ok(value);
        }
    }
    Err(Malformed)
}

/// Reads a length and that many bytes, shared.
pub fn take(input: &mut Bytes) -> Result<Bytes, Malformed> {
    let len = usize::try_from(read_number(input)?).map_err(|_| Malformed)?;
    if len > input.len() { Err(Malformed) } else { Ok(input.split_to(len)) }
}

/// Reads a length and that many bytes of UTF-8.
pub fn text(input: &mut Bytes) -> Result<Arc<str>, Malformed> {
    piece(input, |bytes| std::str::from_utf8(bytes).map(Arc::from).map_err(|_| Malformed))
}

/// The same; shares the last text if it is the same one.
fn same_or_new(input: &mut Bytes, last: &mut Option<Arc<str>>) -> Result<Arc<str>, Malformed> {
    piece(input, |bytes| match last {
        Some(last) if last.as_bytes() == bytes => Ok(last.clone()),
        _ => {
            let text = std::str::from_utf8(bytes).map_err(|_| Malformed)?;
            Ok(last.insert(Arc::from(text)).clone())
        }
    })
}

/// Reads a length and looks at that many bytes, without a count of who shares them.
fn piece<T>(input: &mut Bytes, look: impl FnOnce(&[u8]) -> Result<T, Malformed>) -> Result<T, Malformed> {
    let len = usize::try_from(read_number(input)?).map_err(|_| Malformed)?;
    let found = look(input.get(..len).ok_or(Malformed)?)?;
    input.advance(len);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_text() -> impl Strategy<Value = Option<Arc<str>>> {
        proptest::option::of("[a-z0-9]{0,40}".prop_map(|s| Arc::from(s.as_str())))
    }
    fn any_raw() -> impl Strategy<Value = Option<Bytes>> {
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from))
    }

    prop_compose! {
        fn any_extras()(
            to in any_text(), reply_to in any_text(), correlation_id in any_text(), idempotency_key in any_text(),
            traceparent in any_text(), metadata in any_raw(), unknown in any_raw(),
            producer in proptest::option::of(("[a-z]{1,9}", any::<u64>())), expires in proptest::option::of(any::<u64>()),
        ) -> Extras {
            let producer = producer.map(|(id, sequence)| Producer { id: id.as_str().into(), sequence });
            let expires_at = expires.map(Timestamp);
            Extras { to, reply_to, correlation_id, idempotency_key, producer, expires_at, traceparent, metadata, unknown }
        }
    }

    prop_compose! {
        fn any_message()(
            id in prop_oneof![any::<u128>().prop_map(MessageId::Ulid), Just(MessageId::Legacy("arq_1_2_abcdef".into()))],
            telemetry in any::<bool>(), priority in 0usize..4, times in any::<(u64, u64)>(),
            payload in proptest::collection::vec(any::<u8>(), 0..200), extras in proptest::option::of(any_extras()),
        ) -> Message {
            Message {
                id, kind: if telemetry { Kind::Telemetry } else { Kind::Message },
                address: Address::parse("repo:main:x").unwrap(), sender: "someone".into(),
                timestamp: Timestamp(times.0), stored_at: Timestamp(times.1), priority: Priority::ALL[priority],
                payload: payload.into(), extras: extras.map(Box::new),
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(message in any_message()) {
            let mut bytes = Vec::new();
            encode(&message, &mut bytes);
            prop_assert_eq!(decode(&message.address.room, bytes.into()).unwrap(), message);
        }

        #[test]
        fn messages_in_a_row_are_read_as_each_alone(messages in proptest::collection::vec(any_message(), 1..5)) {
            let mut names = Names::default();
            for mut message in messages {
                message.sender = if message.timestamp.0 % 2 == 0 { "someone" } else { "somebody" }.into();
                let channel = if message.stored_at.0 % 2 == 0 { "repo:main" } else { "repo:other" };
                message.address = Address::parse(channel).unwrap();
                let mut bytes = Vec::new();
                encode(&message, &mut bytes);
                prop_assert_eq!(decode_next(&message.address.room, bytes.into(), &mut names).unwrap(), message);
            }
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&RoomName::parse("repo").unwrap(), bytes.into());
        }
    }
}
