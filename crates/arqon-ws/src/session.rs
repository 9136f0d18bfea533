//! One client from its welcome to its close frame: a state machine that is polled, one round at a time.
//!
//! A round takes the timers, one read with all its frames, the confirms and answers that are ready, and the
//! deliveries that wait; then it writes everything in one call. Rounds repeat until nothing moves.
//!
//! Invariant: whatever stops the machine from reading or fetching (too much under way, too much unwritten) is
//! something whose end wakes it again.

mod commands;
mod confirms;
mod older;
mod outgoing;
pub(crate) mod output;
mod publishes;
mod questions;
mod reading;
pub(crate) mod vitals;

use crate::close::{Close, CloseCode};
use crate::door::{Agreed, Door};
use crate::frame::{FrameReader, opcode};
use arqon_core::Ctx;
use arqon_core::bus::{Connection, Outgoing};
use arqon_wire::{Decoder, Form, Stamp, Welcome};
use bytes::BytesMut;
use commands::Commands;
use confirms::Confirms;
use older::Older;
use output::Output;
use publishes::Publishes;
use questions::Questions;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::WaitForCancellationFutureOwned;
use vitals::{Sign, Vitals};

/// What a session talks over.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// Rounds before other tasks get their turn.
pub(crate) const ROUNDS: usize = 32;

/// Where the session stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// Everything flows.
    Open,
    /// Nothing is read any more; what was taken is confirmed, then the connection closes.
    Draining(Close),
    /// The close frame is on its way.
    Closing {
        /// Our half of the socket is shut.
        shut: bool,
    },
}

/// Whether to go on.
enum Step {
    Again,
    Wait,
    Done,
}

/// The peer is gone; there is nobody to tell.
pub(crate) struct Gone;

