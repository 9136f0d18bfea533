//! The real binary as processes: a bus that can be killed and started again on the same port and folder, and
//! clients beside it.
//!
//! Invariant: whatever was started is killed when its handle is dropped, and everything that it wrote is kept in
//! the site's folder until then.

mod client;

pub use client::Client;

use crate::wait;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use tempfile::TempDir;

/// How long a bus may take to start or to stop before the test fails: generous, for machines under load.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A port that no other test takes.
pub fn free_port() -> u16 {
    arqon_bench::port::outside_ephemeral().expect("one of twelve thousand ports is free")
}

/// A place for one bus and its clients: data, credentials and outputs in a temporary folder, and a port of its own.
pub struct Site {
    dir: TempDir,
    binary: PathBuf,
    port: u16,
    serve_args: Vec<String>,
}

impl Site {
    /// A new place for the binary at that path, in the system's temporary folder.
    pub fn new(binary: impl Into<PathBuf>) -> Site {
        Site::new_in(&std::env::temp_dir(), binary)
    }

    /// The same in a folder of choice, such as one on the disk that is to be measured.
    pub fn new_in(folder: &Path, binary: impl Into<PathBuf>) -> Site {
        let dir = TempDir::with_prefix_in("arqon-site-", folder).expect("a temporary folder can be made");
        for sub in ["config", "home", "out"] {
            fs::create_dir(dir.path().join(sub)).expect("the temporary folder is ours");
        }
        Site { dir, binary: binary.into(), port: free_port(), serve_args: Vec::new() }
    }

    /// More arguments for `arqon serve`, at each start from now on.
    pub fn serve_with(&mut self, args: &[&str]) {
        self.serve_args.extend(args.iter().map(|&arg| arg.to_owned()));
    }

    /// The folder of it all.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The data folder of the bus.
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Where the bus is or will be.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// `arqon` with this site's environment: its URL, its credentials, no colour, and nothing of the outside.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(args).current_dir(self.path());
        for name in ["ARQON_TOKEN", "ARQON_URL"] {
            command.env_remove(name);
        }
        command.env("XDG_CONFIG_HOME", self.path().join("config")).env("HOME", self.path().join("home"));
        command.env("ARQON_URL", self.url()).env("NO_COLOR", "1");
        command
    }

    /// Starts the bus on the site's port and folder and waits until it says that it listens.
    pub fn start(&self) -> Bus {
        let listen = format!("127.0.0.1:{}", self.port);
        let data = self.data();
        let mut command = self.command(&[
            "serve",
            "--listen",
            &listen,
            "--data",
            data.to_str().expect("we made an ASCII path"),
        ]);
        command.args(&self.serve_args);
        Bus::spawn(&mut command, &self.path().join("out/bus.log"))
    }

    /// Starts a client; what it writes goes to files named after it. Its standard input is a pipe.
    pub fn client(&self, name: &str, args: &[&str]) -> Client {
        Client::spawn(&mut self.command(args), name, &self.path().join("out"))
    }

    /// Runs a command to its end and answers with its standard output.
    ///
    /// # Panics
    /// When it fails, with what it said.
    pub fn run(&self, args: &[&str]) -> String {
        let output = self.command(args).stdin(Stdio::null()).output().expect("the binary can be run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "arqon {args:?}: {}: {said}", output.status);
        String::from_utf8(output.stdout).expect("what it prints is UTF-8")
    }

    /// The owner's token, as the bus left it for clients on this machine.
    pub fn token(&self) -> String {
        let path = self.path().join("config/arqon/credentials.json");
        let text = fs::read_to_string(&path).expect("the bus left credentials");
        let file: serde_json::Value = serde_json::from_str(&text).expect("they are JSON");
        file["servers"][self.url()]["token"].as_str().expect("they hold a token for this URL").to_owned()
    }
}

/// A running bus.
pub struct Bus {
    child: Child,
    line: String,
    log: PathBuf,
}

impl Bus {
    /// Starts a command that prints a line when it can serve, and waits for the line.
    ///
    /// # Panics
    /// When it ends before that or is not ready in time, with what it logged.
    pub fn spawn(command: &mut Command, log: &Path) -> Bus {
        let errors = File::options().create(true).append(true).open(log).expect("the log can be opened");
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).spawn();
        let mut child = spawned.expect("the binary can be run");
        let stdout = child.stdout.take().expect("it was asked for");
        let (send, first_line) = mpsc::channel();
        // The thread ends with the process, whose end closes the pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _nobody_waits_for_later_lines = send.send(line);
            }
        });
        match first_line.recv_timeout(PATIENCE) {
            Ok(line) => Bus { child, line, log: log.to_owned() },
            Err(error) => {
                let _it_may_have_ended = child.kill();
                let status = child.wait();
                let said = fs::read_to_string(log).unwrap_or_default();
                panic!("the bus did not say that it listens ({error}, {status:?}); it logged:\n{said}");
            }
        }
    }

    /// The line that it printed when it could serve.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged, together with the runs before it on this site.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child can be awaited");
    }

    /// `kill -TERM`, and waits for the end that it chose itself.
    pub fn stop(self) -> ExitStatus {
        crate::process::terminate(&self.child);
        self.ended()
    }

    /// Waits for the end of one that was asked to stop in another way.
    pub fn ended(mut self) -> ExitStatus {
        wait::until("the bus to stop", PATIENCE, || self.child.try_wait().expect("a child can be awaited"))
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _it_may_be_gone = self.child.kill();
        let _it_may_be_reaped = self.child.wait();
    }
}

/// Sends SIGTERM.
fn terminate(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a child can be signalled");
}
