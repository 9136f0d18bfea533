//! The simulated disk: what a process has written, what would survive the machine, and everything between.
//!
//! Each file has two contents: what the kernel holds, and what is on the medium; sectors of 512 bytes that differ are
//! dirty. A flush makes them equal. A crash of the process keeps what the kernel holds; a power loss keeps of each
//! dirty sector the old or the new, by dice, and of the changes to the folder (creations, renames, removals) that were
//! not flushed a part from the beginning, as a journaling file system does. A failing flush behaves as Linux does: the
//! pages are clean afterwards, whether they reached the medium or not, and the next flush succeeds.
//!
//! Invariant: after the moment of a crash nothing changes and every call of the process that died fails.

mod file;
mod inode;

use crate::dice::Dice;
use crate::world::lock;
use arqon_store_embedded::disk::{Disk, DiskFile, Locking};
use file::SimFile;
use inode::Inode;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

/// What a disk does to those who use it.
#[derive(Debug, Clone, Default)]
pub struct DiskFaults {
    /// How often in a thousand a flush fails.
    pub sync_fails: u64,
    /// How often in a thousand a write or another change fails.
    pub write_fails: u64,
    /// Bytes that fit; more is refused.
    pub capacity: Option<u64>,
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process dies, the machine stays.
    Kill,
    /// The machine dies.
    Power,
}

#[derive(Debug, Clone)]
enum Change {
    Set(String, u64),
    Remove(String),
    /// One change of the journal: it is never seen half done.
    Rename(String, String, u64),
}

struct State {
    dice: Dice,
    faults: DiskFaults,
    inodes: BTreeMap<u64, Inode>,
    next: u64,
    /// Names as the kernel has them, and as they are on the medium.
    names: BTreeMap<String, u64>,
    safe: BTreeMap<String, u64>,
    /// What leads from the one to the other.
    changes: Vec<Change>,
    /// The process that has the disk.
    life: u64,
    /// Changes until the process dies.
    fuse: Option<u64>,
    dead: bool,
    /// It died since the fuse was burnt, and was not buried yet.
    burnt: bool,
    operations: u64,
    /// How often the machine was started after a power loss.
    boots: u64,
}

/// The disk of a machine. Clones are one.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

/// What a change is allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    Go,
    /// The process dies in the middle of it.
    Dies,
}

fn dead() -> io::Error {
    io::Error::other("the process is dead")
}

impl State {
    fn alive(&self, life: u64) -> io::Result<()> {
        if self.dead || self.life != life { Err(dead()) } else { Ok(()) }
    }

    /// Every change passes here.
    fn change(&mut self, life: u64) -> io::Result<Pass> {
        self.alive(life)?;
        self.operations += 1;
        if let Some(left) = &mut self.fuse {
            if *left == 0 {
                self.fuse = None;
                self.dead = true;
                self.burnt = true;
                return Ok(Pass::Dies);
            }
            *left -= 1;
        }
        Ok(Pass::Go)
    }

    fn may_fail(&mut self, permille: u64) -> io::Result<()> {
        if self.dice.chance(permille) { Err(io::Error::other("input/output error")) } else { Ok(()) }
    }

    fn used(&self) -> u64 {
        self.names.values().filter_map(|id| self.inodes.get(id)).map(|inode| inode.now.len() as u64).sum()
    }

    fn room_for(&self, more: u64) -> io::Result<()> {
        match self.faults.capacity {
            Some(capacity) if self.used() + more > capacity => {
                Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device"))
            }
            _ => Ok(()),
        }
    }

    fn apply(&mut self, change: Change) {
        enter(&mut self.names, &change);
        self.changes.push(change);
        let names = &self.names;
        for (id, inode) in &mut self.inodes {
            inode.named = names.values().any(|named| named == id);
        }
    }
}

fn enter(names: &mut BTreeMap<String, u64>, change: &Change) {
    match change {
        Change::Set(name, inode) => {
            names.insert(name.clone(), *inode);
        }
        Change::Remove(name) => {
            names.remove(name);
        }
        Change::Rename(from, to, inode) => {
            names.remove(from);
            names.insert(to.clone(), *inode);
        }
    }
}

