//! The parts of a receiver's URL, and which addresses are public.
//!
//! Invariant: an address is public only if it is known to be: what is reserved, local, or leads to such a one by
//! translation or a tunnel is not.

use hyper::Uri;
use rustls_pki_types::ServerName;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A receiver's URL.
#[derive(Debug)]
pub(super) struct Place {
    uri: Uri,
    host: String,
    tls_name: Option<ServerName<'static>>,
}

impl Place {
    /// Reads a URL; the error is a sentence.
    pub(super) fn parse(url: &str) -> Result<Place, String> {
        let uri: Uri = url.parse().map_err(|e| format!("is not a URL: {e}"))?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("expected a URL that begins with `https://` or `http://`".to_owned()),
        };
        let authority = uri.authority().ok_or("expected a URL with a host")?;
        if authority.as_str().contains('@') {
            return Err("expected a URL without a name and password; put them into `headers`".to_owned());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err("expected a URL with a host".to_owned());
        }
        let name =
            || ServerName::try_from(host.clone()).map_err(|_| format!("`{host}` is not a host's name"));
        let tls_name = is_tls.then(name).transpose()?;
        Ok(Place { uri, host, tls_name })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        let usual = if self.tls_name.is_some() { 443 } else { 80 };
        self.uri.port_u16().unwrap_or(usual)
    }

    /// The name that the receiver's certificate must bear; absent without TLS.
    pub(super) fn tls_name(&self) -> Option<ServerName<'static>> {
        self.tls_name.clone()
    }

    /// The host and port as the header `Host` has them.
    pub(super) fn authority(&self) -> &str {
        self.uri.authority().map_or("", |authority| authority.as_str())
    }

    /// Path and query.
    pub(super) fn path(&self) -> &str {
        self.uri.path_and_query().map_or("/", |path| path.as_str())
    }
}

/// Whether an address may be reached by anybody.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

/// Networks of IPv4 that are private, reserved or for documents, each with the length of its prefix.
const NOT_PUBLIC: [(Ipv4Addr, u32); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let within = |(net, length): &(Ipv4Addr, u32)| (ip.to_bits() ^ net.to_bits()) >> (32 - length) == 0;
    !NOT_PUBLIC.iter().any(within)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let s = ip.segments();
    let v4 =
        |high: u16, low: u16| is_public_v4(Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low)));
    match s {
        // IPv4 in other clothes: mapped, translated, tunnelled.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        // Protocols' own (Teredo among them), documents.
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        // Of all others only the global ones.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests;
