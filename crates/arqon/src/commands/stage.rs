//! Where `demo` and `torture` play: a scratch folder, a port, and real processes of this same binary.
//!
//! Invariant: every process ends with its handle; the user's own data and credentials are neither read nor written.

use anyhow::{Context, Result, bail};
use arqon_bench::port::outside_ephemeral;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::task::Poll;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long the bus may take to come up.
const START: Duration = Duration::from_secs(20);
/// How much of its log is shown when it does not.
const LAST_LINES: usize = 20;

/// The scratch folder and the port.
pub(super) struct Stage {
    folder: TempDir,
    data: PathBuf,
    binary: PathBuf,
    port: u16,
    settings: Vec<(String, String)>,
}

impl Stage {
    /// Prepares it in the system's folder for temporary things.
    pub(super) fn new(prefix: &str) -> Result<Stage> {
        Stage::new_in(&std::env::temp_dir(), prefix)
    }

    /// Prepares it in a folder of choice.
    pub(super) fn new_in(parent: &Path, prefix: &str) -> Result<Stage> {
        let folder = TempDir::with_prefix_in(prefix, parent)
            .with_context(|| format!("cannot make a scratch folder in {}", parent.display()))?;
        let data = folder.path().join("data");
        Ok(Stage { folder, data, binary: own_binary()?, port: outside_ephemeral()?, settings: Vec::new() })
    }

    /// Keeps the bus's data elsewhere.
    pub(super) fn with_data(mut self, data: PathBuf) -> Stage {
        self.data = data;
        self
    }

    /// Sets a key of the bus's configuration, by its name in the environment.
    pub(super) fn with_setting(mut self, name: &str, value: &str) -> Stage {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Where the bus keeps its data.
    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    /// The folder.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves the folder where it is.
    pub(super) fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    /// Where the bus listens.
    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// This binary with that environment: the demo's bus and credentials, nothing of the user's.
    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg0("arqon").args(args).current_dir(self.path()).kill_on_drop(true);
        let foreign = std::env::vars_os().map(|(name, _)| name);
        for name in foreign.filter(|name| name.to_string_lossy().starts_with("ARQON_")) {
            command.env_remove(name);
        }
        command.env("XDG_CONFIG_HOME", self.path().join("config")).env("HOME", self.path());
        command.env("ARQON_URL", format!("http://{}", self.address())).env("NO_COLOR", "1");
        // A process group of its own: an interrupt at the terminal reaches the demo, which ends them in order.
        command.process_group(0);
        command
    }

    /// Starts the bus and waits for nothing.
    pub(super) fn spawn_bus(&self) -> Result<Child> {
        let mut command = self.command(&["serve", "--listen", &self.address(), "--data"]);
        command.arg(&self.data).envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(self.append("bus.log")?);
        command.spawn().context("cannot start the bus")
    }

    /// Starts the bus and waits until it says that it listens.
    pub(super) async fn start_bus(&self) -> Result<Child> {
        let mut child = self.spawn_bus()?;
        let stdout = child.stdout.take().context("its output was asked for")?;
        let mut lines = BufReader::new(stdout).lines();
        match tokio::time::timeout(START, lines.next_line()).await {
            Ok(Ok(Some(_))) => Ok(child),
            _ => {
                // One that hangs must not hold the folder against the next.
                child.kill().await.context("cannot end the bus that does not start")?;
                let said = std::fs::read_to_string(self.path().join("bus.log")).unwrap_or_default();
                let lines: Vec<&str> = said.lines().collect();
                let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
                bail!("the bus did not start; it said:\n{last}")
            }
        }
    }

    /// Starts an agent; what it writes goes to files named after it.
    pub(super) fn start_agent(&self, name: &'static str, args: &[&str]) -> Result<Agent> {
        let output = self.path().join(format!("{name}.out"));
        let mut command = self.command(args);
        command
            .stdin(Stdio::piped())
            .stdout(File::create(&output)?)
            .stderr(self.append(&format!("{name}.log"))?);
        let mut child = command.spawn().with_context(|| format!("cannot start the {name}"))?;
        let input = child.stdin.take();
        let tail = Tail { file: File::open(&output)?, lines: 0 };
        Ok(Agent { name, child, input, output, tail })
    }

    fn append(&self, name: &str) -> Result<File> {
        Ok(File::options().create(true).append(true).open(self.path().join(name))?)
    }
}

/// A running agent.
pub(super) struct Agent {
    name: &'static str,
    child: Child,
    input: Option<ChildStdin>,
    output: PathBuf,
    tail: Tail,
}

impl Agent {
    /// Its input, once.
    pub(super) fn take_input(&mut self) -> Result<ChildStdin> {
        self.input.take().context("the input is taken once")
    }

    /// How many lines it has written by now.
    pub(super) fn lines(&mut self) -> Result<usize> {
        self.tail.lines()
    }

    /// All that it has written.
    pub(super) fn output(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.output)?)
    }

    /// Whether it has ended, which most of them must not; an end with an error is one here too.
    pub(super) fn ended(&mut self) -> Result<bool> {
        match self.child.try_wait()? {
            None => Ok(false),
            Some(status) if status.success() => Ok(true),
            Some(status) => {
                let said = std::fs::read_to_string(self.output.with_extension("log")).unwrap_or_default();
                bail!("the {} ended early ({status}); it said:\n{said}", self.name)
            }
        }
    }
}

/// Counts the lines of a file that grows.
struct Tail {
    file: File,
    lines: usize,
}

impl Tail {
    fn lines(&mut self) -> Result<usize> {
        let mut buffer = [0; 64 * 1024];
        loop {
            let read = self.file.read(&mut buffer)?;
            self.lines += buffer[..read].iter().filter(|byte| **byte == b'\n').count();
            if read == 0 {
                return Ok(self.lines);
            }
        }
    }
}

/// Ends when somebody wants this process to end: at the terminal, by `kill`, or by closing the terminal.
pub(super) async fn interrupted() {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    // A signal that cannot be waited for ends the process by itself.
    let mut signals: Vec<Signal> = kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect();
    std::future::poll_fn(|cx| match signals.iter_mut().any(|signal| signal.poll_recv(cx).is_ready()) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// This binary. On Linux by the name that holds even if the file is replaced by a newer build while this one runs.
fn own_binary() -> Result<PathBuf> {
    let running = Path::new("/proc/self/exe");
    match running.exists() {
        true => Ok(running.to_owned()),
        false => std::env::current_exe().context("cannot find my own binary"),
    }
}
