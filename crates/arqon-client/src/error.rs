//! What can go wrong for a caller of the client, and what it can do about it.
//!
//! Invariant: an error that came from the server keeps the server's code, field and hint.

use arqon_core::{Code, Outcome};
use std::time::Duration;

/// Shorthand for results of the client.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The server (or a check on this side that it would have made) refused the request.
    #[error("{0}")]
    Refused(arqon_core::Error),
    /// No connection could be made, or not for as long as the client was told to try.
    #[error("cannot reach an Arqon at {url}: {reason}")]
    Unreachable {
        /// Where.
        url: String,
        /// What the network said.
        reason: String,
    },
    /// There is a server and it will not have this client: coming back unchanged would not help.
    #[error("{url} refused the connection: {reason}")]
    Rejected {
        /// Where.
        url: String,
        /// Why, in the closed set of codes.
        code: Code,
        /// What the server said.
        reason: String,
    },
    /// There is a server, and TLS cannot be spoken with it as things are.
    #[error("TLS with {url} failed: {reason}")]
    Tls {
        /// Where.
        url: String,
        /// What is wrong: the certificate, the name, or that the port does not speak TLS.
        reason: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// Something answers there, and it is not an Arqon.
    #[error("there is {what} at {url}, but it is not an Arqon ({reason})")]
    Foreign {
        /// Where.
        url: String,
        /// What it is, as far as that can be told: `an HTTP server`, `a server`.
        what: &'static str,
        /// How it showed.
        reason: String,
    },
    /// The connection was lost before the answer came; the request may have been carried out.
    #[error("the connection was lost before the answer came: {0}")]
    Lost(String),
    /// No answer came in time.
    #[error("no answer within {}", seconds(*.0))]
    Timeout(Duration),
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
    /// The other side does not speak the protocol.
    #[error("not understood: {0}")]
    Protocol(String),
}

fn seconds(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms.is_multiple_of(1000) { format!("{} s", ms / 1000) } else { format!("{ms} ms") }
}

impl Error {
    /// The code, where there is one.
    pub fn code(&self) -> Option<Code> {
        match self {
            Error::Refused(error) => Some(error.code()),
            Error::Rejected { code, .. } => Some(*code),
            Error::Unreachable { .. } | Error::Tls { .. } | Error::Lost(_) => Some(Code::Unavailable),
            Error::Foreign { .. } => Some(Code::NotFound),
            Error::Timeout(_) => Some(Code::Timeout),
            Error::Closed | Error::Protocol(_) => None,
        }
    }

    /// The field at fault, as a dotted path.
    pub fn field(&self) -> Option<&str> {
        if let Error::Refused(error) = self { error.field() } else { None }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Error::Refused(error) => error.hint(),
            Error::Tls { hint, .. } => Some(hint),
            _ => None,
        }
    }

    /// Whether the same request may succeed later without being changed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::Refused(error) => error.code().is_retryable(),
            Error::Unreachable { .. } | Error::Lost(_) | Error::Timeout(_) => true,
            Error::Rejected { .. }
            | Error::Tls { .. }
            | Error::Foreign { .. }
            | Error::Closed
            | Error::Protocol(_) => false,
        }
    }

    /// Whether the effect of the request may have happened.
    pub fn outcome(&self) -> Outcome {
        match self {
            Error::Refused(error) => error.outcome(),
            Error::Rejected { .. } | Error::Protocol(_) => Outcome::NotApplied,
            // The first connection finds these and nothing was sent; a later one may find them after something was.
            Error::Tls { .. } | Error::Foreign { .. } => Outcome::Unknown,
            Error::Unreachable { .. } | Error::Lost(_) | Error::Timeout(_) | Error::Closed => {
                Outcome::Unknown
            }
        }
    }
}

impl From<arqon_core::Error> for Error {
    fn from(error: arqon_core::Error) -> Self {
        Error::Refused(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_what_the_server_said() {
        let error =
            Error::from(arqon_core::Error::invalid("payload", "expected an object").with_hint("wrap it"));
        assert_eq!(
            (error.code(), error.field(), error.hint()),
            (Some(Code::Invalid), Some("payload"), Some("wrap it"))
        );
        assert_eq!(error.to_string(), "payload: expected an object");
        assert!(!error.is_retryable());
        assert_eq!(error.outcome(), Outcome::NotApplied);
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(Error::Timeout(Duration::from_millis(1500)).to_string(), "no answer within 1500 ms");
        assert_eq!(Error::Timeout(Duration::from_secs(5)).to_string(), "no answer within 5 s");
    }
}
