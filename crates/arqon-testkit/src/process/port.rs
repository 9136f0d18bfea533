//! A port that can be had again after the process that held it was killed.

use std::net::TcpListener;

/// Ports below Linux's range for outgoing connections (32768 and up).
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A free port outside the range that the system hands out. Inside it, a client that keeps trying to reconnect to a
/// killed server can be given the very port that it wants to reach, connect to itself, and so keep the server out.
pub fn outside_ephemeral() -> u16 {
    let start = (std::process::id() as u16).wrapping_mul(31) ^ (counter().wrapping_mul(97));
    let candidates = (0..COUNT).map(|i| FIRST + start.wrapping_add(i) % COUNT);
    let free = candidates.into_iter().find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.expect("one of twelve thousand ports is free")
}

/// Differs for each site of one test process, so that tests side by side begin to look at different places.
fn counter() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
