//! Where the server's time goes while it is measured: `perf record` beside the measured time, for flame graphs.
//!
//! Invariant: the recorder ends with its handle, and a recording that failed fails the run: there is no empty profile.

use crate::clock::now;
use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Samples a second of each core: primes, so that they do not beat with timers.
#[derive(Debug, Clone, Copy)]
pub enum Frequency {
    /// For what goes on for seconds.
    Usual,
    /// For what is over in a fraction of one.
    High,
}

impl Frequency {
    fn word(self) -> &'static str {
        match self {
            Frequency::Usual => "997",
            Frequency::High => "9973",
        }
    }
}

/// So much of each stack is kept, and unwound later by the tables that every binary carries: a release binary has no
/// frame pointers. A read's buffer of 16 KiB lies on the stack of a session; less than this would cut that off.
const STACK: &str = "dwarf,24576";

/// How long `perf` may take to begin.
const PATIENCE: Duration = Duration::from_secs(10);

/// A recording of processes, ready or going on.
#[derive(Debug)]
pub struct Recording {
    perf: Child,
    file: PathBuf,
    /// What `perf` is told, and what it answers.
    control: File,
    answers: File,
    _pipes: TempDir,
}

impl Recording {
    /// Gets ready to record these processes into a file; nothing is recorded yet.
    pub fn prepare(file: &Path, pids: &[u32], frequency: Frequency) -> Result<Recording> {
        ensure!(!pids.is_empty(), "a server that is not on this machine cannot be profiled");
        let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
        let pipes = TempDir::new()?;
        let (control, to) = pipe(&pipes, "control")?;
        let (answers, from) = pipe(&pipes, "answers")?;
        let mut command = Command::new("perf");
        command.args(["record", "--quiet", "--freq", frequency.word(), "--call-graph", STACK, "--delay=-1"]);
        command.arg(format!("--control=fifo:{},{}", to.display(), from.display()));
        command.args(["--pid", &pids.join(","), "--output"]).arg(file);
        if geteuid().is_root() {
            // Others may only lock the little that is the default, and lose samples while the machine is busy.
            command.args(["--mmap-pages", "16M"]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let perf = command.spawn().context("cannot run perf: is it installed?")?;
        Ok(Recording { perf, file: file.to_owned(), control, answers, _pipes: pipes })
    }

    /// From now on, or as soon as `perf` hears of it; does not wait.
    pub fn enable(&mut self) -> Result<()> {
        Ok(self.control.write_all(b"enable\n")?)
    }

    /// Waits until what was enabled is recorded.
    pub fn wait(&mut self) -> Result<()> {
        let begin = now();
        let mut answer = [0; 16];
        loop {
            match self.answers.read(&mut answer) {
                Ok(length) if length > 0 => return Ok(()),
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
                _ => {}
            }
            // Why it ended is said at the end.
            let is_over = self.perf.try_wait()?.is_some() || begin.elapsed() > PATIENCE;
            ensure!(!is_over, "perf did not begin");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends it; the file is complete.
    pub fn end(mut self) -> Result<()> {
        if self.perf.try_wait()?.is_none() {
            kill_process(Pid::from_child(&self.perf), Signal::INT)?;
        }
        let mut said = String::new();
        if let Some(stderr) = &mut self.perf.stderr {
            stderr.read_to_string(&mut said)?;
        }
        self.perf.wait()?;
        // Its exit code is that of the interrupt; what it wrote is the verdict.
        let length = std::fs::metadata(&self.file).map_or(0, |about| about.len());
        if length == 0 {
            bail!("perf recorded nothing: {}", said.trim().replace('\n', " "));
        }
        Ok(())
    }
}

/// A named pipe, open here, so that what is written before the other side comes is kept.
fn pipe(folder: &TempDir, name: &str) -> Result<(File, PathBuf)> {
    let path = folder.path().join(name);
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits())?;
    let file = File::options().read(true).write(true).custom_flags(nonblocking).open(&path)?;
    Ok((file, path))
}

impl Drop for Recording {
    fn drop(&mut self) {
        // After `end` it is gone already.
        let _ended = self.perf.kill();
        let _reaped = self.perf.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_recorded_is_an_error() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("perf.data");
        assert!(Recording::prepare(&file, &[], Frequency::Usual).is_err(), "a server elsewhere");
        // No process has this number; where perf is not installed, beginning fails.
        let ended = Recording::prepare(&file, &[u32::MAX / 2], Frequency::High).and_then(Recording::end);
        assert!(ended.is_err(), "{ended:?}");
    }
}
