//! What a sender hands in and gets back, and what is asked of every batch: limits, sizes, addresses. `intake` takes the
//! messages from there into the log or a memory lane.
//!
//! Invariant: a receipt says what is true: a durable message is on disk before its receipt resolves.

use super::agents::Once;
use super::intake::Intake;
use super::{Bus, Shared};
use crate::message::{Extras, KEY_MAX};
use crate::port::{AppendFuture, Appended, StoreError};
use crate::{
    Address, AgentId, ChannelName, Code, Ctx, Error, Kind, MessageId, Position, Priority, Result, RoomName,
    Target, Timestamp,
};
use bytes::Bytes;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// A message as a sender hands it in.
#[derive(Debug, Clone)]
pub struct Publish {
    /// Where to.
    pub target: Target,
    /// Message or telemetry.
    pub kind: Kind,
    /// The sender's id for it; made by the server if absent.
    pub id: Option<MessageId>,
    /// The sender's time; the server's if absent.
    pub timestamp: Option<Timestamp>,
    /// One raw JSON value.
    pub payload: Bytes,
    /// Urgency.
    pub priority: Priority,
    /// The rest.
    pub extras: Option<Box<Extras>>,
}

impl Publish {
    /// A plain message.
    pub fn new(target: Target, payload: impl Into<Bytes>) -> Self {
        let (kind, priority) = (Kind::Message, Priority::Normal);
        Publish { target, kind, id: None, timestamp: None, payload: payload.into(), priority, extras: None }
    }
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Its id.
    pub id: MessageId,
    /// Where it stands.
    pub position: Position,
    /// Whether it had been stored before and was dropped now.
    pub duplicate: bool,
    /// The room it went to.
    pub room: RoomName,
    /// The channel in it.
    pub channel: ChannelName,
}

/// What is known of one message of a batch. `place` is the number of its address among those of the batch.
pub(super) enum Slot {
    Refused(Error),
    /// In a memory lane, or an answer that came too late.
    Kept {
        id: MessageId,
        place: usize,
        position: Position,
    },
    /// With the question that it answers.
    Answered {
        id: MessageId,
        target: Target,
        position: Position,
    },
    /// On its way to the log.
    Logged {
        id: MessageId,
        place: usize,
    },
}

/// Resolves with one result for each message, in order.
#[must_use = "a publish that is not awaited tells nobody whether it was stored"]
pub struct Publishing {
    shared: Arc<Shared>,
    slots: Vec<Slot>,
    places: Vec<Address>,
    append: Option<AppendFuture>,
}

impl Publishing {
    pub(super) fn new(
        shared: Arc<Shared>,
        (slots, places): (Vec<Slot>, Vec<Address>),
        append: Option<AppendFuture>,
    ) -> Self {
        Publishing { shared, slots, places, append }
    }

    /// Of the messages that `passed`, those that are where they go already, and not on their way to the log.
    fn kept(&self, passed: u64) -> u64 {
        if self.append.is_none() {
            return passed;
        }
        self.slots.iter().filter(|slot| matches!(slot, Slot::Kept { .. } | Slot::Answered { .. })).count()
            as u64
    }

    /// Whether everything is decided already, with nothing on its way to the log.
    pub fn is_done(&self) -> bool {
        self.append.is_none()
    }

    /// The same as a poll, for whoever needs less: every failure, and the receipts that are `wanted`, each with its
    /// place in the batch.
    pub fn poll_told(
        &mut self,
        cx: &mut Context<'_>,
        wanted: impl Fn(usize) -> bool,
    ) -> Poll<Vec<(usize, Result<Receipt>)>> {
        let appended = match &mut self.append {
            None => Ok(Vec::new()),
            Some(append) => ready!(append.as_mut().poll(cx)),
        };
        self.append = None;
        let mut entries = appended.map(Vec::into_iter).map_err(Error::from);
        let mut tally = Tally::default();
        let mut told = Vec::new();
        for (i, slot) in std::mem::take(&mut self.slots).into_iter().enumerate() {
            let at = |position| Appended { position, duplicate: false };
            let stored = match slot {
                Slot::Refused(error) => Err(error),
                Slot::Kept { .. } | Slot::Answered { .. } if !wanted(i) => continue,
                Slot::Kept { id, place, position } => Ok(self.receipt(id, place, at(position))),
                Slot::Answered { id, target, position } => Ok(answered(id, target, position)),
                Slot::Logged { id, place } => match tally.count(next(&mut entries)) {
                    Ok(_) if !wanted(i) => continue,
                    entry => entry.map(|at| self.receipt(id, place, at)),
                },
            };
            told.push((i, stored));
        }
        tally.add_to(&self.shared);
        Poll::Ready(told)
    }

