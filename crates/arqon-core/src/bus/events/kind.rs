//! The types of events: name, severity and meaning, in one list.
//!
//! Invariant: a name is also a channel of the system room, so that whoever wants one type subscribes to it alone.

/// How grave an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The daily traffic.
    Debug,
    /// Somebody came, went or did something.
    Info,
    /// Something was refused or left out.
    Warning,
    /// Something does not work.
    Error,
    /// Nothing works.
    Critical,
}

impl Severity {
    /// All of them, the least grave first.
    pub const ALL: [Severity; 5] =
        [Severity::Debug, Severity::Info, Severity::Warning, Severity::Error, Severity::Critical];

    /// The name in events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Debug => "debug",
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
            Severity::Critical => "critical",
        }
    }

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Severity> {
        Severity::ALL.into_iter().find(|severity| severity.as_str() == name)
    }
}

macro_rules! events {
    ($($name:ident: $wire:literal, $severity:ident, $doc:literal;)*) => {
        /// What happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventType {
            $(#[doc = $doc] $name,)*
        }

        impl EventType {
            /// All of them, for documents.
            pub const ALL: &'static [EventType] = &[$(EventType::$name,)*];

            /// The name in events, and of the channel.
            pub const fn as_str(self) -> &'static str {
                match self { $(EventType::$name => $wire,)* }
            }

            /// How grave it is, where the event does not say otherwise.
            pub const fn severity(self) -> Severity {
                match self { $(EventType::$name => Severity::$severity,)* }
            }

            /// When it is told.
            pub const fn doc(self) -> &'static str {
                match self { $(EventType::$name => $doc,)* }
            }

            /// Reads a name.
            pub fn parse(name: &str) -> Option<EventType> {
                EventType::ALL.iter().copied().find(|what| what.as_str() == name)
            }

            /// Its place in an [`EventSet`]; there are fewer than 64.
            pub(super) const fn bit(self) -> u64 {
                1 << self as u32
            }
        }
    };
}

events! {
    ClientConnected: "client_connected", Info, "A connection was opened.";
    ClientAuthenticated: "client_authenticated", Info, "It is known whose connection that is: told before `client_connected`, with `role`, `tenant` and `expires_at`.";
    ClientAuthorized: "client_authorized", Info, "And what it may do: the patterns of its token as `publish` and `subscribe`, `null` where the role decides.";
    ClientDisconnected: "client_disconnected", Info, "A connection is gone.";
    ClientRateLimited: "client_rate_limited", Warning, "Messages were refused since there were too many.";
    ClientJoinedRoom: "client_joined_room", Info, "A connection joined its first channel of a room.";
    ClientLeftRoom: "client_left_room", Info, "A connection left its last channel of a room, or is gone.";
    ClientJoinedChannel: "client_joined_channel", Info, "A connection joined a channel.";
    ClientLeftChannel: "client_left_channel", Info, "A connection left a channel, or is gone.";
    RoomCreated: "room_created", Info, "A room was made, with the first channel that somebody made in it. Rooms that are there by use alone are not told.";
    RoomDeleted: "room_deleted", Info, "A room is no more, since the last channel that was made in it is deleted.";
    ChannelCreated: "channel_created", Info, "A channel was made.";
    ChannelDeleted: "channel_deleted", Info, "A channel was deleted, with all that was kept of it.";
    MessageReceived: "message_received", Debug, "A message was taken, and is on its way.";
    MessageRouted: "message_routed", Debug, "A message reached its room, and was offered to so many `subscriptions`; a durable one is stored by then.";
    MessageSent: "message_sent", Debug, "A message was handed to a connection.";
    MessageFailed: "message_failed", Warning, "A message was refused before it was on its way. One that the log then refuses is told as `storage_error` with `append`, and its sender has the error.";
    MessageHistoryRetrieved: "message_history_retrieved", Debug, "Somebody read what was said.";
    CommandExecuted: "command_executed", Debug, "A command was called.";
    CommandSucceeded: "command_succeeded", Debug, "It answered.";
    CommandFailed: "command_failed", Warning, "It was refused or failed.";
    CommandRateLimited: "command_rate_limited", Warning, "It was refused since there were too many.";
    AgentActivity: "agent_activity", Debug, "A client of type `ai-agent` did something: `activity` is `connected`, `registered`, `joined`, `left`, `published`, `called` or `disconnected`; publishing and calling at most once a second each.";
    AuthenticationFailed: "authentication_failed", Warning, "Somebody came without a good token. Told in the tenant `default`, since nobody knows whose it was.";
    AuthorizationDenied: "authorization_denied", Warning, "Somebody may not do what they wanted to do.";
    SecurityViolation: "security_violation", Error, "A rule was broken that a client in good order keeps: `forged_token` (signed with a key that is none of ours; tenant `default`), `protocol` (ten envelopes in a minute that could not be read; the connection is closed).";
    SuspiciousActivity: "suspicious_activity", Warning, "Five refused tokens from one address in a minute (tenant `default`), or ten denials of one subject in a minute. Told once for each such minute.";
    CasilDecision: "casil_decision", Info, "Content inspection found something.";
    StorageOperation: "storage_operation", Debug, "Storage was tidied, not merely appended to: `retain` (a channel by its policy, or emptied), `trim` (an inbox), `sweep` (expired documents).";
    StorageError: "storage_error", Error, "Storage refused or failed: `append`, `read`, `retain`, `trim`, `sweep`, `acknowledgements`, `dead_letters` or what a `command` did, with the `error_code`. Told in every tenant where somebody listens.";
    StorageBackup: "storage_backup", Info, "Never told: the server has no such operation. A backup is a copy of the data folder of a stopped server.";
    StorageRestore: "storage_restore", Info, "Never told: the server has no such operation.";
    SystemStarted: "system_started", Info, "The server began. Told to the first who listens in a tenant after that, and kept once where events are kept; `timestamp` is when it began.";
    SystemInfo: "system_info", Info, "How the server does, every `telemetry.info_seconds`: `uptime_seconds`, and the tenant's own `connections`, `subscriptions` and `rooms`; also that storage is `healthy` again after `system_error`.";
    SystemWarning: "system_warning", Warning, "Events were left out, since there were more than could be published.";
    SystemError: "system_error", Error, "A fault of the server: a command failed by it (`command`), or storage takes no work any more (`problem`; in every tenant where somebody listens).";
    SystemStopped: "system_stopped", Info, "The server is stopping.";
}

