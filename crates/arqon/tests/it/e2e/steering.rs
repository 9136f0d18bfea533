//! The operator's words over HTTP, to the real binary: stop, and begin anew.

use super::{LONG, site};
use arqon_testkit::process::Site;
use arqon_testkit::wait;
use std::io::{Read, Write};
use std::net::TcpStream;

/// The answer to `POST path`.
fn post(site: &Site, path: &str) -> String {
    let mut stream = TcpStream::connect(site.url().trim_start_matches("http://")).unwrap();
    let token = site.token();
    let head = "host: 127.0.0.1\r\ncontent-length: 0\r\nconnection: close";
    write!(stream, "POST {path} HTTP/1.1\r\nauthorization: Bearer {token}\r\n{head}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_bus_begins_anew_and_stops_as_its_operator_says() {
    let site = site();
    let bus = site.start();
    site.run(&["pub", "kept:here", r#"{"n":1}"#]);
    let answer = post(&site, "/admin/restart");
    assert!(answer.contains("\"status\":\"restart_initiated\""), "{answer}");
    // The same process says once more that it is ready.
    let said = |words: &str| bus.log().lines().filter(|line| line.contains(words)).count();
    wait::until("the bus to begin anew", LONG, || (said(" ready url=") == 2).then_some(()));
    let seen = site.run(&["sub", "kept:*", "--from", "earliest", "--count", "1", "--json"]);
    assert!(seen.contains("\"n\":1"), "{seen}");
    let answer = post(&site, "/admin/shutdown");
    assert!(answer.contains("\"status\":\"shutdown_initiated\""), "{answer}");
    wait::until("the bus to stop", LONG, || (said(" stopped step=5") == 2).then_some(()));
    // A signal to who is at its end already does nothing.
    assert!(bus.stop().success(), "it ends with success");
}
