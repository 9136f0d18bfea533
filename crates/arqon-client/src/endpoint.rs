//! Where a server is: one URL in any of its spellings, and what is derived from it.
//!
//! Invariant: two spellings of one server have one [`Endpoint::base`], by which credentials are kept.

use crate::{Error, Result};
use std::fmt;

/// The address that a server listens on when nobody says otherwise.
pub const DEFAULT_URL: &str = "http://127.0.0.1:9100";

/// A server's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    secure: bool,
    host: String,
    port: u16,
    /// What stands before `/ws` where a proxy gives Arqon a path of its own; without a trailing slash.
    prefix: String,
}

impl Endpoint {
    /// Reads `http`, `https`, `ws` and `wss` URLs; without a scheme it is `http`.
    pub fn parse(url: &str) -> Result<Self> {
        let bad = |what: &str| {
            let message =
                format!("`{url}` is not a server's URL: {what}; expected something like {DEFAULT_URL}");
            Error::Refused(arqon_core::Error::invalid("url", message))
        };
        let (scheme, rest) = url.trim().split_once("://").unwrap_or(("http", url.trim()));
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => false,
            "https" | "wss" => true,
            other => return Err(bad(&format!("scheme `{other}` is not known"))),
        };
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.split_once('/').map_or((rest, ""), |(a, p)| (a, p));
        if authority.contains('@') {
            return Err(bad("it must not carry a user name; pass the token apart from it"));
        }
        let (host, port) =
            split_port(authority).ok_or_else(|| bad("the port is not a number from 1 to 65535"))?;
        if host.is_empty() {
            return Err(bad("it has no host"));
        }
        let path = path.trim_end_matches('/');
        let path = path.strip_suffix("ws").filter(|p| p.is_empty() || p.ends_with('/')).unwrap_or(path);
        let prefix = path.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
        let port = port.unwrap_or(if secure { 443 } else { 80 });
        Ok(Endpoint { secure, host: host.to_ascii_lowercase(), port, prefix })
    }

    /// The URL that credentials are kept by: scheme, host and port, always written out.
    pub fn base(&self) -> String {
        format!("{}://{}:{}", if self.secure { "https" } else { "http" }, self.bracketed(), self.port)
    }

    /// The same server under the other names of this machine, for looking up credentials.
    pub fn aliases(&self) -> Vec<String> {
        const LOCAL: [&str; 3] = ["127.0.0.1", "localhost", "::1"];
        if !LOCAL.contains(&self.host.as_str()) {
            return vec![self.base()];
        }
        let others = LOCAL.into_iter().filter(|host| *host != self.host);
        let others = others.map(|host| Endpoint { host: host.to_owned(), ..self.clone() }.base());
        std::iter::once(self.base()).chain(others).collect()
    }

    /// Whether it is this machine itself.
    pub fn is_local(&self) -> bool {
        self.aliases().len() > 1
    }

    /// Whether the connection is encrypted.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host:port` for the `Host` header.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.bracketed(), self.port)
    }

    /// The path of something on the server, below the prefix.
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    fn bracketed(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.base(), self.prefix)
    }
}

/// Host and port; `None` where the port is wrong.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':')?)),
        None => authority.rsplit_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    match port {
        None => Some((host, None)),
        Some(port) => port.parse().ok().filter(|p| *p > 0).map(|p| (host, Some(p))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, base: &str, path: &str) {
        let endpoint = Endpoint::parse(url).unwrap();
        assert_eq!((endpoint.base().as_str(), endpoint.path("/ws").as_str()), (base, path), "{url}");
    }

    #[test]
    fn every_spelling_has_one_base() {
        check("http://127.0.0.1:9100", "http://127.0.0.1:9100", "/ws");
        check("ws://127.0.0.1:9100/ws", "http://127.0.0.1:9100", "/ws");
        check("127.0.0.1:9100/", "http://127.0.0.1:9100", "/ws");
        check("WSS://Bus.Example.com", "https://bus.example.com:443", "/ws");
        check("https://example.com/arqon/", "https://example.com:443", "/arqon/ws");
        check("https://example.com/arqon/ws?x=1", "https://example.com:443", "/arqon/ws");
        check("http://[::1]:9100", "http://[::1]:9100", "/ws");
        check("http://example.com", "http://example.com:80", "/ws");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (url, what) in [
            ("ftp://x", "scheme `ftp`"),
            ("http://", "no host"),
            ("http://x:0", "port"),
            ("http://x:99999", "port"),
            ("http://u:p@x", "user name"),
        ] {
            let error = Endpoint::parse(url).unwrap_err().to_string();
            assert!(error.contains(what), "{url}: {error}");
        }
    }

    #[test]
    fn this_machine_has_several_names() {
        let aliases = Endpoint::parse("http://localhost:9100").unwrap().aliases();
        assert_eq!(aliases, ["http://localhost:9100", "http://127.0.0.1:9100", "http://[::1]:9100"]);
        assert_eq!(Endpoint::parse("http://example.com").unwrap().aliases(), ["http://example.com:80"]);
    }
}
