//! A disk in memory that can be copied.
//!
//! Invariant: it never grows past what a small log needs, so that a length out of a damaged file is noticed.

use arqon_store_embedded::disk::{Disk, DiskFile, Locking};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// No file of a log with such small segments is larger.
const LARGEST: u64 = 1 << 20;

/// Files by name.
#[derive(Default)]
pub struct MemoryDisk {
    files: Mutex<BTreeMap<String, Arc<MemoryFile>>>,
}

/// One file.
#[derive(Default)]
pub struct MemoryFile(Mutex<Vec<u8>>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn absent() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

impl MemoryDisk {
    /// A disk with these files.
    pub fn with(files: &BTreeMap<String, Vec<u8>>) -> MemoryDisk {
        let file = |(name, bytes): (&String, &Vec<u8>)| {
            (name.clone(), Arc::new(MemoryFile(Mutex::new(bytes.clone()))))
        };
        MemoryDisk { files: Mutex::new(files.iter().map(file).collect()) }
    }

    /// All files.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        lock(&self.files).iter().map(|(name, file)| (name.clone(), lock(&file.0).clone())).collect()
    }
}

impl Disk for MemoryDisk {
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = Arc::new(MemoryFile::default());
        lock(&self.files).insert(path.to_owned(), file.clone());
        Ok(file)
    }
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = lock(&self.files).get(path).cloned().ok_or_else(absent)?;
        Ok(file)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = lock(&self.files);
        let file = files.remove(from).ok_or_else(absent)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        lock(&self.files).remove(path).map(|_| ()).ok_or_else(absent)
    }
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let inside = |name: &String| {
            name.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')).map(str::to_owned)
        };
        Ok(lock(&self.files).keys().filter_map(inside).collect())
    }
    fn make_dir(&self, _folder: &str) -> io::Result<()> {
        Ok(())
    }
    fn sync_dir(&self, _folder: &str) -> io::Result<()> {
        Ok(())
    }
    fn lock(&self, _path: &str) -> io::Result<Locking> {
        Ok(Locking::Held(Box::new(())))
    }
    fn name(&self) -> String {
        "memory".to_owned()
    }
}

impl MemoryFile {
    fn resize(&self, len: u64) -> io::Result<()> {
        if len > LARGEST {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        lock(&self.0).resize(usize::try_from(len).expect("it is small"), 0);
        Ok(())
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let bytes = lock(&self.0);
        let rest = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
    fn write_at(&self, buf: &[u8], at: u64) -> io::Result<()> {
        let end = at.checked_add(buf.len() as u64).ok_or(io::ErrorKind::StorageFull)?;
        if end > self.size()? {
            self.resize(end)?;
        }
        let at = usize::try_from(at).expect("it is within the file");
        lock(&self.0)[at..at + buf.len()].copy_from_slice(buf);
        Ok(())
    }
    fn preallocate(&self, len: u64) -> io::Result<()> {
        self.resize(len)
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.resize(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
    fn size(&self) -> io::Result<u64> {
        Ok(lock(&self.0).len() as u64)
    }
}