impl SimDisk {
    /// An empty one.
    pub fn new(dice: Dice) -> Self {
        let state = State {
            dice,
            faults: DiskFaults::default(),
            inodes: BTreeMap::new(),
            next: 1,
            names: BTreeMap::new(),
            safe: BTreeMap::new(),
            changes: Vec::new(),
            life: 0,
            fuse: None,
            dead: false,
            burnt: false,
            operations: 0,
            boots: 0,
        };
        SimDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// The disk for a process that begins now; any earlier one has lost it.
    pub fn mount(&self) -> Arc<dyn Disk> {
        let mut state = lock(&self.state);
        state.life += 1;
        state.dead = false;
        state.fuse = None;
        Arc::new(Mount { disk: self.clone(), life: state.life })
    }

    /// Changes what goes wrong.
    pub fn set_faults(&self, change: impl FnOnce(&mut DiskFaults)) {
        change(&mut lock(&self.state).faults);
    }

    /// Lets the process die after so many more changes, in the middle of the next one.
    pub fn light_fuse(&self, changes: u64) {
        lock(&self.state).fuse = Some(changes);
    }

    /// Puts the fuse out.
    pub fn snuff(&self) {
        lock(&self.state).fuse = None;
    }

    /// Whether the process has died at a change and was not buried yet.
    pub fn has_died(&self) -> bool {
        lock(&self.state).burnt
    }

    /// Bytes that its files take.
    pub fn used(&self) -> u64 {
        lock(&self.state).used()
    }

    /// The end of the process (and of what the machine held only in memory).
    pub fn crash(&self, crash: Crash) {
        let mut state = lock(&self.state);
        let state = &mut *state;
        state.dead = true;
        state.burnt = false;
        state.fuse = None;
        if crash == Crash::Power {
            state.boots += 1;
            let kept = state.dice.index(state.changes.len() + 1);
            for change in &state.changes[..kept] {
                enter(&mut state.safe, change);
            }
            state.names.clone_from(&state.safe);
        }
        let named: Vec<u64> = state.names.values().chain(state.safe.values()).copied().collect();
        state.inodes.retain(|id, _| named.contains(id));
        for inode in state.inodes.values_mut() {
            match crash {
                Crash::Power => inode.lose_power(&mut state.dice),
                Crash::Kill => inode.evict(&mut state.dice),
            }
        }
        if crash == Crash::Power {
            state.changes.clear();
        }
    }

    /// Flips one bit somewhere in the files, mostly where something is written. Answers the place.
    pub fn flip(&self) -> Option<(String, u64)> {
        let mut state = lock(&self.state);
        let state = &mut *state;
        let files: Vec<(&String, u64)> = state.names.iter().map(|(name, id)| (name, *id)).collect();
        for _ in 0..50 {
            if files.is_empty() {
                return None;
            }
            let (name, id) = files[state.dice.index(files.len())];
            let Some(inode) = state.inodes.get_mut(&id) else { continue };
            if inode.now.is_empty() {
                continue;
            }
            let at = state.dice.index(inode.now.len());
            if inode.now[at] == 0 && state.dice.chance(950) {
                continue;
            }
            inode.flip(at, 1 << state.dice.below(8));
            return Some((name.clone(), at as u64));
        }
        None
    }
}

/// The disk as one process has it.
struct Mount {
    disk: SimDisk,
    life: u64,
}

fn missing(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no such file: {path}"))
}

impl Disk for Mount {
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = lock(&self.disk.state);
        let pass = state.change(self.life)?;
        let fails = state.faults.write_fails;
        state.may_fail(fails)?;
        let inode = state.next;
        state.next += 1;
        if pass == Pass::Go || state.dice.chance(500) {
            state.inodes.insert(inode, Inode::new());
            state.apply(Change::Set(path.to_owned(), inode));
        }
        match pass {
            Pass::Go => Ok(Arc::new(SimFile::new(&self.disk, &mut state, inode))),
            Pass::Dies => Err(dead()),
        }
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = lock(&self.disk.state);
        state.alive(self.life)?;
        let inode = *state.names.get(path).ok_or_else(|| missing(path))?;
        Ok(Arc::new(SimFile::new(&self.disk, &mut state, inode)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = lock(&self.disk.state);
        let pass = state.change(self.life)?;
        let fails = state.faults.write_fails;
        state.may_fail(fails)?;
        let inode = *state.names.get(from).ok_or_else(|| missing(from))?;
        if pass == Pass::Go || state.dice.chance(500) {
            state.apply(Change::Rename(from.to_owned(), to.to_owned(), inode));
        }
        if pass == Pass::Dies { Err(dead()) } else { Ok(()) }
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = lock(&self.disk.state);
        let pass = state.change(self.life)?;
        if !state.names.contains_key(path) {
            return Err(missing(path));
        }
        if pass == Pass::Go || state.dice.chance(500) {
            state.apply(Change::Remove(path.to_owned()));
        }
        if pass == Pass::Dies { Err(dead()) } else { Ok(()) }
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let mut state = lock(&self.disk.state);
        state.alive(self.life)?;
        let prefix = format!("{folder}/");
        let mut names: Vec<String> =
            state.names.keys().filter_map(|name| name.strip_prefix(&prefix)).map(str::to_owned).collect();
        for at in (1..names.len()).rev() {
            let other = state.dice.index(at + 1);
            names.swap(at, other);
        }
        Ok(names)
    }

    fn make_dir(&self, _folder: &str) -> io::Result<()> {
        lock(&self.disk.state).alive(self.life)
    }

    fn sync_dir(&self, _folder: &str) -> io::Result<()> {
        let mut state = lock(&self.disk.state);
        let pass = state.change(self.life)?;
        let fails = state.faults.sync_fails;
        state.may_fail(fails)?;
        if pass == Pass::Dies {
            return Err(dead());
        }
        let state = &mut *state;
        state.safe.clone_from(&state.names);
        state.changes.clear();
        let kept = &state.names;
        state.inodes.retain(|id, inode| inode.open > 0 || kept.values().any(|named| named == id));
        Ok(())
    }

    fn lock(&self, _path: &str) -> io::Result<Locking> {
        lock(&self.disk.state).alive(self.life)?;
        Ok(Locking::Held(Box::new(())))
    }

    fn boot(&self) -> Option<String> {
        Some(format!("start {}", lock(&self.disk.state).boots))
    }

    fn name(&self) -> String {
        "the simulated disk".to_owned()
    }
}
