//! `log/confirmed`: how far everything was confirmed, rewritten after each flush.
//!
//! Two slots are written by turns, so that one torn write leaves the other. It is not flushed with each block: it
//! survives the process, and mostly the machine. Invariant: it never says more than was written; with `flush = interval` it
//! may say more than is on disk after the machine stopped, and what is missing then counts as damage; it may always say less.

use super::fields::{Fields, Put};
use super::format::Tail;
use crate::disk::{Disk, DiskFile};
use crc32c::crc32c;
use std::io;
use std::sync::Arc;

pub(crate) const PATH: &str = "log/confirmed";
const MAGIC: u64 = u64::from_le_bytes(*b"ARQCONF\x01");
pub(crate) const SLOT: u64 = 4096;

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Confirmed {
    pub log_id: u64,
    pub tail: Tail,
    turn: u64,
}

/// The file, open for writing.
pub(crate) struct ConfirmedFile {
    file: Arc<dyn DiskFile>,
    log_id: u64,
    turn: u64,
    bytes: Vec<u8>,
}

/// What is left of the two slots.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Slots {
    /// How many are whole.
    pub whole: usize,
    /// How many were written and cannot be read. A slot fits into one sector, so this is damage and no torn write.
    pub harmed: usize,
}

/// Reads the newer slot that is whole, and what is left of them.
pub(crate) fn read(disk: &dyn Disk) -> (Option<Confirmed>, Slots) {
    let Ok(file) = disk.open(PATH) else { return (None, Slots::default()) };
    let (mut newest, mut slots) = (None::<Confirmed>, Slots::default());
    for at in [0, SLOT] {
        let mut bytes = [0; 128];
        let n = file.read_at(&mut bytes, at).unwrap_or(0);
        match read_slot(&bytes[..n]) {
            Some(found) => {
                slots.whole += 1;
                newest = newest.into_iter().chain([found]).max_by_key(|c| c.turn);
            }
            // It was never written.
            None if n == bytes.len() && bytes.iter().all(|b| *b == 0) => {}
            None => slots.harmed += 1,
        }
    }
    (newest, slots)
}

fn read_slot(bytes: &[u8]) -> Option<Confirmed> {
    let mut f = Fields(bytes);
    if f.u64()? != MAGIC {
        return None;
    }
    let confirmed = Confirmed { log_id: f.u64()?, turn: f.u64()?, tail: Tail::read(&mut f)? };
    let used = bytes.len() - f.0.len();
    (f.u32()? == crc32c(&bytes[..used])).then_some(confirmed)
}

impl ConfirmedFile {
    /// Opens the file, made if it is not there.
    pub fn open(disk: &dyn Disk, log_id: u64) -> io::Result<Self> {
        let turn = read(disk).0.map_or(0, |c| c.turn);
        let file = match disk.open(PATH) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let file = disk.create(PATH)?;
                file.write_at(&[0; 2 * SLOT as usize], 0)?;
                let mut new = ConfirmedFile { file, log_id, turn, bytes: Vec::with_capacity(128) };
                // One slot is whole from the beginning on, so that a crash while the other is written leaves one.
                new.write(Tail::default())?;
                new.sync()?;
                disk.sync_dir("log")?;
                return Ok(new);
            }
            Err(e) => return Err(e),
        };
        Ok(ConfirmedFile { file, log_id, turn, bytes: Vec::with_capacity(128) })
    }

    /// Writes where the log stands.
    pub fn write(&mut self, tail: Tail) -> io::Result<()> {
        let turn = self.turn.wrapping_add(1);
        self.bytes.clear();
        self.bytes.u64(MAGIC);
        self.bytes.u64(self.log_id);
        self.bytes.u64(turn);
        tail.put(&mut self.bytes);
        let crc = crc32c(&self.bytes);
        self.bytes.u32(crc);
        self.file.write_at(&self.bytes, (turn % 2) * SLOT)?;
        // After a failure the same slot is written again: the other one is whole.
        self.turn = turn;
        Ok(())
    }

    /// Makes it durable.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}
