//! permessage-deflate (RFC 7692) without context takeover: each message stands alone.
//!
//! Invariant: no connection owns compressor state, each thread keeps one that all share; nothing is ever inflated
//! past the limit for a message.

use crate::close::{Close, CloseCode};
use crate::frame::too_big;
use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::cell::RefCell;

/// What ends each message, and is left out on the wire.
const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];

thread_local! {
    static INFLATE: RefCell<Option<Decompress>> = const { RefCell::new(None) };
    static DEFLATE: RefCell<Option<Compress>> = const { RefCell::new(None) };
}

/// Inflates one message; refuses what would grow past `max`.
pub(crate) fn inflate(data: &[u8], max: usize) -> Result<Bytes, Close> {
    INFLATE.with_borrow_mut(|slot| {
        let state = slot.get_or_insert_with(|| Decompress::new(false));
        state.reset(false);
        let mut out = Vec::with_capacity(data.len().saturating_mul(3).clamp(64, max.max(64)));
        for input in [data, &TAIL[..]] {
            if feed(state, input, &mut out, max)? {
                break;
            }
        }
        Ok(out.into())
    })
}

/// Inflates one piece. True if the stream said that it ends here.
fn feed(state: &mut Decompress, mut input: &[u8], out: &mut Vec<u8>, max: usize) -> Result<bool, Close> {
    let garbage = || Close::new(CloseCode::NotConsistent, "compressed data that cannot be read");
    loop {
        if out.len() == out.capacity() {
            out.reserve(out.len().clamp(1024, 64 * 1024));
        }
        let (read, written) = (state.total_in(), out.len());
        let status = state.decompress_vec(input, out, FlushDecompress::Sync).map_err(|_| garbage())?;
        input = &input[usize::try_from(state.total_in() - read).unwrap_or(input.len())..];
        if out.len() > max {
            return Err(too_big());
        }
        let stuck = state.total_in() == read && out.len() == written;
        match status {
            // A last block may be followed by one byte of padding (RFC 7692, 7.2.3.4).
            Status::StreamEnd if input.len() <= 1 || input == TAIL => return Ok(true),
            Status::StreamEnd => return Err(garbage()),
            _ if input.is_empty() && out.len() < out.capacity() => return Ok(false),
            _ if stuck && out.len() < out.capacity() => return Err(garbage()),
            _ => {}
        }
    }
}

/// Deflates one message behind what `out` holds. False, and `out` as it was, if that saves less than a tenth.
pub(crate) fn deflate(data: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let done = DEFLATE.with_borrow_mut(|slot| {
        let state = slot.get_or_insert_with(|| Compress::new(Compression::fast(), false));
        state.reset();
        compress(state, data, out)
    });
    let paid = done && out.len() >= start + TAIL.len() && out.ends_with(&TAIL);
    if paid {
        out.truncate(out.len() - TAIL.len());
    }
    if paid && out.len() - start <= data.len() / 10 * 9 {
        return true;
    }
    out.truncate(start);
    false
}

fn compress(state: &mut Compress, mut data: &[u8], out: &mut Vec<u8>) -> bool {
    out.reserve(data.len() / 2 + 64);
    loop {
        let read = state.total_in();
        if state.compress_vec(data, out, FlushCompress::Sync).is_err() {
            return false;
        }
        data = &data[usize::try_from(state.total_in() - read).unwrap_or(data.len())..];
        // Room left over means that the flush is complete.
        if data.is_empty() && out.len() < out.capacity() {
            return true;
        }
        out.reserve(data.len() / 2 + 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn made_by_flate2(data: &[u8], finish: bool) -> Vec<u8> {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).unwrap();
        if finish {
            let mut whole = encoder.finish().unwrap();
            whole.push(0);
            return whole;
        }
        encoder.flush().unwrap();
        let flushed = encoder.get_ref().clone();
        flushed.strip_suffix(&TAIL).unwrap().to_vec()
    }

    #[test]
    fn examples_of_the_rfc_are_read() {
        let hello: [&[u8]; 4] = [
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
            &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        ];
        for bytes in hello {
            assert_eq!(inflate(bytes, 5).unwrap(), "Hello");
        }
    }

    #[test]
    fn a_bomb_is_refused_early() {
        let bomb = made_by_flate2(&vec![0u8; 64 << 20], false);
        assert!(bomb.len() < 100_000);
        assert_eq!(inflate(&bomb, 1 << 20).unwrap_err().code, CloseCode::TooBig);
    }

    #[test]
    fn garbage_is_refused() {
        for bytes in [&[0xffu8, 0xff][..], &[0x06, 0x01], b"hello world"] {
            assert_eq!(inflate(bytes, 1000).unwrap_err().code, CloseCode::NotConsistent, "{bytes:?}");
        }
    }

    #[test]
    fn noise_is_not_worth_it() {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        let noise: Vec<u8> = (0..4096).map(|_| next()).collect();
        let mut out = b"before".to_vec();
        assert!(!deflate(&noise, &mut out));
        assert_eq!(out, b"before");
    }

    proptest! {
        #[test]
        fn what_others_deflate_is_inflated(data in proptest::collection::vec(0u8..4, 0..20_000), finish in any::<bool>()) {
            prop_assert_eq!(inflate(&made_by_flate2(&data, finish), data.len()).unwrap(), &data);
        }

        #[test]
        fn what_is_deflated_is_inflated(data in proptest::collection::vec(0u8..4, 1024..60_000)) {
            let mut out = Vec::new();
            prop_assert!(deflate(&data, &mut out));
            prop_assert_eq!(inflate(&out, data.len()).unwrap(), data);
        }

        #[test]
        fn any_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(out) = inflate(&data, 10_000) {
                prop_assert!(out.len() <= 10_000);
            }
        }
    }
}
