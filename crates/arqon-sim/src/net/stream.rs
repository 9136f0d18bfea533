//! One end of a link, as the product reads and writes it.
//!
//! Invariant: nothing that a dead process writes gets out.

use super::{Net, Side};
use crate::world::lock;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// One end of a link. Dropping it closes it.
pub struct SimStream {
    net: Net,
    link: u64,
    side: Side,
}

impl SimStream {
    pub(super) fn new(net: Net, link: u64, side: Side) -> Self {
        SimStream { net, link, side }
    }
}

fn reset() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "connection reset by peer")
}

impl AsyncRead for SimStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let now = self.net.world.now();
        let mut state = lock(&self.net.state);
        let state = &mut *state;
        let Some(link) = state.links.get_mut(&self.link) else { return Poll::Ready(Err(reset())) };
        let (pipe, _) = link.pipes(self.side);
        let wait = match pipe.chunks.front_mut() {
            Some((at, _)) if *at > now || pipe.stalled_until > now => Some((*at).max(pipe.stalled_until)),
            Some((_, chunk)) => {
                let mut n = chunk.len().min(buf.remaining());
                if state.dice.chance(200) {
                    // A read ends where it likes.
                    n = state.dice.index(n) + 1;
                }
                buf.put_slice(&chunk[..n]);
                chunk.drain(..n);
                if chunk.is_empty() {
                    pipe.chunks.pop_front();
                }
                pipe.bytes -= n;
                if let Some(writer) = pipe.writer.take() {
                    writer.wake();
                }
                return Poll::Ready(Ok(()));
            }
            None if pipe.broken_at.is_some_and(|at| at <= now) => return Poll::Ready(Err(reset())),
            None if pipe.ended => return Poll::Ready(Ok(())),
            None => pipe.broken_at,
        };
        pipe.reader = Some(cx.waker().clone());
        if let Some(at) = wait {
            self.net.world.wake_at(at, cx.waker());
        }
        Poll::Pending
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let now = self.net.world.now();
        let mut state = lock(&self.net.state);
        let state = &mut *state;
        let Some(link) = state.links.get_mut(&self.link) else { return Poll::Ready(Err(reset())) };
        let delay = link.latency + state.dice.below(link.jitter + 1);
        let window = link.window;
        let (_, pipe) = link.pipes(self.side);
        if pipe.closed_at.is_some_and(|at| at <= now) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, "broken pipe")));
        }
        if pipe.bytes >= window {
            pipe.writer = Some(cx.waker().clone());
            if let Some(at) = pipe.closed_at {
                self.net.world.wake_at(at, cx.waker());
            }
            return Poll::Pending;
        }
        let mut n = bytes.len().min(window - pipe.bytes);
        if let Some(left) = &mut pipe.cut_after {
            n = n.min(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= n as u64;
        }
        let cut = pipe.cut_after == Some(0);
        if n > 0 {
            pipe.bytes += n;
            if !pipe.silent {
                pipe.last = pipe.last.max(now + Duration::from_micros(delay));
                pipe.chunks.push_back((pipe.last, bytes[..n].to_vec()));
            }
            if let Some(reader) = pipe.reader.take() {
                reader.wake();
            }
        }
        if cut {
            let late = state.dice.millis(0, 3000);
            link.cut(now, late);
            if n == 0 {
                return Poll::Ready(Err(reset()));
            }
        }
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close();
        Poll::Ready(Ok(()))
    }
}

impl SimStream {
    fn close(&self) {
        let mut state = lock(&self.net.state);
        let Some(link) = state.links.get_mut(&self.link) else { return };
        let (_, pipe) = link.pipes(self.side);
        if !pipe.silent {
            pipe.ended = true;
        }
        pipe.wake();
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.close();
        let now = self.net.world.now();
        let mut state = lock(&self.net.state);
        let Some(link) = state.links.get_mut(&self.link) else { return };
        let latency = Duration::from_micros(link.latency);
        let (incoming, _) = link.pipes(self.side);
        // The other end finds out when it writes the next time.
        if !incoming.silent && incoming.closed_at.is_none() {
            incoming.closed_at = Some(now + latency);
        }
        incoming.wake();
    }
}
