//! The WebSocket door at `/ws`, and at `/` for older clients: frames in, one typed call on the core, frames out.
//!
//! The way of a read: bytes → frames (`frame`) → envelopes (`arqon-wire`) → one `publish` for all messages of the
//! read, or one `call` for each command. The way out: confirms, answers and deliveries are gathered and written in
//! one write for each wake-up. Framing is our own, since that is what lets an idle connection hold no buffer.
//!
//! Invariant: a slow reader holds a bounded amount of memory and is closed with a code that says how to resume;
//! nothing is skipped silently.

mod close;
mod deflate;
mod door;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod session;
mod telemetry;

pub use arqon_wire::older::telemetry::Speaker;
pub use close::CloseCode;
pub use door::{Agreed, Authorize, Door, Settings, router, serve_stream};
pub use session::Stream;
pub use telemetry::{TelemetryDoor, telemetry_router};
