//! RFC 6455 frames: an incremental reader for what clients send, and headers for what goes out.
//!
//! Invariant: a length is checked against the limit before anything is kept for it, and memory grows only with bytes
//! that have arrived. The reader is strict: what the RFC forbids ends the connection.

use crate::close::{Close, CloseCode};
use crate::deflate;
use arqon_wire::Form;
use bytes::{Buf, Bytes, BytesMut};

/// What a frame, or a sequence of fragments, turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A whole text or binary message.
    Message(Form, Bytes),
    /// A ping with its payload.
    Ping(Bytes),
    /// A pong.
    Pong,
    /// The peer closes.
    Close,
}

pub(crate) mod opcode {
    pub(crate) const CONTINUATION: u8 = 0;
    pub(crate) const TEXT: u8 = 1;
    pub(crate) const BINARY: u8 = 2;
    pub(crate) const CLOSE: u8 = 8;
    pub(crate) const PING: u8 = 9;
    pub(crate) const PONG: u8 = 10;
}

const FIN: u8 = 0x80;
const COMPRESSED: u8 = 0x40;
const RESERVED: u8 = 0x30;
const MASKED: u8 = 0x80;
/// Largest payload of a control frame.
const CONTROL_MAX: usize = 125;

const fn protocol(reason: &'static str) -> Close {
    Close::new(CloseCode::Protocol, reason)
}

/// Reads frames out of a growing buffer.
#[derive(Debug)]
pub(crate) struct FrameReader {
    /// Largest message, compressed or not.
    max: usize,
    /// Whether permessage-deflate was agreed on.
    deflate: bool,
    /// Whether who reads the texts sees for itself that they are UTF-8.
    texts_unread: bool,
    /// The fragments so far.
    partial: Option<Box<Partial>>,
}

#[derive(Debug)]
struct Partial {
    form: Form,
    compressed: bool,
    data: BytesMut,
}

struct Header {
    fin: bool,
    compressed: bool,
    opcode: u8,
    key: [u8; 4],
    /// Bytes of the header itself.
    size: usize,
    /// Bytes of the payload.
    len: usize,
}

impl FrameReader {
    pub(crate) fn new(max: usize, deflate: bool) -> Self {
        FrameReader { max, deflate, texts_unread: false, partial: None }
    }

    /// The same for who reads all texts anyway: what is not UTF-8 must be answered with [`NOT_UTF8`].
    pub(crate) fn leaving_texts_unread(max: usize, deflate: bool) -> Self {
        FrameReader { texts_unread: true, ..FrameReader::new(max, deflate) }
    }

