//! `log/running`: that the log is written without being flushed each time (`flush = interval`), and since which start of the
//! machine. If the machine stops, the last records may be gone although their positions were given out.
//!
//! Invariant: it is there from before the first such record until everything was flushed and the log closed; so an opening
//! that finds it, and another start of the machine, knows that the end may be missing.

use crate::disk::Disk;
use std::io;

const PATH: &str = "log/running";
/// No start of a machine is named so.
const UNKNOWN: &[u8] = b"?";

/// Whether the end of the log may be missing.
pub(crate) fn end_may_be_missing(disk: &dyn Disk) -> bool {
    let Ok(file) = disk.open(PATH) else { return false };
    let mut noted = [0; 128];
    let Ok(n) = file.read_at(&mut noted, 0) else { return true };
    disk.boot().is_none_or(|boot| boot.as_bytes() != &noted[..n])
}

/// Notes that records are written unflushed from now on.
pub(crate) fn note(disk: &dyn Disk) -> io::Result<()> {
    write(disk, disk.boot().as_deref().map_or(UNKNOWN, str::as_bytes))
}

/// Notes that a flush failed: the end may be missing whether the machine stops or not.
pub(crate) fn doubt(disk: &dyn Disk) -> io::Result<()> {
    write(disk, UNKNOWN)
}

fn write(disk: &dyn Disk, boot: &[u8]) -> io::Result<()> {
    let file = disk.create(PATH)?;
    file.write_at(boot, 0)?;
    file.sync_data()?;
    disk.sync_dir("log")
}

/// Everything is flushed.
pub(crate) fn forget(disk: &dyn Disk) -> io::Result<()> {
    match disk.remove(PATH) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| disk.sync_dir("log")),
    }
}