    fn receipt(&self, id: MessageId, place: usize, Appended { position, duplicate }: Appended) -> Receipt {
        let Address { room, channel } = self.places[place].clone();
        Receipt { id, position, duplicate, room, channel }
    }
}

fn answered(id: MessageId, target: Target, position: Position) -> Receipt {
    let room = match target {
        Target::Inbox(agent) => RoomName::inbox(&agent),
        Target::Channel(address) => address.room,
        // No question waits there.
        Target::Skill(_) | Target::Everyone => RoomName::everyone(),
    };
    Receipt { id, position, duplicate: false, room, channel: ChannelName::inbox() }
}

impl Future for Publishing {
    type Output = Vec<Result<Receipt>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let all = ready!(self.poll_told(cx, |_| true));
        Poll::Ready(all.into_iter().map(|(_, result)| result).collect())
    }
}

/// What the log says of the next message.
fn next(entries: &mut Result<std::vec::IntoIter<Result<Appended, StoreError>>>) -> Result<Appended> {
    match entries {
        Ok(list) => match list.next() {
            Some(entry) => entry.map_err(Error::from),
            None => Err(Error::new(Code::Internal, "the log answered for too few messages")),
        },
        Err(error) => Err(error.clone()),
    }
}

/// What became of the messages of a batch that went to the log.
#[derive(Default)]
struct Tally {
    stored: u64,
    duplicates: u64,
    refused: u64,
    failure: Option<Error>,
}

impl Tally {
    fn count(&mut self, entry: Result<Appended>) -> Result<Appended> {
        match &entry {
            Ok(Appended { duplicate: false, .. }) => self.stored += 1,
            Ok(Appended { duplicate: true, .. }) => self.duplicates += 1,
            Err(error) => {
                self.refused += 1;
                self.failure.get_or_insert_with(|| error.clone());
            }
        }
        entry
    }

    fn add_to(&self, shared: &Shared) {
        let counters = &shared.counters;
        counters.stored.fetch_add(self.stored, Relaxed);
        counters.duplicates.fetch_add(self.duplicates, Relaxed);
        counters.refused.fetch_add(self.refused, Relaxed);
        if let Some(error) = &self.failure {
            shared.tell_storage_error("append", error);
        }
    }
}

impl Bus {
    /// Takes a batch. It is queued **at the call**, so calls keep their order; the future resolves when each message
    /// is stored as its class promises. A message that is refused does not hold up the others.
    pub fn publish(&self, ctx: &Ctx, mut batch: Vec<Publish>) -> Publishing {
        let shared = &self.shared;
        let begun = shared.counters.routing.begin(&*shared.env.clock);
        let now = shared.env.clock.now();
        let (admitted, rest) = shared.admit(ctx, now, batch.len());
        let mut intake = Intake::new(shared, ctx, now, batch.len());
        let may_pass = |publish: &Publish| {
            ctx.require_publish(&publish.target).is_ok() && shared.check_size(publish).is_ok()
        };
        let mut blocked = shared.inspect_batch(ctx, &mut batch[..admitted], may_pass);
        let passes =
            |i: usize, publish: &Publish| blocked.get(i).is_none_or(Option::is_none) && may_pass(publish);
        let mut answers = shared.replies.take_all(ctx.tenant(), &batch[..admitted], passes).into_iter();
        let is_watched = shared.events.is_watched();
        let mut passed = 0;
        for (i, publish) in batch.into_iter().enumerate() {
            let answers = answers.next().flatten();
            let target = is_watched.then(|| publish.target.clone());
            let taken = match blocked.get_mut(i).and_then(Option::take) {
                Some(error) => Err(error),
                None if i < admitted => intake.take(publish, answers),
                None => rest.clone(),
            };
            let Err(error) = taken else {
                passed += 1;
                continue;
            };
            shared.counters.refused.fetch_add(1, Relaxed);
            if let Some(target) = target {
                shared.tell_refused(ctx, &target, &error);
            }
            intake.refuse(error);
        }
        let publishing = intake.finish();
        if passed > 0 {
            shared.counters.kept.fetch_add(publishing.kept(passed), Relaxed);
            shared.tell_activity(ctx, "published");
        }
        shared.counters.routing.end(&*shared.env.clock, begun);
        publishing
    }
}

