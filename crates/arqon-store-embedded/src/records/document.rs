//! The stored form of a document: CRC32C · version · expiry · indexes · content.
//!
//! Invariant: the checksum covers the document's key too, so that a value that turns up under another name is damage.

use arqon_core::Timestamp;
use arqon_core::codec::{number, put, read_number, text};
use arqon_core::port::Doc;
use bytes::{Buf, Bytes};
use std::sync::Arc;

const FORMAT: u8 = 1;

/// A value that is not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damaged;

/// A document with what is needed to take it out of its indexes again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Document {
    pub(super) version: u64,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) indexes: Vec<(Arc<str>, Arc<str>)>,
    pub(super) data: Bytes,
}

impl Document {
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }

    pub(super) fn has_index(&self, name: &str, value: &str) -> bool {
        self.indexes.iter().any(|(n, v)| **n == *name && **v == *value)
    }

    pub(super) fn encode(&self, key: &[u8]) -> Vec<u8> {
        let mut out = vec![0; 4];
        out.push(FORMAT);
        number(&mut out, self.version);
        match self.expires_at {
            None => out.push(0),
            Some(at) => {
                out.push(1);
                number(&mut out, at.0);
            }
        }
        number(&mut out, self.indexes.len() as u64);
        for (name, value) in &self.indexes {
            put(&mut out, name.as_bytes());
            put(&mut out, value.as_bytes());
        }
        out.extend_from_slice(&self.data);
        let checksum = checksum(key, &out[4..]);
        out[..4].copy_from_slice(&checksum);
        out
    }

    /// Reads a value found under `key`; the content shares `value`.
    pub(super) fn decode(key: &[u8], mut value: Bytes) -> Result<Self, Damaged> {
        if value.len() < 5 || checksum(key, &value[4..]) != value[..4] || value[4] != FORMAT {
            return Err(Damaged);
        }
        value.advance(5);
        Self::decode_body(value).ok_or(Damaged)
    }

    pub(super) fn decode_body(mut value: Bytes) -> Option<Self> {
        let input = &mut value;
        let version = read_number(input).ok()?;
        let expires_at = match input.try_get_u8().ok()? {
            0 => None,
            1 => Some(Timestamp(read_number(input).ok()?)),
            _ => return None,
        };
        let mut indexes = Vec::new();
        for _ in 0..read_number(input).ok()? {
            indexes.push((text(input).ok()?, text(input).ok()?));
        }
        Some(Document { version, expires_at, indexes, data: value })
    }

    pub(super) fn into_doc(self) -> Doc {
        // A copy, since what is read may be a small part of a large block that would stay in memory with it.
        Doc { version: self.version, data: Bytes::copy_from_slice(&self.data), expires_at: self.expires_at }
    }
}

/// The numbers of the last group, and of the last one that was promised to be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Marks {
    pub(super) last: u64,
    pub(super) synced: u64,
}

impl Marks {
    pub(super) fn encode(self) -> Vec<u8> {
        let body = [self.last.to_le_bytes(), self.synced.to_le_bytes()].concat();
        [&checksum(super::keys::MARKS, &body)[..], &body].concat()
    }

    pub(super) fn decode(value: &[u8]) -> Result<Self, Damaged> {
        let (sum, body) = value.split_at_checked(4).ok_or(Damaged)?;
        if checksum(super::keys::MARKS, body) != sum {
            return Err(Damaged);
        }
        let mut input = Bytes::copy_from_slice(body);
        let mut next = || input.try_get_u64_le().map_err(|_| Damaged);
        Ok(Marks { last: next()?, synced: next()? })
    }
}

fn checksum(key: &[u8], body: &[u8]) -> [u8; 4] {
    crc32c::crc32c_append(crc32c::crc32c(key), body).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Document {
        Document {
            version: 300,
            expires_at: Some(Timestamp(u64::MAX)),
            indexes: vec![("state".into(), "open".into()), ("".into(), "".into())],
            data: Bytes::from_static(b"content"),
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_under_its_own_key_only() {
        let value = Bytes::from(document().encode(b"key"));
        assert_eq!(Document::decode(b"key", value.clone()), Ok(document()));
        assert_eq!(Document::decode(b"kez", value), Err(Damaged));
        let marks = Marks { last: 7, synced: 5 };
        assert_eq!(Marks::decode(&marks.encode()), Ok(marks));
    }

    #[test]
    fn any_changed_bit_and_any_cut_is_damage() {
        let value = document().encode(b"key");
        for bit in 0..value.len() * 8 {
            let mut changed = value.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Document::decode(b"key", changed.into()), Err(Damaged), "bit {bit}");
        }
        for cut in 0..value.len() {
            assert_eq!(Document::decode(b"key", value[..cut].to_vec().into()), Err(Damaged), "cut {cut}");
        }
        for cut in 0..20 {
            assert_eq!(Marks::decode(&Marks { last: 7, synced: 5 }.encode()[..cut]), Err(Damaged));
        }
    }
}
