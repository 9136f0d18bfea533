//! Which channel a call means: by address, or by room and channel, each by name or by id, or both in one field.
//!
//! Invariant: what the caller may not read is not found by its id.

use super::ids::{channel_id, is_channel_id, is_room_id, room_id};
use super::{BY_ID, CHANNELS, address_of};
use crate::bus::Bus;
use crate::port::Scan;
use crate::value::missing;
use crate::{Address, ChannelName, Code, Ctx, Error, Result, RoomName};
use std::time::Duration;

/// Walks through a tenant's rooms for messages that name their place by its id.
const LOOKS_PER_SECOND: u32 = 20;

/// A channel as a caller names it.
#[derive(Debug, Default)]
pub(crate) struct Named {
    /// `room:channel`.
    pub(crate) address: Option<String>,
    /// The room's name or id; or `room:channel`.
    pub(crate) room: Option<String>,
    /// The channel's name or id; or `room:channel`.
    pub(crate) channel: Option<String>,
}

impl Bus {
    /// The names of a room and a channel of which either may be given by its id; `joined` are channels that are looked at
    /// first. What is given by its name is left as it is. Looking for others walks through the tenant's rooms, so that a
    /// caller may do it so often a second and no more.
    pub async fn names_of(
        &self,
        ctx: &Ctx,
        (room, channel): (Option<String>, Option<String>),
        joined: &[Address],
    ) -> Result<(Option<String>, Option<String>)> {
        if let Some(id) = channel.as_deref().filter(|text| is_channel_id(text)) {
            let known = joined.iter().find(|address| channel_id(ctx.tenant(), address) == id).cloned();
            let found = match known {
                Some(known) if room.is_none() => known,
                _ => {
                    self.admit_look(ctx)?;
                    self.find_by_parts(ctx, room, channel).await?
                }
            };
            return Ok((Some(found.room.to_string()), Some(found.channel.to_string())));
        }
        match room {
            Some(id) if is_room_id(&id) => {
                let known = joined.iter().find(|address| room_id(ctx.tenant(), &address.room) == id);
                let room = match known {
                    Some(known) => known.room.clone(),
                    None => {
                        self.admit_look(ctx)?;
                        self.find_room(ctx, &id).await?
                    }
                };
                Ok((Some(room.to_string()), channel))
            }
            room => Ok((room, channel)),
        }
    }

    fn admit_look(&self, ctx: &Ctx) -> Result<()> {
        let shared = &self.shared;
        let window = (Duration::from_secs(1), shared.env.clock.monotonic());
        shared.rates.check(&ctx.principal, "look for ids", LOOKS_PER_SECOND, window)
    }

    /// The channel that is meant. That there is such a channel is known only where an id was given.
    pub(crate) async fn find_channel(&self, ctx: &Ctx, named: Named) -> Result<Address> {
        let Named { address, room, channel } = named;
        let whole = address.map(|text| in_arg("address", Address::parse(&text))).transpose()?;
        let found = match (room, channel, &whole) {
            (None, None, Some(whole)) => whole.clone(),
            (None, None, None) => return Err(missing("address", "a string")),
            (room, channel, _) => self.find_by_parts(ctx, room, channel).await?,
        };
        match whole {
            Some(whole) if whole != found => Err(mismatch(&found.channel, &whole.room)),
            _ => Ok(found),
        }
    }

    async fn find_by_parts(
        &self,
        ctx: &Ctx,
        room: Option<String>,
        channel: Option<String>,
    ) -> Result<Address> {
        match (room, channel) {
            (Some(room), channel) if room.contains(':') => {
                let whole = in_arg("room", Address::parse(&room))?;
                match channel {
                    Some(other) if other != whole.channel.as_str() && other != room => {
                        Err(mismatch(&in_arg("channel", ChannelName::parse(&other))?, &whole.room))
                    }
                    _ => Ok(whole),
                }
            }
            (None, Some(channel)) if is_channel_id(&channel) => {
                self.find_by_id(ctx, &channel).await?.ok_or_else(|| no_channel(&channel))
            }
            (None, Some(channel)) if channel.contains(':') => in_arg("channel", Address::parse(&channel)),
            (Some(room), Some(channel)) => {
                let room = self.find_room(ctx, &room).await?;
                self.find_in_room(ctx, room, &channel).await
            }
            (Some(_), None) => Err(missing("channel", "a string")),
            (None, _) => Err(missing("room", "a string")),
        }
    }

    /// A room by its name or its id.
    pub(crate) async fn find_room(&self, ctx: &Ctx, text: &str) -> Result<RoomName> {
        if !is_room_id(text) {
            return in_arg("room", RoomName::parse(text));
        }
        let names = self.room_names(ctx).await?;
        names.into_iter().find(|name| room_id(ctx.tenant(), name) == text).ok_or_else(|| {
            Error::new(Code::NotFound, format!("there is no room with the id `{text}`"))
                .with_reason("ROOM_NOT_FOUND")
                .with_field("args.room")
                .with_hint("`list_rooms` shows the rooms and their ids")
        })
    }

    async fn find_in_room(&self, ctx: &Ctx, room: RoomName, text: &str) -> Result<Address> {
        if room.is_inbox() {
            return Err(Error::invalid("args.room", "an inbox has no channels"));
        }
        if !is_channel_id(text) {
            // Both in the second field; a channel that begins with its room's own name is reached by `address`.
            let inside = text.strip_prefix(room.as_str()).and_then(|rest| rest.strip_prefix(':'));
            let channel = in_arg("channel", ChannelName::parse(inside.unwrap_or(text)))?;
            return Ok(Address { room, channel });
        }
        for info in self.channels(ctx, &room).await? {
            let address = Address { room: room.clone(), channel: info.channel };
            if channel_id(ctx.tenant(), &address) == text {
                return Ok(address);
            }
        }
        match self.find_by_id(ctx, text).await? {
            Some(other) => Err(mismatch(&other.channel, &room)),
            None => Err(no_channel(text)),
        }
    }

    /// A channel that was made, by its id alone.
    async fn find_by_id(&self, ctx: &Ctx, id: &str) -> Result<Option<Address>> {
        let shared = &self.shared;
        let (tenant, index) = (ctx.tenant().clone(), Some((BY_ID, id.to_owned())));
        let (prefix, now) = (String::new(), shared.env.clock.now());
        let scan = Scan { space: CHANNELS, tenant, index, prefix, cursor: None, limit: 1, now };
        let page = shared.records.scan(scan).await?;
        let address = page.items.first().map(|found| address_of(&found.id)).transpose()?;
        Ok(address.filter(|address| ctx.may_read(address)))
    }
}

fn in_arg<T>(name: &str, result: Result<T>) -> Result<T> {
    result.map_err(|e| e.with_field(format!("args.{name}")))
}

fn mismatch(channel: &ChannelName, room: &RoomName) -> Error {
    Error::invalid("args.channel", format!("the channel `{channel}` is not one of the room `{room}`"))
        .with_reason("CHANNEL_ROOM_MISMATCH")
}

fn no_channel(id: &str) -> Error {
    Error::new(Code::NotFound, format!("there is no channel with the id `{id}`"))
        .with_reason("CHANNEL_NOT_FOUND")
        .with_field("args.channel")
        .with_hint("give its room too: by its id alone only a channel is found that somebody has created")
}
