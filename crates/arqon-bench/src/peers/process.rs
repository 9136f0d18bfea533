//! Peers as processes of our own, each on a fresh folder and a free port, killed when their handle goes.
//!
//! Invariant: a peer that is handed out has taken a command on its port.

use crate::clock::now;
use crate::port::outside_ephemeral;
use crate::system::Stop;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// How long a peer may take until it serves, its log read.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running peer.
pub struct Process {
    program: PathBuf,
    arguments: Vec<String>,
    probe: Probe,
    child: Child,
    folder: TempDir,
    /// Where it listens.
    pub port: u16,
    /// Where it listens for WebSocket, if it does.
    pub websocket: u16,
}

/// How a peer is asked whether it serves.
#[derive(Debug, Clone, Copy)]
enum Probe {
    /// It listens only when it does.
    Listens,
    /// It listens before, and answers a `PING` only when it does.
    Pong,
}

impl Process {
    /// Its process, to read processor time and memory of.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops it and starts it again on the same folder and ports; how long it took to serve.
    pub fn restart(&mut self, how: Stop) -> Result<Duration> {
        match how {
            Stop::Kill => self.child.kill()?,
            Stop::Orderly => {
                let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
                anyhow::ensure!(status.success(), "cannot stop {}", self.program.display());
            }
        }
        self.child.wait()?;
        let begin = now();
        self.child = spawn(&self.program, &self.arguments, self.folder.path())?;
        self.wait()?;
        Ok(begin.elapsed())
    }

    fn wait(&mut self) -> Result<()> {
        let begin = now();
        while !serves(self.port, self.probe) {
            let ended = self.child.try_wait()?;
            if ended.is_some() || begin.elapsed() > PATIENCE {
                let said = fs::read_to_string(self.folder.path().join("peer.log")).unwrap_or_default();
                bail!("{} does not serve ({ended:?}): {said}", self.program.display());
            }
            // Not a test: how often to ask a process of somebody else.
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; its folder goes in any case.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn serves(port: u16, probe: Probe) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    match probe {
        Probe::Listens => true,
        Probe::Pong => {
            let mut answer = [0; 5];
            stream.write_all(b"PING\r\n").is_ok()
                && stream.read_exact(&mut answer).is_ok()
                && &answer == b"+PONG"
        }
    }
}

fn spawn(program: &Path, arguments: &[String], folder: &Path) -> Result<Child> {
    let log = File::options().create(true).append(true).open(folder.join("peer.log"))?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().with_context(|| format!("cannot start {}", program.display()))
}

/// Starts a program in a folder of its own under `disk`; `arguments` is given the folder and the two ports.
fn start(
    program: &Path,
    disk: &Path,
    probe: Probe,
    arguments: impl FnOnce(&Path, u16, u16) -> Result<Vec<String>>,
) -> Result<Process> {
    let disk = fs::canonicalize(disk).with_context(|| disk.display().to_string())?;
    let folder = TempDir::with_prefix_in("arqon-peer-", disk).context("a folder for a peer")?;
    let (port, websocket) = (outside_ephemeral()?, outside_ephemeral()?);
    let arguments = arguments(folder.path(), port, websocket)?;
    let child = spawn(program, &arguments, folder.path())?;
    let mut process =
        Process { program: program.to_owned(), arguments, probe, child, folder, port, websocket };
    process.wait()?;
    Ok(process)
}

/// Redis without snapshots; `appendfsync` is given where it has to keep what it is told.
pub fn redis(program: &Path, disk: &Path, appendfsync: Option<&str>) -> Result<Process> {
    start(program, disk, Probe::Pong, |folder, port, _| {
        let mut arguments: Vec<String> =
            ["--save", "", "--bind", "127.0.0.1", "--loglevel", "warning"].map(str::to_owned).to_vec();
        arguments.extend(["--port".to_owned(), port.to_string(), "--dir".to_owned(), text(folder)?]);
        arguments.extend(["--maxclients", "20000", "--auto-aof-rewrite-percentage", "0"].map(str::to_owned));
        if let Some(when) = appendfsync {
            arguments.extend(["--appendonly", "yes", "--appendfsync", when].map(str::to_owned));
        }
        Ok(arguments)
    })
}

/// NATS with WebSocket and JetStream; `sync` is its `sync_interval`, or its own default.
pub fn nats(program: &Path, disk: &Path, sync: Option<&str>) -> Result<Process> {
    start(program, disk, Probe::Listens, |folder, port, websocket| {
        let store = text(&folder.join("store"))?;
        let sync = sync.map(|sync| format!("sync_interval: {sync}, ")).unwrap_or_default();
        let config = format!(
            "listen: \"127.0.0.1:{port}\"\n\
             websocket {{ listen: \"127.0.0.1:{websocket}\", no_tls: true, compression: false }}\n\
             jetstream {{ store_dir: \"{store}\", {sync}max_file_store: 64GB }}\n"
        );
        let path = folder.join("nats.conf");
        fs::write(&path, config)?;
        Ok(vec!["-c".to_owned(), text(&path)?])
    })
}

/// This program itself as the floor: it moves bytes and does nothing else.
pub fn floor(program: &Path, disk: &Path, kind: &str) -> Result<Process> {
    start(program, disk, Probe::Listens, |_, port, _| {
        Ok(vec!["floor".to_owned(), kind.to_owned(), "--port".to_owned(), port.to_string()])
    })
}

/// What a program says of its version: the first word that is a number.
pub fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split_whitespace().find_map(|word| {
        let word = word.trim_start_matches("v=").trim_start_matches('v');
        word.starts_with(|c: char| c.is_ascii_digit()).then(|| word.to_owned())
    });
    version.filter(|_| output.status.success())
}

/// A program by its path, or by its name where the system looks for programs.
pub fn find(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        // It is started in a folder of its own.
        return fs::canonicalize(program).ok().filter(|program| program.is_file());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}

fn text(path: &Path) -> Result<String> {
    Ok(path.to_str().context("the folder's name is not UTF-8")?.to_owned())
}
