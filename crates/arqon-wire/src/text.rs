//! Small pieces of text appended to a buffer: JSON strings, numbers, ids, positions.
//!
//! Invariant: what is appended is valid UTF-8 and valid JSON where it says so.

use crate::scan::plain_prefix;
use arqon_core::Position;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends a JSON string with its quotes.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (plain, special) = rest.split_at(plain_prefix(rest));
        out.extend_from_slice(plain);
        let Some((&byte, after)) = special.split_first() else { break };
        escape(out, byte);
        rest = after;
    }
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        other => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[HEX[usize::from(other >> 4)], HEX[usize::from(other & 15)]]);
        }
    }
}

/// Appends a number in decimal.
pub(crate) fn decimal(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn hex(out: &mut Vec<u8>, value: u64) {
    let first = (value.max(1).leading_zeros() / 4) as usize;
    let mut digits = [0u8; 16];
    for (i, digit) in digits.iter_mut().enumerate() {
        *digit = HEX[((value >> (60 - 4 * i)) & 15) as usize];
    }
    out.extend_from_slice(&digits[first..]);
}

/// Appends the text form of a position; the same as its `Display`.
pub(crate) fn position(out: &mut Vec<u8>, position: Position) {
    const MEMORY: u64 = 1 << 63;
    if position.epoch.is_memory() {
        out.push(b'm');
    }
    hex(out, position.epoch.0 & !MEMORY);
    out.push(b'-');
    decimal(out, position.offset);
}

#[cfg(test)]
mod tests {
    use super::*;
    use arqon_core::record::Epoch;
    use proptest::prelude::*;

    fn with(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn strings_are_json(text in any::<String>()) {
            let written = with(|out| string(out, &text));
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        }

        #[test]
        fn numbers_and_positions_are_as_displayed(epoch in any::<u64>(), offset in any::<u64>(), shift in 0u32..64) {
            prop_assert_eq!(with(|out| decimal(out, offset)), offset.to_string());
            let at = Position::new(Epoch(epoch >> shift), offset);
            prop_assert_eq!(with(|out| position(out, at)), at.to_string());
        }
    }
}
