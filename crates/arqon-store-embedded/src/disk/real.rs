//! The disk of the operating system.
//!
//! Invariant: a file is changed through one of its two handles at a time; all of its handles read the same.

mod direct;
mod past;

use super::{Disk, DiskFile, Locking, read_whole};
use bytes::Bytes;
use direct::Direct;
use past::{Ahead, Past};
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Zeros are written in pieces of this size.
const ZEROS: usize = 1 << 20;
/// And flushed this often, so that a flush of records beside it waits for little.
const FLUSH_ZEROS: u64 = 4 << 20;

/// Zeros are written past the page cache where they begin and end at a multiple of this.
const ALIGNED: u64 = 4096;

/// A folder of the file system.
pub struct RealDisk {
    root: PathBuf,
    read_only: bool,
    ahead: Arc<Ahead>,
}

impl RealDisk {
    /// The folder at `root`, made if it is not there.
    pub fn new(root: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(root)?;
        Ok(RealDisk { root: root.to_owned(), read_only: false, ahead: Arc::default() })
    }

    /// The folder at `root`, in which nothing can be changed.
    pub fn read_only(root: &Path) -> Self {
        RealDisk { root: root.to_owned(), read_only: true, ahead: Arc::default() }
    }

    /// Who has the folder locked: the process, where the file says which. Locks nothing for longer than the question.
    pub fn user(&self, lock: &str) -> io::Result<Option<Option<u32>>> {
        let mut file = File::open(self.path(lock))?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(None),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(Some(locked_by(&mut file)?)),
            Err(e) => Err(e.into()),
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn file(&self, path: &str, file: File) -> Arc<dyn DiskFile> {
        let direct = if self.read_only { Way::Cached } else { Way::Untried(self.path(path)) };
        Arc::new(RealFile { file, way: Mutex::new(direct), past: Past::new(self.ahead.clone()) })
    }

    fn writable(&self) -> io::Result<()> {
        if self.read_only {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the folder was opened for reading"));
        }
        Ok(())
    }
}

impl Disk for RealDisk {
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.writable()?;
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(self.path(path))?;
        Ok(self.file(path, file))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(!self.read_only).open(self.path(path))?;
        Ok(self.file(path, file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.writable()?;
        std::fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.writable()?;
        std::fs::remove_file(self.path(path))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(self.path(folder)) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn make_dir(&self, folder: &str) -> io::Result<()> {
        self.writable()?;
        std::fs::create_dir_all(self.path(folder))?;
        File::open(&self.root)?.sync_all()
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        File::open(self.path(folder))?.sync_all()
    }

    fn lock(&self, path: &str) -> io::Result<Locking> {
        self.writable()?;
        let path = self.path(path);
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        // Whoever only asks who holds it (`user`) holds it for the moment of the question.
        for tries in 1.. {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK) if tries < 5 => {
                    std::thread::sleep(Duration::from_millis(10))
                }
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(Locking::Taken(locked_by(&mut file)?)),
                Err(e) => return Err(e.into()),
            }
        }
        // The id is only for the message that a second process prints; on a full disk it may be missing.
        let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        Ok(Locking::Held(Box::new(file)))
    }

    fn name(&self) -> String {
        self.root.display().to_string()
    }

    fn boot(&self) -> Option<String> {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(id.trim().to_owned())
    }
}

/// The process that a lock's file names.
fn locked_by(file: &mut File) -> io::Result<Option<u32>> {
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text.trim().parse().ok())
}

/// How many names a file has. Asking for more, and so for its times, would make the next write note its own time to
/// the nanosecond, and the next flush write that to the disk.
#[cfg(target_os = "linux")]
fn links(file: &File) -> io::Result<u64> {
    use rustix::fs::{AtFlags, StatxFlags, statx};
    match statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::NLINK) {
        Ok(found) => Ok(found.stx_nlink.into()),
        // Sandboxes may know the older call only.
        Err(_) => file.metadata().map(|found| found.nlink()),
    }
}

