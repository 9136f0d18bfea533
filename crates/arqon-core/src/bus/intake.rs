//! One batch on its way in: what messages in a row have in common (where they go, the moment) is looked up once, and
//! those for one memory lane are handed to their room together.
//!
//! Invariant: messages reach a room in the order of the batch; every message has its slot, in that order.

use super::events::EventType;
use super::publish::{Publish, Publishing, Slot};
use super::request::{Answer, Given, Taken};
use super::{Shared, room::Room};
use crate::policy::Decision;
use crate::port::Append;
use crate::record::Epoch;
use crate::{
    Address, ChannelName, Class, Code, Ctx, Error, Message, Position, Result, RoomKey, Target, Timestamp,
};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Where messages with one target go.
struct Route {
    /// The target that this holds for again; none where the next message to it may go elsewhere.
    target: Option<Target>,
    address: Address,
    /// The target's text, where it says more than the address does.
    to: Option<Arc<str>>,
    way: Way,
    /// The address's number among those of the batch.
    place: usize,
}

enum Way {
    /// Into the log.
    Log(Arc<Room>),
    /// Into the room's memory lane, which keeps so many of the channel.
    Memory(Arc<Room>, usize),
    /// To a question that waits no longer.
    TooLate,
}

/// See the module.
pub(super) struct Intake<'a> {
    shared: &'a Arc<Shared>,
    ctx: &'a Ctx,
    now: Timestamp,
    route: Option<Route>,
    /// Messages of the route's memory lane that the room does not have yet. Their slots are the last ones.
    run: Vec<Arc<Message>>,
    given: Given,
    slots: Vec<Slot>,
    places: Vec<Address>,
    appends: Vec<Append>,
}

impl<'a> Intake<'a> {
    pub(super) fn new(shared: &'a Arc<Shared>, ctx: &'a Ctx, now: Timestamp, count: usize) -> Self {
        let slots = Vec::with_capacity(count);
        let (run, places, appends) = (Vec::new(), Vec::with_capacity(1), Vec::new());
        let given = Given::default();
        Intake { shared, ctx, now, route: None, run, given, slots, places, appends }
    }

    /// Takes one message; after an error it must be refused. `taken` is the question that it answers, if one waits.
    #[inline]
    pub(super) fn take(&mut self, publish: Publish, taken: Option<Taken>) -> Result<()> {
        if let Some(taken) = taken {
            self.answer(publish, taken);
            return Ok(());
        }
        let is_routed =
            self.route.as_ref().is_some_and(|route| route.target.as_ref() == Some(&publish.target));
        if !is_routed {
            self.flush();
            self.ctx.require_publish(&publish.target)?;
        }
        self.shared.check_size(&publish)?;
        if !is_routed {
            self.route = Some(self.route(&publish)?);
        }
        self.accept(publish);
        Ok(())
    }

    /// Says that the next message was refused.
    pub(super) fn refuse(&mut self, error: Error) {
        self.flush();
        self.slots.push(Slot::Refused(error));
    }

    /// Everything is with its room or on its way to the log.
    pub(super) fn finish(mut self) -> Publishing {
        self.flush();
        self.given.hand_over(&self.shared.replies);
        let append = (!self.appends.is_empty()).then(|| self.shared.log.append(self.appends));
        Publishing::new(self.shared.clone(), (self.slots, self.places), append)
    }

    fn route(&mut self, publish: &Publish) -> Result<Route> {
        let (shared, tenant) = (self.shared, self.ctx.tenant());
        let (address, to) = shared.resolve(self.ctx, publish)?;
        let way = if address.room.is_reply() {
            // A name that a question drew is nobody's room, so whoever has a room there waits for no other answer.
            let room = shared.rooms.find(&RoomKey::new(tenant.clone(), address.room.clone()));
            room.map_or(Way::TooLate, |room| Way::Memory(room, 0))
        } else if address.room.is_client() {
            let room = shared.rooms.find(&RoomKey::new(tenant.clone(), address.room.clone()));
            let there = room.filter(|room| room.subscribers() > 0);
            Way::Memory(there.ok_or_else(|| not_connected(&address))?, 0)
        } else {
            let room = shared.room(tenant, &address.room);
            match shared.policies.decide(tenant, &address) {
                Decision { class: Class::Durable, .. } => Way::Log(room),
                Decision { history, .. } => Way::Memory(room, history),
            }
        };
        let target = match publish.target {
            Target::Skill(_) => None,
            _ => Some(publish.target.clone()),
        };
        let place = self.places.len();
        self.places.push(address.clone());
        Ok(Route { target, address, to, way, place })
    }

