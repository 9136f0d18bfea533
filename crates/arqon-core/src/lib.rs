//! The domain of Arqon: addresses, messages, rooms, delivery, rights, and the ports they stand on.
//!
//! Invariant: nothing in this crate knows a wire protocol, a serialisation format of the outside, a
//! database driver, an async runtime, the wall clock or a random generator. Time, ids and tasks come in
//! through [`env::Env`]; storage through [`port`]; callers through [`Ctx`].

pub mod address;
pub mod auth;
pub mod bus;
pub mod codec;
mod ctx;
pub mod env;
mod error;
pub mod hash;
pub mod ids;
pub mod inspect;
pub mod limits;
pub mod message;
pub mod metrics;
pub mod operations;
mod operators;
pub mod pattern;
pub mod policy;
pub mod port;
pub mod record;
mod time;
pub mod value;

pub use address::{Address, AgentId, ChannelName, RoomKey, RoomName, Target, Tenant};
pub use bus::Bus;
pub use ctx::{Ctx, Principal, Role};
pub use error::{Code, Error, Outcome, Result};
pub use ids::MessageId;
pub use message::{Class, Kind, Message, Priority};
pub use pattern::Pattern;
pub use record::{Delivery, Gap, GapReason, Position, Record};
pub use time::Timestamp;
