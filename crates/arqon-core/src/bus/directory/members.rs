//! Who has joined which channel: the presence of connections, in memory only.
//!
//! Invariant: a connection that is gone is a member of nothing.

use crate::bus::{Bus, Connection, Shared, lock};
use crate::hash::Map;
use crate::{Address, ChannelName, Code, Ctx, Error, Pattern, Result, RoomKey, RoomName, Tenant, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// A connection that has joined a channel.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// The name that its messages carry.
    pub(crate) name: Arc<str>,
    /// Which connection.
    pub(crate) connection: u64,
    pub(crate) joined_at: Timestamp,
}

/// What came of joining.
pub(crate) struct Joined {
    /// When; the first time, where it had joined before.
    pub(crate) at: Timestamp,
    /// Whether this was the connection's first channel of the room.
    pub(crate) room_joined: bool,
    /// Whether it had not joined this channel before.
    pub(crate) is_new: bool,
}

#[derive(Default)]
pub(in crate::bus) struct Members {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rooms: Map<RoomKey, BTreeMap<ChannelName, Vec<Member>>>,
    /// What each connection has joined, in that order.
    connections: Map<u64, Vec<(RoomKey, ChannelName)>>,
}

impl Members {
    /// Adds a member; a connection joins at most `limit` channels.
    fn join(&self, key: RoomKey, channel: &ChannelName, member: Member, limit: usize) -> Result<Joined> {
        let mut state = lock(&self.state);
        let joined = state.connections.entry(member.connection).or_default();
        let room_joined = !joined.iter().any(|(room, _)| *room == key);
        let place = (key, channel.clone());
        let is_new = !joined.contains(&place);
        if is_new && joined.len() >= limit {
            let text = format!("this connection has joined {limit} channels already");
            return Err(Error::new(Code::Exhausted, text)
                .with_reason("TOO_MANY_JOINED")
                .with_hint("leave some, or raise `limits.subscriptions`"));
        }
        if is_new {
            joined.push(place.clone());
        }
        let list = state.rooms.entry(place.0).or_default().entry(place.1).or_default();
        if let Some(known) = list.iter().find(|known| known.connection == member.connection) {
            return Ok(Joined { at: known.joined_at, room_joined, is_new });
        }
        let at = member.joined_at;
        list.push(member);
        Ok(Joined { at, room_joined, is_new })
    }

    /// Takes a member out; whether it is in no channel of the room any more, or nothing where it was not in this one.
    fn leave(&self, key: RoomKey, channel: &ChannelName, connection: u64) -> Option<bool> {
        let mut state = lock(&self.state);
        let joined = state.connections.get_mut(&connection)?;
        let place = joined.iter().position(|(room, name)| *room == key && name == channel)?;
        joined.remove(place);
        let room_left = !joined.iter().any(|(room, _)| *room == key);
        if joined.is_empty() {
            state.connections.remove(&connection);
        }
        state.remove(&key, channel, connection);
        Some(room_left)
    }

    /// Takes a connection out of everything; what it had joined, in that order.
    fn forget(&self, connection: u64) -> Vec<(RoomKey, ChannelName)> {
        let mut state = lock(&self.state);
        let joined = state.connections.remove(&connection).unwrap_or_default();
        for (key, channel) in &joined {
            state.remove(key, channel, connection);
        }
        joined
    }

    /// What a connection has joined, in that order.
    fn joined(&self, connection: u64) -> Vec<Address> {
        let state = lock(&self.state);
        let joined = state.connections.get(&connection).into_iter().flatten();
        joined.map(|(key, channel)| Address { room: key.room().clone(), channel: channel.clone() }).collect()
    }

    /// The members of a channel, in the order of joining.
    fn of_channel(&self, key: &RoomKey, channel: &ChannelName) -> Vec<Member> {
        lock(&self.state).rooms.get(key).and_then(|room| room.get(channel)).cloned().unwrap_or_default()
    }

    /// The channels of a room that somebody has joined, and how many each.
    pub(in crate::bus) fn in_room(&self, key: &RoomKey) -> Vec<(ChannelName, usize)> {
        let state = lock(&self.state);
        let room = state.rooms.get(key).into_iter().flatten();
        room.map(|(channel, members)| (channel.clone(), members.len())).collect()
    }

