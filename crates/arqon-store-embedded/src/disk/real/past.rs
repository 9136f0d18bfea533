//! Reading past the page cache: what was written past it is in no memory, and making room for it there costs as much as
//! all the rest of handing a long history out. What the page cache would do is done here: while one chunk is handed
//! out, another thread reads the next.
//!
//! Invariant: what is read is what the plain handle reads; where it cannot be read this way, the plain handle does it.
//! Nothing is kept of what may still change: a chunk ends where its reader says that the file is written for good.

use super::direct::{PAGE, direct_flag};
use bytes::Bytes;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

/// Smaller pieces belong to readers who are nearly there, and lie together in pages that they read again and again.
const LEAST: u64 = 64 << 10;
/// Read at once. A record keeps its chunk in memory while it lives.
const CHUNK: u64 = 256 << 10;
/// Who leaves out no more than this goes on reading where it was.
const STRETCH: u64 = 8 << 10;

/// One file, and the disk's thread for reading ahead.
pub(super) struct Past {
    reading: Arc<Reading>,
    ahead: Arc<Ahead>,
    /// Up to where the cache is the better way: it was written through it, or was read past it, for what is read a second
    /// time may be read a third time.
    cached: AtomicU64,
}

#[derive(Default)]
struct Reading {
    /// A second handle, once it was needed; `None` where there can be none.
    file: OnceLock<Option<File>>,
    chunks: Mutex<Chunks>,
    came: Condvar,
}

#[derive(Default)]
struct Chunks {
    /// What is handed out.
    now: Chunk,
    next: Next,
}

impl Chunks {
    /// Everything before `end` was handed out: a file that is read to its end keeps nothing in memory.
    fn let_go(&mut self, end: u64) {
        if self.now.end() <= end {
            self.now = Chunk::default();
        }
    }
}

/// Bytes of the file, and where they begin.
#[derive(Default, Clone)]
struct Chunk {
    at: u64,
    bytes: Bytes,
}

impl Chunk {
    fn end(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }
    /// What it has from `at` on.
    fn from(&self, at: u64) -> Option<Bytes> {
        (self.at..self.end()).contains(&at).then(|| self.bytes.slice((at - self.at) as usize..))
    }
}

/// The chunk behind the one that is handed out.
#[derive(Default)]
enum Next {
    #[default]
    None,
    /// The thread reads it.
    Asked(Range<u64>),
    Here(Chunk),
}

impl Past {
    pub fn new(ahead: Arc<Ahead>) -> Self {
        Past { reading: Arc::default(), ahead, cached: AtomicU64::new(0) }
    }

    /// Notes that something was written through the cache, up to `end`.
    pub fn cache(&self, end: u64) {
        self.cached.fetch_max(end, Relaxed);
    }

    /// Reads a piece of the file, of which nothing changes any more before `settled`; less only at the end of the file.
    /// `None` if that is better done otherwise.
    pub fn read(&self, plain: &File, piece: Range<u64>, settled: u64) -> Option<Bytes> {
        let cached = self.cached.load(Relaxed);
        if piece.end.saturating_sub(piece.start) < LEAST || piece.start < cached {
            return None;
        }
        self.reading.file.get_or_init(|| open(plain)).as_ref()?;
        let in_a_row = piece.start - cached <= STRETCH;
        let settled = settled.max(piece.end);
        let mut read = self.chunk(piece.start, settled, in_a_row)?;
        let len = (piece.end - piece.start) as usize;
        if read.len() < len {
            let mut whole = Vec::with_capacity(len);
            while whole.len() < len && !read.is_empty() {
                whole.extend_from_slice(&read[..read.len().min(len - whole.len())]);
                if whole.len() < len {
                    read = self.chunk(piece.start + whole.len() as u64, settled, in_a_row)?;
                }
            }
            read = whole.into();
        }
        read.truncate(len);
        self.cache(piece.start + read.len() as u64);
        self.reading.lock().let_go(piece.end);
        Some(read)
    }

