//! What is told of rooms and channels: made, deleted, joined, left.
//!
//! Invariant: each is told after it is done; a room before its channel when made or joined, after it when deleted or left.

use super::{Details, EventType};
use crate::bus::Shared;
use crate::{Address, Ctx};

impl Shared {
    /// A channel was made, and `room_too`: its room with it.
    pub(in crate::bus) fn tell_made(&self, ctx: &Ctx, address: &Address, room_too: bool) {
        if room_too {
            self.tell(EventType::RoomCreated, ctx, || of_room(address));
        }
        self.tell(EventType::ChannelCreated, ctx, || of_channel(address));
    }

    /// A channel was deleted, and `room_too`: its room with it.
    pub(in crate::bus) fn tell_deleted(&self, ctx: &Ctx, address: &Address, room_too: bool) {
        self.tell(EventType::ChannelDeleted, ctx, || of_channel(address));
        if room_too {
            self.tell(EventType::RoomDeleted, ctx, || of_room(address));
        }
    }

    /// A connection joined a channel, and `room_too`: its room with it.
    pub(in crate::bus) fn tell_joined(&self, ctx: &Ctx, address: &Address, room_too: bool) {
        if room_too {
            self.tell(EventType::ClientJoinedRoom, ctx, || of_room(address));
        }
        self.tell(EventType::ClientJoinedChannel, ctx, || of_channel(address));
        self.tell_activity_at(ctx, "joined", address);
    }

    /// A connection left a channel, and `room_too`: its room with it.
    pub(in crate::bus) fn tell_left(&self, ctx: &Ctx, address: &Address, room_too: bool) {
        self.tell(EventType::ClientLeftChannel, ctx, || of_channel(address));
        if room_too {
            self.tell(EventType::ClientLeftRoom, ctx, || of_room(address));
        }
    }
}

fn of_room(address: &Address) -> Details {
    vec![("room", address.room.as_str().into())]
}

fn of_channel(address: &Address) -> Details {
    let mut details = of_room(address);
    details.extend([("channel", address.channel.as_str().into()), ("address", address.to_string().into())]);
    details
}
