//! Arqon as a system that is measured: started here on a fresh folder, or running somewhere.
//!
//! Invariant: a server that was started here sees nothing of the user's: own data, credentials and configuration, all
//! in a scratch folder that goes with it.

mod dialect;
mod local;
mod protobuf;
mod reader;
mod remote;

pub use dialect::ArqonDialect;
pub use local::Local;
pub use remote::Remote;

use std::fmt;
use std::str::FromStr;

/// What the messages of fan-out and of request and reply promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Class {
    /// At most once, memory only: what peers without a log are compared with.
    #[default]
    Ephemeral,
    /// The last 500 are kept in memory.
    History,
    /// In the log.
    Durable,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Class::Ephemeral => "ephemeral",
            Class::History => "history",
            Class::Durable => "durable",
        })
    }
}

impl FromStr for Class {
    type Err = String;

    fn from_str(text: &str) -> Result<Class, String> {
        let all = [Class::Ephemeral, Class::History, Class::Durable];
        let found = all.into_iter().find(|class| class.to_string() == text);
        found.ok_or_else(|| format!("`{text}` is no class; expected `ephemeral`, `history` or `durable`"))
    }
}
