//! One file: its content for the kernel and on the medium.
//!
//! Invariant: what is not dirty is the same in both, except where a failed flush has left them apart.

use crate::dice::Dice;
use std::collections::BTreeSet;
use std::io;

/// What the medium writes as a whole.
pub(super) const SECTOR: usize = 512;

#[derive(Debug)]
pub(super) struct Inode {
    /// As the kernel has it.
    pub now: Vec<u8>,
    /// As it is on the medium.
    pub safe: Vec<u8>,
    /// Sectors that were written and not flushed.
    dirty: BTreeSet<usize>,
    /// Sectors that a failed flush left behind: clean for the kernel, old on the medium.
    lied: BTreeSet<usize>,
    /// Whether a name leads here.
    pub named: bool,
    /// Handles.
    pub open: usize,
}

impl Inode {
    pub fn new() -> Self {
        Inode {
            now: Vec::new(),
            safe: Vec::new(),
            dirty: BTreeSet::new(),
            lied: BTreeSet::new(),
            named: true,
            open: 0,
        }
    }

    pub fn write(&mut self, bytes: &[u8], at: usize) {
        if bytes.is_empty() {
            return;
        }
        let end = at + bytes.len();
        if self.now.len() < end {
            self.now.resize(end, 0);
        }
        self.now[at..end].copy_from_slice(bytes);
        let sectors = at / SECTOR..=(end - 1) / SECTOR;
        self.lied.retain(|s| !sectors.contains(s));
        self.dirty.extend(sectors);
    }

    pub fn truncate(&mut self, len: usize) {
        self.now.resize(len, 0);
    }

    /// Zeros that are on the medium.
    pub fn preallocate(&mut self, len: usize) {
        self.now.resize(len, 0);
        self.sync();
    }

    pub fn sync(&mut self) {
        self.safe.resize(self.now.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            self.settle(sector);
        }
    }

    /// The kernel writes something back by itself.
    pub fn write_back(&mut self, dice: &mut Dice) {
        let some: Vec<usize> = self.dirty.iter().copied().filter(|_| dice.chance(300)).collect();
        for sector in some {
            if self.safe.len() >= self.now.len() {
                self.dirty.remove(&sector);
                self.settle(sector);
            }
        }
    }

    /// A flush that fails: some of it was written, and the kernel forgets that the rest was not.
    pub fn fail_sync(&mut self, dice: &mut Dice) -> io::Error {
        if dice.chance(700) {
            self.safe.resize(self.now.len(), 0);
        }
        for sector in std::mem::take(&mut self.dirty) {
            if dice.chance(500) {
                self.settle(sector);
            } else {
                self.lied.insert(sector);
            }
        }
        io::Error::other("input/output error while flushing")
    }

    fn range(&self, sector: usize) -> (usize, usize) {
        let end = ((sector + 1) * SECTOR).min(self.now.len()).min(self.safe.len());
        ((sector * SECTOR).min(end), end)
    }

    fn settle(&mut self, sector: usize) {
        let (from, to) = self.range(sector);
        self.safe[from..to].copy_from_slice(&self.now[from..to]);
    }

    /// The machine is off: of what was dirty, some is on the medium.
    pub fn lose_power(&mut self, dice: &mut Dice) {
        if self.now.len() != self.safe.len() && dice.chance(500) {
            self.safe.resize(self.now.len(), 0);
        }
        let all = dice.chance(150);
        let none = dice.chance(150);
        for sector in std::mem::take(&mut self.dirty) {
            if all || (!none && dice.chance(500)) {
                self.settle(sector);
            }
        }
        self.lied.clear();
        self.now.clone_from(&self.safe);
    }

    /// Nobody has it open any more: what is clean may leave memory, and comes back as it is on the medium.
    pub fn evict(&mut self, dice: &mut Dice) {
        self.open = 0;
        if self.lied.is_empty() || dice.chance(500) {
            return;
        }
        for sector in std::mem::take(&mut self.lied) {
            let (from, to) = self.range(sector);
            self.now[from..to].copy_from_slice(&self.safe[from..to]);
        }
    }

    pub fn flip(&mut self, at: usize, bit: u8) {
        self.now[at] ^= bit;
        if let Some(byte) = self.safe.get_mut(at) {
            *byte ^= bit;
        }
    }
}
