//! The doors to the bus, WebSocket and HTTP: how they are configured, and how they are mounted on the one port.

use crate::config::setting::{ByteSize, section};
use std::time::Duration;

section! {
    /// The WebSocket door, `/ws`.
    pub struct WsConfig {
        /// How often a silent client is asked whether it is there. Below the idle limits of common proxies (60 s).
        pub ping_interval_seconds: Duration = Duration::from_secs(20);
        /// How long it may take to answer before the connection is closed.
        pub ping_timeout_seconds: Duration = Duration::from_secs(10);
        /// How long a write may make no progress before the connection is closed with the code 4001.
        pub slow_consumer_timeout_seconds: Duration = Duration::from_secs(10);
        /// Offers permessage-deflate to clients that ask for it.
        pub compression: bool = true;
    }
}

section! {
    /// The HTTP door.
    pub struct HttpConfig {
        /// Largest body of a request; a body of JSON lines is read as a stream and not bounded by this. 8 MiB: some
        /// large messages in one array.
        pub body_bytes: ByteSize = ByteSize(8 << 20);
        /// How long a client may pause within a body.
        pub body_timeout_seconds: Duration = Duration::from_secs(30);
        /// How often a silent event stream carries a comment, so that proxies keep it open.
        pub keep_alive_seconds: Duration = Duration::from_secs(15);
        /// Lets everybody read `/metrics`; else a token is needed off loopback.
        pub open_metrics: bool = false;
    }
}
