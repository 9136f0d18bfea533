//! The disk as the log sees it: a few calls on named files inside one folder, so that a test or a simulation can put
//! another in its place (torn sectors, lost writes, full disks, failing flushes).
//!
//! Invariant: the log reaches the file system through these traits only. Paths are relative to the folder and use `/`.

mod real;

pub use real::RealDisk;

use bytes::Bytes;
use std::any::Any;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// A folder of files.
pub trait Disk: Send + Sync + 'static {
    /// Makes an empty file, in place of any that has the name.
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file that exists.
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, in place of any that has it. Durable after `sync_dir`.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. What is open goes on being readable.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// The names of the files in a sub-folder, in no order; empty when there is no such folder.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Makes a sub-folder unless it is there.
    fn make_dir(&self, folder: &str) -> io::Result<()>;

    /// Makes creations, renames and removals in a sub-folder durable.
    fn sync_dir(&self, folder: &str) -> io::Result<()>;

    /// Takes the folder for this process until the answer is dropped; `Taken` when another holds it.
    fn lock(&self, path: &str) -> io::Result<Locking>;

    /// Where this is, for messages to people.
    fn name(&self) -> String;

    /// What names the time since the machine was started; `None` where nobody can tell. While it stays the same, what a
    /// process wrote without flushing it is there.
    fn boot(&self) -> Option<String> {
        None
    }
}

/// What became of taking the folder.
pub enum Locking {
    /// It is ours while this value lives.
    Held(Box<dyn Any + Send + Sync>),
    /// Another process has it; its id if it left one.
    Taken(Option<u32>),
}

/// One open file.
pub trait DiskFile: Send + Sync + 'static {
    /// Fills `buf` from `at`; fewer bytes only at the end of the file.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;

    /// Reads a piece of the file, fewer bytes only at its end: for long stretches that are read one behind the other,
    /// and may go past the system's cache. Nothing before `settled` is written any more, so that it may be read ahead.
    fn read_piece(&self, piece: Range<u64>, _settled: u64) -> io::Result<Bytes> {
        read_whole(self, piece)
    }

    /// Writes all of `buf` at `at`.
    fn write_at(&self, buf: &[u8], at: u64) -> io::Result<()>;

    /// The same where everything in the file behind `at` is zeros. What is written so may go past the system's cache, so
    /// that nothing is left for a flush to write; it is durable after `sync_data` only.
    fn append_at(&self, buf: &[u8], at: u64) -> io::Result<()> {
        self.write_at(buf, at)
    }

    /// Nothing is appended any more: what is kept open for that may be let go of.
    fn end_appends(&self) {}

    /// Makes the file `len` bytes of zeros that take their place on the disk now, durably, so that a later
    /// `sync_data` has nothing but data to write. For new files.
    fn preallocate(&self, len: u64) -> io::Result<()>;

    /// Does a part of `preallocate(len)`, from where the part before ended (0 at first) to about `to`, and answers where
    /// it ends. It is done once that is `len`.
    fn preallocate_part(&self, _from: u64, _to: u64, len: u64) -> io::Result<u64> {
        self.preallocate(len)?;
        Ok(len)
    }

    /// Cuts or extends the file.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Makes what was written durable.
    fn sync_data(&self) -> io::Result<()>;

    /// The length of the file.
    fn size(&self) -> io::Result<u64>;
}

/// Reads a piece with one call.
fn read_whole(file: &(impl DiskFile + ?Sized), piece: Range<u64>) -> io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(piece.end.saturating_sub(piece.start)).unwrap_or(0)];
    let read = file.read_at(&mut bytes, piece.start)?;
    bytes.truncate(read);
    Ok(bytes.into())
}
