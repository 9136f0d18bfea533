//! The load generator: what is measured, against what, and how a run is checked.
//!
//! Boundary: it shares no code with the server or the client library; it speaks on raw sockets from one thread, with
//! messages that were prepared, so that what it costs is the kernel's work and not its own.
//! Invariant: figures come only from runs in which every message was accounted for.

mod alarm;
pub mod arqon;
pub mod clock;
pub mod drive;
pub mod http;
pub mod link;
pub mod load;
pub mod peers;
pub mod port;
pub mod profile;
pub mod report;
pub mod run;
pub mod system;
pub mod template;
pub mod usage;
pub mod websocket;
