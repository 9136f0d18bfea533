//! A port that can be had again after the process that held it was killed, and that no other process of ours takes.

use anyhow::{Context, Result};
use std::net::{TcpListener, UdpSocket};
use std::sync::{Mutex, PoisonError};

/// Ports below Linux's range for outgoing connections (32768 and up): inside it, a client that keeps trying to reach a
/// killed server can be given the very port that it wants to reach, connect to itself, and so keep the server out.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// The same numbers in UDP, bound for as long as this process lives. Between looking whether a port is free and the
/// server's listening on it, another process that looks finds the number taken; when this process ends, however it
/// ends, all are free again.
static CLAIMS: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// A free port outside the range that the system hands out, for this process alone.
pub fn outside_ephemeral() -> Result<u16> {
    let mut claims = CLAIMS.lock().unwrap_or_else(PoisonError::into_inner);
    // Processes side by side begin to look at different places.
    let start = (std::process::id() as u16).wrapping_mul(31);
    for port in (0..COUNT).map(|i| FIRST + start.wrapping_add(i) % COUNT) {
        let Ok(claim) = UdpSocket::bind(("127.0.0.1", port)) else { continue };
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            claims.push(claim);
            return Ok(port);
        }
    }
    None.context("no port between 20000 and 32000 is free")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_was_given_no_other_is_given() {
        let first = outside_ephemeral().unwrap();
        assert!(UdpSocket::bind(("127.0.0.1", first)).is_err(), "another process would see it free");
        assert_ne!(outside_ephemeral().unwrap(), first);
    }
}
