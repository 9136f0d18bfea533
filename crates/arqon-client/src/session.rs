//! What survives a connection: what was sent and not confirmed, what was handed out and not settled, where to resume.
//!
//! Plain structs without sockets, clocks or tasks: time is an argument, results are values. The driver of the client
//! feeds them from a socket; a simulation may feed them from anything else.
//!
//! Invariant: whatever the moment at which a connection is lost, what these structs say to send on the next one loses
//! no confirmed message, stores none twice, and hands none to the application twice.

mod backoff;
mod cursor;
mod ledger;
mod outbox;
mod ranges;

pub use backoff::Backoff;
pub use cursor::{Cursor, Start};
pub use ledger::{AcknowledgeBatch, Admission, Ledger};
pub use outbox::{Outbox, Verdict, WINDOW_MAX};
