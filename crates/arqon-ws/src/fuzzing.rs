//! The parsers inside, for the fuzz targets; no part of what this crate offers.

use crate::deflate;
use crate::frame::{Event, FrameReader};
use bytes::{Bytes, BytesMut};

/// What came out of a sequence of bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Read {
    /// A letter for the kind, and the payload.
    pub events: Vec<(char, Bytes)>,
    /// The close code that ended it, if something was refused.
    pub refused: Option<u16>,
}

/// Reads frames from bytes that arrive in pieces.
pub fn read<'a>(max: usize, deflate: bool, pieces: impl Iterator<Item = &'a [u8]>) -> Read {
    let mut reader = FrameReader::new(max, deflate);
    let mut input = BytesMut::new();
    let mut events = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match reader.next(&mut input) {
                Ok(Some(event)) => events.push(shown(event)),
                Ok(None) => break,
                Err(close) => return Read { events, refused: Some(close.code.number()) },
            }
        }
    }
    Read { events, refused: None }
}

fn shown(event: Event) -> (char, Bytes) {
    match event {
        Event::Message(form, data) => (if form.is_text() { 't' } else { 'b' }, data),
        Event::Ping(data) => ('p', data),
        Event::Pong => ('o', Bytes::new()),
        Event::Close => ('c', Bytes::new()),
    }
}

/// Inflates one message; the close code if it cannot be.
pub fn inflate(data: &[u8], max: usize) -> Result<Bytes, u16> {
    deflate::inflate(data, max).map_err(|close| close.code.number())
}

/// Deflates one message; false if that is not worth it.
pub fn deflate(data: &[u8], out: &mut Vec<u8>) -> bool {
    deflate::deflate(data, out)
}