/// See the module.
pub(crate) struct Session<S> {
    socket: S,
    door: Arc<Door>,
    connection: Connection,
    ctx: Ctx,
    /// The form that the client used last.
    form: Form,
    decoder: Decoder,
    frames: FrameReader,
    input: BytesMut,
    output: Output,
    publishes: Publishes,
    confirms: Confirms,
    commands: Commands,
    /// There once it has asked something.
    questions: Option<Box<Questions>>,
    /// There if it speaks the older protocol.
    older: Option<Box<Older>>,
    vitals: Vitals,
    /// Fetched, but not encoded, since too much waits to be written.
    backlog: Vec<Outgoing>,
    phase: Phase,
    peer_closed: bool,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S: Stream> Session<S> {
    pub(crate) fn new(socket: S, door: Arc<Door>, connection: Connection, agreed: Agreed) -> Self {
        let Agreed { form, deflate, confirms_in_runs } = agreed;
        let ctx = connection.ctx();
        let settings = &door.settings;
        let vitals = Vitals::new(door.bus.env().clock.clone(), settings, ctx.principal.expires_at);
        let mut session = Session {
            socket,
            form,
            decoder: Decoder::default(),
            frames: FrameReader::leaving_texts_unread(door.frame_bytes(), deflate),
            input: BytesMut::new(),
            output: Output::new(deflate.then_some(settings.compress_from)),
            publishes: Publishes::default(),
            confirms: Confirms::new(confirms_in_runs),
            commands: Commands::default(),
            questions: None,
            older: None,
            vitals,
            backlog: Vec::new(),
            phase: Phase::Open,
            peer_closed: false,
            stopping: Box::pin(door.shutdown.clone().cancelled_owned()),
            door,
            connection,
            ctx,
        };
        if form.is_older() {
            session.begin_older();
        } else {
            session.welcome();
        }
        session
    }

    fn welcome(&mut self) {
        let (stamp, bus) = (self.stamp(), &self.door.bus);
        let welcome = Welcome {
            client_id: &self.ctx.sender,
            connection: self.connection.id(),
            version: bus.version(),
            limits: bus.limits(),
            frame_bytes: self.door.frame_bytes(),
            ping_interval: self.door.settings.ping_interval,
        };
        self.output.message(self.form, |out| self.form.write_welcome(out, &stamp, &welcome));
    }

    fn stamp(&self) -> Stamp {
        let bus = &self.door.bus;
        let at = bus.env().clock.now();
        Stamp { id: bus.ids().message_id_at(at), at }
    }

    fn round(&mut self, cx: &mut Context<'_>) -> Step {
        let mut again = match self.vitals.poll(cx) {
            None => false,
            Some(sign) => match self.heed(sign) {
                Step::Done => return Step::Done,
                _ => true,
            },
        };
        let moved = match self.phase {
            Phase::Open => self.open(cx),
            Phase::Draining(_) => Ok(self.drain(cx)),
            Phase::Closing { .. } => Ok(false),
        };
        let Ok(moved) = moved else { return Step::Done };
        again |= moved;
        let Ok(flushed) = self.flush(cx) else { return Step::Done };
        again |= flushed;
        if let Phase::Closing { .. } = self.phase {
            match self.part(cx) {
                Step::Done => return Step::Done,
                Step::Again => again = true,
                Step::Wait => {}
            }
        }
        if again { Step::Again } else { Step::Wait }
    }

    /// Does what a timer calls for.
    fn heed(&mut self, sign: Sign) -> Step {
        match sign {
            Sign::Ping => self.output.control(opcode::PING, b""),
            Sign::Close(close) => self.close(close),
            Sign::TimeUp => match self.phase.clone() {
                Phase::Draining(close) => self.close(close),
                Phase::Open | Phase::Closing { .. } => return Step::Done,
            },
        }
        Step::Again
    }

    /// One round while everything flows. Answers whether anything moved.
    fn open(&mut self, cx: &mut Context<'_>) -> Result<bool, Gone> {
        if self.stopping.as_mut().poll(cx).is_ready() {
            self.begin_drain(Close::new(
                CloseCode::GoingAway,
                "the server is stopping; connect again and resume",
            ));
            return Ok(true);
        }
        let mut moved = self.read(cx)?;
        moved |= self.settle(cx);
        if self.phase == Phase::Open {
            moved |= self.deliver(cx);
        }
        Ok(moved)
    }

    /// One round of coming to an end: confirms what was taken, then says goodbye.
    fn drain(&mut self, cx: &mut Context<'_>) -> bool {
        let moved = self.settle(cx);
        if let Phase::Draining(close) = self.phase.clone()
            && self.publishes.is_empty()
            && !self.commands.is_changing()
        {
            self.close(close);
            return true;
        }
        moved
    }

    fn begin_drain(&mut self, close: Close) {
        self.vitals.end_within(self.door.settings.close_timeout);
        self.phase = Phase::Draining(close);
        self.let_input_go();
    }

    fn let_input_go(&mut self) {
        self.input = BytesMut::new();
    }

    /// Sends the close frame. What the connection held is given back at once.
    fn close(&mut self, close: Close) {
        tracing::debug!(
            connection = self.connection.id(),
            code = close.code.number(),
            reason = close.reason,
            "closing"
        );
        if close.code == CloseCode::SlowConsumer {
            self.output.keep_only_begun_frame();
        }
        let mut payload = close.code.number().to_be_bytes().to_vec();
        payload.extend_from_slice(close.reason.as_bytes());
        self.output.control(opcode::CLOSE, &payload);
        self.connection.close();
        self.questions = None;
        self.backlog = Vec::new();
        self.let_input_go();
        self.vitals.end_within(self.door.settings.close_timeout);
        self.phase = Phase::Closing { shut: false };
    }

    /// Writes what waits. Answers whether that lets something else move.
    fn flush(&mut self, cx: &mut Context<'_>) -> Result<bool, Gone> {
        self.output.flush(cx, &mut self.socket, &mut self.vitals).map_err(|error| {
            tracing::debug!(connection = self.connection.id(), %error, "writing failed");
            Gone
        })
    }

    /// After the close frame: shuts our half, then waits for the peer's, so that nothing of ours is lost on the way.
    fn part(&mut self, cx: &mut Context<'_>) -> Step {
        if self.output.pending() > 0 {
            return Step::Wait;
        }
        if self.phase == (Phase::Closing { shut: false }) {
            match Pin::new(&mut self.socket).poll_shutdown(cx) {
                Poll::Pending => return Step::Wait,
                Poll::Ready(Err(_)) => return Step::Done,
                Poll::Ready(Ok(())) => self.phase = Phase::Closing { shut: true },
            }
        }
        if self.peer_closed {
            return Step::Done;
        }
        match self.discard(cx) {
            Ok(true) => Step::Again,
            Ok(false) => Step::Wait,
            Err(Gone) => Step::Done,
        }
    }
}

impl<S: Stream> Future for Session<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..ROUNDS {
            match self.round(cx) {
                Step::Again => {}
                Step::Wait => return Poll::Pending,
                Step::Done => {
                    self.connection.close();
                    return Poll::Ready(());
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_session_is_small() {
        // Buffers, queues and compressors exist only while they are used, so this is what a connection costs here.
        let size = size_of::<Session<tokio::net::TcpStream>>();
        assert!(size <= 1024, "{size} bytes");
    }
}