#[cfg(not(target_os = "linux"))]
fn links(file: &File) -> io::Result<u64> {
    file.metadata().map(|found| found.nlink())
}

/// How a file is appended to.
enum Way {
    /// Not decided yet; the path that the file had when it was opened.
    Untried(PathBuf),
    /// Past the page cache.
    Direct(Direct),
    /// Through the page cache.
    Cached,
}

struct RealFile {
    file: File,
    way: Mutex<Way>,
    past: Past,
}

impl RealFile {
    fn way(&self) -> MutexGuard<'_, Way> {
        let mut way = self.way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Way::Untried(path) = &*way {
            *way = Direct::open(path, &self.file).map_or(Way::Cached, Way::Direct);
        }
        way
    }

    /// The handle for direct writes is told of a change that was made without it.
    fn changed(&self, change: impl FnOnce(&mut Direct)) {
        if let Way::Direct(direct) = &mut *self.way.lock().unwrap_or_else(PoisonError::into_inner) {
            change(direct);
        }
    }

    fn zero(&self, from: u64, to: u64) -> io::Result<()> {
        if from.is_multiple_of(ALIGNED)
            && to.is_multiple_of(ALIGNED)
            && let Way::Direct(direct) = &mut *self.way()
            && direct.zero(from, to)?
        {
            return Ok(());
        }
        let zeros = vec![0; usize::try_from(to - from).unwrap_or(ZEROS).min(ZEROS)];
        let mut at = from;
        while at < to {
            let n = usize::try_from(to - at).unwrap_or(ZEROS).min(ZEROS);
            self.file.write_all_at(&zeros[..n], at)?;
            at += n as u64;
            if at.is_multiple_of(FLUSH_ZEROS) {
                self.file.sync_data()?;
            }
        }
        Ok(())
    }
}

impl DiskFile for RealFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.file.read_at(&mut buf[done..], at + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    fn read_piece(&self, piece: Range<u64>, settled: u64) -> io::Result<Bytes> {
        match self.past.read(&self.file, piece.clone(), settled) {
            Some(bytes) => Ok(bytes),
            None => read_whole(self, piece),
        }
    }

    fn write_at(&self, buf: &[u8], at: u64) -> io::Result<()> {
        self.changed(Direct::forget);
        self.past.cache(at + buf.len() as u64);
        self.file.write_all_at(buf, at)
    }

    fn append_at(&self, buf: &[u8], at: u64) -> io::Result<()> {
        let mut way = self.way();
        if let Way::Direct(direct) = &mut *way
            && direct.append(&self.file, buf, at)?
        {
            return Ok(());
        }
        self.past.cache(at + buf.len() as u64);
        self.file.write_all_at(buf, at)
    }

    fn end_appends(&self) {
        *self.way.lock().unwrap_or_else(PoisonError::into_inner) = Way::Cached;
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        self.preallocate_part(0, len, len).map(drop)
    }

    fn preallocate_part(&self, from: u64, to: u64, len: u64) -> io::Result<u64> {
        let to = to.next_multiple_of(ALIGNED).clamp(from, len);
        if from == 0 {
            // The space is claimed first, so that a full disk is found out before anything is written. Then zeros are
            // written: blocks that were only claimed would cost each later flush a change of the file's metadata.
            match fallocate(&self.file, FallocateFlags::empty(), 0, len) {
                Ok(()) => {}
                Err(rustix::io::Errno::OPNOTSUPP) => self.file.set_len(len)?,
                Err(e) => return Err(e.into()),
            }
            // The file is told apart by the name that it has now; it may get another one.
            drop(self.way());
            self.changed(|direct| direct.resized(len));
        }
        self.zero(from, to)?;
        if to == len {
            self.file.sync_all()?;
        }
        Ok(to)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.changed(|direct| direct.resized(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()?;
        // A file without a name is gone with the process: what is written to it is not durable, whatever was flushed.
        if links(&self.file)? == 0 {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the file was deleted while it was in use"));
        }
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}
