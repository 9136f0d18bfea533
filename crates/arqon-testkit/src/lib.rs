//! For tests of the whole: the real server in this process or as a process of its own, and drivers for each door.
//!
//! Invariant: each test has its own folder, its own port and its own credentials; nothing outlives its handle.

pub mod dice;
pub mod door;
pub mod process;
pub mod receiver;
mod server;
pub mod thin;
pub mod wait;

pub use server::TestServer;
