//! An open file of a process.
//!
//! Invariant: every change passes through the disk's count, so that the process can die between any two of them.

use super::inode::{Inode, SECTOR};
use super::{Pass, SimDisk, State, dead};
use crate::world::lock;
use arqon_store_embedded::disk::DiskFile;
use std::io;

pub(super) struct SimFile {
    disk: SimDisk,
    life: u64,
    inode: u64,
}

impl SimFile {
    pub fn new(disk: &SimDisk, state: &mut State, inode: u64) -> Self {
        if let Some(inode) = state.inodes.get_mut(&inode) {
            inode.open += 1;
        }
        SimFile { disk: disk.clone(), life: state.life, inode }
    }

    fn change<T>(&self, act: impl FnOnce(&mut State, &mut Inode, Pass) -> io::Result<T>) -> io::Result<T> {
        let mut state = lock(&self.disk.state);
        let pass = state.change(self.life)?;
        let Some(mut inode) = state.inodes.remove(&self.inode) else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the file is gone"));
        };
        let done = act(&mut state, &mut inode, pass);
        state.inodes.insert(self.inode, inode);
        if pass == Pass::Dies { Err(dead()) } else { done }
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = lock(&self.disk.state);
        if state.life == self.life
            && let Some(inode) = state.inodes.get_mut(&self.inode)
        {
            inode.open = inode.open.saturating_sub(1);
        }
    }
}

fn size(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

impl DiskFile for SimFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let state = lock(&self.disk.state);
        state.alive(self.life)?;
        let Some(inode) = state.inodes.get(&self.inode) else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the file is gone"));
        };
        let rest = inode.now.get(size(at)..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn write_at(&self, buf: &[u8], at: u64) -> io::Result<()> {
        self.change(|state, inode, pass| {
            let at = size(at);
            let more = (at + buf.len()).saturating_sub(inode.now.len());
            let used = inode.now.len() as u64;
            if more > 0 {
                state.room_for(more as u64 + used)?;
            }
            let fails = state.faults.write_fails;
            let mut n = buf.len();
            let failed = state.may_fail(fails);
            if pass == Pass::Dies || failed.is_err() {
                n = state.dice.index(n + 1);
                if state.dice.chance(700) {
                    n -= n % SECTOR;
                }
            }
            inode.write(&buf[..n], at);
            if state.dice.chance(50) {
                inode.write_back(&mut state.dice);
            }
            failed
        })
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        self.change(|state, inode, pass| {
            let used = inode.now.len() as u64;
            state.room_for(len.max(used))?;
            let fails = state.faults.write_fails;
            state.may_fail(fails)?;
            let len = if pass == Pass::Dies { state.dice.below(len + 1) } else { len };
            inode.preallocate(size(len));
            Ok(())
        })
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.change(|state, inode, pass| {
            if pass == Pass::Go || state.dice.chance(500) {
                inode.truncate(size(len));
            }
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change(|state, inode, pass| {
            if pass == Pass::Dies {
                inode.write_back(&mut state.dice);
                return Ok(());
            }
            if state.dice.chance(state.faults.sync_fails) {
                return Err(inode.fail_sync(&mut state.dice));
            }
            inode.sync();
            if inode.named {
                Ok(())
            } else {
                Err(io::Error::new(io::ErrorKind::NotFound, "the file was deleted while it was in use"))
            }
        })
    }

    fn size(&self) -> io::Result<u64> {
        let state = lock(&self.disk.state);
        state.alive(self.life)?;
        let inode = state.inodes.get(&self.inode).ok_or_else(|| io::Error::other("the file is gone"))?;
        Ok(inode.now.len() as u64)
    }
}
