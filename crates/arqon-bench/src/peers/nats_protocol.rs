//! The protocol of NATS, operation by operation: enough to publish prepared frames and to read without a copy.
//!
//! Invariant: an operation is handed out only when all of it is there, so it may come in any pieces.

use anyhow::{Context, Result, ensure};

/// One operation from the server.
#[derive(Debug, PartialEq, Clone, Copy)]
pub enum Token<'a> {
    /// A message, without headers or with headers of its own.
    Message {
        /// Where it was published.
        subject: &'a [u8],
        /// Where an answer or an acknowledgement goes; empty if nowhere.
        reply: &'a [u8],
        /// What it says.
        payload: &'a [u8],
    },
    /// A message that is only a status, such as the end of a pull request: `404`, `408`.
    Status(&'a [u8]),
    /// What the server is.
    Info(&'a [u8]),
    /// The server asks whether we live.
    Ping,
    /// The server has taken what was sent before.
    Pong,
    /// `+OK`.
    Fine,
    /// An error; it ends the run.
    Error(&'a [u8]),
}

/// The first operation and how many bytes it takes; `None` if it is not all there.
pub fn token(bytes: &[u8]) -> Result<Option<(Token<'_>, usize)>> {
    let Some(end) = bytes.iter().position(|b| *b == b'\r') else { return Ok(None) };
    let (line, after) = (&bytes[..end], end + 2);
    if bytes.len() < after {
        return Ok(None);
    }
    let token = match line {
        [b'M', b'S', b'G', b' ', rest @ ..] => return message(bytes, rest, after),
        [b'H', b'M', b'S', b'G', b' ', rest @ ..] => return with_headers(bytes, rest, after),
        b"PING" => Token::Ping,
        b"PONG" => Token::Pong,
        b"+OK" => Token::Fine,
        [b'I', b'N', b'F', b'O', rest @ ..] => Token::Info(rest),
        [b'-', b'E', b'R', b'R', rest @ ..] => Token::Error(rest),
        other => anyhow::bail!("not an operation of NATS: {}", String::from_utf8_lossy(other)),
    };
    Ok(Some((token, after)))
}

type Found<'a> = Result<Option<(Token<'a>, usize)>>;

/// `MSG subject sid [reply] size`, then the payload.
fn message<'a>(bytes: &'a [u8], line: &'a [u8], begin: usize) -> Found<'a> {
    let words = Words::of(line)?;
    let end = begin + number(words.get(words.count - 1))?;
    if bytes.len() < end + 2 {
        return Ok(None);
    }
    let reply = if words.count == 4 { words.get(2) } else { b"" };
    Ok(Some((Token::Message { subject: words.get(0), reply, payload: &bytes[begin..end] }, end + 2)))
}

/// `HMSG subject sid [reply] headers-size size`, then headers and payload.
fn with_headers<'a>(bytes: &'a [u8], line: &'a [u8], begin: usize) -> Found<'a> {
    let words = Words::of(line)?;
    ensure!(words.count >= 4, "a message with headers says its sizes");
    let (headers, total) = (number(words.get(words.count - 2))?, number(words.get(words.count - 1))?);
    ensure!(headers <= total, "the headers are larger than the message");
    if bytes.len() < begin + total + 2 {
        return Ok(None);
    }
    let end = begin + total;
    let first = bytes[begin..begin + headers].split(|b| *b == b'\r').next().unwrap_or_default();
    let status = first.strip_prefix(b"NATS/1.0").unwrap_or_default().trim_ascii();
    let token = if status.is_empty() {
        let reply = if words.count == 5 { words.get(2) } else { b"" };
        Token::Message { subject: words.get(0), reply, payload: &bytes[begin + headers..end] }
    } else {
        Token::Status(status)
    };
    Ok(Some((token, end + 2)))
}

/// The words of a line, at most five.
struct Words<'a> {
    line: &'a [u8],
    bounds: [(usize, usize); 5],
    count: usize,
}

impl<'a> Words<'a> {
    fn of(line: &'a [u8]) -> Result<Words<'a>> {
        let mut words = Words { line, bounds: [(0, 0); 5], count: 0 };
        let mut begin = 0;
        for at in 0..=line.len() {
            if at < line.len() && line[at] != b' ' {
                continue;
            }
            ensure!(words.count < 5, "a message of NATS has too many words");
            words.bounds[words.count] = (begin, at);
            words.count += 1;
            begin = at + 1;
        }
        ensure!(words.count >= 3, "a message of NATS has too few words");
        Ok(words)
    }

    fn get(&self, index: usize) -> &'a [u8] {
        let (begin, end) = self.bounds[index];
        &self.line[begin..end]
    }
}

/// A decimal number.
pub fn number(digits: &[u8]) -> Result<usize> {
    ensure!(!digits.is_empty() && digits.len() < 19, "a number of NATS has {} digits", digits.len());
    let value =
        digits.iter().try_fold(0usize, |n, d| d.is_ascii_digit().then(|| n * 10 + usize::from(d - b'0')));
    value.context("a number of NATS has something else in it")
}

/// `PUB`, as it goes over the wire.
pub fn publish(subject: &str, reply: &str, payload: &[u8]) -> Vec<u8> {
    let reply = if reply.is_empty() { String::new() } else { format!("{reply} ") };
    let mut out = format!("PUB {subject} {reply}{}\r\n", payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
    out
}

/// The number after `"seq":` in a confirmation of JetStream, or what it says instead.
pub fn sequence(payload: &[u8]) -> Result<u64> {
    let key = br#""seq":"#;
    let at = payload.windows(key.len()).position(|w| w == key);
    let at = at.with_context(|| format!("JetStream refused: {}", String::from_utf8_lossy(payload)))?;
    let rest = &payload[at + key.len()..];
    let end = rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
    Ok(number(&rest[..end])? as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_with_and_without_a_reply() {
        let text = b"MSG a.b 7 2\r\nhi\r\n";
        let expected = Token::Message { subject: b"a.b", reply: b"", payload: b"hi" };
        assert_eq!(token(text).unwrap(), Some((expected, text.len())));
        let text = b"MSG a.b 7 in.box 2\r\nhi\r\nPING\r\n";
        let expected = Token::Message { subject: b"a.b", reply: b"in.box", payload: b"hi" };
        assert_eq!(token(text).unwrap(), Some((expected, text.len() - 6)));
        for end in 0..text.len() - 6 {
            assert_eq!(token(&text[..end]).unwrap(), None, "{end}");
        }
    }

    #[test]
    fn headers_are_told_from_a_status() {
        let text = b"HMSG a 1 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n";
        let expected = Token::Message { subject: b"a", reply: b"r", payload: b"hi" };
        assert_eq!(token(text).unwrap(), Some((expected, text.len())));
        let text = b"HMSG a 1 28 28\r\nNATS/1.0 404 No Messages\r\n\r\n\r\n";
        assert_eq!(token(text).unwrap(), Some((Token::Status(b"404 No Messages"), text.len())));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [&b"HTTP/1.1 400\r\n"[..], b"MSG a b\r\n", b"MSG a b c d e f 1\r\n", b"HMSG a 1 5 2\r\n"]
        {
            assert!(token(text).is_err(), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn a_confirmation_has_its_number() {
        assert_eq!(sequence(br#"{"stream":"S","seq":42}"#).unwrap(), 42);
        assert!(sequence(br#"{"error":{"code":503}}"#).is_err());
        assert_eq!(publish("a", "r", b"hi"), b"PUB a r 2\r\nhi\r\n");
        assert_eq!(publish("a", "", b"hi"), b"PUB a 2\r\nhi\r\n");
    }
}