/// Types of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventSet(u64);

impl EventSet {
    /// All types.
    pub fn all() -> EventSet {
        EventType::ALL.iter().copied().collect()
    }

    /// Whether the type is in it.
    pub const fn contains(self, what: EventType) -> bool {
        self.0 & what.bit() != 0
    }

    /// Puts types in.
    #[must_use]
    pub const fn with(self, others: EventSet) -> EventSet {
        EventSet(self.0 | others.0)
    }

    /// Takes types out.
    #[must_use]
    pub const fn without(self, others: EventSet) -> EventSet {
        EventSet(self.0 & !others.0)
    }

    /// Takes out what is not in both.
    #[must_use]
    pub const fn within(self, others: EventSet) -> EventSet {
        EventSet(self.0 & others.0)
    }

    /// Whether no type is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its types, in the order of the documents.
    pub fn types(self) -> impl Iterator<Item = EventType> {
        EventType::ALL.iter().copied().filter(move |what| self.contains(*what))
    }

    pub(super) const fn bits(self) -> u64 {
        self.0
    }
}

impl FromIterator<EventType> for EventSet {
    fn from_iter<I: IntoIterator<Item = EventType>>(types: I) -> EventSet {
        EventSet(types.into_iter().fold(0, |bits, what| bits | what.bit()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChannelName;

    #[test]
    fn every_name_is_one_and_a_channel() {
        let mut names: Vec<&str> = EventType::ALL.iter().map(|what| what.as_str()).collect();
        assert!(names.iter().all(|name| ChannelName::parse(name).is_ok()));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), EventType::ALL.len());
        assert!(Severity::ALL.into_iter().all(|s| Severity::parse(s.as_str()) == Some(s)));
        assert!(EventType::ALL.iter().all(|what| EventType::parse(what.as_str()) == Some(*what)));
    }

    #[test]
    fn a_set_has_what_was_put_in() {
        assert_eq!(EventSet::all().types().count(), EventType::ALL.len());
        let few: EventSet = [EventType::RoomCreated, EventType::SystemStopped].into_iter().collect();
        assert!(few.contains(EventType::SystemStopped) && !few.contains(EventType::SystemStarted));
        let rest = EventSet::all().without(few);
        assert!(!rest.contains(EventType::RoomCreated) && rest.with(few) == EventSet::all());
        assert!(few.without(few).is_empty());
    }
}
