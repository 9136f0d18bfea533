//! The server: configuration, identity, storage, listener and lifecycle, put together around the bus.
//!
//! Invariant: this is the only crate that knows all parts; each part knows the core and none of the others.

pub mod config;
mod doors;
mod engine;
pub mod env;
mod identity;
mod lifecycle;
mod listener;
mod logging;

pub use config::Config;
pub use lifecycle::Signals;
