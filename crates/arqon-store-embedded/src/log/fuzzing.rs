//! Behind the checksums of the log's files, for the fuzz targets.
//!
//! Invariant: `seal` changes checksums only; whatever else a file says is left as it is.

use super::fields::Fields;
use super::format::{
    BLOCK, BlockHeader, ENTRY, EntryHeader, PAGE, SegmentHeader, entry_bytes, parse_name, seed,
};
use super::{confirmed, dedup, format, sidecar, trims};
use arqon_core::RoomName;
use bytes::Bytes;
use crc32c::{crc32c, crc32c_append};

/// Reads `data` as everything that is read behind a checksum.
pub(crate) fn parts(data: &[u8]) {
    let _ = SegmentHeader::read(data);
    let _ = BlockHeader::read(data, 7);
    let _ = EntryHeader::read(data, 7);
    let _ = format::read_room(&mut Fields(data));
    let _ = sidecar::read_section(data);
    let _ = sidecar::read_directory(data);
    let _ = dedup::PartDedup::read(data);
    let _ = trims::TrimState::default().apply(data);
    let room = RoomName::parse("repo").expect("it is one");
    if let Ok(message) = arqon_core::codec::decode(&room, Bytes::copy_from_slice(data)) {
        let mut again = Vec::new();
        arqon_core::codec::encode(&message, &mut again);
        assert_eq!(
            arqon_core::codec::decode(&room, again.into()),
            Ok(message),
            "a stored message is what it was"
        );
    }
}

/// Gives a file right checksums.
pub(crate) fn seal(name: &str, bytes: &mut [u8], log_id: u64) {
    if let Some((segment, _, kind)) = parse_name(name) {
        match kind {
            "seg" => segment_file(bytes, log_id, segment),
            _ => sidecar_file(bytes),
        }
    } else if name == "confirmed" {
        [0, confirmed::SLOT as usize].into_iter().for_each(|at| sum(bytes, at, at + 52));
    } else if trims::parse_name(name).is_some() {
        trim_file(bytes, log_id);
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&value.to_le_bytes());
    }
}

/// The checksum of `from..to`, written behind it.
fn sum(bytes: &mut [u8], from: usize, to: usize) {
    if let Some(crc) = bytes.get(from..to).map(crc32c) {
        put(bytes, to, crc);
    }
}

fn segment_file(bytes: &mut [u8], log_id: u64, segment: u64) {
    [0, format::COPY].into_iter().for_each(|at| sum(bytes, at, at + 72));
    let seed = seed(log_id, segment);
    let (mut at, mut chain) = (PAGE as usize, None);
    while let (Some(magic), Some(len)) = (word(bytes, at), word(bytes, at + 4)) {
        if magic != format::BLOCK_MAGIC || bytes.len() < at + BLOCK {
            return;
        }
        if let Some(chain) = chain {
            put(bytes, at + 20, chain);
        }
        let crc = crc32c_append(seed, &bytes[at..at + BLOCK - 4]);
        put(bytes, at + BLOCK - 4, crc);
        chain = Some(crc);
        let end = (at + BLOCK).saturating_add(len as usize).min(bytes.len());
        entries(&mut bytes[at + BLOCK..end], seed);
        at = end;
    }
}

fn entries(mut bytes: &mut [u8], seed: u32) {
    while let (Some(len), true) = (word(bytes, 0), bytes.len() >= ENTRY) {
        let crc = crc32c_append(seed, &bytes[..24]);
        put(bytes, 24, crc);
        if let Some(body) = bytes.get(ENTRY..ENTRY.saturating_add(len as usize)) {
            let body = crc32c_append(crc, body);
            put(bytes, 28, body);
        }
        let next = entry_bytes(len as usize).min(bytes.len());
        bytes = &mut bytes[next..];
    }
}

fn sidecar_file(bytes: &mut [u8]) {
    let whole = bytes.len() as u64;
    let Some(len) = word(bytes, 28) else { return };
    let end = sidecar::PREAMBLE.saturating_add(len as usize);
    if let Some(body) = bytes.get(sidecar::PREAMBLE..end).map(crc32c) {
        put(bytes, 32, body);
    }
    if let Some(place) = bytes.get_mut(36..44) {
        place.copy_from_slice(&whole.to_le_bytes());
    }
    sum(bytes, 0, 44);
}

fn trim_file(bytes: &mut [u8], log_id: u64) {
    let mut at = 0;
    while let (Some(_), Some(len)) = (word(bytes, at), word(bytes, at + 4)) {
        let end = (at + 12).saturating_add(len as usize);
        if let Some(body) = bytes.get(at + 12..end) {
            let crc = crc32c_append(log_id as u32, body);
            put(bytes, at + 8, crc);
        }
        at = end.next_multiple_of(8);
    }
}
