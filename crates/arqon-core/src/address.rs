//! Where a message goes: `room:channel`, `@agent`, `@skill/NAME`, `@all`; and the names these are made of.
//!
//! Invariant: a value of these types is valid; text is checked once, on the way in.

use crate::hash::Hashing;
use crate::{Error, Result};
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};

/// Longest segment of an address, in characters.
pub const SEGMENT_MAX: usize = 64;
/// Most segments of an address, the room included.
pub const SEGMENTS_MAX: usize = 8;

/// What the names begin with that a door gives to connections, for clients that expect one of their own.
pub const CLIENT: &str = "arq_client_";

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);
        impl $name {
            /// The text of the name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name! {
    /// A tenant: the wall that no address, id, query or count crosses.
    Tenant
}
name! {
    /// The first segment of an address: the unit of order, storage and sharding. Inboxes are rooms too, `@agent-id`.
    RoomName
}
name! {
    /// The rest of an address: one to seven segments joined by `:`.
    ChannelName
}
name! {
    /// An agent's own name: one segment.
    AgentId
}

/// Whether `text` may stand as one segment: letters, digits, `. _ -`, 1 to 64 of them.
pub fn is_segment(text: &str) -> bool {
    (1..=SEGMENT_MAX).contains(&text.len())
        // Without a way out in its middle, it is looked at by vector instructions.
        && text.bytes().fold(true, |ok, b| ok & (b.is_ascii_alphanumeric() | matches!(b, b'.' | b'_' | b'-')))
}

fn segment(field: &str, text: &str) -> Result<Arc<str>> {
    if is_segment(text) {
        return Ok(text.into());
    }
    let shown: String = text.chars().take(SEGMENT_MAX).collect();
    Err(Error::invalid(
        field,
        format!("`{shown}` is not a name: expected 1–64 letters, digits, `.`, `_` or `-`"),
    ))
}

impl Tenant {
    /// Reads a tenant name.
    pub fn parse(text: &str) -> Result<Self> {
        segment("tenant", text).map(Tenant)
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Tenant("default".into())
    }
}

impl AgentId {
    /// Reads an agent's name.
    pub fn parse(text: &str) -> Result<Self> {
        if text == "all" || text.starts_with("reply.") {
            return Err(
                Error::invalid("agent", format!("`{text}` is reserved")).with_hint("choose another name")
            );
        }
        segment("agent", text).map(AgentId)
    }

    /// Whether this is a question's private reply inbox and no agent.
    pub(crate) fn is_reply(&self) -> bool {
        self.0.starts_with("reply.")
    }
}

impl RoomName {
    /// Reads the name of a room, or of an inbox (`@agent-id`).
    pub fn parse(text: &str) -> Result<Self> {
        segment("room", text.strip_prefix('@').unwrap_or(text))?;
        Ok(RoomName(text.into()))
    }

    /// The inbox of an agent.
    pub fn inbox(agent: &AgentId) -> Self {
        let agent = agent.as_str();
        let mut text = String::with_capacity(1 + agent.len());
        text.push('@');
        text.push_str(agent);
        RoomName(text.into())
    }

    /// The private reply inbox of a question: whoever knows its name may answer, so it holds a number that nobody can
    /// guess.
    pub(crate) fn reply(id: u128, random: u64) -> Self {
        const NAME: &[u8; 7] = b"@reply.";
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&id.to_be_bytes());
        bytes[16..].copy_from_slice(&random.to_be_bytes());
        let mut digits = [[0; 2]; 24];
        for (pair, byte) in digits.iter_mut().zip(bytes) {
            // Without a table, so that vector instructions do it.
            let digit = |n: u8| if n < 10 { b'0' + n } else { b'a' + n - 10 };
            *pair = [digit(byte >> 4), digit(byte & 15)];
        }
        let mut text = [b'0'; NAME.len() + 48];
        text[..NAME.len()].copy_from_slice(NAME);
        text[NAME.len()..].copy_from_slice(digits.as_flattened());
        RoomName(std::str::from_utf8(&text).expect("these are ASCII").into())
    }

    /// The text of the name, shared.
    pub(crate) fn shared(&self) -> Arc<str> {
        self.0.clone()
    }

    /// The room that `@all` is written to.
    pub fn everyone() -> Self {
        RoomName("@all".into())
    }

    /// Whether this is an inbox (or `@all`) rather than a room that people name.
    pub fn is_inbox(&self) -> bool {
        self.0.starts_with('@')
    }

    /// Whether only Arqon itself writes here.
    pub fn is_system(&self) -> bool {
        const SYSTEM: [&str; 11] = [
            "agent",
            "session",
            "group",
            "task",
            "execution",
            "context",
            "room",
            "security",
            "system",
            // Where older clients look for events.
            "arqonbus.telemetry",
            "integriguard",
        ];
        SYSTEM.contains(&self.as_str())
    }

    /// Whether this is a private reply inbox (`@reply.…`), which keeps nothing.
    pub fn is_reply(&self) -> bool {
        self.0.starts_with("@reply.")
    }

    /// Whether this is the inbox of a connection that has a name of its own ([`CLIENT`]), which goes with it.
    pub fn is_client(&self) -> bool {
        self.0.strip_prefix('@').is_some_and(|name| name.starts_with(CLIENT))
    }

    /// Whether this is an inbox that keeps nothing, and that nobody comes back to.
    pub fn is_volatile(&self) -> bool {
        self.is_reply() || self.is_client()
    }
}