    /// The rooms of a tenant that somebody has joined.
    pub(in crate::bus) fn rooms(&self, tenant: &Tenant) -> Vec<RoomName> {
        let state = lock(&self.state);
        state.rooms.keys().filter(|key| key.tenant() == tenant).map(|key| key.room().clone()).collect()
    }

    /// Connections of a room; one that has joined several of its channels counts once.
    pub(in crate::bus) fn count(&self, key: &RoomKey) -> usize {
        let state = lock(&self.state);
        let members = state.rooms.get(key).into_iter().flat_map(BTreeMap::values).flatten();
        let mut connections: Vec<u64> = members.map(|member| member.connection).collect();
        connections.sort_unstable();
        connections.dedup();
        connections.len()
    }

    /// Channels of a tenant that somebody has joined.
    pub(in crate::bus) fn channels(&self, tenant: &Tenant) -> usize {
        let state = lock(&self.state);
        state.rooms.iter().filter(|(key, _)| key.tenant() == tenant).map(|(_, room)| room.len()).sum()
    }
}

impl State {
    fn remove(&mut self, key: &RoomKey, channel: &ChannelName, connection: u64) {
        let Some(room) = self.rooms.get_mut(key) else { return };
        if let Some(members) = room.get_mut(channel) {
            members.retain(|member| member.connection != connection);
            if members.is_empty() {
                room.remove(channel);
            }
        }
        if room.is_empty() {
            self.rooms.remove(key);
        }
    }
}

impl Shared {
    /// A connection is gone.
    pub(in crate::bus) fn end_memberships(&self, ctx: &Ctx) {
        let mut joined = self.directory.members.forget(ctx.connection);
        while let Some((key, channel)) = joined.pop() {
            let room_left = !joined.iter().any(|(room, _)| *room == key);
            self.tell_left(ctx, &Address { room: key.room().clone(), channel }, room_left);
        }
    }
}

impl Bus {
    /// The members of a channel, in the order of joining.
    pub(crate) fn members(&self, ctx: &Ctx, address: &Address) -> Vec<Member> {
        let key = RoomKey::new(ctx.tenant().clone(), address.room.clone());
        self.shared.directory.members.of_channel(&key, &address.channel)
    }
}

impl Connection {
    /// Makes this connection a member of a channel. A channel that is not there is there by it.
    pub(crate) fn join(&self, ctx: &Ctx, address: &Address) -> Result<Joined> {
        ctx.require_subscribe(&Pattern::exact(address))?;
        let shared = self.shared();
        let (name, connection, joined_at) = (ctx.sender.clone(), self.id(), shared.env.clock.now());
        let member = Member { name, connection, joined_at };
        let limit = shared.settings.limits.subscriptions;
        let key = RoomKey::new(ctx.tenant().clone(), address.room.clone());
        let joined = shared.directory.members.join(key, &address.channel, member, limit)?;
        if self.is_closed() {
            // Closing has taken this connection out already, or has not seen it yet.
            shared.directory.members.forget(connection);
            return Err(Error::new(Code::ShuttingDown, "the connection was closed"));
        }
        if joined.is_new {
            shared.tell_joined(ctx, address, joined.room_joined);
        }
        Ok(joined)
    }

    /// Ends its membership; whether it is in no channel of the room any more.
    pub(crate) fn leave(&self, ctx: &Ctx, address: &Address) -> Result<bool> {
        let key = RoomKey::new(ctx.tenant().clone(), address.room.clone());
        let left = self.shared().directory.members.leave(key, &address.channel, self.id());
        let room_left = left.ok_or_else(|| {
            Error::new(Code::NotFound, format!("this connection has not joined `{address}`"))
                .with_reason("NOT_JOINED")
                .with_field("args.channel")
        })?;
        self.shared().tell_left(ctx, address, room_left);
        self.shared().tell_activity_at(ctx, "left", address);
        Ok(room_left)
    }

    /// The channels that this connection has joined, in that order.
    pub fn joined(&self) -> Vec<Address> {
        self.shared().directory.members.joined(self.id())
    }
}
