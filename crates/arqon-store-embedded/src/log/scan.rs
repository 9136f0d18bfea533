//! Reads a segment from its bytes alone: which blocks are whole, what is damaged, where the log ends.
//!
//! Invariant: a record is taken only if both its checksums hold. What lies between two good places, or before the known
//! end, and cannot be read, is a damaged region; only what follows the last block known to be confirmed, with nothing
//! good after it, is a torn tail.

mod build;

use super::format::{BLOCK, BlockHeader, ENTRY, EntryHeader, EntryKind, PAGE, Tail};
use crate::disk::DiskFile;
use build::Builder;
pub(crate) use build::ScanPart;
use bytes::Bytes;
use std::io;

/// What is known of the end of the segment before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It was sealed here: what lies behind is void.
    Sealed(u64),
    /// The log may go on behind this point, up to which everything was confirmed.
    Open(u64),
}

/// What a segment holds.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub parts: Vec<ScanPart>,
    /// Stretches in which nothing could be read.
    pub regions: Vec<(u64, u64)>,
    /// The last good block, and where the next one would begin.
    pub tail: Tail,
    /// A block that was never finished: from here to the last byte that is not zero.
    pub torn: Option<(u64, u64)>,
    pub blocks: u64,
    pub records: u64,
    /// Records whose place is known and whose content is not.
    pub lost_records: u64,
}

/// Reads blocks from `range.0` to the known end `range.1`, wherever their numbers begin.
pub(crate) fn known(file: &dyn DiskFile, seed: u32, range: (u64, u64)) -> io::Result<Scan> {
    let before = Tail { end: range.0, ..Tail::default() };
    let bytes = load(file, Some(range.1))?;
    Ok(Scanner::new(&bytes, seed, before, false).run(End::Sealed(range.1)))
}

/// Reads a segment that follows `before`.
pub(crate) fn segment(file: &dyn DiskFile, seed: u32, before: Tail, end: End) -> io::Result<Scan> {
    let bytes = match end {
        End::Sealed(end) => load(file, Some(end))?,
        End::Open(_) => load(file, None)?,
    };
    let begin = Tail { end: PAGE, ..before };
    Ok(Scanner::new(&bytes, seed, begin, before.block > 0).run(end))
}

fn load(file: &dyn DiskFile, end: Option<u64>) -> io::Result<Bytes> {
    let size = file.size()?;
    let len = end.unwrap_or(size).min(size);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    let n = file.read_at(&mut bytes, 0)?;
    bytes.truncate(n);
    Ok(bytes.into())
}

struct Scanner<'a> {
    bytes: &'a Bytes,
    seed: u32,
    tail: Tail,
    /// Whether the number and chain of the next block are known.
    strict: bool,
    /// Behind this there are only zeros.
    data_end: u64,
    builder: Builder,
    out: Scan,
}

/// Where the zeros at the end begin.
fn data_end(bytes: &[u8]) -> u64 {
    const ZEROS: [u8; 4096] = [0; 4096];
    let mut end = bytes.len();
    while end > 0 {
        let begin = (end - 1) / ZEROS.len() * ZEROS.len();
        let piece = &bytes[begin..end];
        // Comparing whole pieces first: most of a young segment is zeros.
        if *piece != ZEROS[..piece.len()] {
            return (begin + piece.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1)) as u64;
        }
        end = begin;
    }
    0
}

impl<'a> Scanner<'a> {
    fn new(bytes: &'a Bytes, seed: u32, tail: Tail, strict: bool) -> Self {
        let data_end = data_end(bytes);
        Scanner { bytes, seed, tail, strict, data_end, builder: Builder::default(), out: Scan::default() }
    }

    fn run(mut self, end: End) -> Scan {
        while !matches!(end, End::Sealed(end) if self.tail.end >= end) {
            if self.take_block() {
                continue;
            }
            let here = self.tail.end;
            if let Some(next) = self.next_block() {
                self.salvage(here, next);
                self.tail.end = next;
                self.strict = false;
                continue;
            }
            self.finish(here, end);
            break;
        }
        self.out.tail = self.tail;
        self.builder.finish(&mut self.out);
        self.out
    }