impl ChannelName {
    /// Reads a channel: one to seven segments joined by `:`.
    pub fn parse(text: &str) -> Result<Self> {
        let mut count = 0;
        for part in text.split(':') {
            segment("channel", part)?;
            count += 1;
        }
        if count >= SEGMENTS_MAX {
            return Err(too_many("channel"));
        }
        Ok(ChannelName(text.into()))
    }

    /// The one channel of an inbox.
    pub fn inbox() -> Self {
        static INBOX: LazyLock<ChannelName> = LazyLock::new(|| ChannelName("inbox".into()));
        INBOX.clone()
    }
}

fn too_many(field: &str) -> Error {
    Error::invalid(
        field,
        format!("expected at most {SEGMENTS_MAX} segments joined by `:`, the room included"),
    )
}

/// A room of a tenant: the key of one log. It is looked up several times on the way of a message, so its hash is computed
/// once, when it is made.
#[derive(Clone, PartialOrd, Ord, Debug)]
pub struct RoomKey {
    tenant: Tenant,
    room: RoomName,
    hash: u64,
}

impl RoomKey {
    /// The key of `room` in `tenant`.
    pub fn new(tenant: Tenant, room: RoomName) -> Self {
        let hash = Hashing::default().hash_one((&tenant, &room));
        RoomKey { tenant, room, hash }
    }

    /// Whose.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Which.
    pub fn room(&self) -> &RoomName {
        &self.room
    }
}

impl PartialEq for RoomKey {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.room == other.room && self.tenant == other.tenant
    }
}

impl Eq for RoomKey {}

impl Hash for RoomKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Display for RoomKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.room)
    }
}

/// One channel of one room.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Address {
    /// The room.
    pub room: RoomName,
    /// The channel in it.
    pub channel: ChannelName,
}

impl Address {
    /// Reads `room:channel`.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((room, channel)) = text.split_once(':') else {
            let shown: String = text.chars().take(SEGMENT_MAX).collect();
            return Err(Error::invalid(
                "address",
                format!(
                    "`{shown}` has no channel: expected `room:channel`, `@agent`, `@skill/NAME` or `@all`"
                ),
            ));
        };
        if room.starts_with('@') {
            return Err(Error::invalid("address", "an inbox has no channels: expected `@agent`"));
        }
        Ok(Address { room: RoomName::parse(room)?, channel: ChannelName::parse(channel)? })
    }

    /// The inbox of an agent, as an address.
    pub fn inbox(agent: &AgentId) -> Self {
        Address { room: RoomName::inbox(agent), channel: ChannelName::inbox() }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.room.is_inbox() {
            write!(f, "{}", self.room)
        } else {
            write!(f, "{}:{}", self.room, self.channel)
        }
    }
}

/// Where a sender may send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// `room:channel`.
    Channel(Address),
    /// `@agent-id`: that agent's inbox.
    Inbox(AgentId),
    /// `@skill/NAME`: any one online agent with the capability.
    Skill(Arc<str>),
    /// `@all`: every agent of the tenant.
    Everyone,
}

impl Target {
    /// Reads any of the four forms.
    pub fn parse(text: &str) -> Result<Self> {
        let Some(name) = text.strip_prefix('@') else { return Address::parse(text).map(Target::Channel) };
        if name == "all" {
            return Ok(Target::Everyone);
        }
        match name.strip_prefix("skill/") {
            Some(skill) => segment("address", skill).map(Target::Skill),
            None => segment("address", name).map(|id| Target::Inbox(AgentId(id))),
        }
    }

    /// Refuses text that [`Target::parse`] would refuse; the name of an inbox is looked at where it stands.
    pub(crate) fn check(text: &str) -> Result<()> {
        if text.strip_prefix('@').is_some_and(is_segment) {
            return Ok(());
        }
        Target::parse(text).map(drop)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Channel(address) => address.fmt(f),
            Target::Inbox(agent) => write!(f, "@{agent}"),
            Target::Skill(skill) => write!(f, "@skill/{skill}"),
            Target::Everyone => f.write_str("@all"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_round_trips() {
        for text in ["repo:main", "a:b:c", "@planner-1", "@skill/translate", "@all"] {
            assert_eq!(Target::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn bad_addresses_name_what_was_expected() {
        let long = "x".repeat(65);
        for text in
            ["", "repo", ":", "a:", ":b", "a b:c", "a:b:c:d:e:f:g:h:i", "@", "@skill/", "@a:b", long.as_str()]
        {
            let error = Target::parse(text).unwrap_err();
            assert!(error.message().contains("expected"), "{text}: {error}");
        }
    }
}
