//! What waits to be written to one client, already framed.
//!
//! Invariant: the buffer always begins at the beginning of a frame, and a connection that has nothing to write holds
//! no buffer: it goes back to a small pool of the thread.

use super::vitals::Vitals;
use crate::deflate::deflate;
use crate::frame::{end_of_frame, header, opcode};
use arqon_core::Record;
use arqon_wire::Form;
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;

/// Deliveries are fetched while less than this waits.
pub(crate) const LOW: usize = 64 * 1024;
/// Nothing more is fetched, and nothing more is read from the client, while this much waits.
pub(crate) const HIGH: usize = 256 * 1024;
/// Written bytes are let go of once there are this many.
const COMPACT: usize = 512 * 1024;
/// Buffers kept by each thread, and the largest that is kept.
const POOL: (usize, usize) = (4, 512 * 1024);

thread_local! {
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static COMPRESSED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Output {
    buffer: Vec<u8>,
    /// How much of the buffer is written.
    sent: usize,
    /// The smallest message that is compressed; `None` if compression was not agreed on.
    compress_from: Option<usize>,
}

impl Output {
    pub(crate) fn new(compress_from: Option<usize>) -> Self {
        Output { buffer: Vec::new(), sent: 0, compress_from }
    }

    /// Bytes that wait.
    pub(crate) fn pending(&self) -> usize {
        self.buffer.len() - self.sent
    }

    /// Appends one message; `write` appends its bytes.
    pub(crate) fn message(&mut self, form: Form, write: impl FnOnce(&mut Vec<u8>)) {
        let opcode = if form.is_text() { opcode::TEXT } else { opcode::BINARY };
        self.take_buffer();
        // Most messages need a header of four bytes; others are moved into place.
        const GUESS: usize = 4;
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0; GUESS]);
        write(&mut self.buffer);
        let len = self.buffer.len() - start - GUESS;
        if self.compress_from.is_some_and(|from| len >= from) && self.compress(opcode, start, GUESS) {
            return;
        }
        let (head, size) = header(opcode, false, len);
        if size == GUESS {
            self.buffer[start..start + GUESS].copy_from_slice(&head[..GUESS]);
        } else {
            self.buffer.splice(start..start + GUESS, head[..size].iter().copied());
        }
    }

    /// Appends a delivery: a prefix of its own, then what all subscribers share.
    pub(crate) fn delivery(&mut self, form: Form, subscription: &str, attempt: u32, record: &Arc<Record>) {
        self.message(form, |out| {
            form.write_delivery_prefix(out, subscription, attempt);
            form.write_delivery(out, record);
        });
    }

    /// Appends a control frame; its payload is at most 125 bytes.
    pub(crate) fn control(&mut self, opcode: u8, payload: &[u8]) {
        self.take_buffer();
        let payload = &payload[..payload.len().min(125)];
        let (head, size) = header(opcode, false, payload.len());
        self.buffer.extend_from_slice(&head[..size]);
        self.buffer.extend_from_slice(payload);
    }

    /// Replaces the message behind `start` by its compressed form, if that pays.
    fn compress(&mut self, opcode: u8, start: usize, gap: usize) -> bool {
        COMPRESSED.with_borrow_mut(|scratch| {
            scratch.clear();
            if !deflate(&self.buffer[start + gap..], scratch) {
                return false;
            }
            let (head, size) = header(opcode, true, scratch.len());
            self.buffer.truncate(start);
            self.buffer.extend_from_slice(&head[..size]);
            self.buffer.extend_from_slice(scratch);
            if scratch.capacity() > POOL.1 {
                *scratch = Vec::new();
            }
            true
        })
    }

    /// Gives up all that is not begun; the frame that is half written stays, since framing must stay whole.
    pub(crate) fn keep_only_begun_frame(&mut self) {
        let mut end = 0;
        while end < self.sent {
            end = end_of_frame(&self.buffer, end);
        }
        self.buffer.truncate(end);
        self.release_if_empty();
    }

    /// Writes what waits, and notes how the client takes it. Answers whether that lets something else move.
    pub(crate) fn flush(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut (impl AsyncWrite + Unpin),
        vitals: &mut Vitals,
    ) -> io::Result<bool> {
        if self.pending() == 0 {
            return Ok(false);
        }
        let was_held_up = self.pending() >= LOW || vitals.paused;
        let (written, all) = self.poll_flush(cx, socket)?;
        let armed = match (all, written) {
            (true, _) => {
                vitals.flushed();
                false
            }
            (false, 0) => vitals.stuck(),
            (false, _) => vitals.progressed(),
        };
        Ok(armed || (was_held_up && written > 0))
    }

    /// Writes what waits. Answers how many bytes went out, and whether all did.
    fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<(usize, bool)> {
        let before = self.sent;
        while self.pending() > 0 {
            match Pin::new(&mut *socket).poll_write(cx, &self.buffer[self.sent..]) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(n)) => self.sent += n,
                Poll::Ready(Err(e)) => return Err(e),
                Poll::Pending => {
                    let written = self.sent - before;
                    self.compact();
                    return Ok((written, false));
                }
            }
        }
        let written = self.sent - before;
        self.release_if_empty();
        Ok((written, true))
    }

    fn compact(&mut self) {
        if self.sent < COMPACT {
            return;
        }
        let mut boundary = 0;
        loop {
            let end = end_of_frame(&self.buffer, boundary);
            if end > self.sent {
                break;
            }
            boundary = end;
        }
        self.buffer.drain(..boundary);
        self.sent -= boundary;
    }

    fn take_buffer(&mut self) {
        if self.buffer.capacity() == 0 {
            self.buffer = BUFFERS.with_borrow_mut(Vec::pop).unwrap_or_default();
        }
    }

    fn release_if_empty(&mut self) {
        if self.pending() > 0 {
            return;
        }
        self.sent = 0;
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        if buffer.capacity() > 0 && buffer.capacity() <= POOL.1 {
            BUFFERS.with_borrow_mut(|pool| {
                if pool.len() < POOL.0 {
                    pool.push(buffer);
                }
            });
        }
    }
}

#[cfg(test)]
#[path = "output/tests.rs"]
mod tests;
