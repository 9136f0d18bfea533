//! What every decoder is held to, one function for each fuzz target: it takes any bytes and panics when a law is broken.
//!
//! `cargo xtask fuzz` drives them with coverage feedback; the test below replays every input of `corpus/`.
//! Invariant: nothing here decides what is right by calling the code under test alone: what was decoded is written
//! and read again, read in other pieces, said in the other form, or compared with what was stored.

pub mod config;
pub mod disk;
pub mod http_bodies;
pub mod json_envelope;
pub mod log_folder;
pub mod log_parts;
pub mod names;
pub mod proto_envelope;
pub mod says_same;
pub mod server_says;
pub mod tokens;
pub mod ws_frames;

use cap::Cap;
use std::alloc::System;
use std::sync::Once;

/// Counts what is allocated, so that a decoder that asks for too much is stopped where it asks.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// One target.
pub struct Target {
    /// Its name: the binary's, and the corpus's.
    pub name: &'static str,
    /// What it may allocate at once whatever the input is.
    pub memory: usize,
    /// The law.
    pub check: fn(&[u8]),
}

const fn target(name: &'static str, memory: usize, check: fn(&[u8])) -> Target {
    Target { name, memory, check }
}

/// All of them.
pub const TARGETS: &[Target] = &[
    target("json_envelope", 1 << 20, json_envelope::check),
    target("proto_envelope", 1 << 20, proto_envelope::check),
    target("server_says", 1 << 20, server_says::check),
    target("names", 1 << 20, names::check),
    target("ws_frames", 1 << 20, ws_frames::check),
    // The engine's own buffers and threads.
    target("log_folder", 24 << 20, log_folder::check),
    target("log_parts", 1 << 20, log_parts::check),
    target("http_bodies", 1 << 20, http_bodies::check),
    target("tokens", 1 << 20, tokens::check),
    target("config", 4 << 20, config::check),
];

/// What a decoder may allocate for each byte of its input, beside the target's own allowance.
const PER_BYTE: usize = 512;

/// Runs one target on one input. An allocation beyond the bound ends the process, which the fuzzer reports as a find.
///
/// # Panics
/// When a law is broken, or there is no such target.
pub fn run(name: &str, data: &[u8]) {
    static REPORTING: Once = Once::new();
    REPORTING.call_once(|| {
        let report = std::panic::take_hook();
        // Telling where needs more memory than the bound may have left.
        std::panic::set_hook(Box::new(move |info| {
            let _cannot_be_below_what_is_used = MEMORY.set_limit(usize::MAX);
            report(info);
        }));
    });
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of the table");
    let bound = MEMORY.allocated() + target.memory + PER_BYTE * data.len();
    MEMORY.set_limit(bound).expect("it is above what is allocated");
    (target.check)(data);
    MEMORY.set_limit(usize::MAX).expect("there is always less");
}

#[cfg(test)]
mod tests;
