//! The floor: servers that only move bytes, so that what a real one adds can be seen.
//!
//! `relay` hands the frames of those who publish on to those who listen, and those of listeners to those who ask; it
//! knows nothing else.
//! `disk` appends every frame that it is sent to a preallocated file, flushes all that waits together, and answers each
//! frame with its number.
//!
//! Invariant: `disk` answers after its flush has returned.

use crate::websocket::{BINARY, extent, put_head};
use anyhow::{Result, ensure};
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::LocalSet;

/// One read takes at most this much.
const BUFFER: usize = 256 * 1024;
/// The file of `disk` is as long as this before the first byte is written, and is written from its beginning again
/// when its end is reached.
const FILE: u64 = 64 * 1024 * 1024;

/// A ping: here the word of a connection on what it wants to read, and the answer to it.
pub const CONTROL: u8 = 0x89;
/// What a listener says.
pub const LISTEN: &[u8] = b"listen";

/// What the floor does.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Kind {
    /// Hands frames on.
    Relay,
    /// Appends frames to a file.
    Disk,
}

/// Serves until it is killed.
pub fn serve(kind: Kind, port: u16) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async move {
        match kind {
            Kind::Relay => relay(port).await,
            Kind::Disk => disk(port).await,
        }
    })
}

async fn listen(port: u16) -> Result<TcpListener> {
    Ok(TcpListener::bind(("127.0.0.1", port)).await?)
}

/// Reads the request for an upgrade and answers it.
async fn accept(stream: TcpStream) -> Result<(OwnedReadHalf, OwnedWriteHalf)> {
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = stream.into_split();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = reader.read_u8().await?;
        head.push(byte);
        ensure!(head.len() < 4096, "a head that is too long");
    }
    let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    writer.write_all(answer.as_bytes()).await?;
    Ok((reader, writer))
}

/// A shared piece of the stream, for all that it goes to.
type Piece = Rc<Vec<u8>>;
type Readers = RefCell<Vec<mpsc::UnboundedSender<Piece>>>;

/// Who reads. A connection says which it is by a control frame; one that says nothing only publishes.
#[derive(Default)]
struct Relay {
    /// They get what is published; what they send themselves are answers.
    listeners: Readers,
    /// They get answers.
    askers: Readers,
}

async fn relay(port: u16) -> Result<()> {
    let listener = listen(port).await?;
    let relay = Rc::new(Relay::default());
    loop {
        let (stream, _) = listener.accept().await?;
        let relay = Rc::clone(&relay);
        tokio::task::spawn_local(async move {
            // The probe that looks whether we serve connects and leaves without a word.
            let Ok((reader, writer)) = accept(stream).await else { return };
            let (send, pieces) = mpsc::unbounded_channel();
            let writing = tokio::task::spawn_local(write_pieces(writer, pieces));
            let _closed = read_pieces(reader, &relay, &send).await;
            writing.abort();
        });
    }
}

async fn write_pieces(mut writer: OwnedWriteHalf, mut pieces: mpsc::UnboundedReceiver<Piece>) -> Result<()> {
    let mut all = Vec::new();
    while let Some(piece) = pieces.recv().await {
        all.clear();
        all.extend_from_slice(&piece);
        while all.len() < BUFFER {
            let Ok(piece) = pieces.try_recv() else { break };
            all.extend_from_slice(&piece);
        }
        writer.write_all(&all).await?;
    }
    Ok(())
}

async fn read_pieces(
    mut reader: OwnedReadHalf,
    relay: &Relay,
    own: &mpsc::UnboundedSender<Piece>,
) -> Result<()> {
    let (mut buffer, mut filled, mut listens) = (vec![0; BUFFER], 0, false);
    loop {
        let read = reader.read(&mut buffer[filled..]).await?;
        ensure!(read > 0, "closed");
        filled += read;
        let mut out = Vec::with_capacity(filled);
        let mut at = 0;
        while let Some((body, end)) = masked(&buffer[at..filled])? {
            let (first, body) = (buffer[at], &buffer[at + body..at + end]);
            at += end;
            if first == CONTROL {
                listens = body == LISTEN;
                let readers = if listens { &relay.listeners } else { &relay.askers };
                readers.borrow_mut().push(own.clone());
                let _gone = own.send(Rc::new(vec![CONTROL, 0]));
                continue;
            }
            // The generator's key is zero: what a server would have to change is left as it is.
            let begin = out.len();
            put_plain_head(&mut out, body.len());
            out[begin] = first;
            out.extend_from_slice(body);
        }
        buffer.copy_within(at..filled, 0);
        filled -= at;
        let piece = Rc::new(out);
        let readers = if listens { &relay.askers } else { &relay.listeners };
        for reader in readers.borrow().iter().filter(|_| !piece.is_empty()) {
            let _gone = reader.send(Rc::clone(&piece));
        }
    }
}