    /// Takes the next event out of `input`, if it is complete. Payloads share the memory of `input`.
    pub(crate) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Event>, Close> {
        loop {
            let Some(header) = self.header(input)? else { return Ok(None) };
            if input.len() < header.size + header.len {
                return Ok(None);
            }
            input.advance(header.size);
            let mut payload = input.split_to(header.len);
            unmask(&mut payload, header.key);
            let event = if header.opcode >= opcode::CLOSE {
                Some(control(header.opcode, payload.freeze())?)
            } else {
                self.data(&header, payload)?
            };
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    fn header(&self, input: &[u8]) -> Result<Option<Header>, Close> {
        let [first, second, ..] = *input else { return Ok(None) };
        let opcode = first & 0x0F;
        let (fin, compressed) = (first & FIN != 0, first & COMPRESSED != 0);
        let is_control = opcode >= opcode::CLOSE;
        if first & RESERVED != 0 {
            return Err(protocol("reserved bits are set"));
        }
        if !matches!(opcode, 0..=2 | 8..=10) {
            return Err(protocol("unknown opcode"));
        }
        if compressed && (!self.deflate || is_control || opcode == opcode::CONTINUATION) {
            return Err(protocol("a compressed frame where none may be"));
        }
        if second & MASKED == 0 {
            return Err(protocol("a frame of a client must be masked"));
        }
        let Some((len, at)) = length(input, second & !MASKED)? else { return Ok(None) };
        if is_control && (!fin || len > CONTROL_MAX as u64) {
            return Err(protocol("a control frame that is fragmented or longer than 125 bytes"));
        }
        let held = self.partial.as_ref().map_or(0, |p| p.data.len());
        let len = usize::try_from(len).ok().filter(|len| len.saturating_add(held) <= self.max || is_control);
        let Some(len) = len else { return Err(too_big()) };
        let Some(key) = input.get(at..at + 4).and_then(|key| key.first_chunk::<4>()) else { return Ok(None) };
        Ok(Some(Header { fin, compressed, opcode, key: *key, size: at + 4, len }))
    }

    fn data(&mut self, header: &Header, payload: BytesMut) -> Result<Option<Event>, Close> {
        let form = match (header.opcode, &self.partial) {
            (opcode::CONTINUATION, None) => return Err(protocol("a continuation of nothing")),
            (opcode::CONTINUATION, Some(_)) => None,
            (_, Some(_)) => return Err(protocol("a new message before the last one ended")),
            (opcode::TEXT, None) => Some(Form::Json),
            (_, None) => Some(Form::Proto),
        };
        if let Some(form) = form {
            if header.fin {
                return self.finish(form, header.compressed, payload.freeze()).map(Some);
            }
            self.partial = Some(Box::new(Partial { form, compressed: header.compressed, data: payload }));
            return Ok(None);
        }
        if let Some(partial) = &mut self.partial {
            partial.data.extend_from_slice(&payload);
        }
        if !header.fin {
            return Ok(None);
        }
        let Some(whole) = self.partial.take() else { return Ok(None) };
        self.finish(whole.form, whole.compressed, whole.data.freeze()).map(Some)
    }

    fn finish(&self, form: Form, compressed: bool, data: Bytes) -> Result<Event, Close> {
        let data = if compressed { deflate::inflate(&data, self.max)? } else { data };
        if form == Form::Json && !self.texts_unread && std::str::from_utf8(&data).is_err() {
            return Err(NOT_UTF8);
        }
        Ok(Event::Message(form, data))
    }
}

/// What a text that is not UTF-8 ends with.
pub(crate) const NOT_UTF8: Close = Close::new(CloseCode::NotConsistent, "a text frame that is not UTF-8");

pub(crate) const fn too_big() -> Close {
    Close::new(CloseCode::TooBig, "larger than limits.frame_bytes of the welcome")
}

/// The payload's length and where the mask begins; `None` while the header is not whole.
fn length(input: &[u8], short: u8) -> Result<Option<(u64, usize)>, Close> {
    let (len, at, least) = match short {
        126 => match input.get(2..4).and_then(|b| b.first_chunk::<2>()) {
            Some(bytes) => (u64::from(u16::from_be_bytes(*bytes)), 4, 126),
            None => return Ok(None),
        },
        127 => match input.get(2..10).and_then(|b| b.first_chunk::<8>()) {
            Some(bytes) => (u64::from_be_bytes(*bytes), 10, 65_536),
            None => return Ok(None),
        },
        short => (u64::from(short), 2, 0),
    };
    if len < least || len >> 63 != 0 {
        return Err(protocol("a length that is not written in the shortest form"));
    }
    Ok(Some((len, at)))
}

fn control(opcode: u8, payload: Bytes) -> Result<Event, Close> {
    match opcode {
        opcode::PING => Ok(Event::Ping(payload)),
        opcode::PONG => Ok(Event::Pong),
        _ => {
            let Some((code, reason)) = payload.split_first_chunk::<2>() else {
                return if payload.is_empty() {
                    Ok(Event::Close)
                } else {
                    Err(protocol("half a close code"))
                };
            };
            if !matches!(u16::from_be_bytes(*code), 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(protocol("a close code that may not be sent"));
            }
            match std::str::from_utf8(reason) {
                Ok(_) => Ok(Event::Close),
                Err(_) => Err(Close::new(CloseCode::NotConsistent, "a close reason that is not UTF-8")),
            }
        }
    }
}

/// Applies the mask in place, eight bytes at a time.
pub(crate) fn unmask(payload: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, k) in rest.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= k;
    }
}

/// Bytes that a header of a frame to a client may take.
pub(crate) const HEADER_MAX: usize = 10;

/// The header of a frame to a client, and how many of its bytes count.
pub(crate) fn header(opcode: u8, compressed: bool, len: usize) -> ([u8; HEADER_MAX], usize) {
    let mut bytes = [0u8; HEADER_MAX];
    bytes[0] = FIN | opcode | if compressed { COMPRESSED } else { 0 };
    match len {
        0..=125 => {
            bytes[1] = len as u8;
            (bytes, 2)
        }
        126..=65_535 => {
            bytes[1] = 126;
            bytes[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            (bytes, 4)
        }
        _ => {
            bytes[1] = 127;
            bytes[2..10].copy_from_slice(&(len as u64).to_be_bytes());
            (bytes, 10)
        }
    }
}

/// Where the frame that begins at `at` ends, in bytes that [`header`] began.
pub(crate) fn end_of_frame(bytes: &[u8], at: usize) -> usize {
    let short = bytes.get(at + 1).copied().unwrap_or(0);
    match length(&bytes[at.min(bytes.len())..], short) {
        Ok(Some((len, size))) => at + size + usize::try_from(len).unwrap_or(0),
        // Cannot happen with our own headers; the end of the buffer is the safe answer.
        _ => bytes.len(),
    }
}

#[cfg(test)]
#[path = "frame/tests.rs"]
mod tests;
