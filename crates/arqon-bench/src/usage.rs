//! What the kernel knows: processor time and memory of processes, and what machine it is.
//!
//! Invariant: figures of a server are `None` where its processes are not known, never zero.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Ticks a second in /proc; fixed for user space on every architecture that we measure on.
const TICKS: f64 = 100.0;

/// Processor time spent so far, in seconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// By the server's processes.
    pub server: Option<f64>,
    /// By this program.
    pub load: f64,
    /// By everything on the machine.
    pub all: f64,
}

impl Usage {
    /// Reads it; `server` are the server's processes, if they are known.
    pub fn read(server: &[u32]) -> Result<Usage> {
        let of = |pid: &str| process(pid).with_context(|| format!("/proc/{pid}/stat: the process is gone"));
        let spent: Result<f64> = server.iter().map(|pid| of(&pid.to_string())).sum();
        Ok(Usage {
            server: (!server.is_empty()).then_some(spent?),
            load: of("self")?,
            all: machine().context("/proc/stat")?,
        })
    }

    /// What was spent since an earlier reading.
    pub fn since(self, earlier: Usage) -> Usage {
        Usage {
            server: self.server.zip(earlier.server).map(|(now, then)| now - then),
            load: self.load - earlier.load,
            all: self.all - earlier.all,
        }
    }

    /// What neither the server nor this program spent.
    pub fn others(self) -> Option<f64> {
        self.server.map(|server| (self.all - server - self.load).max(0.0))
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

/// Resident memory of processes, in KiB.
pub fn resident_kib(pids: &[u32]) -> Result<f64> {
    let of = |pid: &u32| -> Result<f64> {
        let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    };
    pids.iter().map(of).sum()
}

/// The process that listens on a TCP port of this machine, if it may be looked at.
pub fn listener(port: u16) -> Option<u32> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let text = fs::read_to_string(table).ok()?;
        text.lines().skip(1).find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
            let listens = *state == "0A" && local.ends_with(&format!(":{port:04X}"));
            listens.then(|| format!("socket:[{inode}]"))
        })
    })?;
    let processes =
        fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    processes.into_iter().find(|pid: &u32| {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        files
            .flatten()
            .any(|file| fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == inode.as_str()))
    })
}

/// What a program says when asked for its version: the first line.
pub fn said(program: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// The machine in one line: cores, processor, kernel.
pub fn describe() -> String {
    let processor = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = said(Path::new("uname"), &["-sr"]);
    let unknown = || "unknown".to_owned();
    format!("{cores} cores ({}), {}", processor.unwrap_or_else(unknown), kernel.unwrap_or_else(unknown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_understood() {
        let own = [std::process::id()];
        let usage = Usage::read(&own).unwrap();
        assert!(usage.all > 0.0 && usage.server.is_some());
        assert!(usage.since(usage).others().is_some_and(|others| others.abs() < f64::EPSILON));
        assert!(Usage::read(&[]).unwrap().others().is_none(), "unknown is not zero");
        assert!(resident_kib(&own).unwrap() > 100.0);
    }

    #[test]
    fn a_listener_is_found_by_its_port() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(listener(socket.local_addr().unwrap().port()), Some(std::process::id()));
    }
}
