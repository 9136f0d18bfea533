//! Lines from standard input and files, read in large chunks.
//!
//! Invariant: memory is bounded by one chunk and one line; dropping the future of [`Lines::next`] loses nothing.

use bytes::{Buf, BytesMut};
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes asked for at once: few hops to the reading thread, and a pipe's whole content.
const CHUNK: usize = 256 * 1024;
/// Longest line: beyond any limit that a server may be given for a message.
const LINE_MAX: usize = 64 * 1024 * 1024;

/// Where messages come from.
#[derive(Debug)]
pub(super) enum Source {
    /// One payload.
    Payload(String),
    /// Lines of standard input.
    Stdin,
    /// Lines of a file.
    File { path: PathBuf, bytes: Option<u64> },
}

impl Source {
    /// Its size, where that is known.
    pub(super) fn bytes(&self) -> Option<u64> {
        match self {
            Source::Payload(text) => Some(text.len() as u64),
            Source::Stdin => None,
            Source::File { bytes, .. } => *bytes,
        }
    }
}

/// One line, and whether something in it was not UTF-8 and had to be replaced.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) mended: bool,
}

/// All lines of all sources, in order.
pub(super) struct Lines {
    sources: VecDeque<Source>,
    reader: Option<(String, Box<dyn AsyncRead + Unpin + Send>)>,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line break.
    searched: usize,
    /// Bytes of input taken so far.
    pub(super) taken: u64,
}

impl Lines {
    pub(super) fn new(sources: Vec<Source>) -> Self {
        let (buffer, sources) = (BytesMut::new(), sources.into());
        Lines { sources, reader: None, buffer, searched: 0, taken: 0 }
    }

    /// The next line without its end; `None` after the last.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(line) = self.take_line(false) {
                return Ok(Some(line));
            }
            let Some((name, reader)) = &mut self.reader else {
                match self.sources.pop_front() {
                    None => return Ok(None),
                    Some(Source::Payload(text)) => {
                        self.taken += text.len() as u64;
                        return Ok(Some(Line { text, mended: false }));
                    }
                    Some(source) => self.reader = Some(open(source)?),
                }
                continue;
            };
            if self.buffer.len() > LINE_MAX {
                let what = format!("{name}: a line is longer than {} MiB", LINE_MAX >> 20);
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            self.buffer.reserve(CHUNK);
            let read = reader.read_buf(&mut self.buffer).await;
            if read.map_err(|e| io::Error::new(e.kind(), format!("cannot read {name}: {e}")))? == 0 {
                self.reader = None;
                if let Some(line) = self.take_line(true) {
                    return Ok(Some(line));
                }
            }
        }
    }

    fn take_line(&mut self, at_end: bool) -> Option<Line> {
        let found = self.buffer[self.searched..].iter().position(|b| *b == b'\n');
        let (length, skip) = match found {
            Some(at) => (self.searched + at, 1),
            None if at_end && !self.buffer.is_empty() => (self.buffer.len(), 0),
            None => {
                self.searched = self.buffer.len();
                return None;
            }
        };
        let line = self.buffer.split_to(length);
        self.buffer.advance(skip);
        self.searched = 0;
        self.taken += (length + skip) as u64;
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        Some(match std::str::from_utf8(line) {
            Ok(text) => Line { text: text.to_owned(), mended: false },
            Err(_) => Line { text: String::from_utf8_lossy(line).into_owned(), mended: true },
        })
    }
}

fn open(source: Source) -> io::Result<(String, Box<dyn AsyncRead + Unpin + Send>)> {
    match source {
        Source::File { path, .. } => {
            let name = format!("`{}`", path.display());
            let file = std::fs::File::open(path)
                .map_err(|e| io::Error::new(e.kind(), format!("cannot read {name}: {e}")))?;
            Ok((name, Box::new(tokio::fs::File::from_std(file))))
        }
        Source::Stdin | Source::Payload(_) => Ok(("standard input".to_owned(), Box::new(tokio::io::stdin()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(chunks: &'static [&'static [u8]]) -> Vec<Line> {
        let mut reader = tokio_test_reader(chunks);
        let mut lines = Lines::new(Vec::new());
        lines.reader = Some(("test".to_owned(), reader.take().unwrap()));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut all = Vec::new();
            while let Some(line) = lines.next().await.unwrap() {
                all.push(line);
            }
            assert_eq!(lines.taken as usize, chunks.iter().map(|c| c.len()).sum::<usize>());
            all
        })
    }

    fn tokio_test_reader(chunks: &'static [&'static [u8]]) -> Option<Box<dyn AsyncRead + Unpin + Send>> {
        let mut reader: Box<dyn AsyncRead + Unpin + Send> = Box::new(tokio::io::empty());
        for chunk in chunks {
            reader = Box::new(reader.chain(*chunk));
        }
        Some(reader)
    }

    fn texts(chunks: &'static [&'static [u8]]) -> Vec<String> {
        read(chunks).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn lines_are_found_wherever_chunks_break() {
        assert_eq!(texts(&[b"one\ntw", b"o\n\nthr", b"ee"]), ["one", "two", "", "three"]);
        assert_eq!(texts(&[b"a\r\nb\n"]), ["a", "b"]);
        assert_eq!(texts(&[b""]), [""; 0]);
        assert_eq!(texts(&[b"\n"]), [""]);
    }

    #[test]
    fn what_is_not_utf8_is_mended_and_said() {
        let lines = read(&[b"good\nb\xffd\n"]);
        assert_eq!(lines[1], Line { text: "b\u{fffd}d".to_owned(), mended: true });
        assert!(!lines[0].mended);
    }
}
