//! Cuts pieces of a body into lines.
//!
//! Invariant: a line longer than the limit is dropped while it comes in, and said, so it never fills memory.

use arqon_core::{Code, Error, Result};
use bytes::{Bytes, BytesMut};

/// Lines over the boundaries of pieces.
pub(crate) struct Splitter {
    begun: BytesMut,
    skipping: bool,
    max: usize,
    line: u64,
}

type Found = Vec<(u64, Result<Bytes>)>;

impl Splitter {
    /// Lines of at most `max` bytes.
    pub(crate) fn new(max: usize) -> Splitter {
        Splitter { begun: BytesMut::new(), skipping: false, max, line: 1 }
    }

    /// The number of the line that would come next, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// The lines that end in this piece, with their numbers. Blank ones are counted and left out.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Found {
        let mut found = Vec::new();
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            self.add(&rest[..end], &mut found);
            self.end(&mut found);
            rest = &rest[end + 1..];
        }
        self.add(rest, &mut found);
        found
    }

    /// The last line, where it does not end with a line break.
    pub(crate) fn finish(&mut self) -> Found {
        let mut found = Vec::new();
        if !self.begun.is_empty() {
            self.end(&mut found);
        }
        found
    }

    fn add(&mut self, part: &[u8], found: &mut Found) {
        if self.skipping {
            return;
        }
        if self.begun.len() + part.len() > self.max {
            self.skipping = true;
            self.begun.clear();
            let text = format!("the line is longer than {} bytes", self.max);
            found.push((self.line, Err(Error::new(Code::TooLarge, text).with_field("body"))));
            return;
        }
        self.begun.extend_from_slice(part);
    }

    fn end(&mut self, found: &mut Found) {
        let line = self.begun.split();
        if !self.skipping && !line.trim_ascii().is_empty() {
            // Copied, so that a message that is kept does not keep the whole piece.
            found.push((self.line, Ok(Bytes::copy_from_slice(line.trim_ascii()))));
        }
        self.skipping = false;
        self.line += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&str], max: usize) -> Vec<String> {
        let mut splitter = Splitter::new(max);
        let mut found = Vec::new();
        pieces.iter().for_each(|piece| found.extend(splitter.push(piece.as_bytes())));
        found.extend(splitter.finish());
        let show = |(line, text): (u64, Result<Bytes>)| match text {
            Ok(text) => format!("{line}:{}", String::from_utf8_lossy(&text)),
            Err(error) => format!("{line}:{}", error.code().as_str()),
        };
        found.into_iter().map(show).collect()
    }

    #[test]
    fn lines_are_found_wherever_pieces_end() {
        let text = "one\r\n\n two \nthree";
        let expected = ["1:one", "3:two", "4:three"];
        assert_eq!(split(&[text], 10), expected);
        for at in 0..text.len() {
            assert_eq!(split(&[&text[..at], &text[at..]], 10), expected, "{at}");
        }
        let bytes: Vec<String> = text.chars().map(String::from).collect();
        assert_eq!(split(&bytes.iter().map(String::as_str).collect::<Vec<_>>(), 10), expected);
    }

    #[test]
    fn a_line_that_is_too_long_is_said_once_and_dropped() {
        let expected = ["1:ok", "2:PAYLOAD_TOO_LARGE", "3:ok"];
        assert_eq!(split(&["ok\n0123456789\nok"], 5), expected);
        assert_eq!(split(&["ok\n0123", "45", "6789", "\nok\n"], 5), expected);
        assert_eq!(split(&["0123456789"], 5), ["1:PAYLOAD_TOO_LARGE"]);
        assert_eq!(split(&["\n\n"], 5), Vec::<String>::new());
    }
}
