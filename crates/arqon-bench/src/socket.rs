//! The generator's own WebSocket client: just enough of it to cost next to nothing.
//!
//! Invariant: frames are written as they were prepared, masked with a key of zeros (which changes no byte), and read
//! without a copy; so the generator spends its time in the kernel and not here.

use anyhow::{Context, Result, bail, ensure};
use arqon_testkit::process::Site;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// One read takes at most this much.
const BUFFER: usize = 256 * 1024;

/// What is read from.
pub struct Reader {
    half: OwnedReadHalf,
    buffer: Vec<u8>,
    filled: usize,
}

/// Connects and greets; the welcome has been read.
pub async fn connect(site: &Site) -> Result<(Reader, OwnedWriteHalf)> {
    let host = site.url().trim_start_matches("http://").to_owned();
    let stream = TcpStream::connect(&host).await?;
    stream.set_nodelay(true)?;
    let (half, mut writer) = stream.into_split();
    let hello = format!(
        "GET /ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: arqon.v1.json\r\n\
         Authorization: Bearer {}\r\n\r\n",
        site.token()
    );
    writer.write_all(hello.as_bytes()).await?;
    let mut reader = Reader { half, buffer: vec![0; BUFFER], filled: 0 };
    reader.skip_http().await?;
    let welcome = reader.one().await?;
    ensure!(welcome.contains("\"welcome\""), "expected a welcome: {welcome}");
    Ok((reader, writer))
}

/// A text frame as a client sends it.
pub fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match text.len() {
        n @ 0..=125 => frame.push(0x80 | n as u8),
        n => {
            let n = u16::try_from(n).expect("the generator's frames are small");
            frame.push(0x80 | 126);
            frame.extend_from_slice(&n.to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text.as_bytes());
    frame
}

impl Reader {
    /// Reads once, then hands out every frame that is whole; control frames are not handed out.
    pub async fn frames(&mut self, each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        ensure!(self.filled < self.buffer.len(), "a frame is larger than the buffer");
        let read = self.half.read(&mut self.buffer[self.filled..]).await?;
        ensure!(read > 0, "the server closed the connection");
        self.filled += read;
        self.hand_out(each)
    }

    fn hand_out(&mut self, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut at = 0;
        while let Some((opcode, body, end)) = parse(&self.buffer[at..self.filled])? {
            match opcode {
                1 => each(&self.buffer[at + body..at + end])?,
                8 => {
                    bail!("the server closed: {}", String::from_utf8_lossy(&self.buffer[at + body..at + end]))
                }
                // The server counts any traffic as life, and runs are shorter than its patience.
                9 | 10 => {}
                other => bail!("a frame with opcode {other}"),
            }
            at += end;
        }
        self.buffer.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(())
    }

    /// The next frame, when it is known that only one comes.
    pub async fn one(&mut self) -> Result<String> {
        let mut found: Vec<Vec<u8>> = Vec::new();
        // The welcome may have come together with the answer to the upgrade.
        self.hand_out(|frame| {
            found.push(frame.to_vec());
            Ok(())
        })?;
        while found.is_empty() {
            self.frames(|frame| {
                found.push(frame.to_vec());
                Ok(())
            })
            .await?;
        }
        String::from_utf8(found.swap_remove(0)).context("not UTF-8")
    }

    async fn skip_http(&mut self) -> Result<()> {
        loop {
            let end = self.buffer[..self.filled].windows(4).position(|w| w == b"\r\n\r\n");
            if let Some(end) = end {
                let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                ensure!(head.starts_with("HTTP/1.1 101"), "the upgrade was refused: {head}");
                self.buffer.copy_within(end + 4..self.filled, 0);
                self.filled -= end + 4;
                return Ok(());
            }
            let read = self.half.read(&mut self.buffer[self.filled..]).await?;
            ensure!(read > 0, "the server closed the connection during the upgrade");
            self.filled += read;
        }
    }
}

/// Opcode, where the body begins and where the frame ends; `None` if it is not all there.
fn parse(bytes: &[u8]) -> Result<Option<(u8, usize, usize)>> {
    let &[first, second, ..] = bytes else { return Ok(None) };
    ensure!(first & 0xf0 == 0x80 && second < 0x80, "a frame that is in parts, compressed or masked");
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
    Ok((bytes.len() >= head + length).then_some((first & 0x0f, head, head + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_only_when_whole() {
        let mut bytes = vec![0x81, 126, 0, 200];
        bytes.extend_from_slice(&[b'x'; 200]);
        assert_eq!(parse(&bytes).unwrap(), Some((1, 4, 204)));
        assert_eq!(parse(&bytes[..203]).unwrap(), None);
        assert_eq!(parse(&bytes[..3]).unwrap(), None);
        assert!(parse(&[0xc1, 1, b'x']).is_err(), "compression was not asked for");
    }

    #[test]
    fn prepared_frames_say_their_length() {
        assert_eq!(frame("hi"), [0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
        assert_eq!(frame(&"x".repeat(300))[..4], [0x81, 0xfe, 1, 44]);
    }
}
