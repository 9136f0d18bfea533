//! Redis's protocol, token by token: enough to send prepared commands and to read their answers without a copy.
//!
//! Invariant: a token is handed out only when all of it is there, so an answer may come in any pieces.

use anyhow::{Context, Result, ensure};

/// One piece of an answer. An answer that is a list is its header and then its members.
#[derive(Debug, PartialEq, Clone, Copy)]
pub enum Token<'a> {
    /// A list, a push or a map follows, with so many members.
    List(usize),
    /// A string of bytes.
    Bulk(&'a [u8]),
    /// A number.
    Number(i64),
    /// `+OK` and the like.
    Simple(&'a [u8]),
    /// An error; it ends the run.
    Error(&'a [u8]),
    /// No value.
    Nothing,
}

/// The first token and how many bytes it takes; `None` if it is not all there.
pub fn token(bytes: &[u8]) -> Result<Option<(Token<'_>, usize)>> {
    let Some(end) = bytes.iter().position(|b| *b == b'\r') else { return Ok(None) };
    let (rest, after) = (&bytes[1..end], end + 2);
    if bytes.len() < after {
        return Ok(None);
    }
    let token = match bytes[0] {
        b'*' | b'>' | b'~' => Token::List(usize::try_from(number(rest)?.max(0))?),
        b'%' => Token::List(2 * usize::try_from(number(rest)?)?),
        b':' => Token::Number(number(rest)?),
        b'+' => Token::Simple(rest),
        b'-' => Token::Error(rest),
        b'_' => Token::Nothing,
        b'$' => return bulk(bytes, number(rest)?, after),
        other => anyhow::bail!("not an answer of Redis: it begins with {:?}", char::from(other)),
    };
    Ok(Some((token, after)))
}

fn bulk(bytes: &[u8], length: i64, begin: usize) -> Result<Option<(Token<'_>, usize)>> {
    let Ok(length) = usize::try_from(length) else { return Ok(Some((Token::Nothing, begin))) };
    let end = begin + length;
    Ok((bytes.len() >= end + 2).then(|| (Token::Bulk(&bytes[begin..end]), end + 2)))
}

/// A decimal number.
fn number(digits: &[u8]) -> Result<i64> {
    let (negative, digits) = match digits.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, digits),
    };
    ensure!(!digits.is_empty() && digits.len() < 19, "a number of Redis has {} digits", digits.len());
    let value = digits.iter().try_fold(0i64, |n, d| d.is_ascii_digit().then(|| n * 10 + i64::from(d - b'0')));
    let value = value.context("a number of Redis has something else in it")?;
    Ok(if negative { -value } else { value })
}

/// A command as it goes over the wire.
pub fn command(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", parts.len()).into_bytes();
    for part in parts {
        out.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut bytes: &[u8]) -> Vec<Token<'_>> {
        let mut tokens = Vec::new();
        while let Some((found, used)) = token(bytes).unwrap() {
            tokens.push(found);
            bytes = &bytes[used..];
        }
        tokens
    }

    #[test]
    fn answers_are_read_token_by_token() {
        let tokens =
            all(b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n:-12\r\n$-1\r\n*-1\r\n+OK\r\n-ERR no\r\n");
        let expected = [
            Token::List(3),
            Token::Bulk(b"message"),
            Token::Bulk(b"c"),
            Token::Bulk(b"hi"),
            Token::Number(-12),
            Token::Nothing,
            Token::List(0),
            Token::Simple(b"OK"),
            Token::Error(b"ERR no"),
        ];
        assert_eq!(tokens, expected);
    }

    #[test]
    fn a_token_that_is_not_all_there_waits() {
        let whole = b"$5\r\nhello\r\n";
        for end in 0..whole.len() {
            assert_eq!(token(&whole[..end]).unwrap(), None, "{end}");
        }
        assert!(token(b"HTTP/1.1 400\r\n").is_err());
        assert!(token(b":12x\r\n").is_err());
    }

    #[test]
    fn commands_have_their_form() {
        assert_eq!(command(&[b"GET", b"k"]), b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
    }
}
