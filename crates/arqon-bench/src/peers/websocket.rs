//! Heads of WebSocket frames, for peers whose frames hold something else than one message.
//!
//! Invariant: a client's frames carry a key of zeros, which changes no byte, so bodies are written as they are.

use anyhow::{Result, ensure};

/// The head of a client's binary frame.
pub fn put_head(out: &mut Vec<u8>, length: usize) {
    out.push(0x82);
    match length {
        n @ 0..=125 => out.push(0x80 | n as u8),
        n @ 126..=65_535 => {
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

/// A client's binary frame.
pub fn frame(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 14);
    put_head(&mut out, body.len());
    out.extend_from_slice(body);
    out
}

/// Opcode, where the body begins and where the frame ends, of a server's frame; `None` if its head is not all there.
pub fn head(bytes: &[u8]) -> Result<Option<(u8, usize, usize)>> {
    let &[first, second, ..] = bytes else { return Ok(None) };
    ensure!(first & 0x70 == 0 && second < 0x80, "a frame that is compressed or masked");
    let (head, length) = match second {
        126 => match bytes.get(2..4) {
            Some(n) => (4, u16::from_be_bytes(n.try_into()?) as usize),
            None => return Ok(None),
        },
        127 => match bytes.get(2..10) {
            Some(n) => (10, usize::try_from(u64::from_be_bytes(n.try_into()?))?),
            None => return Ok(None),
        },
        n => (2, n as usize),
    };
    ensure!(first & 0x0f != 8, "the system closed the WebSocket");
    Ok(Some((first & 0x0f, head, head + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_say_where_bodies_are() {
        assert_eq!(head(&[0x82, 2, b'h', b'i']).unwrap(), Some((2, 2, 4)));
        assert_eq!(head(&[0x81, 126, 1, 0]).unwrap(), Some((1, 4, 260)));
        assert_eq!(head(&[0x82, 126, 1]).unwrap(), None);
        assert!(head(&[0xc2, 0]).is_err(), "compression was not asked for");
        assert!(head(&[0x88, 0]).is_err(), "closed");
        assert_eq!(frame(b"hi"), [0x82, 0x82, 0, 0, 0, 0, b'h', b'i']);
    }
}
