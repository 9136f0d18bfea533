//! Message ids: `arq_` + ULID made by the server, or the older `arq_{nanoseconds}_{counter}_{6 hex}`.

use crate::env::{Clock, Random};
use crate::{Error, Result, Timestamp};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The digit of each byte; 255 for those that are none.
const DIGITS: [u8; 256] = {
    let mut digits = [255; 256];
    let mut i = 0;
    while i < ALPHABET.len() {
        digits[ALPHABET[i] as usize] = i as u8;
        i += 1;
    }
    digits
};

/// The id of one envelope, unique in its tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MessageId {
    /// `arq_` + 26 characters of Crockford base 32.
    Ulid(u128),
    /// The older form, kept as it came.
    Legacy(Arc<str>),
}

impl MessageId {
    /// Reads either form.
    pub fn parse(text: &str) -> Result<Self> {
        let rest = text.strip_prefix("arq_").ok_or_else(bad)?;
        if rest.len() == 26 && !rest.contains('_') {
            return decode_ulid(rest).map(MessageId::Ulid).ok_or_else(bad);
        }
        let mut parts = rest.split('_');
        let shape = (parts.next(), parts.next(), parts.next(), parts.next());
        let (Some(time), Some(counter), Some(tail), None) = shape else { return Err(bad()) };
        let digits = |s: &str| !s.is_empty() && s.len() <= 20 && s.bytes().all(|b| b.is_ascii_digit());
        let hex = tail.len() == 6 && tail.bytes().all(|b| b.is_ascii_hexdigit());
        if digits(time) && digits(counter) && hex { Ok(MessageId::Legacy(text.into())) } else { Err(bad()) }
    }

    /// Appends the text form to `out`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            MessageId::Ulid(value) => out.extend_from_slice(&text_of(*value)),
            MessageId::Legacy(text) => out.extend_from_slice(text.as_bytes()),
        }
    }

    /// Lends the text form, which is nowhere kept.
    pub fn with_text<R>(&self, read: impl FnOnce(&str) -> R) -> R {
        match self {
            MessageId::Ulid(value) => {
                read(std::str::from_utf8(&text_of(*value)).expect("the alphabet is ASCII"))
            }
            MessageId::Legacy(text) => read(text),
        }
    }
}

fn bad() -> Error {
    Error::invalid(
        "id",
        "expected `arq_` followed by a 26-character ULID or by `{nanoseconds}_{counter}_{6 hex digits}`",
    )
    .with_hint("leave `id` out and the server makes one")
}

fn text_of(value: u128) -> [u8; 30] {
    let mut text = [0; 30];
    text[..4].copy_from_slice(b"arq_");
    text[4..].copy_from_slice(&encode_ulid(value));
    text
}

/// The 26 characters of a ULID.
pub fn encode_ulid(value: u128) -> [u8; 26] {
    let mut text = [0u8; 26];
    // Eight bits, then twice twelve digits: what a register holds is taken apart much faster than 128 bits are.
    let (high, middle, low) = ((value >> 120) as u64, (value >> 60) as u64, value as u64);
    let digit = |bits: u64, shift: usize| ALPHABET[((bits >> shift) & 31) as usize];
    (text[0], text[1]) = (digit(high, 5), digit(high, 0));
    for i in 0..12 {
        text[2 + i] = digit(middle, 55 - 5 * i);
        text[14 + i] = digit(low, 55 - 5 * i);
    }
    text
}

fn decode_ulid(text: &str) -> Option<u128> {
    let mut value: u128 = 0;
    for (i, byte) in text.bytes().enumerate() {
        let digit = DIGITS[usize::from(byte)];
        if digit > 31 || (i == 0 && digit > 7) {
            return None;
        }
        value = (value << 5) | u128::from(digit);
    }
    Some(value)
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.write_str(text))
    }
}

/// Makes ULIDs that rise within a millisecond: 48 bits of time, then a counter over a random start.
pub struct IdMaker {
    clock: Arc<dyn Clock>,
    high: AtomicU64,
    low: AtomicU64,
}

impl IdMaker {
    /// A maker whose ids differ from those of every other maker.
    pub fn new(clock: Arc<dyn Clock>, random: &dyn Random) -> Self {
        IdMaker {
            clock,
            high: AtomicU64::new(random.next_u64() & 0xFFFF),
            // Half of the range is left to count upwards before it would wrap.
            low: AtomicU64::new(random.next_u64() >> 1),
        }
    }

    /// The next id, as 128 bits.
    pub fn next(&self) -> u128 {
        self.next_at(self.clock.now())
    }

    /// The next id, for whoever has just read the clock.
    pub(crate) fn next_at(&self, now: Timestamp) -> u128 {
        let ms = u128::from(now.as_millis()) & 0xFFFF_FFFF_FFFF;
        let high = u128::from(self.high.load(Ordering::Relaxed));
        let low = u128::from(self.low.fetch_add(1, Ordering::Relaxed));
        (ms << 80) | (high << 64) | low
    }

    /// The next message id.
    pub fn message_id(&self) -> MessageId {
        MessageId::Ulid(self.next())
    }

    /// The next message id, for whoever has just read the clock.
    pub fn message_id_at(&self, now: Timestamp) -> MessageId {
        MessageId::Ulid(self.next_at(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_round_trip() {
        for text in ["arq_01ARZ3NDEKTSV4RRFFQ69G5FAV", "arq_1700000000000000000_12_a1b2c3"] {
            let id = MessageId::parse(text).unwrap();
            assert_eq!(id.to_string(), text);
            let mut bytes = Vec::new();
            id.write_to(&mut bytes);
            assert_eq!(bytes, text.as_bytes());
        }
    }

    #[test]
    fn every_bit_of_a_ulid_has_its_place() {
        for value in (0..128).map(|bit| 1u128 << bit).chain([0, u128::MAX, 0x0123_4567_89AB_CDEF << 37]) {
            let text = encode_ulid(value);
            assert_eq!(decode_ulid(std::str::from_utf8(&text).unwrap()), Some(value));
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_field_named() {
        for text in [
            "",
            "arq_",
            "arq_invalid",
            "x",
            "arq_1_2_zzzzzz",
            "arq_1_2_abcdef_3",
            "arq_81ARZ3NDEKTSV4RRFFQ69G5FAV",
        ] {
            assert_eq!(MessageId::parse(text).unwrap_err().field(), Some("id"), "{text}");
        }
    }
}
