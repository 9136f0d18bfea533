//! Frames of WebSocket and the request for an upgrade.
//!
//! Invariant: frames are masked with a key of zeros, which changes no byte, so that what is prepared is what is sent.

use crate::link::Link;
use anyhow::{Context, Result, bail, ensure};
use tokio::io::AsyncWriteExt;

/// A text frame.
pub const TEXT: u8 = 1;
/// A binary frame.
pub const BINARY: u8 = 2;

/// Appends the head of a frame as a client sends it.
pub fn put_head(opcode: u8, length: usize, out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    match length {
        n @ 0..=125 => out.push(0x80 | n as u8),
        n @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
}

/// Appends a frame as a client sends it.
pub fn put_frame(opcode: u8, body: &[u8], out: &mut Vec<u8>) {
    put_head(opcode, body.len(), out);
    out.extend_from_slice(body);
}

/// A client's binary frame.
pub fn frame(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 14);
    put_frame(BINARY, body, &mut out);
    out
}

/// Where the body of the first frame begins and ends, of whichever side; `None` if its length is not all there. The body
/// may not be there either.
pub fn extent(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let &[_, second, ..] = bytes else { return Ok(None) };
    let (head, length) = match second & 0x7f {
        126 => match bytes.get(2..4) {
            Some(n) => (4, usize::from(u16::from_be_bytes(n.try_into()?))),
            None => return Ok(None),
        },
        127 => match bytes.get(2..10) {
            Some(n) => (10, usize::try_from(u64::from_be_bytes(n.try_into()?))?),
            None => return Ok(None),
        },
        n => (2, usize::from(n)),
    };
    let key = if second < 0x80 { 0 } else { 4 };
    Ok(Some((head + key, head + key + length)))
}

/// Opcode, where the body begins and where the frame ends, of a server's frame that may hold something else than one
/// message; `None` if its head is not all there.
pub fn head(bytes: &[u8]) -> Result<Option<(u8, usize, usize)>> {
    let &[first, second, ..] = bytes else { return Ok(None) };
    ensure!(first & 0x70 == 0 && second < 0x80, "a frame that is compressed or masked");
    let Some((begin, end)) = extent(bytes)? else { return Ok(None) };
    ensure!(first & 0x0f != 8, "the system closed the WebSocket");
    Ok(Some((first & 0x0f, begin, end)))
}

/// A frame of a server.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What is in it.
    pub body: &'a [u8],
    /// How long it is with its head.
    pub length: usize,
    /// Ping and pong are not for the driver.
    pub is_control: bool,
}

/// The first frame; `None` if it is not all there. A close frame is an error with its reason.
pub fn cut(bytes: &[u8]) -> Result<Option<Frame<'_>>> {
    let &[first, second, ..] = bytes else { return Ok(None) };
    ensure!(first & 0xf0 == 0x80 && second < 0x80, "a frame that is in parts, compressed or masked");
    let Some((begin, end)) = extent(bytes)? else { return Ok(None) };
    let Some(body) = bytes.get(begin..end) else { return Ok(None) };
    let is_control = match first & 0x0f {
        TEXT | BINARY => false,
        8 => bail!("the server closed: {}", String::from_utf8_lossy(body.get(2..).unwrap_or_default())),
        // The server counts any traffic as life, and runs are shorter than its patience.
        9 | 10 => true,
        other => bail!("a frame with opcode {other}"),
    };
    Ok(Some(Frame { body, length: end, is_control }))
}

/// Connects and asks for an upgrade; `headers` are whole lines. The answer has been read.
pub async fn connect(address: &str, path: &str, headers: &str, room: usize) -> Result<Link> {
    let mut link = Link::connect(address, room).await?;
    let hello = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    );
    link.writer.write_all(hello.as_bytes()).await?;
    loop {
        let waiting = link.reader.waiting();
        if let Some(end) = waiting.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&waiting[..end]).into_owned();
            let status = head.lines().next().unwrap_or_default();
            ensure!(head.starts_with("HTTP/1.1 101"), "the upgrade was refused: {status}");
            link.reader.consume(end + 4);
            return Ok(link);
        }
        link.reader.more().await.context("the upgrade was not answered")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_only_when_whole() {
        let mut bytes = vec![0x81, 126, 0, 200];
        bytes.extend_from_slice(&[b'x'; 200]);
        let frame = cut(&bytes).unwrap().unwrap();
        assert_eq!((frame.length, frame.body.len(), frame.is_control), (204, 200, false));
        assert_eq!(cut(&bytes[..203]).unwrap(), None);
        assert_eq!(cut(&bytes[..3]).unwrap(), None);
        assert!(cut(&[0xc1, 1, b'x']).is_err(), "compression was not asked for");
        let closed = cut(&[0x88, 6, 0x0f, 0xa1, b's', b'l', b'o', b'w']).unwrap_err();
        assert!(closed.to_string().contains("slow"), "{closed}");
    }

    #[test]
    fn heads_say_where_bodies_are() {
        assert_eq!(head(&[0x82, 2, b'h', b'i']).unwrap(), Some((2, 2, 4)));
        assert_eq!(head(&[0x81, 126, 1, 0]).unwrap(), Some((1, 4, 260)));
        assert_eq!(head(&[0x82, 126, 1]).unwrap(), None);
        assert!(head(&[0xc2, 0]).is_err(), "compression was not asked for");
        assert!(head(&[0x88, 0]).is_err(), "closed");
        assert_eq!(frame(b"hi"), [0x82, 0x82, 0, 0, 0, 0, b'h', b'i']);
    }

    #[test]
    fn prepared_frames_say_their_length() {
        let framed = |body: &[u8]| {
            let mut out = Vec::new();
            put_frame(TEXT, body, &mut out);
            out
        };
        assert_eq!(framed(b"hi"), [0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
        assert_eq!(framed(&[b'x'; 300])[..4], [0x81, 0xfe, 1, 44]);
        assert_eq!(framed(&[b'x'; 70_000])[..10], [0x81, 0xff, 0, 0, 0, 0, 0, 1, 0x11, 0x70]);
    }
}
