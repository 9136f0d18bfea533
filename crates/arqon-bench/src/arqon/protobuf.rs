//! As much of protobuf as the generator needs: fields with a length, and small numbers.
//!
//! Invariant: the numbers are those of `proto/arqon/v1/envelope.proto`; the end-to-end tests of the loads speak them to
//! a real server.

pub(super) const PAYLOAD: u64 = 8;
pub(super) const TYPE: u64 = 9;
pub(super) const ID: u64 = 1;
pub(super) const POSITION: u64 = 12;
pub(super) const REQUEST_ID: u64 = 15;
pub(super) const CONFIRM: u64 = 18;
pub(super) const TO: u64 = 19;
pub(super) const COMMAND: u64 = 23;
pub(super) const ARGS: u64 = 24;
pub(super) const ERROR: u64 = 26;
pub(super) const CORRELATION_ID: u64 = 30;
pub(super) const REPLY_TO: u64 = 31;
pub(super) const REASON: u64 = 41;

/// Appends a number.
pub(super) fn put_number(field: u64, value: u64, out: &mut Vec<u8>) {
    varint(field << 3, out);
    varint(value, out);
}

/// Appends text or bytes.
pub(super) fn put_bytes(field: u64, value: &[u8], out: &mut Vec<u8>) {
    varint(field << 3 | 2, out);
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The bytes of the first field with that number.
pub(super) fn field(mut bytes: &[u8], wanted: u64) -> Option<&[u8]> {
    while !bytes.is_empty() {
        let tag = read_varint(&mut bytes)?;
        let length = match tag & 7 {
            0 => {
                read_varint(&mut bytes)?;
                0
            }
            2 => usize::try_from(read_varint(&mut bytes)?).ok()?,
            _ => return None,
        };
        let value = bytes.get(..length)?;
        if tag == wanted << 3 | 2 {
            return Some(value);
        }
        bytes = &bytes[length..];
    }
    None
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_behind_others() {
        let mut out = Vec::new();
        put_number(TYPE, 300, &mut out);
        put_bytes(TO, b"a:b", &mut out);
        put_bytes(PAYLOAD, &[7; 200], &mut out);
        assert_eq!(field(&out, PAYLOAD), Some(&[7; 200][..]));
        assert_eq!(field(&out, TO), Some(&b"a:b"[..]));
        assert_eq!(field(&out, COMMAND), None);
        assert_eq!(field(&out[..20], PAYLOAD), None);
    }
}
