//! The small file beside the store that says how far the store had come.
//!
//! Two slots are written in turn, so that a torn write leaves the other one whole. Invariant: it is never ahead of
//! what was written to the store.

use super::document::Marks;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Each slot in a sector of its own.
const SLOT: u64 = 512;

pub(super) struct Mirror {
    file: File,
    failed: bool,
}

impl Mirror {
    /// Opens the file; answers the highest marks in it.
    pub(super) fn open(path: &Path) -> std::io::Result<(Self, Marks)> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut marks = Marks::default();
        for slot in 0..2 {
            let mut bytes = [0; 20];
            let read = file.read_exact_at(&mut bytes, slot * SLOT);
            if let (Ok(()), Ok(found)) = (read, Marks::decode(&bytes)) {
                marks = if found.last > marks.last { found } else { marks };
            }
        }
        Ok((Mirror { file, failed: false }, marks))
    }

    /// Writes the marks. A failure costs only the ability to notice a loss, so it is said once and not passed on.
    pub(super) fn write(&mut self, marks: Marks) {
        let written = self.file.write_all_at(&marks.encode(), (marks.last % 2) * SLOT);
        if let (Err(error), false) = (&written, self.failed) {
            tracing::warn!(%error, "the mark of the records cannot be written");
        }
        self.failed = written.is_err();
    }

    pub(super) fn sync(&self) -> std::io::Result<()> {
        self.file.sync_data()
    }
}
