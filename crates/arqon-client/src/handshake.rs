//! What a failed TLS handshake means: why in words, what to do, and whether coming back may help.
//!
//! Invariant: a certificate or a port that is wrong now is not tried again; a connection that merely broke is.

use crate::socket::{Failure, plain};
use crate::{Endpoint, Error};
use rustls::CertificateError as Certificate;
use std::io;

const TRUST: &str = "name the PEM file of the authority that signed it with --ca or ARQON_CA";
const NAME: &str = "use a name that the certificate carries, or give the server one for this name";
const TIME: &str =
    "give the server a certificate that is valid today, and look at the clocks of both machines";

/// What the failure of a handshake comes to.
pub(crate) fn failure(endpoint: &Endpoint, error: &io::Error) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(tls) => {
            let (reason, hint) = explain(endpoint, tls);
            Failure::Never(Error::Tls { url: endpoint.to_string(), reason, hint })
        }
        None => {
            // Also what a server without TLS does that takes the greeting for nonsense.
            Failure::Later(format!(
                "TLS failed, the connection broke during the handshake ({}); a server without TLS is an http:// one",
                plain(error)
            ))
        }
    }
}

fn explain(endpoint: &Endpoint, error: &rustls::Error) -> (String, &'static str) {
    use rustls::Error as Tls;
    let host = endpoint.host();
    match error {
        Tls::InvalidMessage(_) => (
            "what answers there does not speak TLS".to_owned(),
            "use http:// if the server has no TLS, or name the port where it speaks TLS",
        ),
        Tls::InvalidCertificate(wrong) => certificate(host, wrong),
        Tls::AlertReceived(alert) => (
            format!("the server broke off with the alert {alert:?}"),
            "the server's log says more; it may ask for a certificate of the client or another version of TLS",
        ),
        other => (other.to_string(), "look at the server's certificate and settings for TLS"),
    }
}

fn certificate(host: &str, wrong: &Certificate) -> (String, &'static str) {
    match wrong {
        Certificate::UnknownIssuer => {
            ("no authority that is trusted here signed its certificate (UnknownIssuer)".to_owned(), TRUST)
        }
        Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
            (format!("its certificate is not for `{host}`"), NAME)
        }
        Certificate::Expired | Certificate::ExpiredContext { .. } => {
            ("its certificate has expired".to_owned(), TIME)
        }
        Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
            ("its certificate is not valid yet".to_owned(), TIME)
        }
        // The verifier's own error, which has no type here.
        Certificate::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => (
            "its certificate is an authority's own (CaUsedAsEndEntity)".to_owned(),
            "give the server a certificate with CA:FALSE, and name the authority that signed it with --ca",
        ),
        other => (format!("its certificate is not good: {other}"), TRUST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{AlertDescription, InvalidMessage};

    fn check(error: rustls::Error, why: &str, what_to_do: &str) {
        let endpoint = Endpoint::parse("https://bus.example.com").unwrap();
        let error = io::Error::new(io::ErrorKind::InvalidData, error);
        let Failure::Never(error) = failure(&endpoint, &error) else { panic!("{error} is tried again") };
        let text = error.to_string();
        assert!(text.starts_with("TLS with https://bus.example.com:443 failed: "), "{text}");
        assert!(text.contains(why), "{text}");
        assert!(error.hint().unwrap().contains(what_to_do), "{error:?}");
    }

    #[test]
    fn each_failure_is_said_with_what_to_do() {
        let bad = rustls::Error::InvalidCertificate;
        check(
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType),
            "does not speak TLS",
            "http://",
        );
        check(bad(Certificate::UnknownIssuer), "UnknownIssuer", "--ca");
        check(bad(Certificate::NotValidForName), "not for `bus.example.com`", "a name");
        check(bad(Certificate::Expired), "has expired", "valid today");
        check(
            rustls::Error::AlertReceived(AlertDescription::HandshakeFailure),
            "HandshakeFailure",
            "server's log",
        );
    }

    #[test]
    fn a_connection_that_broke_is_tried_again() {
        let endpoint = Endpoint::parse("https://bus.example.com").unwrap();
        let error = io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof");
        let Failure::Later(reason) = failure(&endpoint, &error) else { panic!("it is not tried again") };
        assert!(reason.contains("TLS failed") && reason.contains("http://"), "{reason}");
    }
}
