//! The load generator: what is measured, against what, and how a run is checked.
//!
//! Boundary: it shares no code with the server or the client library; it speaks on raw sockets from one thread, with
//! messages that were prepared, so that what it costs is the kernel's work and not its own.
//! Invariant: figures come only from runs in which every message was accounted for.

pub mod clock;
pub mod link;
pub mod load;
pub mod run;
pub mod system;
pub mod template;
pub mod usage;
