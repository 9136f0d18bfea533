//! The disk of the operating system.

use super::{Disk, DiskFile, Locking};
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Zeros are written in pieces of this size.
const ZEROS: usize = 1 << 20;
/// And flushed this often, so that a flush of records beside it waits for little.
const FLUSH_ZEROS: u64 = 4 << 20;

/// A folder of the file system.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
    read_only: bool,
}

impl RealDisk {
    /// The folder at `root`, made if it is not there.
    pub fn new(root: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(root)?;
        Ok(RealDisk { root: root.to_owned(), read_only: false })
    }

    /// The folder at `root`, in which nothing can be changed.
    pub fn read_only(root: &Path) -> Self {
        RealDisk { root: root.to_owned(), read_only: true }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
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
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(!self.read_only).open(self.path(path))?;
        Ok(Arc::new(RealFile(file)))
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
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                file.read_to_string(&mut text)?;
                return Ok(Locking::Taken(text.trim().parse().ok()));
            }
            Err(e) => return Err(e.into()),
        }
        // The id is only for the message that a second process prints; on a full disk it may be missing.
        let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        Ok(Locking::Held(Box::new(file)))
    }

    fn name(&self) -> String {
        self.root.display().to_string()
    }
}

struct RealFile(File);

impl DiskFile for RealFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.0.read_at(&mut buf[done..], at + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    fn write_at(&self, buf: &[u8], at: u64) -> io::Result<()> {
        self.0.write_all_at(buf, at)
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        // The space is claimed first, so that a full disk is found out before anything is written. Then zeros are
        // written: blocks that were only claimed would cost each later flush a change of the file's metadata.
        match fallocate(&self.0, FallocateFlags::empty(), 0, len) {
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => {}
            Err(e) => return Err(e.into()),
        }
        let zeros = vec![0; usize::try_from(len).unwrap_or(ZEROS).min(ZEROS)];
        let mut at = 0;
        while at < len {
            let n = usize::try_from(len - at).unwrap_or(ZEROS).min(ZEROS);
            self.0.write_all_at(&zeros[..n], at)?;
            at += n as u64;
            if at % FLUSH_ZEROS == 0 {
                self.0.sync_data()?;
            }
        }
        self.0.sync_all()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()?;
        // A file without a name is gone with the process: what is written to it is not durable, whatever was flushed.
        if self.0.metadata()?.nlink() == 0 {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the file was deleted while it was in use"));
        }
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}
