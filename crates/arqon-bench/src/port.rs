//! A port that can be had again after the process that held it was killed.

use anyhow::{Context, Result};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Ports below Linux's range for outgoing connections (32768 and up): inside it, a client that keeps trying to reach a
/// killed server can be given the very port that it wants to reach.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

static NEXT: AtomicU16 = AtomicU16::new(1);

/// A free port outside the range that the system hands out.
pub fn outside_ephemeral() -> Result<u16> {
    let process = (std::process::id() as u16).wrapping_mul(31);
    let start = process ^ NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(97);
    let mut candidates = (0..COUNT).map(|i| FIRST + start.wrapping_add(i) % COUNT);
    candidates
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .context("no port between 20000 and 32000 is free")
}
