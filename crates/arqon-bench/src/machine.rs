//! What the kernel knows: processor time of processes and of the whole machine, and what machine it is.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Ticks a second in /proc; fixed for user space on every architecture that we measure on.
const TICKS: f64 = 100.0;

/// Processor time spent so far, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// By the server.
    pub server: f64,
    /// By this program.
    pub load: f64,
    /// By everything on the machine.
    pub all: f64,
}

impl Usage {
    /// Reads it.
    pub fn read(server: u32) -> Result<Usage> {
        let of = |pid: &str| process(pid).with_context(|| format!("/proc/{pid}/stat"));
        Ok(Usage {
            server: of(&server.to_string())?,
            load: of("self")?,
            all: machine().context("/proc/stat")?,
        })
    }

    /// What was spent since an earlier reading.
    pub fn since(self, earlier: Usage) -> Usage {
        Usage {
            server: self.server - earlier.server,
            load: self.load - earlier.load,
            all: self.all - earlier.all,
        }
    }

    /// What neither the server nor this program spent.
    pub fn others(self) -> f64 {
        (self.all - self.server - self.load).max(0.0)
    }
}

/// utime + stime of a process with all its threads.
fn process(pid: &str) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything; what follows it is regular. The first field there is the third.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS)
}

/// Everything but idle and waiting for disks.
fn machine() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let fields: Vec<f64> =
        text.lines().next()?.split_whitespace().skip(1).filter_map(|f| f.parse().ok()).collect();
    let busy = fields.iter().enumerate().filter(|(i, _)| !matches!(i, 3 | 4 | 8 | 9)).map(|(_, ticks)| ticks);
    Some(busy.sum::<f64>() / TICKS)
}

/// Machine, versions and commit, in a few lines.
pub fn describe(server: &Path) -> String {
    let said = |program: &Path, args: &[&str]| {
        let output = Command::new(program).args(args).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        Some(text.lines().next().unwrap_or_default().trim().to_owned())
    };
    let unknown = || "unknown".to_owned();
    let processor = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = said(Path::new("uname"), &["-sr"]).unwrap_or_else(unknown);
    let rustc = said(Path::new("rustc"), &["--version"]).unwrap_or_else(unknown);
    let version = said(server, &["--version"]).unwrap_or_else(unknown);
    let commit = said(Path::new("git"), &["rev-parse", "--short", "HEAD"]).unwrap_or_else(unknown);
    let processor = processor.unwrap_or_else(unknown);
    format!("{cores} cores ({processor}), {kernel}; {version} at commit {commit}, {rustc}, profile release")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_understood() {
        let usage = Usage::read(std::process::id()).unwrap();
        assert!(usage.all > 0.0 && usage.server >= 0.0);
        assert!(usage.since(usage).others().abs() < f64::EPSILON);
    }
}
