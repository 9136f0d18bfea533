//! Writing past the page cache: a log that is mostly read while it is still in memory has no use for a second copy of
//! itself there, and making that copy costs more than all the rest of a write.
//!
//! Invariant: what is written lies in the file byte for byte as asked; the pages around it are written again as they
//! were before it, and as zeros behind it. The file never grows.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Disks take places and lengths in multiples of their sector; 4,096 suits all of them, and the page cache.
pub(super) const PAGE: usize = 4096;

#[cfg(target_os = "linux")]
pub(super) fn direct_flag() -> Option<i32> {
    i32::try_from(rustix::fs::OFlags::DIRECT.bits()).ok()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn direct_flag() -> Option<i32> {
    None
}

/// What zeros are written from, a piece at a time: nobody ever writes to it, so it takes no memory.
#[repr(align(4096))]
struct Zeros([u8; 512 << 10]);

static ZEROS: Zeros = Zeros([0; 512 << 10]);

/// A second handle on a file, and the buffer that is written from.
pub(super) struct Direct {
    file: File,
    len: u64,
    buffer: Vec<u8>,
    /// Where in the buffer the aligned part begins.
    aligned: usize,
    /// Where the last write ended. The buffer still begins with the bytes between the page's beginning and there.
    at: Option<u64>,
}

impl Direct {
    /// `None` where the file cannot be written this way, or is no longer the one at `path`.
    pub fn open(path: &Path, file: &File) -> Option<Self> {
        let direct = OpenOptions::new().write(true).custom_flags(direct_flag()?).open(path).ok()?;
        let (a, b) = (direct.metadata().ok()?, file.metadata().ok()?);
        let same = (a.dev(), a.ino()) == (b.dev(), b.ino());
        same.then(|| Direct { file: direct, len: b.len(), buffer: Vec::new(), aligned: 0, at: None })
    }

    /// Notes a change of the file's length.
    pub fn resized(&mut self, len: u64) {
        self.len = len;
        self.at = None;
    }

    /// What was written by other means: the page at the end may have changed.
    pub fn forget(&mut self) {
        self.at = None;
    }

    fn reserve(&mut self, len: usize) {
        if self.buffer.len() < self.aligned + len || self.buffer.is_empty() {
            let mut grown = vec![0; len.next_power_of_two() + PAGE];
            let aligned = grown.as_ptr().align_offset(PAGE).min(PAGE);
            let kept = self.buffer.get(self.aligned..self.aligned + PAGE);
            if let Some(kept) = kept {
                grown[aligned..aligned + PAGE].copy_from_slice(kept);
            }
            (self.buffer, self.aligned) = (grown, aligned);
        }
    }

    /// Writes `buf` at `at`, with zeros behind it up to the end of the page; `false` if that cannot be done this way.
    /// `file` is the plain handle, to read what stands before it.
    pub fn append(&mut self, file: &File, buf: &[u8], at: u64) -> io::Result<bool> {
        let head = (at % PAGE as u64) as usize;
        let from = at - head as u64;
        let total = (head + buf.len()).next_multiple_of(PAGE);
        if from + total as u64 > self.len {
            self.at = None;
            return Ok(false);
        }
        self.reserve(total);
        if self.at.take() != Some(at) {
            file.read_exact_at(&mut self.buffer[self.aligned..self.aligned + head], from)?;
        }
        let page = &mut self.buffer[self.aligned..self.aligned + total];
        page[head..head + buf.len()].copy_from_slice(buf);
        page[head + buf.len()..].fill(0);
        match self.file.write_at(page, from) {
            Ok(n) if n == total => {}
            Ok(n) => return Err(io::Error::new(io::ErrorKind::WriteZero, format!("{n} of {total} bytes"))),
            // The disk wants another alignment than it is known for.
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => return Ok(false),
            Err(e) => return Err(e),
        }
        // The last page is begun again by the next write.
        let last = self.aligned + (head + buf.len()) / PAGE * PAGE;
        let tail = (head + buf.len()) % PAGE;
        self.buffer.copy_within(last..last + tail, self.aligned);
        self.at = Some(at + buf.len() as u64);
        Ok(true)
    }

    /// Writes zeros from `from` to `to`, both on a page; `false` if that cannot be done this way.
    pub fn zero(&mut self, from: u64, to: u64) -> io::Result<bool> {
        self.at = None;
        let mut at = from;
        while at < to {
            let n = usize::try_from(to - at).unwrap_or(usize::MAX).min(ZEROS.0.len());
            match self.file.write_at(&ZEROS.0[..n], at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => at += n as u64,
                Err(e) if e.kind() == io::ErrorKind::InvalidInput => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dir: &Path, len: u64) -> (File, Direct) {
        let path = dir.join("f");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        file.set_len(len).unwrap();
        let direct = Direct::open(&path, &file).expect("the file system of the tests takes direct writes");
        (file, direct)
    }

    fn content(file: &File) -> Vec<u8> {
        let mut all = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut all, 0).unwrap();
        all
    }

    #[test]
    fn pieces_of_every_length_stand_one_behind_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let (file, mut direct) = file(dir.path(), 1 << 20);
        let mut expect = vec![0; 1 << 20];
        let mut at = 0;
        for (i, len) in [1, 4095, 4096, 7, 9000, 4081, 300_000, 1, 12_288].into_iter().enumerate() {
            let piece = vec![i as u8 + 1; len];
            assert!(direct.append(&file, &piece, at).unwrap());
            expect[at as usize..at as usize + len].copy_from_slice(&piece);
            at += len as u64;
            assert!(content(&file) == expect, "after {len} bytes");
        }
    }

    #[test]
    fn a_write_elsewhere_keeps_what_stands_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let (file, mut direct) = file(dir.path(), 64 << 10);
        file.write_all_at(&[7; 5000], 0).unwrap();
        assert!(direct.append(&file, &[8; 10], 5000).unwrap());
        file.write_all_at(&[9; 10], 5000).unwrap();
        direct.forget();
        assert!(direct.append(&file, &[6; 10], 5010).unwrap());
        let all = content(&file);
        assert_eq!(
            (&all[4990..5000], &all[5000..5010], &all[5010..5020]),
            (&[7; 10][..], &[9; 10][..], &[6; 10][..])
        );
        assert!(all[5020..].iter().all(|b| *b == 0));
    }

    #[test]
    fn the_file_never_grows() {
        let dir = tempfile::tempdir().unwrap();
        let (file, mut direct) = file(dir.path(), 10_000);
        assert!(direct.append(&file, &[1; 4000], 0).unwrap());
        assert!(!direct.append(&file, &[1; 5000], 4000).unwrap(), "the last page is not a whole one");
        assert_eq!(content(&file).len(), 10_000);
    }

    #[test]
    fn another_file_under_the_name_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let (file, _) = file(dir.path(), 8192);
        std::fs::rename(dir.path().join("f"), dir.path().join("g")).unwrap();
        std::fs::write(dir.path().join("f"), [0; 8192]).unwrap();
        assert!(Direct::open(&dir.path().join("f"), &file).is_none());
    }

    #[test]
    fn zeros_are_written_over_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let (file, mut direct) = file(dir.path(), 2 << 20);
        file.write_all_at(&[5; 2 << 20], 0).unwrap();
        assert!(direct.zero(4096, (1 << 20) + 4096).unwrap());
        let all = content(&file);
        assert!(all[4096..(1 << 20) + 4096].iter().all(|b| *b == 0));
        assert!(all[..4096].iter().chain(&all[(1 << 20) + 4096..]).all(|b| *b == 5));
    }
}
