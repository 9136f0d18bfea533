//! One client of the telemetry port from its welcome to its close frame, as a state machine that is polled.
//!
//! Invariant: events are fetched, and questions read, only while little waits to be written, so a slow client holds a bounded amount of memory;
//! whatever stops the machine is something whose end wakes it again.

use super::{Port, Seat};
use crate::close::CloseCode;
use crate::frame::{Event, FrameReader, opcode};
use crate::session::output::{HIGH, LOW, Output};
use crate::session::vitals::{Sign, Vitals};
use crate::session::{Gone, ROUNDS, Stream};
use arqon_core::bus::events::{EventSet, EventType};
use arqon_core::bus::{Connection, Item, Outgoing};
use arqon_core::{Delivery, Record, Timestamp};
use arqon_wire::Form;
use arqon_wire::older::telemetry::{self as words, Ask};
use bytes::BytesMut;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::ReadBuf;
use tokio_util::sync::WaitForCancellationFutureOwned;

/// Largest message of a client: a list of all types, many times.
const FRAME_MAX: usize = 64 * 1024;
/// Events that are fetched at once.
const BATCH: usize = 256;
/// Longest text of a close frame (RFC 6455).
const REASON_MAX: usize = 123;

/// See the module.
pub(super) struct TelemetrySession<S> {
    socket: S,
    port: Arc<Port>,
    /// None for whoever is only told why it may not stay.
    seat: Option<Seat>,
    /// None for the same.
    connection: Option<Connection>,
    /// The types that this client wants.
    wanted: EventSet,
    frames: FrameReader,
    input: BytesMut,
    output: Output,
    vitals: Vitals,
    fetched: Vec<Outgoing>,
    /// The close frame is on its way.
    is_ending: bool,
    is_shut: bool,
    is_peer_done: bool,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S: Stream> TelemetrySession<S> {
    /// A client that has its subscription.
    pub(super) fn new(socket: S, (port, seat): (Arc<Port>, Seat), connection: Connection) -> Self {
        let expires_at = connection.ctx().principal.expires_at;
        let mut session = TelemetrySession::open(socket, port, expires_at);
        (session.seat, session.connection) = (Some(seat), Some(connection));
        let (at, events) = (session.now(), session.wanted);
        let filtered = if events == EventSet::all() { Vec::new() } else { names(events) };
        let speaker = &session.port.door.speaker;
        session.output.message(Form::Json, |out| words::write_welcome(out, at, speaker, &filtered));
        session
    }

    /// A client that may not stay: it takes no seat while it is told why.
    pub(super) fn refused(socket: S, port: Arc<Port>, (code, reason): (u16, &str)) -> Self {
        let mut session = TelemetrySession::open(socket, port, None);
        session.end(code, reason);
        session
    }

    fn open(socket: S, port: Arc<Port>, expires_at: Option<Timestamp>) -> Self {
        let door = &port.door;
        let vitals = Vitals::new(door.bus.env().clock.clone(), &door.settings, expires_at);
        TelemetrySession {
            socket,
            connection: None,
            wanted: door.events,
            frames: FrameReader::new(FRAME_MAX, false),
            input: BytesMut::new(),
            output: Output::new(None),
            vitals,
            fetched: Vec::new(),
            is_ending: false,
            is_shut: false,
            is_peer_done: false,
            stopping: Box::pin(door.shutdown.clone().cancelled_owned()),
            seat: None,
            port,
        }
    }

    fn now(&self) -> Timestamp {
        self.port.door.bus.env().clock.now()
    }

    /// One round. Answers whether anything moved.
    fn round(&mut self, cx: &mut Context<'_>) -> Result<bool, Gone> {
        let mut moved = false;
        if let Some(sign) = self.vitals.poll(cx) {
            moved = true;
            match sign {
                Sign::Ping => self.output.control(opcode::PING, b""),
                Sign::Close(close) => self.end(close.code.number(), close.reason),
                Sign::TimeUp => return Err(Gone),
            }
        }
        if !self.is_ending && self.stopping.as_mut().poll(cx).is_ready() {
            // What was told before, the end of the server among it, goes out first.
            while self.deliver(cx) {}
            self.end(CloseCode::GoingAway.number(), "the server is stopping; connect again");
            moved = true;
        }
        moved |= self.read(cx)?;
        if !self.is_ending {
            moved |= self.deliver(cx);
        }
        moved |= self.output.flush(cx, &mut self.socket, &mut self.vitals).map_err(|_| Gone)?;
        if self.is_ending && self.output.pending() == 0 {
            self.part(cx)?;
        }
        Ok(moved)
    }

    /// Sends the close frame, and gives back what the connection held.
    fn end(&mut self, code: u16, reason: &str) {
        if self.is_ending {
            return;
        }
        if code == CloseCode::SlowConsumer.number() {
            self.output.keep_only_begun_frame();
        }
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend_from_slice(&reason.as_bytes()[..reason.floor_char_boundary(REASON_MAX)]);
        self.output.control(opcode::CLOSE, &payload);
        if let Some(connection) = self.connection.take() {
            connection.close();
        }
        self.seat = None;
        let timeout = self.port.door.settings.close_timeout;
        self.vitals.end_within(timeout);
        self.is_ending = true;
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, Gone> {
        // Whoever asks and takes no answers is not listened to; what ends is, since it is answered no more.
        self.vitals.paused = !self.is_ending && self.output.pending() >= HIGH;
        if self.vitals.paused {
            return Ok(false);
        }
        let mut space = [0; 4096];
        let mut read = ReadBuf::new(&mut space);
        match Pin::new(&mut self.socket).poll_read(cx, &mut read) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Ok(())) if read.filled().is_empty() => return Err(Gone),
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Err(Gone),
        }
        self.vitals.heard = true;
        self.input.extend_from_slice(read.filled());
        while !self.is_peer_done {
            match self.frames.next(&mut self.input) {
                Ok(None) => break,
                Ok(Some(event)) => self.event(event),
                Err(close) => {
                    self.end(close.code.number(), close.reason);
                    // What follows cannot be understood.
                    self.is_peer_done = true;
                }
            }
        }
        if self.input.is_empty() || self.is_peer_done {
            self.input = BytesMut::new();
        }
        Ok(true)
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Message(form, frame) if !self.is_ending => match Ask::read(&frame) {
                Ok(ask) if form.is_text() => self.ask(ask),
                Ok(_) => self.refuse("expected a text frame"),
                Err(error) => self.refuse(&error),
            },
            Event::Ping(payload) if !self.is_ending => self.output.control(opcode::PONG, &payload),
            Event::Message(..) | Event::Ping(_) | Event::Pong => {}
            Event::Close => {
                self.is_peer_done = true;
                self.end(CloseCode::Normal.number(), "");
            }
        }
    }

    fn refuse(&mut self, error: &str) {
        let at = self.now();
        self.output.message(Form::Json, |out| words::write_refusal_of_ask(out, at, error));
        if self.vitals.strike() {
            if let Some(connection) = &self.connection {
                self.port.door.bus.tell_violation(&connection.ctx());
            }
            self.end(CloseCode::Violations.number(), "ten messages in a minute could not be read");
        }
    }

    fn ask(&mut self, ask: Ask) {
        let all = self.port.door.events;
        let (names_given, adds) = match ask {
            Ask::Ping => {
                let at = self.now();
                return self.output.message(Form::Json, |out| words::write_pong(out, at));
            }
            Ask::Subscribe(events) => (events, true),
            Ask::Unsubscribe(events) => (events, false),
        };
        if let Some(unknown) = names_given.iter().find(|name| EventType::parse(name).is_none()) {
            let shown: String = unknown.chars().take(64).collect();
            return self.refuse(&format!("events: there is no event `{shown}`"));
        }
        let given: EventSet = names_given.iter().filter_map(|name| EventType::parse(name)).collect();
        self.wanted = match (given.is_empty(), adds) {
            (true, true) => all,
            (true, false) => EventSet::default(),
            // Whoever has everything and names some wants only those.
            (false, true) if self.wanted == all => given,
            (false, true) => self.wanted.with(given),
            (false, false) => self.wanted.without(given),
        };
        // The operator's choice of what is told here stands.
        self.wanted = self.wanted.within(all);
        let (at, events) = (self.now(), names(self.wanted));
        self.output.message(Form::Json, |out| words::write_subscribed(out, at, &events));
    }

    /// Takes what there is. Answers whether there was anything.
    fn deliver(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(connection) = &self.connection else { return false };
        if self.output.pending() >= LOW {
            return false;
        }
        let mut fetched = std::mem::take(&mut self.fetched);
        let came = connection.poll_next(cx, &mut fetched, BATCH);
        let at = self.now();
        for outgoing in fetched.drain(..) {
            match outgoing.item {
                Item::Delivery(Delivery::Record { record, .. }) => self.tell(&record, at),
                Item::Delivery(Delivery::Gap(gap)) => {
                    self.output.message(Form::Json, |out| words::write_left_out(out, at, &gap));
                }
                Item::Ended(error) => {
                    let code = CloseCode::of_error(error.code());
                    self.end(code.number(), "the subscription has ended; connect again");
                }
            }
        }
        self.fetched = fetched;
        match came {
            Poll::Pending => false,
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(_)) => {
                self.end(CloseCode::GoingAway.number(), "the connection was ended; connect again");
                true
            }
        }
    }

    fn tell(&mut self, record: &Record, at: Timestamp) {
        let message = &record.message;
        let what = EventType::parse(message.address.channel.as_str());
        if !what.is_some_and(|what| self.wanted.contains(what)) {
            return;
        }
        let added = (&self.port.door.speaker, at.since(message.timestamp));
        self.output.message(Form::Json, |out| words::write_event(out, &message.payload, at, added));
    }

    /// After the close frame: shuts our half, then waits for the peer's.
    fn part(&mut self, cx: &mut Context<'_>) -> Result<(), Gone> {
        if !self.is_shut {
            match Pin::new(&mut self.socket).poll_shutdown(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(_)) => return Err(Gone),
                Poll::Ready(Ok(())) => self.is_shut = true,
            }
        }
        if self.is_peer_done { Err(Gone) } else { Ok(()) }
    }
}

fn names(events: EventSet) -> Vec<&'static str> {
    events.types().map(EventType::as_str).collect()
}

impl<S: Stream> Future for TelemetrySession<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..ROUNDS {
            match self.round(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(Gone) => {
                    if let Some(connection) = self.connection.take() {
                        connection.close();
                    }
                    return Poll::Ready(());
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
