//! What the server says beside deliveries: stamps, welcomes, outcomes, whichever form it is written in.

use arqon_core::limits::Limits;
use arqon_core::value::Value;
use arqon_core::{MessageId, Outcome, Timestamp};

/// The id and time of an envelope that the server makes.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// Its own id.
    pub id: MessageId,
    /// When it was made.
    pub at: Timestamp,
}

/// What a client is told first.
#[derive(Debug, Clone)]
pub struct Welcome<'a> {
    /// The name that the client's messages will carry as `sender`.
    pub client_id: &'a str,
    /// The connection's number on this node.
    pub connection: u64,
    /// The server's version.
    pub version: &'a str,
    /// Bounds that the client must keep.
    pub limits: &'a Limits,
    /// Largest frame that is read, in bytes.
    pub frame_bytes: usize,
    /// The server pings after this long without traffic.
    pub ping_interval: std::time::Duration,
}

impl Welcome<'_> {
    /// The payload.
    pub(crate) fn to_value(&self) -> Value {
        let number = |n: usize| Value::from(n as u64);
        let limits = Value::map([
            ("message_bytes", number(self.limits.message_bytes)),
            ("frame_bytes", number(self.frame_bytes)),
            ("subscriptions", number(self.limits.subscriptions)),
            ("ping_interval_ms", number(self.ping_interval.as_millis() as usize)),
        ]);
        Value::map([
            ("welcome", "Connected to Arqon".into()),
            ("client_id", self.client_id.into()),
            ("connection", self.connection.into()),
            ("server_version", self.version.into()),
            ("limits", limits),
        ])
    }
}

/// The wire name of an outcome.
pub fn outcome_text(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::NotApplied => "not_applied",
        Outcome::Unknown => "unknown",
    }
}

/// Reads the wire name of an outcome; what is not known may have happened.
pub(crate) fn parse_outcome(text: &str) -> Outcome {
    if text == "not_applied" { Outcome::NotApplied } else { Outcome::Unknown }
}
