//! What a frame from the server changes.
//!
//! Invariant: one function per thing that a server says, each of which leaves the state whole.

use super::{Shared, State, Waiting};
use crate::feed::{Item, Phase};
use crate::raw::{Raw, Said};
use crate::session::Verdict;
use crate::{Error, Gap, Message, Receipt, Result};
use arqon_core::{ChannelName, MessageId, Position, RoomName};
use arqon_wire::{Delivered, GapSaid, ServerSays};
use bytes::Bytes;
use serde::Deserialize;
use std::time::Duration;

/// How long to wait before a subscription is asked for again that the server could not give now.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// What came with the frames, besides what the state took in.
#[derive(Default)]
pub(crate) struct Received {
    /// Whether the server has introduced itself: the connection is good.
    pub(crate) welcomed: bool,
    /// Whether there may be something to write now.
    pub(crate) wake: bool,
    /// Whether something was answered.
    pub(crate) progress: bool,
}

#[derive(Deserialize)]
struct Welcome {
    limits: Option<Limits>,
}

#[derive(Deserialize)]
struct Limits {
    message_bytes: Option<usize>,
}

#[derive(Deserialize)]
struct ReceiptData<'a> {
    id: &'a str,
    position: &'a str,
    duplicate: bool,
    room: &'a str,
    channel: &'a str,
    /// How many messages it stands for: this one and those that were sent behind it.
    #[serde(default = "one")]
    count: u64,
}

fn one() -> u64 {
    1
}

impl Shared {
    /// Takes in what was read together.
    pub(crate) fn receive(&self, said: Vec<Said>) -> Received {
        let mut received = Received::default();
        let mut state = self.lock();
        for said in said {
            let says = match said {
                Said::Peeked(raw) => {
                    received.wake |= state.peeked(raw);
                    continue;
                }
                Said::Read(says) => says,
            };
            match says {
                ServerSays::Delivery(delivered) => received.wake |= state.delivered(delivered),
                ServerSays::Gap(gap) => state.gap(gap),
                ServerSays::Ended { subscription, error } => {
                    state.ended(&subscription, error, self.env.clock.monotonic());
                    received.wake = true;
                }
                ServerSays::Response { request_id, data } => {
                    received.progress = true;
                    self.answered(&mut state, request_id.as_deref(), Ok(data));
                    received.wake |= !state.feeds.is_empty();
                }
                ServerSays::Error { request_id, error } => {
                    (received.progress, received.wake) = (true, true);
                    self.answered(&mut state, request_id.as_deref(), Err(error));
                }
                ServerSays::Welcome(payload) => {
                    received.welcomed = true;
                    let welcome: Option<Welcome> = serde_json::from_slice(&payload).ok();
                    state.message_bytes = welcome.and_then(|w| w.limits).and_then(|l| l.message_bytes);
                }
            }
        }
        received
    }

    fn answered(&self, state: &mut State, id: Option<&str>, answer: Result<Bytes, arqon_core::Error>) {
        let Some(id) = id else {
            if let Err(error) = answer {
                tracing::warn!(code = error.code().as_str(), %error, "the server complained about a frame");
            }
            return;
        };
        match state.waiting.remove(id) {
            Some(waiting) => state.command_answered(waiting, answer, self.env.clock.monotonic()),
            None => self.publish_answered(state, id, answer),
        }
    }

    fn publish_answered(&self, state: &mut State, id: &str, answer: Result<Bytes, arqon_core::Error>) {
        let Ok(id) = MessageId::parse(id) else { return };
        let refused = match answer {
            Ok(data) => return confirmed(state, &id, &data),
            Err(error) => error,
        };
        let ticket = if refused.code().is_retryable() {
            let now = self.env.clock.monotonic();
            match state.outbox.refused(&id, now, refused.retry_after(), self.env.random.next_u64()) {
                Verdict::Kept => return,
                Verdict::GivenUp(ticket) => Some(ticket),
                Verdict::Unknown => None,
            }
        } else {
            state.outbox.answered(&id)
        };
        match ticket {
            Some(ticket) => ticket.tell(Err(Error::Refused(refused))),
            None => {
                let code = refused.code().as_str();
                tracing::warn!(code, error = %refused, "a message without a confirm was refused");
            }
        }
    }
}

