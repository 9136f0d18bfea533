//! The door over real sockets, with other people's clients and with frames made by hand; time is a manual clock.

#![allow(clippy::unwrap_used, reason = "what a test cannot do without may end it")]

mod client;
mod closing;
mod commands;
mod faults;
mod frames;
mod full;
mod handshake;
mod older;
mod stream;
mod talking;
mod world;
