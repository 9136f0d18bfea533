//! Where an older client means, from what it says and from what it has joined.
//!
//! Invariant: a message goes to one place; what names none goes to the channel that was joined first.

use super::parts::text_of;
use crate::json::client::member;
use crate::target::parse_target;
use arqon_core::{Address, AgentId, Error, Result, Target};
use bytes::Bytes;

/// What was said of the place.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Place {
    /// `room`.
    pub room: Option<String>,
    /// `channel`.
    pub channel: Option<String>,
    /// The one client that is meant.
    pub client: Option<String>,
}

impl Place {
    /// Where that is for a client that has joined these channels, in this order.
    pub fn target<'a>(&self, mut joined: impl Iterator<Item = &'a Address>) -> Result<Target> {
        if let Some(client) = &self.client {
            let client = client.strip_prefix('@').unwrap_or(client);
            return AgentId::parse(client).map(Target::Inbox).map_err(|e| e.with_field("to_client"));
        }
        let (room, channel) = (self.room.as_deref(), self.channel.as_deref());
        match (room, channel) {
            (Some(room), Some(channel)) => {
                // The room may be named in both, and so may the channel.
                if room.split_once(':').is_some_and(|(_, rest)| rest == channel) {
                    return parse_target(None, Some(room), None);
                }
                let rest = channel.strip_prefix(room).and_then(|rest| rest.strip_prefix(':'));
                parse_target(None, Some(room), Some(rest.unwrap_or(channel)))
            }
            (Some(one), None) | (None, Some(one)) if one.contains(':') || one.starts_with('@') => {
                parse_target(Some(one), None, None)
                    .map_err(|e| e.with_field(if room.is_some() { "room" } else { "channel" }))
            }
            (Some(room), None) => {
                let found = joined.find(|address| address.room.as_str() == room);
                found.cloned().map(Target::Channel).ok_or_else(|| nowhere("channel", "in this room"))
            }
            (None, Some(channel)) => match joined.next() {
                Some(first) => parse_target(None, Some(first.room.as_str()), Some(channel)),
                None => Err(nowhere("room", "in any room")),
            },
            (None, None) => {
                joined.next().cloned().map(Target::Channel).ok_or_else(|| nowhere("room", "in any room"))
            }
        }
    }

    /// The channel that is named, without what was joined.
    pub fn address(&self) -> Option<Address> {
        match self.target(std::iter::empty()) {
            Ok(Target::Channel(address)) => Some(address),
            _ => None,
        }
    }
}

fn nowhere(field: &str, which: &str) -> Error {
    let text = format!("missing, and no channel {which} was joined");
    Error::invalid(field, text)
        .with_reason("ROUTING_ERROR")
        .with_hint("name `room` and `channel`, or join one")
}

/// The client that a private message's payload names.
pub(super) fn private(payload: &Bytes) -> Option<String> {
    member(payload, "target").ok().flatten().as_deref().and_then(text_of)
}
