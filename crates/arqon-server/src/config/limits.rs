//! The bounds of the bus, as keys.

use super::setting::{ByteSize, section};
use arqon_core::limits::Limits;
use std::time::Duration;

section! {
    /// Bounds. Each answers with its own error code when it is reached.
    pub struct LimitsConfig {
        /// Largest payload (plus metadata and unknown members) of one message. 1 MiB: what fits a message bus; larger
        /// content belongs in a store, with a reference in the message.
        pub message_bytes: ByteSize = ByteSize(Limits::default().message_bytes as u64);
        /// Most messages in one publish batch. It bounds what one request can hold in memory.
        pub batch: usize = Limits::default().batch;
        /// Records that wait in memory for one subscription before it goes on by reading the log. Enough to
        /// bridge a pause of the reader without touching the log.
        pub queue_records: usize = Limits::default().queue_records;
        /// The same in bytes, so that large messages do not multiply it.
        pub queue_bytes: ByteSize = ByteSize(Limits::default().queue_bytes as u64);
        /// Subscriptions of one connection.
        pub subscriptions: usize = Limits::default().subscriptions;
        /// Connections of clients at once; each costs about 20 KiB.
        pub connections: usize = Limits::default().connections;
        /// Durable subscriptions of one tenant; each is a document and, while in use, memory.
        pub consumers: usize = Limits::default().consumers;
        /// Publishes per second of one principal; 0 is no limit, since a fleet of one owner needs none.
        pub publishes_per_second: u32 = Limits::default().publishes_per_second;
        /// The longest that a request may wait for its answer. 5 minutes: agents may think for long.
        pub request_timeout_seconds: Duration = Limits::default().request_timeout;
    }
}

impl LimitsConfig {
    /// As the core takes them.
    pub fn to_limits(&self) -> Limits {
        Limits {
            message_bytes: self.message_bytes.as_usize(),
            batch: self.batch,
            queue_records: self.queue_records,
            queue_bytes: self.queue_bytes.as_usize(),
            subscriptions: self.subscriptions,
            connections: self.connections,
            consumers: self.consumers,
            publishes_per_second: self.publishes_per_second,
            request_timeout: self.request_timeout_seconds,
        }
    }
}
