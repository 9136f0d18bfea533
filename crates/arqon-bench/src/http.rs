//! A request over HTTP/1.1, whole, on a connection of its own: for what is asked before and after a measurement.

use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// No answer that is asked for here takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Status and body.
pub type Answer = (u16, String);

/// GET.
pub fn get(address: &str, path: &str, token: Option<&str>) -> Result<Answer> {
    send(address, "GET", path, token, "")
}

/// PUT of a JSON body.
pub fn put(address: &str, path: &str, token: &str, body: &str) -> Result<Answer> {
    send(address, "PUT", path, Some(token), body)
}

/// DELETE.
pub fn delete(address: &str, path: &str, token: &str) -> Result<Answer> {
    send(address, "DELETE", path, Some(token), "")
}

fn send(address: &str, method: &str, path: &str, token: Option<&str>, body: &str) -> Result<Answer> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("cannot reach {address}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{token}\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(head.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no end of its head")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.context("the answer has no status")?, body.to_owned()))
}
