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
#[path = "deflate/tests.rs"]
mod tests;
