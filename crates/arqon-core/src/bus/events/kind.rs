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
        }
    };
}

events! {
    ClientConnected: "client_connected", Info, "A connection was opened.";
    ClientDisconnected: "client_disconnected", Info, "A connection is gone.";
    ClientRateLimited: "client_rate_limited", Warning, "Messages were refused since there were too many.";
    MessageReceived: "message_received", Debug, "A message was taken, and is on its way.";
    MessageSent: "message_sent", Debug, "A message was handed to a connection.";
    MessageFailed: "message_failed", Warning, "A message was refused.";
    MessageHistoryRetrieved: "message_history_retrieved", Debug, "Somebody read what was said.";
    CommandExecuted: "command_executed", Debug, "A command was called.";
    CommandSucceeded: "command_succeeded", Debug, "It answered.";
    CommandFailed: "command_failed", Warning, "It was refused or failed.";
    CommandRateLimited: "command_rate_limited", Warning, "It was refused since there were too many.";
    AuthorizationDenied: "authorization_denied", Warning, "Somebody may not do what they wanted to do.";
    CasilDecision: "casil_decision", Info, "Content inspection found something.";
    SystemWarning: "system_warning", Warning, "Events were left out, since there were more than could be published.";
    SystemStopped: "system_stopped", Info, "The server is stopping.";
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
    }
}