impl Shared {
    /// How many of a batch may pass, and what the rest is told.
    fn admit(&self, ctx: &Ctx, now: Timestamp, count: usize) -> (usize, Result<()>) {
        self.counters.received.fetch_add(count as u64, Relaxed);
        if let Err(refused) = self.admit_batch(ctx, now, count) {
            return (0, Err(refused));
        }
        let limit = self.settings.limits.publishes_per_second;
        if limit == 0 {
            return (count, Ok(()));
        }
        let n = u32::try_from(count).unwrap_or(u32::MAX);
        let window = (Duration::from_secs(1), self.env.clock.monotonic());
        let (taken, rest) = self.rates.take(&ctx.principal, "publish", (n, limit), window);
        (taken as usize, rest)
    }

    /// What concerns the batch as a whole.
    fn admit_batch(&self, ctx: &Ctx, now: Timestamp, count: usize) -> Result<()> {
        self.refuse_when_draining()?;
        ctx.check_fresh(now)?;
        let limits = &self.settings.limits;
        if count > limits.batch {
            return Err(Error::new(Code::TooLarge, format!("{count} messages in one batch"))
                .with_hint(format!("send at most {} at once", limits.batch)));
        }
        Ok(())
    }

    pub(super) fn check_size(&self, publish: &Publish) -> Result<()> {
        let max = self.settings.limits.message_bytes;
        let extras = publish.extras.as_deref();
        let raw = |bytes: Option<&Bytes>| bytes.map_or(0, Bytes::len);
        let size = publish.payload.len()
            + raw(extras.and_then(|e| e.metadata.as_ref()))
            + raw(extras.and_then(|e| e.unknown.as_ref()));
        if size > max {
            return Err(Error::new(Code::TooLarge, format!("{size} bytes; at most {max} are allowed"))
                .with_field("payload")
                .with_hint("put large content in a file or object store and send a reference to it"));
        }
        let Some(e) = extras else { return Ok(()) };
        let keys = [
            ("idempotency_key", e.idempotency_key.as_deref()),
            ("correlation_id", e.correlation_id.as_deref()),
            ("reply_to", e.reply_to.as_deref()),
            ("traceparent", e.traceparent.as_deref()),
            ("producer.id", e.producer.as_ref().map(|p| &*p.id)),
        ];
        for (field, key) in keys {
            if key.is_some_and(|k| k.is_empty() || k.len() > KEY_MAX) {
                return Err(Error::invalid(field, format!("expected 1 to {KEY_MAX} bytes")));
            }
        }
        if let Some(reply_to) = &e.reply_to {
            Target::check(reply_to).map_err(|e| e.with_field("reply_to"))?;
        }
        Ok(())
    }

    /// The room and channel of a target, and the text to keep where the target says more than the room does.
    pub(super) fn resolve(&self, ctx: &Ctx, publish: &Publish) -> Result<(Address, Option<Arc<str>>)> {
        let target = &publish.target;
        match target {
            Target::Channel(address) => Ok((address.clone(), None)),
            Target::Inbox(agent) => Ok((Address::inbox(agent), None)),
            Target::Everyone => Ok((
                Address { room: RoomName::everyone(), channel: ChannelName::inbox() },
                Some("@all".into()),
            )),
            Target::Skill(skill) => {
                let agent: AgentId =
                    self.agents.pick(ctx.tenant(), skill, once(publish)).ok_or_else(|| {
                        Error::new(Code::Unavailable, format!("no agent with the skill `{skill}` is online"))
                            .with_field("to")
                            .with_hint("start one (`register` with `skills`), or try again later")
                    })?;
                Ok((Address::inbox(&agent), Some(target.to_string().into())))
            }
        }
    }
}

/// What tells a message that is sent again from another one.
fn once(publish: &Publish) -> Option<Once> {
    let extras = publish.extras.as_deref()?;
    let producer = extras.producer.as_ref().map(|p| Once::Producer(p.id.clone(), p.sequence));
    extras.idempotency_key.clone().map(Once::Key).or(producer)
}
