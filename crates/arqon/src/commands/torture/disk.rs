//! A small file system of its own that can be filled for real, and emptied again.
//!
//! It is mounted in a mount namespace that belongs to this process alone (and in a user namespace, where the user is not
//! root), so that nothing outside sees it and nothing is left of it, however the process ends.
//!
//! Invariant: the disk that the user works on is never filled.

use super::dice::Dice;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Says to the process that was started anew in its namespace that it is there.
const INSIDE: &str = "ARQON_TORTURE_NAMESPACE";

/// How a small disk can be had here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Means {
    /// A file on the user's disk, formatted as ext4, over a loop device.
    Loop,
    /// In memory.
    Memory,
}

/// Starts this process anew in a mount namespace of its own; returns only where that is done or cannot be.
///
/// # Errors
/// There is no way to it here: a sentence that says why.
pub(super) fn enter_namespace() -> Result<(), String> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(());
    }
    if !cfg!(target_os = "linux") {
        return Err("a small disk of one's own needs Linux".to_owned());
    }
    let ways: [&[&str]; 2] = [
        &["--mount", "--propagation", "private"],
        &["--user", "--map-root-user", "--mount", "--propagation", "private"],
    ];
    let mut reasons = Vec::new();
    for way in ways {
        match attempt(Command::new("unshare").args(way).arg("true")) {
            Ok(()) => return Err(replace_self(way)),
            Err(reason) => reasons.push(reason),
        }
    }
    reasons.dedup();
    Err(format!("a file system of one's own cannot be mounted ({})", reasons.join("; ")))
}

/// Ends only in failure: where it succeeds this process goes on as another program.
fn replace_self(way: &[&str]) -> String {
    use std::os::unix::process::CommandExt;
    let own = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
    let mut command = Command::new("unshare");
    command.args(way).arg("--").arg(own).args(std::env::args_os().skip(1)).env(INSIDE, "1");
    format!("cannot run `unshare`: {}", command.exec())
}

/// Runs to its end in silence; what it complained about is the error.
fn attempt(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|e| format!("`{program}`: {e}"))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(said.lines().next().unwrap_or("it failed in silence").trim().to_owned())
        }
    }
}

/// A mounted small disk. It is unmounted when it is dropped.
pub(super) struct SmallDisk {
    place: PathBuf,
    means: Means,
    ballast: u32,
}

impl SmallDisk {
    /// Mounts one of that many MiB at a new folder `disk` of `folder`.
    pub(super) fn mount(folder: &Path, mebibytes: u64) -> Result<SmallDisk> {
        let place = folder.join("disk");
        std::fs::create_dir(&place).context("cannot make the folder of the small disk")?;
        let means = match mount_loop(folder, &place, mebibytes) {
            Ok(()) => Means::Loop,
            Err(_) => {
                let size = format!("size={mebibytes}m");
                let mut mount = Command::new("mount");
                mount.args(["-t", "tmpfs", "-o", &size, "arqon-torture"]).arg(&place);
                if let Err(reason) = attempt(&mut mount) {
                    bail!("cannot mount a small disk: {reason}");
                }
                Means::Memory
            }
        };
        Ok(SmallDisk { place, means, ballast: 0 })
    }

    pub(super) fn path(&self) -> &Path {
        &self.place
    }

    /// For people.
    pub(super) fn describe(&self) -> &'static str {
        match self.means {
            Means::Loop => "a small ext4 file system over a loop device, in a mount namespace of its own",
            Means::Memory => "a small tmpfs, in a mount namespace of its own",
        }
    }

    /// Copies the data out before it goes, as far as that is possible.
    pub(super) fn save_to(self, folder: &Path) {
        let mut copy = Command::new("cp");
        copy.args(["-a", "--sparse=always"]).arg(self.place.join("data")).arg(folder.join("data"));
        if let Err(reason) = attempt(&mut copy) {
            crate::terminal::note(&format!("the data of the small disk could not be kept: {reason}"));
        }
        let _ = std::fs::remove_file(folder.join("disk.img"));
    }

    /// Fills it up to a few bytes.
    pub(super) fn fill(&mut self, dice: &mut Dice) -> Result<()> {
        let spare = dice.below(200_000);
        self.ballast += 1;
        let mut file = File::create(self.place.join(format!("ballast-{}", self.ballast)))?;
        let block = vec![0x5a; 64 * 1024];
        let mut size = 64 * 1024;
        let mut written: u64 = 0;
        while size > 0 {
            match file.write(&block[..size]) {
                Ok(count) => written += count as u64,
                Err(e) if e.kind() == io::ErrorKind::StorageFull => size /= 2,
                Err(e) => return Err(e).context("cannot fill the small disk"),
            }
        }
        file.set_len(written.saturating_sub(spare)).context("cannot leave the spare bytes")?;
        file.sync_all().ok();
        Ok(())
    }

    /// Takes everything away again that filled it.
    pub(super) fn free(&mut self) -> Result<()> {
        for number in 1..=self.ballast {
            match std::fs::remove_file(self.place.join(format!("ballast-{number}"))) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(e).context("cannot free the small disk");
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // With the namespace it would go anyway; lazily, since a process that is being killed may still hold a file.
        let _ = attempt(Command::new("umount").arg("--lazy").arg(&self.place));
    }
}

fn mount_loop(folder: &Path, place: &Path, mebibytes: u64) -> Result<(), String> {
    let image = folder.join("disk.img");
    let file = File::create(&image).map_err(|e| e.to_string())?;
    file.set_len(mebibytes << 20).map_err(|e| e.to_string())?;
    drop(file);
    let made = attempt(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image))
        .and_then(|()| attempt(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(place)));
    if made.is_err() {
        let _ = std::fs::remove_file(&image);
    }
    made
}

/// Whether a small disk can be had: makes one and lets it go. Answers how, or why not.
pub(super) fn probe(folder: &Path) -> Result<&'static str, String> {
    let place = folder.join("probe");
    std::fs::create_dir(&place).map_err(|e| e.to_string())?;
    let disk = SmallDisk::mount(&place, 16).map_err(|e| format!("{e:#}"))?;
    let how = disk.describe();
    drop(disk);
    let _ = std::fs::remove_dir_all(&place);
    Ok(how)
}
