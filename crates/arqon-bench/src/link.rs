//! A connection of the generator: just enough to cost next to nothing, whatever the protocol.
//!
//! Invariant: what is read is handed out where it lies, without a copy and without an allocation.

use crate::system::{Dialect, Said};
use anyhow::{Context, Result, ensure};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Both directions, which a driver takes apart.
pub struct Link {
    /// What is read from.
    pub reader: Reader,
    /// What is written to.
    pub writer: OwnedWriteHalf,
}

/// The reading half with what was read and not handed out yet.
pub struct Reader {
    half: OwnedReadHalf,
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
}

impl Link {
    /// Connects to `host:port`, with a buffer of `room` bytes.
    pub async fn connect(address: &str, room: usize) -> Result<Link> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        let (half, writer) = stream.into_split();
        Ok(Link { reader: Reader { half, buffer: vec![0; room], begin: 0, end: 0 }, writer })
    }
}

impl Reader {
    /// What waits to be handed out.
    pub fn waiting(&self) -> &[u8] {
        &self.buffer[self.begin..self.end]
    }

    /// Drops that many bytes of what waits.
    pub fn consume(&mut self, bytes: usize) {
        self.begin += bytes;
    }

    /// Reads once, whatever comes; grows when one thing is larger than the buffer.
    pub async fn more(&mut self) -> Result<()> {
        self.buffer.copy_within(self.begin..self.end, 0);
        (self.begin, self.end) = (0, self.end - self.begin);
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let read = self.half.read(&mut self.buffer[self.end..]).await?;
        ensure!(read > 0, "the server closed the connection");
        self.end += read;
        Ok(())
    }

    /// Hands out everything that is whole; answers with how much that was.
    pub fn hand_out(
        &mut self,
        dialect: &dyn Dialect,
        mut each: impl FnMut(Said<'_>) -> Result<()>,
    ) -> Result<usize> {
        let mut count = 0;
        while let Some((said, used)) = dialect.cut(&self.buffer[self.begin..self.end])? {
            self.begin += used;
            count += 1;
            each(said)?;
        }
        Ok(count)
    }

    /// Waits until something whole is there and hands out all that is.
    pub async fn read(
        &mut self,
        dialect: &dyn Dialect,
        mut each: impl FnMut(Said<'_>) -> Result<()>,
    ) -> Result<()> {
        while self.hand_out(dialect, &mut each)? == 0 {
            self.more().await?;
        }
        Ok(())
    }
}
