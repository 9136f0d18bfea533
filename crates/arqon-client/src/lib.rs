//! The Rust client of Arqon: publish, subscribe, ask and answer over one connection that comes back by itself.
pub mod session;
