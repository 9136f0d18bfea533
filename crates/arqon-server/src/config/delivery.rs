//! One `[[delivery]]` rule: which class the channels of a pattern have, and how much of them is kept.

use super::setting::{ByteSize, choice, section};
use arqon_core::policy::{HISTORY_DEFAULT, Policy};
use arqon_core::port::Retention;
use arqon_core::{Class, Pattern, Result};
use std::time::Duration;

choice! {
    /// What the messages of a rule's channels promise.
    pub enum ClassName {
        /// At most once, memory only.
        Ephemeral = "ephemeral",
        /// Live, and the last N kept in memory.
        History = "history",
        /// On disk before it is confirmed.
        Durable = "durable",
    }
}

section! {
    /// Delivery rules, in order; the first whose pattern matches a channel decides. Without a rule a channel is durable
    /// and keeps a week.
    pub struct DeliveryRule {
        /// The channels that the rule is for, such as `terminal:*` or `chat:**`.
        pub pattern: String = String::new();
        /// What their messages promise.
        pub class: ClassName = ClassName::Durable;
        /// For `history`: messages of each channel kept in memory. 500 unless set, as chat-like rooms have always had.
        pub history: Option<usize> = None;
        /// For `durable`: messages older than this are removed.
        pub max_age: Option<Duration> = None;
        /// For `durable`: beyond this size of one room's matching channels the oldest are removed.
        pub max_bytes: Option<ByteSize> = None;
        /// For `durable`: beyond this number in one room's matching channels the oldest are removed.
        pub max_records: Option<usize> = None;
    }
}

impl DeliveryRule {
    /// The policy that it states.
    pub fn to_policy(&self) -> Result<Policy> {
        let class = match self.class {
            ClassName::Ephemeral => Class::Ephemeral,
            ClassName::History => Class::History,
            ClassName::Durable => Class::Durable,
        };
        Ok(Policy {
            pattern: Pattern::parse(&self.pattern)?,
            class,
            history: if class == Class::History { self.history.unwrap_or(HISTORY_DEFAULT) } else { 0 },
            retention: Retention {
                max_age: self.max_age,
                max_bytes: self.max_bytes.map(|b| b.0),
                max_records: self.max_records.map(|n| n as u64),
            },
        })
    }
}