    /// Nothing good follows `here`.
    fn finish(&mut self, here: u64, end: End) {
        let (End::Sealed(known) | End::Open(known)) = end;
        if known > here {
            self.salvage(here, known);
            self.tail.end = known;
            return;
        }
        if self.data_end > here {
            self.out.torn = Some((here, self.data_end));
        }
    }

    fn slice(&self, from: u64, len: u64) -> Option<&'a [u8]> {
        let from = usize::try_from(from).ok()?;
        self.bytes.get(from..from.checked_add(usize::try_from(len).ok()?)?)
    }

    /// Takes the block at the tail if it is whole and the next in order.
    fn take_block(&mut self) -> bool {
        let at = self.tail.end;
        let Some((header, crc)) = self.slice(at, BLOCK as u64).and_then(|b| BlockHeader::read(b, self.seed))
        else {
            return false;
        };
        let follows =
            self.tail.block.checked_add(1) == Some(header.number) && header.chain == self.tail.chain;
        if (self.strict && !follows) || header.number <= self.tail.block {
            return false;
        }
        let begin = at + BLOCK as u64;
        let end = begin + u64::from(header.len);
        if self.slice(begin, u64::from(header.len)).is_none() || !self.is_whole(begin, end, header.count) {
            return false;
        }
        let mut p = begin;
        while p < end {
            let Some((entry, body)) = self.entry(p, end) else { break };
            self.builder.add(&entry, p, body);
            p += entry.total();
        }
        self.tail = Tail { end, block: header.number, chain: crc, ..self.tail };
        self.strict = true;
        self.out.blocks += 1;
        true
    }

    fn is_whole(&self, begin: u64, end: u64, count: u32) -> bool {
        let (mut p, mut n) = (begin, 0);
        while p < end {
            let Some((entry, _)) = self.entry(p, end) else { return false };
            p += entry.total();
            n += 1;
        }
        n == count
    }

    /// The entry at `p` if both checksums hold.
    fn entry(&self, p: u64, end: u64) -> Option<(EntryHeader, Bytes)> {
        let header = self.entry_header(p, end)?;
        let from = p as usize + ENTRY;
        let body = self.bytes.slice(from..from + header.len as usize);
        header.holds(&body).then_some((header, body))
    }

    fn entry_header(&self, p: u64, end: u64) -> Option<EntryHeader> {
        let header = EntryHeader::read(self.slice(p, ENTRY as u64)?, self.seed)?;
        (p + header.total() <= end.min(self.bytes.len() as u64)).then_some(header)
    }

    /// The next good block header after the tail. Its entries are looked at when it is taken.
    fn next_block(&self) -> Option<u64> {
        let mut p = self.tail.end + 8;
        while p < self.data_end {
            let Some(bytes) = self.slice(p, BLOCK as u64) else { break };
            if BlockHeader::read(bytes, self.seed).is_some_and(|(h, _)| h.number > self.tail.block) {
                return Some(p);
            }
            p += 8;
        }
        None
    }

    /// Takes what is whole between `from` and `to`, and notes the rest as damaged.
    fn salvage(&mut self, from: u64, to: u64) {
        let mut p = from;
        let mut unread = from;
        // The end was read from a file, and may lie far behind what there is.
        let readable = to.min(self.bytes.len() as u64);
        while p < readable {
            if self.slice(p, BLOCK as u64).is_some_and(|b| BlockHeader::read(b, self.seed).is_some()) {
                self.region(unread, p);
                p += BLOCK as u64;
                unread = p;
                continue;
            }
            let Some(header) = self.entry_header(p, to) else {
                p += 8;
                continue;
            };
            self.region(unread, p);
            match self.entry(p, to) {
                Some((entry, body)) => self.builder.add(&entry, p, body),
                None if header.kind == EntryKind::Record => self.builder.lose(&header, p),
                None => {}
            }
            p += header.total();
            unread = p;
        }
        self.region(unread, to);
    }

    fn region(&mut self, from: u64, to: u64) {
        if from < to {
            self.out.regions.push((from, to));
        }
    }
}