    /// What is there from `at` on: the rest of a chunk, or all of the next. Empty at the end of the file.
    fn chunk(&self, at: u64, settled: u64, in_a_row: bool) -> Option<Bytes> {
        let mut chunks = self.reading.lock();
        if let Some(rest) = chunks.now.from(at) {
            return Some(rest);
        }
        while matches!(&chunks.next, Next::Asked(range) if range.contains(&at)) {
            chunks = self.reading.came.wait(chunks).unwrap_or_else(PoisonError::into_inner);
        }
        let chunk = match &mut chunks.next {
            Next::Here(chunk) if chunk.from(at).is_some() => std::mem::take(chunk),
            _ => match self.reading.read(at..settled.min(at + CHUNK)) {
                Ok(chunk) => chunk,
                // The disk wants another alignment than it is known for, or the file system takes none.
                Err(e) if e.kind() == io::ErrorKind::InvalidInput => {
                    self.cache(u64::MAX);
                    return None;
                }
                // The plain handle says what is wrong, or finds nothing wrong.
                Err(_) => return None,
            },
        };
        let following = chunk.end()..settled.min(chunk.end() + CHUNK);
        let asked = in_a_row && !following.is_empty() && self.ahead.ask(&self.reading, &following);
        chunks.next = if asked { Next::Asked(following) } else { Next::None };
        chunks.now = chunk;
        Some(chunks.now.from(at).unwrap_or_default())
    }
}

impl Reading {
    fn lock(&self) -> MutexGuard<'_, Chunks> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, range: Range<u64>) -> io::Result<Chunk> {
        let Some(Some(file)) = self.file.get() else { return Err(io::ErrorKind::Unsupported.into()) };
        let (head, len) = ((range.start % PAGE as u64) as usize, (range.end - range.start) as usize);
        let total = (head + len).next_multiple_of(PAGE);
        let mut buffer = vec![0; total + PAGE];
        let aligned = buffer.as_ptr().align_offset(PAGE).min(PAGE);
        let read = read_pages(file, &mut buffer[aligned..aligned + total], range.start - head as u64)?;
        let end = read.clamp(head, head + len);
        Ok(Chunk { at: range.start, bytes: Bytes::from(buffer).slice(aligned + head..aligned + end) })
    }

    /// Reads what was asked for, unless nobody waits for it any more.
    fn carry(&self, range: Range<u64>) {
        let chunk = self.read(range.clone());
        let mut chunks = self.lock();
        if matches!(&chunks.next, Next::Asked(asked) if *asked == range) {
            // What failed is read again by who wants it, and fails there.
            chunks.next = chunk.map_or(Next::None, Next::Here);
        }
        self.came.notify_all();
    }
}

/// A thread that reads ahead for all files of a disk; there is none until something is to be read.
#[derive(Default)]
pub(super) struct Ahead(OnceLock<Option<Sender<Errand>>>);

type Errand = (Arc<Reading>, Range<u64>);

impl Ahead {
    /// Answers whether somebody will read it.
    fn ask(&self, reading: &Arc<Reading>, range: &Range<u64>) -> bool {
        let sender = self.0.get_or_init(|| {
            let (sender, errands) = channel();
            thread::Builder::new().name("ahead".to_owned()).spawn(move || run(errands)).ok().map(|_| sender)
        });
        sender.as_ref().is_some_and(|sender| sender.send((reading.clone(), range.clone())).is_ok())
    }
}

/// Ends with the disk and its files.
fn run(errands: Receiver<Errand>) {
    errands.into_iter().for_each(|(reading, range)| reading.carry(range));
}

/// The same file, whatever it is called by now.
fn open(plain: &File) -> Option<File> {
    let path = format!("/proc/self/fd/{}", plain.as_raw_fd());
    OpenOptions::new().read(true).custom_flags(direct_flag()?).open(path).ok()
}

fn read_pages(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], at + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        // The end of a file may lie within a page, and nothing behind it can be asked for.
        if !done.is_multiple_of(PAGE) {
            break;
        }
    }
    Ok(done)
}

#[cfg(test)]
#[path = "past/tests.rs"]
mod tests;
