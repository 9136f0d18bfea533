//! Why a connection ends: one closed list, and for each whether to come back.
//!
//! Invariant: codes are never reused. 4000–4499 mean: come back and resume; 4500–4999: not without a change.

use arqon_core::Code;

/// The code of a close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// The client said goodbye.
    Normal,
    /// The server is stopping.
    GoingAway,
    /// A frame breaks RFC 6455.
    Protocol,
    /// A text frame is not UTF-8, or compressed data cannot be read.
    NotConsistent,
    /// A frame is larger than the limit that the welcome says.
    TooBig,
    /// A fault of the server.
    Fault,
    /// The client read nothing for too long.
    SlowConsumer,
    /// The client did not answer a ping.
    PingTimeout,
    /// The token has expired.
    TokenExpired,
    /// Too many envelopes that could not be read.
    Violations,
    /// The caller may no longer be here.
    Forbidden,
}

impl CloseCode {
    /// Every code, for documents and exhaustive tests.
    pub const ALL: [CloseCode; 11] = [
        CloseCode::Normal,
        CloseCode::GoingAway,
        CloseCode::Protocol,
        CloseCode::NotConsistent,
        CloseCode::TooBig,
        CloseCode::Fault,
        CloseCode::SlowConsumer,
        CloseCode::PingTimeout,
        CloseCode::TokenExpired,
        CloseCode::Violations,
        CloseCode::Forbidden,
    ];

    /// The number on the wire.
    pub const fn number(self) -> u16 {
        match self {
            CloseCode::Normal => 1000,
            CloseCode::GoingAway => 1001,
            CloseCode::Protocol => 1002,
            CloseCode::NotConsistent => 1007,
            CloseCode::TooBig => 1009,
            CloseCode::Fault => 1011,
            CloseCode::SlowConsumer => 4001,
            CloseCode::PingTimeout => 4002,
            CloseCode::TokenExpired => 4501,
            CloseCode::Violations => 4502,
            CloseCode::Forbidden => 4503,
        }
    }

    /// The code of that number.
    pub fn of_number(number: u16) -> Option<CloseCode> {
        CloseCode::ALL.into_iter().find(|code| code.number() == number)
    }

    /// Whether a client should connect again, unchanged, and resume from its last positions.
    pub const fn reconnect(self) -> bool {
        match self {
            CloseCode::GoingAway | CloseCode::Fault | CloseCode::SlowConsumer | CloseCode::PingTimeout => {
                true
            }
            CloseCode::Normal
            | CloseCode::Protocol
            | CloseCode::NotConsistent
            | CloseCode::TooBig
            | CloseCode::TokenExpired
            | CloseCode::Violations
            | CloseCode::Forbidden => false,
        }
    }

    /// The code for a connection that the core ended with an error.
    pub(crate) const fn of_error(code: Code) -> CloseCode {
        match code {
            Code::ShuttingDown => CloseCode::GoingAway,
            Code::Unauthenticated => CloseCode::TokenExpired,
            Code::Forbidden => CloseCode::Forbidden,
            Code::Invalid
            | Code::UnknownCommand
            | Code::NotFound
            | Code::AlreadyExists
            | Code::Conflict
            | Code::Fenced
            | Code::TooLarge
            | Code::RateLimited
            | Code::Exhausted
            | Code::Timeout
            | Code::Unavailable
            | Code::Internal => CloseCode::Fault,
        }
    }
}

/// The end of a connection, as the peer is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Close {
    pub(crate) code: CloseCode,
    /// At most 123 bytes.
    pub(crate) reason: &'static str,
}

impl Close {
    pub(crate) const fn new(code: CloseCode, reason: &'static str) -> Self {
        Close { code, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_say_whether_to_come_back() {
        for code in CloseCode::ALL {
            assert_eq!(CloseCode::of_number(code.number()), Some(code));
            match code.number() {
                4000..=4499 => assert!(code.reconnect(), "{code:?}"),
                4500..=4999 => assert!(!code.reconnect(), "{code:?}"),
                _ => {}
            }
        }
        assert_eq!(CloseCode::of_number(1005), None);
    }

    #[test]
    fn the_document_says_the_same() {
        let document = include_str!("../../../docs/protocol.md");
        for code in CloseCode::ALL {
            let begins = format!("| {} |", code.number());
            let row = document.lines().find(|line| line.starts_with(&begins));
            let row = row.unwrap_or_else(|| panic!("no row for {code:?}"));
            let come_back = row.trim_end_matches(" |").rsplit("| ").next().unwrap();
            assert_eq!(come_back.starts_with("yes"), code.reconnect(), "{row}");
        }
    }
}
