//! Which addresses are public, and which URLs are taken.

use super::*;

#[test]
fn only_addresses_that_everybody_reaches_are_public() {
    for ip in
        ["1.1.1.1", "93.184.216.34", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "198.20.0.1"]
    {
        assert!(is_public(ip.parse().unwrap()), "{ip}");
    }
    for ip in ["2606:4700:4700::1111", "2a00::1", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2002:101:101::"] {
        assert!(is_public(ip.parse().unwrap()), "{ip}");
    }
    for ip in [
        "0.0.0.0",
        "0.1.2.3",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
    ] {
        assert!(!is_public(ip.parse().unwrap()), "{ip}");
    }
    for ip in [
        "::",
        "::1",
        "fe80::1",
        "fec0::1",
        "fc00::1",
        "fd12:3456::1",
        "ff02::1",
        "2001:db8::1",
        "2001::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "100::1",
        "::127.0.0.1",
        "3fff::1",
    ] {
        assert!(!is_public(ip.parse().unwrap()), "{ip}");
    }
}

#[test]
fn urls_are_read_and_bad_ones_are_told() {
    let place = Place::parse("https://example.com/in?x=1").unwrap();
    assert_eq!((place.host(), place.port(), place.path()), ("example.com", 443, "/in?x=1"));
    assert!(place.tls_name().is_some());
    let place = Place::parse("http://[::1]:8080").unwrap();
    assert_eq!((place.host(), place.port(), place.path()), ("::1", 8080, "/"));
    assert_eq!(place.authority(), "[::1]:8080");
    for url in [
        "",
        "example.com",
        "/in",
        "ftp://example.com",
        "https://",
        "https://me:pw@example.com/",
        "http://a b/",
        "file:///etc/passwd",
    ] {
        assert!(Place::parse(url).is_err(), "{url}");
    }
}