    /// Gives a message to the question that waits for it. The first answer takes it.
    #[inline]
    fn answer(&mut self, publish: Publish, taken: Taken) {
        self.flush();
        let id = publish.id.unwrap_or_else(|| self.shared.ids.message_id_at(self.now));
        let message = Message {
            id: id.clone(),
            kind: publish.kind,
            address: Address { room: taken.room, channel: ChannelName::inbox() },
            sender: self.ctx.sender.clone(),
            timestamp: publish.timestamp.unwrap_or(self.now),
            stored_at: self.now,
            priority: publish.priority,
            payload: publish.payload,
            extras: publish.extras,
        };
        self.shared.tell_received(self.ctx, &id, &message.address);
        if self.shared.events.wants(EventType::MessageRouted) {
            let answer = std::iter::once(&message);
            self.shared.tell_routed((self.ctx.tenant(), "answer"), answer, |_| 1);
        }
        let position = Position::new(Epoch::memory(self.shared.ids.next_at(self.now) as u64), 1);
        self.given.add(&self.shared.replies, taken.place, Answer { message, position });
        self.slots.push(Slot::Answered { id, target: publish.target, position });
    }

    /// Sends a message on its way; `self.route` is its own.
    #[inline]
    fn accept(&mut self, publish: Publish) {
        let Some(route) = &mut self.route else { return };
        let id = publish.id.unwrap_or_else(|| self.shared.ids.message_id_at(self.now));
        let mut extras = publish.extras;
        if route.to.is_some() {
            extras.get_or_insert_default().to = route.to.clone();
        }
        let address = match publish.target {
            Target::Channel(address) => address,
            _ => route.address.clone(),
        };
        let message = Message {
            id: id.clone(),
            kind: publish.kind,
            address,
            sender: self.ctx.sender.clone(),
            timestamp: publish.timestamp.unwrap_or(self.now),
            stored_at: self.now,
            priority: publish.priority,
            payload: publish.payload,
            extras,
        };
        self.shared.tell_received(self.ctx, &id, &message.address);
        let place = route.place;
        match &mut route.way {
            Way::Log(room) => {
                self.appends.push(Append { room: room.key.clone(), message: Arc::new(message) });
                self.slots.push(Slot::Logged { id, place });
            }
            Way::Memory(_, keep) => {
                let message = if *keep > 0 { message.to_owned_memory() } else { message };
                self.run.push(Arc::new(message));
                // The room says the position when it gets the run.
                self.slots.push(Slot::Kept { id, place, position: Position::new(Epoch::memory(0), 0) });
            }
            Way::TooLate => {
                self.shared.counters.expired.fetch_add(1, Relaxed);
                self.slots.push(Slot::Kept { id, place, position: Position::new(Epoch::memory(0), 0) });
            }
        }
    }

    /// Hands the run to its room.
    fn flush(&mut self) {
        let Some(Route { way: Way::Memory(room, keep), .. }) = &self.route else { return };
        if self.run.is_empty() {
            return;
        }
        if self.shared.events.wants(EventType::MessageRouted) && !room.key.room().is_system() {
            let run = self.run.iter().map(|message| &**message);
            let listeners = |message: &Message| room.listeners(&message.address.channel);
            self.shared.tell_routed((self.ctx.tenant(), "memory"), run, listeners);
        }
        let begin = self.slots.len() - self.run.len();
        let first = room.publish_in_memory(&self.shared.env, self.run.drain(..), *keep);
        for (n, slot) in self.slots[begin..].iter_mut().enumerate() {
            if let Slot::Kept { position, .. } = slot {
                *position = Position::new(first.epoch, first.offset + n as u64);
            }
        }
    }
}

fn not_connected(address: &Address) -> Error {
    let name = address.room.as_str();
    Error::new(Code::NotFound, format!("`{}` is not connected", name.strip_prefix('@').unwrap_or(name)))
        .with_field("to")
}
