//! Lines from standard input and files, read in large chunks.
//!
//! Invariant: memory is bounded by one chunk and one line; dropping the future of [`Lines::next`] loses nothing. Lines
//! share the chunk that they were read in.

use bytes::{Buf, Bytes, BytesMut};
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

    /// The next lines without their ends, at most `most`: those that are here, or the first that comes. None after the
    /// last.
    pub(super) async fn next(&mut self, most: usize) -> io::Result<Vec<Bytes>> {
        loop {
            let lines: Vec<Bytes> = std::iter::from_fn(|| self.take_line(false)).take(most.max(1)).collect();
            if !lines.is_empty() {
                return Ok(lines);
            }
            let Some((name, reader)) = &mut self.reader else {
                match self.sources.pop_front() {
                    None => return Ok(Vec::new()),
                    Some(Source::Payload(text)) => {
                        self.taken += text.len() as u64;
                        return Ok(vec![text.into()]);
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
                    return Ok(vec![line]);
                }
            }
        }
    }

    fn take_line(&mut self, at_end: bool) -> Option<Bytes> {
        let found = line_break(&self.buffer[self.searched..]);
        let (length, skip) = match found {
            Some(at) => (self.searched + at, 1),
            None if at_end && !self.buffer.is_empty() => (self.buffer.len(), 0),
            None => {
                self.searched = self.buffer.len();
                return None;
            }
        };
        let mut line = self.buffer.split_to(length).freeze();
        self.buffer.advance(skip);
        self.searched = 0;
        self.taken += (length + skip) as u64;
        if line.ends_with(b"\r") {
            line.truncate(length - 1);
        }
        Some(line)
    }
}

/// Where the first line break is. The standard library finds it many bytes at a time, but only for readers.
fn line_break(bytes: &[u8]) -> Option<usize> {
    let passed = io::BufRead::skip_until(&mut &*bytes, b'\n').ok()?;
    passed.checked_sub(1).filter(|at| bytes[*at] == b'\n')
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

    fn read(chunks: &'static [&'static [u8]], most: usize) -> Vec<Bytes> {
        let mut reader: Box<dyn AsyncRead + Unpin + Send> = Box::new(tokio::io::empty());
        for chunk in chunks {
            reader = Box::new(reader.chain(*chunk));
        }
        let mut lines = Lines::new(Vec::new());
        lines.reader = Some(("test".to_owned(), reader));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut all = Vec::new();
            loop {
                let some = lines.next(most).await.unwrap();
                assert!(some.len() <= most);
                if some.is_empty() {
                    break;
                }
                all.extend(some);
            }
            assert_eq!(lines.taken as usize, chunks.iter().map(|c| c.len()).sum::<usize>());
            all
        })
    }

    #[test]
    fn lines_are_found_wherever_chunks_break() {
        for most in [1, 2, 9] {
            assert_eq!(read(&[b"one\ntw", b"o\n\nthr", b"ee"], most), ["one", "two", "", "three"]);
            assert_eq!(read(&[b"a\r\nb\n"], most), ["a", "b"]);
            assert_eq!(read(&[b""], most), [""; 0]);
            assert_eq!(read(&[b"\n"], most), [""]);
        }
    }
}
