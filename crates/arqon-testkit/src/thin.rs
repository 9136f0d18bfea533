//! A WebSocket client as thin as can be, for tests with thousands of them: a socket and a buffer.
//!
//! Invariant: nothing is read before somebody asks, so that a client that does not read is one that nobody asks.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection.
pub struct Thin {
    socket: TcpStream,
    buffer: Vec<u8>,
}

/// What came of an attempt to connect.
pub enum Reached {
    /// In.
    Open(Thin),
    /// The server said no: the whole answer.
    Refused(String),
}

/// A frame of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A text message.
    Text(String),
    /// The end, with its code.
    Close(u16),
    /// Anything else.
    Other,
}

/// Lets this process open as many files as the system allows; answers how many.
pub fn raise_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised, the present one is the answer.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

impl Thin {
    /// Connects to `http://ADDR`.
    ///
    /// # Errors
    /// The server could not be reached or hung up.
    pub async fn connect(url: &str, token: &str) -> io::Result<Reached> {
        let host = url.trim_start_matches("http://");
        let mut socket = TcpStream::connect(host).await?;
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: arqon.v1.json\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await?;
        let mut thin = Thin { socket, buffer: Vec::new() };
        loop {
            if let Some(end) = thin.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                if thin.buffer.starts_with(b"HTTP/1.1 101") {
                    thin.buffer.drain(..end + 4);
                    return Ok(Reached::Open(thin));
                }
                thin.rest().await;
                return Ok(Reached::Refused(String::from_utf8_lossy(&thin.buffer).into_owned()));
            }
            thin.fill().await?;
        }
    }

    /// What is left until the server hangs up or has nothing more for a moment.
    async fn rest(&mut self) {
        let more = async { while self.fill().await.is_ok() {} };
        let _the_answer_is_short = tokio::time::timeout(std::time::Duration::from_millis(200), more).await;
    }

    async fn fill(&mut self) -> io::Result<()> {
        let mut piece = [0; 4096];
        match self.socket.read(&mut piece).await? {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            n => {
                self.buffer.extend_from_slice(&piece[..n]);
                Ok(())
            }
        }
    }

    /// Sends a text message.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn send(&mut self, text: &str) -> io::Result<()> {
        let len = text.len();
        let mut frame = vec![0x81];
        match len {
            0..=125 => frame.push(0x80 | len as u8),
            126..=65_535 => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(len as u16).to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        // A mask of zeros leaves the bytes as they are.
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(text.as_bytes());
        self.socket.write_all(&frame).await
    }

    /// Sends bytes as they are, whatever they mean.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes).await
    }

    /// The next frame.
    ///
    /// # Errors
    /// The connection ended without one.
    pub async fn frame(&mut self) -> io::Result<Frame> {
        loop {
            if let Some((first, begin, end)) = whole(&self.buffer) {
                let payload = &self.buffer[begin..end];
                let frame = match first & 0x0F {
                    1 => Frame::Text(String::from_utf8_lossy(payload).into_owned()),
                    8 => {
                        let code = payload.first_chunk::<2>().copied().unwrap_or_default();
                        Frame::Close(u16::from_be_bytes(code))
                    }
                    _ => Frame::Other,
                };
                self.buffer.drain(..end);
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    /// The next text that contains this; everything before it is passed over.
    ///
    /// # Errors
    /// The connection ended without one.
    pub async fn text_with(&mut self, part: &str) -> io::Result<String> {
        loop {
            if let Frame::Text(text) = self.frame().await?
                && text.contains(part)
            {
                return Ok(text);
            }
        }
    }
}

/// The first frame of a buffer: its first byte, and where its payload begins and ends.
fn whole(buffer: &[u8]) -> Option<(u8, usize, usize)> {
    let [first, second, rest @ ..] = buffer else { return None };
    let (len, begin) = match second & 0x7F {
        126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).ok()?, 10),
        short => (usize::from(short), 2),
    };
    (buffer.len() >= begin + len).then_some((*first, begin, begin + len))
}