/// Takes a confirm in, which may stand for several messages.
fn confirmed(state: &mut State, id: &MessageId, data: &[u8]) {
    match receipt(data) {
        Ok((first, count)) => {
            for (behind, (id, ticket)) in (0..).zip(state.outbox.answered_run(id, count)) {
                let Position { epoch, offset } = first.position;
                let position = Position { epoch, offset: offset + behind };
                ticket.tell(Ok(Receipt { id, position, ..first.clone() }));
            }
        }
        Err(error) => {
            if let Some(ticket) = state.outbox.answered(id) {
                ticket.tell(Err(error));
            }
        }
    }
}

/// The receipt of the first message, and how many it stands for.
fn receipt(data: &[u8]) -> Result<(Receipt, u64)> {
    let wrong = |e: serde_json::Error| Error::Protocol(format!("a receipt: {e}"));
    let data: ReceiptData<'_> = serde_json::from_slice(data).map_err(wrong)?;
    let receipt = Receipt {
        id: MessageId::parse(data.id)?,
        position: Position::parse(data.position)?,
        duplicate: data.duplicate,
        room: RoomName::parse(data.room)?,
        channel: ChannelName::parse(data.channel)?,
    };
    Ok((receipt, data.count.max(1)))
}

/// The key of the subscription that has this id on the wire.
fn key_of(subscription: &str) -> Option<u64> {
    subscription.strip_prefix('c')?.parse().ok()
}

impl State {
    /// Takes a delivery that was not read yet; answers whether the server is to be told something.
    fn peeked(&mut self, raw: Raw) -> bool {
        let feed = key_of(raw.subscription()).and_then(|key| self.feeds.get_mut(&key));
        match feed {
            None => false,
            Some(feed) if !feed.is_inbox => !feed.deliver_raw(raw),
            Some(_) => match raw.read() {
                Ok(delivered) => self.delivered(delivered),
                Err(error) => {
                    tracing::warn!(%error, "an answer cannot be read");
                    false
                }
            },
        }
    }

    /// Takes a delivery; answers whether the server is to be told something.
    fn delivered(&mut self, delivered: Delivered) -> bool {
        let Some(feed) = key_of(&delivered.subscription).and_then(|key| self.feeds.get_mut(&key)) else {
            return false;
        };
        if !feed.is_inbox {
            return !feed.deliver(delivered);
        }
        let Delivered { message, position, attempt, .. } = delivered;
        if feed.cursor.admit(&message.address.room, position) {
            let correlation = message.extras.as_ref().and_then(|e| e.correlation_id.clone());
            if let Some(tell) = correlation.and_then(|id| self.replies.remove(&*id)) {
                let _ = tell.send(Message { attempt, position, message, handle: None });
            }
        }
        false
    }

    fn gap(&mut self, said: GapSaid) {
        let Some(feed) = key_of(&said.subscription).and_then(|key| self.feeds.get_mut(&key)) else { return };
        if feed.cursor.admit_gap(&said.room, said.to, said.reason) && !feed.is_inbox {
            let GapSaid { room, from, to, reason, .. } = said;
            feed.push(Item::Gap(Gap { room, from, to, reason }));
        }
    }

    fn ended(&mut self, subscription: &str, error: arqon_core::Error, now: Duration) {
        let Some(key) = key_of(subscription) else { return };
        self.restoring.remove(&key);
        let Some(feed) = self.feeds.get_mut(&key) else { return };
        if error.code().is_retryable() {
            feed.lost();
            feed.phase = Phase::Wanted(now + ASK_AGAIN);
        } else {
            feed.end(Error::Refused(error));
        }
    }

    fn command_answered(
        &mut self,
        waiting: Waiting,
        answer: Result<Bytes, arqon_core::Error>,
        now: Duration,
    ) {
        match waiting {
            Waiting::Call(tell) => {
                let _ = tell.send(answer.map_err(Error::Refused));
            }
            Waiting::Subscribe(key) => {
                self.restoring.remove(&key);
                if let Some(feed) = self.feeds.get_mut(&key) {
                    feed.answered(answer, now + ASK_AGAIN);
                }
            }
            Waiting::Acknowledge { feed, number } => {
                if let Some(feed) = self.feeds.get_mut(&feed) {
                    match &answer {
                        Ok(_) => feed.ledger.answered(number),
                        Err(error) if feed.ledger.refused(number) => feed.unsaved = Some(error.clone()),
                        Err(_) => {}
                    }
                }
                complain("acknowledge", answer);
            }
            Waiting::Nobody(what) => complain(what, answer),
        }
    }
}

fn complain(what: &'static str, answer: Result<Bytes, arqon_core::Error>) {
    if let Err(error) = answer {
        tracing::debug!(command = what, code = error.code().as_str(), %error, "a command was refused");
    }
}