/// What waits for the flush, and what has been flushed.
struct Waiting {
    bytes: RefCell<Vec<u8>>,
    some: Notify,
    flushed: Cell<u64>,
    flush: Notify,
    /// Which flush takes what is added now.
    next: Cell<u64>,
}

async fn disk(port: u16) -> Result<()> {
    let file = File::options().create(true).truncate(true).write(true).open("floor.bin")?;
    // Written once, so that the disk has given all of it: a flush then has no metadata to write.
    let zeros = vec![0; 1024 * 1024];
    for at in (0..FILE).step_by(zeros.len()) {
        file.write_all_at(&zeros, at)?;
    }
    file.sync_all()?;
    let listener = listen(port).await?;
    let waiting = Rc::new(Waiting {
        bytes: RefCell::default(),
        some: Notify::new(),
        flushed: Cell::new(0),
        flush: Notify::new(),
        next: Cell::new(1),
    });
    tokio::task::spawn_local(flush(file, Rc::clone(&waiting)));
    loop {
        let (stream, _) = listener.accept().await?;
        let waiting = Rc::clone(&waiting);
        tokio::task::spawn_local(async move {
            let Ok((reader, writer)) = accept(stream).await else { return };
            let _closed = confirm(reader, writer, &waiting).await;
        });
    }
}

async fn flush(file: File, waiting: Rc<Waiting>) -> Result<()> {
    let (mut at, mut batch) = (0, Vec::new());
    loop {
        while waiting.bytes.borrow().is_empty() {
            waiting.some.notified().await;
        }
        // Whoever is ready to add goes first, so that one flush serves all.
        tokio::task::yield_now().await;
        batch.clear();
        std::mem::swap(&mut batch, &mut waiting.bytes.borrow_mut());
        let this = waiting.next.replace(waiting.next.get() + 1);
        if at + batch.len() as u64 > FILE {
            at = 0;
        }
        file.write_all_at(&batch, at)?;
        file.sync_data()?;
        at += batch.len() as u64;
        waiting.flushed.set(this);
        waiting.flush.notify_waiters();
    }
}

async fn confirm(mut reader: OwnedReadHalf, mut writer: OwnedWriteHalf, waiting: &Waiting) -> Result<()> {
    let (mut buffer, mut filled, mut number, mut answers) = (vec![0; BUFFER], 0, 0u64, Vec::new());
    loop {
        let read = reader.read(&mut buffer[filled..]).await?;
        ensure!(read > 0, "closed");
        filled += read;
        let mut at = 0;
        answers.clear();
        while let Some((body, end)) = masked(&buffer[at..filled])? {
            waiting.bytes.borrow_mut().extend_from_slice(&buffer[at + body..at + end]);
            number += 1;
            put_plain_head(&mut answers, 10);
            answers.extend_from_slice(format!("{number:010}").as_bytes());
            at += end;
        }
        buffer.copy_within(at..filled, 0);
        filled -= at;
        if answers.is_empty() {
            continue;
        }
        let mine = waiting.next.get();
        waiting.some.notify_one();
        while waiting.flushed.get() < mine {
            waiting.flush.notified().await;
        }
        writer.write_all(&answers).await?;
    }
}

/// Where the body of a masked frame begins and ends; `None` if it is not all there.
fn masked(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let Some((begin, end)) = extent(bytes)? else { return Ok(None) };
    ensure!(end <= BUFFER, "a frame that is too large");
    Ok((bytes.len() >= end).then_some((begin, end)))
}

/// The head of a server's frame.
fn put_plain_head(out: &mut Vec<u8>, length: usize) {
    let begin = out.len();
    put_head(BINARY, length, out);
    out[begin + 1] &= 0x7f;
    // The key.
    out.truncate(out.len() - 4);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_a_client_are_found_when_whole() {
        for length in [0, 125, 126, 300, 70_000] {
            let mut frame = Vec::new();
            put_head(BINARY, length, &mut frame);
            let head = frame.len();
            frame.resize(head + length, b'x');
            assert_eq!(masked(&frame).unwrap(), Some((head, head + length)));
            assert_eq!(masked(&frame[..frame.len() - 1]).unwrap(), None);
            let mut plain = Vec::new();
            put_plain_head(&mut plain, length);
            assert_eq!(plain.len(), head - 4);
        }
    }
}
