//! The first half of a message's way: right, limits, address, class; then into the log or the memory lane.
//!
//! Invariant: a receipt says what is true: a durable message is on disk before its receipt resolves.

use super::agents::Once;
use super::{Bus, Shared, room::Room};
use crate::message::{Extras, KEY_MAX};
use crate::port::{Append, AppendFuture, Appended};
use crate::{
    Address, AgentId, ChannelName, Class, Code, Ctx, Error, Kind, Message, MessageId, Position, Priority,
    Result, RoomName, Target, Timestamp,
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

enum Slot {
    Done(Option<Result<Receipt>>),
    Pending { id: MessageId, room: RoomName, channel: ChannelName },
}

/// Resolves with one result for each message, in order.
#[must_use = "a publish that is not awaited tells nobody whether it was stored"]
pub struct Publishing {
    shared: Arc<Shared>,
    slots: Vec<Slot>,
    append: Option<AppendFuture>,
}

impl Publishing {
    /// Whether everything is decided already, with nothing on its way to the log.
    pub fn is_done(&self) -> bool {
        self.append.is_none()
    }
}

impl Future for Publishing {
    type Output = Vec<Result<Receipt>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let appended = match &mut this.append {
            None => Ok(Vec::new()),
            Some(append) => ready!(append.as_mut().poll(cx)),
        };
        this.append = None;
        let mut entries = match appended {
            Ok(list) => Ok(list.into_iter()),
            Err(e) => Err(Error::from(e)),
        };
        let shared = this.shared.clone();
        let finish = |slot| match slot {
            Slot::Done(result) => {
                result.unwrap_or_else(|| Err(Error::new(Code::Internal, "polled after it was done")))
            }
            Slot::Pending { id, room, channel } => {
                let entry = match &mut entries {
                    Ok(list) => list.next().map_or_else(
                        || Err(Error::new(Code::Internal, "the log answered for too few messages")),
                        |entry| entry.map_err(Error::from),
                    ),
                    Err(e) => Err(e.clone()),
                };
                shared.settle(id, room, channel, entry)
            }
        };
        Poll::Ready(std::mem::take(&mut this.slots).into_iter().map(finish).collect())
    }
}

enum Routed {
    Memory(Receipt),
    Durable(Arc<Room>, Arc<Message>),
}

impl Bus {
    /// Takes a batch. It is queued **at the call**, so calls keep their order; the future resolves when each message
    /// is stored as its class promises. A message that is refused does not hold up the others.
    pub fn publish(&self, ctx: &Ctx, batch: Vec<Publish>) -> Publishing {
        let shared = &self.shared;
        let mut appends = Vec::new();
        let mut slots = Vec::with_capacity(batch.len());
        let (admitted, rest) = shared.admit(ctx, batch.len());
        for (i, publish) in batch.into_iter().enumerate() {
            let may = if i < admitted { Ok(()) } else { rest.clone() };
            let routed = may.and_then(|()| shared.route(ctx, publish));
            slots.push(match routed {
                Ok(Routed::Memory(receipt)) => Slot::Done(Some(Ok(receipt))),
                Ok(Routed::Durable(room, message)) => {
                    let Address { room: name, channel } = message.address.clone();
                    let id = message.id.clone();
                    appends.push(Append { room: room.key.clone(), message });
                    Slot::Pending { id, room: name, channel }
                }
                Err(e) => {
                    shared.counters.refused.fetch_add(1, Relaxed);
                    Slot::Done(Some(Err(e)))
                }
            });
        }
        let append = (!appends.is_empty()).then(|| shared.log.append(appends));
        Publishing { shared: shared.clone(), slots, append }
    }
}

impl Shared {
    /// How many of a batch may pass, and what the rest is told.
    fn admit(&self, ctx: &Ctx, count: usize) -> (usize, Result<()>) {
        self.counters.received.fetch_add(count as u64, Relaxed);
        if let Err(refused) = self.admit_batch(ctx, count) {
            return (0, Err(refused));
        }
        let n = u32::try_from(count).unwrap_or(u32::MAX);
        let window = (Duration::from_secs(1), self.env.clock.monotonic());
        let limit = self.settings.limits.publishes_per_second;
        let (taken, rest) = self.rates.take(&ctx.principal, "publish", (n, limit), window);
        (taken as usize, rest)
    }

    /// What concerns the batch as a whole.
    fn admit_batch(&self, ctx: &Ctx, count: usize) -> Result<()> {
        self.refuse_when_draining()?;
        ctx.check_fresh(self.env.clock.now())?;
        let limits = &self.settings.limits;
        if count > limits.batch {
            return Err(Error::new(Code::TooLarge, format!("{count} messages in one batch"))
                .with_hint(format!("send at most {} at once", limits.batch)));
        }
        Ok(())
    }

    /// Checks one message and sends it on its way.
    fn route(&self, ctx: &Ctx, publish: Publish) -> Result<Routed> {
        ctx.require_publish(&publish.target)?;
        self.check_size(&publish)?;
        let (address, to) = self.resolve(ctx, &publish)?;
        let decision = self.policies.decide(ctx.tenant(), &address);
        let message = self.message(ctx, publish, address, to);
        if message.address.room.is_reply() {
            return Ok(Routed::Memory(self.answer(ctx, message)));
        }
        let room = self.room(ctx.tenant(), &message.address.room);
        if decision.class == Class::Durable {
            return Ok(Routed::Durable(room, message));
        }
        let message = if decision.history > 0 { Arc::new(message.to_owned_memory()) } else { message };
        let record = room.publish_in_memory(&self.env, message, decision.history);
        Ok(Routed::Memory(receipt_of(&record)))
    }

    fn check_size(&self, publish: &Publish) -> Result<()> {
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
            Target::parse(reply_to).map_err(|e| e.with_field("reply_to"))?;
        }
        Ok(())
    }

    /// The room and channel of a target, and the text to keep where the target says more than the room does.
    fn resolve(&self, ctx: &Ctx, publish: &Publish) -> Result<(Address, Option<Arc<str>>)> {
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

    fn message(&self, ctx: &Ctx, publish: Publish, address: Address, to: Option<Arc<str>>) -> Arc<Message> {
        let now = self.env.clock.now();
        let mut extras = publish.extras;
        if to.is_some() {
            extras.get_or_insert_default().to = to;
        }
        Arc::new(Message {
            id: publish.id.unwrap_or_else(|| self.ids.message_id()),
            kind: publish.kind,
            address,
            sender: ctx.sender.clone(),
            timestamp: publish.timestamp.unwrap_or(now),
            stored_at: now,
            priority: publish.priority,
            payload: publish.payload,
            extras,
        })
    }

    fn settle(
        &self,
        id: MessageId,
        room: RoomName,
        channel: ChannelName,
        entry: Result<Appended>,
    ) -> Result<Receipt> {
        let counters = &self.counters;
        match entry {
            Ok(Appended { position, duplicate }) => {
                let counter = if duplicate { &counters.duplicates } else { &counters.stored };
                counter.fetch_add(1, Relaxed);
                Ok(Receipt { id, position, duplicate, room, channel })
            }
            Err(e) => {
                counters.refused.fetch_add(1, Relaxed);
                Err(e)
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

pub(super) fn receipt_of(record: &crate::Record) -> Receipt {
    let message = &record.message;
    Receipt {
        id: message.id.clone(),
        position: record.position,
        duplicate: false,
        room: message.address.room.clone(),
        channel: message.address.channel.clone(),
    }
}
