//! Rights: one table from permission to the least role that has it, and rights to addresses by pattern.
//!
//! Invariant: every operation passes through `Ctx::require` or one of the address checks here before it touches state.

use crate::{Address, Code, Ctx, Error, Pattern, Result, Role, RoomName, Target};

/// What an operation needs. The wire name is [`Permission::as_str`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// See what the system is and how it does.
    SystemInfo,
    /// Check the connection.
    ConnectivityTest,
    /// See which rooms and channels there are.
    ChannelView,
    /// Publish and subscribe, within the caller's patterns.
    ChannelAccess,
    /// Read what was said.
    MessageHistory,
    /// Manage channels, durable subscriptions and dead letters.
    ChannelManagement,
    /// Manage the tenant: tokens and delivery policies.
    AdminCommands,
}

impl Permission {
    /// All of them, for documents.
    pub const ALL: [Permission; 7] = [
        Permission::SystemInfo,
        Permission::ConnectivityTest,
        Permission::ChannelView,
        Permission::ChannelAccess,
        Permission::MessageHistory,
        Permission::ChannelManagement,
        Permission::AdminCommands,
    ];

    /// The name in documents and errors.
    pub const fn as_str(self) -> &'static str {
        match self {
            Permission::SystemInfo => "system_info",
            Permission::ConnectivityTest => "connectivity_test",
            Permission::ChannelView => "channel_view",
            Permission::ChannelAccess => "channel_access",
            Permission::MessageHistory => "message_history",
            Permission::ChannelManagement => "channel_management",
            Permission::AdminCommands => "admin_commands",
        }
    }

    /// The least role that has it.
    pub const fn least_role(self) -> Role {
        match self {
            Permission::SystemInfo | Permission::ConnectivityTest | Permission::ChannelView => Role::Guest,
            Permission::ChannelAccess | Permission::MessageHistory => Role::User,
            Permission::ChannelManagement => Role::Moderator,
            Permission::AdminCommands => Role::Admin,
        }
    }
}

impl Ctx {
    /// Refuses a caller without the permission.
    pub fn require(&self, permission: Permission) -> Result<()> {
        let least = permission.least_role();
        if self.principal.role >= least {
            return Ok(());
        }
        Err(refused(format!(
            "`{}` has role `{}`; this needs `{}` ({} or above)",
            self.principal.subject,
            self.principal.role.as_str(),
            permission.as_str(),
            least.as_str()
        )))
    }

    /// Refuses to publish where the caller may not.
    pub fn require_publish(&self, target: &Target) -> Result<()> {
        self.require(Permission::ChannelAccess)?;
        let allowed = |address: &Address| match &self.principal.publish {
            Some(patterns) => patterns.iter().any(|p| p.matches(&address.room, &address.channel)),
            None => true,
        };
        let ok = match target {
            Target::Channel(address) if address.room.is_system() => {
                let why = format!("only Arqon writes to the system room `{}`", address.room);
                return Err(refused(why).with_hint("publish to a room with a name of your own"));
            }
            Target::Channel(address) => allowed(address),
            // Answering is part of having been asked: the address cannot be guessed.
            Target::Inbox(agent) => agent.as_str().starts_with("reply.") || allowed(&Address::inbox(agent)),
            Target::Skill(_) | Target::Everyone => self.may_publish_anywhere(),
        };
        if ok { Ok(()) } else { Err(no_address("publish to", &target.to_string(), &self.principal.publish)) }
    }

    /// Refuses to subscribe to (or read) what the caller may not.
    pub fn require_subscribe(&self, pattern: &Pattern) -> Result<()> {
        self.require(Permission::ChannelAccess)?;
        if pattern.as_str().starts_with('@') && !self.may_cover(pattern) {
            return Err(refused(format!("`{pattern}` is another agent's inbox; you are `{}`", self.sender)));
        }
        if pattern.only_room().is_some_and(|room| room.is_system()) {
            // Events say what others do.
            self.require(Permission::ChannelManagement)?;
        }
        if self.may_cover(pattern) {
            Ok(())
        } else {
            Err(no_address("read", pattern.as_str(), &self.principal.subscribe))
        }
    }

    /// Refuses to look at an address that the caller may not read.
    pub(crate) fn require_read(&self, address: &Address) -> Result<()> {
        if self.may_read(address) {
            return Ok(());
        }
        Err(no_address("read", &address.to_string(), &self.principal.subscribe))
    }

    /// Whether the caller's patterns reach an address; its role is another matter.
    pub(crate) fn may_read(&self, address: &Address) -> bool {
        match &self.principal.subscribe {
            _ if address.room.is_inbox() => self.may_open(address.room.as_str()),
            Some(patterns) => patterns.iter().any(|p| p.matches(&address.room, &address.channel)),
            None => true,
        }
    }

    /// Whether the caller's patterns reach something in a room.
    pub(crate) fn may_see(&self, room: &RoomName) -> bool {
        match &self.principal.subscribe {
            _ if room.is_inbox() => self.may_open(room.as_str()),
            Some(patterns) => patterns.iter().any(|p| p.matches_room(room)),
            None => true,
        }
    }

    /// Whether the caller's patterns reach all that a pattern matches.
    pub(crate) fn may_cover(&self, pattern: &Pattern) -> bool {
        match &self.principal.subscribe {
            _ if pattern.as_str().starts_with('@') => self.may_open(pattern.as_str()),
            Some(patterns) => patterns.iter().any(|p| p.covers(pattern)),
            None => true,
        }
    }

    /// Whether an inbox is the caller's own; an admin's are all.
    fn may_open(&self, inbox: &str) -> bool {
        let owner = inbox.strip_prefix('@').unwrap_or(inbox);
        owner.starts_with("reply.")
            || *owner == *self.sender
            || *owner == *self.principal.subject
            || self.principal.role >= Role::Admin
    }

    fn may_publish_anywhere(&self) -> bool {
        let Some(patterns) = &self.principal.publish else { return true };
        patterns.iter().any(|p| p.as_str() == "*")
    }
}

fn refused(message: String) -> Error {
    Error::new(Code::Forbidden, message)
}

fn no_address(verb: &str, what: &str, patterns: &Option<std::sync::Arc<[Pattern]>>) -> Error {
    let list: Vec<&str> = patterns.iter().flat_map(|p| p.iter()).map(Pattern::as_str).collect();
    refused(format!("this token may not {verb} `{what}`; it may {verb}: {}", list.join(", ")))
        .with_hint("ask an admin for a token with a pattern that covers it")
}
