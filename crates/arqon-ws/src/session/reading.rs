//! From bytes to the core: one read, its frames, one publish for all its messages.
//!
//! Invariant: messages and commands reach the core in the order in which they were sent; no buffer is held between
//! reads unless half a frame is in it.

use super::output::HIGH;
use super::publishes::Gathered;
use super::{Gone, Phase, Session, Stream};
use crate::close::{Close, CloseCode};
use crate::frame::{Event, NOT_UTF8, opcode};
use arqon_wire::{Form, Incoming};
use bytes::{Bytes, BytesMut};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::ReadBuf;

/// One read. It is on the stack for the time of the read only, so a larger one costs an idle connection nothing;
/// messages of one read share one allocation of what was read.
const READ: usize = 16 * 1024;

impl<S: Stream> Session<S> {
    /// Reads once and acts on all that is complete. Answers whether anything came.
    pub(super) fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, Gone> {
        self.vitals.paused =
            self.publishes.is_full() || self.has_much_to_do() || self.output.pending() >= HIGH;
        if self.vitals.paused {
            return Ok(false);
        }
        if !self.take_held() && !self.fill(cx)? {
            return Ok(false);
        }
        self.vitals.heard = true;
        let mut gathered = Gathered::default();
        while self.phase == Phase::Open && !self.holds() {
            match self.frames.next(&mut self.input) {
                Ok(Some(event)) => self.event(event, &mut gathered),
                Ok(None) => break,
                Err(close) => {
                    self.publish(&mut gathered);
                    self.close(close);
                }
            }
        }
        self.publish(&mut gathered);
        self.hold_rest();
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        Ok(true)
    }

    /// Reads and throws away. Answers whether anything came.
    pub(super) fn discard(&mut self, cx: &mut Context<'_>) -> Result<bool, Gone> {
        let came = self.fill(cx);
        self.input = BytesMut::new();
        came
    }

    fn fill(&mut self, cx: &mut Context<'_>) -> Result<bool, Gone> {
        let mut space = [const { MaybeUninit::<u8>::uninit() }; READ];
        let mut read = ReadBuf::uninit(&mut space);
        match Pin::new(&mut self.socket).poll_read(cx, &mut read) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(())) if read.filled().is_empty() => Err(Gone),
            Poll::Ready(Ok(())) => {
                self.input.extend_from_slice(read.filled());
                Ok(true)
            }
            Poll::Ready(Err(error)) => {
                tracing::debug!(connection = self.connection.id(), %error, "reading failed");
                Err(Gone)
            }
        }
    }

    fn event(&mut self, event: Event, gathered: &mut Gathered) {
        match event {
            Event::Message(form, frame) => self.envelope(form, frame, gathered),
            Event::Ping(payload) => self.output.control(opcode::PONG, &payload),
            Event::Pong => {}
            Event::Close => {
                self.publish(gathered);
                self.peer_closed = true;
                self.begin_drain(Close::new(CloseCode::Normal, ""));
            }
        }
    }

    fn envelope(&mut self, form: Form, frame: Bytes, gathered: &mut Gathered) {
        if self.older.is_some() {
            return self.older_envelope(form.older(), &frame, gathered);
        }
        self.form = form;
        let mut frame = frame;
        let more = || self.input.len() / frame.len().max(1);
        let more = if gathered.messages.is_empty() { more() } else { 0 };
        match self.decoder.decode_owned(form, &mut frame) {
            Ok(Incoming::Publish(sent)) => gathered.add(form, sent, more),
            Ok(Incoming::Question(question)) => self.ask(form, question, (gathered, more)),
            Ok(Incoming::Command(command)) if &*command.name == "request" => {
                self.request(form, command, (gathered, more));
            }
            Ok(Incoming::Command(command)) => {
                // What was sent before the command goes in before it.
                self.publish(gathered);
                self.commands.start(&self.door.bus, &self.ctx, &self.connection, (form, command));
            }
            Err(_) if form == Form::Json && std::str::from_utf8(&frame).is_err() => {
                self.publish(gathered);
                self.close(NOT_UTF8);
            }
            Err(_) if arqon_wire::older::is_older(form, &frame) => {
                self.older = Some(Box::default());
                self.older_envelope(form.older(), &frame, gathered);
            }
            Err(rejected) => {
                self.refuse(form, rejected.request_id.as_deref(), &rejected.error);
                self.strike(gathered);
            }
        }
    }

    /// An envelope was not understood.
    pub(super) fn strike(&mut self, gathered: &mut Gathered) {
        if self.vitals.strike() {
            self.publish(gathered);
            self.door.bus.tell_violation(&self.ctx);
            let reason = "ten envelopes in a minute could not be read; see the errors before this";
            self.close(Close::new(CloseCode::Violations, reason));
        }
    }

    pub(super) fn publish(&mut self, gathered: &mut Gathered) {
        if gathered.messages.is_empty() {
            return;
        }
        if let Some(questions) = &mut self.questions {
            questions.announce();
        }
        let mut gathered = std::mem::take(gathered);
        let work = self.door.bus.publish(&self.ctx, std::mem::take(&mut gathered.messages));
        self.publishes.push(work, gathered);
    }
}
