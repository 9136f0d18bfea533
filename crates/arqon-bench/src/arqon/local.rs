//! An Arqon of its own: a process on a fresh data folder, for one run.
//!
//! Invariant: the process ends with its handle, and the folder goes with it.

use super::Class;
use super::dialect::ArqonDialect;
use crate::clock::now;
use crate::load::{Load, Plan};
use crate::profile::{Frequency, Recording};
use crate::system::{Dialect, Running, Stop, System};
use crate::{http, usage};
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// How long it may take to become ready: a log of tens of millions of records may have to be read after a kill.
const START: Duration = Duration::from_secs(120);

/// What all rooms begin with; nobody else is there.
const CONTEXT: &str = "bench";

/// A binary that is started for each run.
#[derive(Debug, Clone)]
pub struct Local {
    /// The `arqon` to run.
    pub binary: PathBuf,
    /// The class of live channels.
    pub class: Class,
    /// More lines for its configuration.
    pub config: String,
}

impl System for Local {
    fn name(&self) -> &str {
        "arqon"
    }

    fn can(&self, _load: Load) -> bool {
        true
    }

    fn start(&self, folder: &Path, plan: &Plan) -> Result<Box<dyn Running>> {
        let scratch = TempDir::with_prefix_in("arqon-bench-", folder)
            .with_context(|| format!("cannot make a scratch folder in {}", folder.display()))?;
        let binary = std::fs::canonicalize(&self.binary)
            .with_context(|| format!("there is no binary at {}", self.binary.display()))?;
        let rule = format!("[[delivery]]\npattern = \"{CONTEXT}-live:**\"\nclass = \"{}\"\n", self.class);
        std::fs::write(scratch.path().join("arqon.toml"), format!("{}\n{rule}", self.config))?;
        let dialect = ArqonDialect {
            address: String::new(),
            prefix: String::new(),
            token: String::new(),
            form: plan.form,
            payload: plan.payload,
            context: CONTEXT.to_owned(),
        };
        let settings = match self.config.trim() {
            "" => format!("defaults; live channels {}, durable ones on disk before each confirm", self.class),
            config => format!("live channels {}; {}", self.class, config.replace('\n', "; ")),
        };
        let profile = plan.profile.clone().filter(|_| matches!(plan.load, Load::StartUp { .. }));
        let mut process = Process { child: None, binary, scratch, dialect, settings, profile };
        process.start(None)?;
        Ok(Box::new(process))
    }
}

struct Process {
    child: Option<Child>,
    binary: PathBuf,
    scratch: TempDir,
    dialect: ArqonDialect,
    settings: String,
    /// Where a profile of the start after a kill goes.
    profile: Option<PathBuf>,
}

/// Waits to be looked at, and then is what it is told to be.
const STOPPED: &str = "kill -STOP $$; exec \"$0\" \"$@\"";

impl Process {
    /// Starts it and waits until `/ready` says yes; recorded from its first instruction on, if a profile is wanted.
    fn start(&mut self, profile: Option<&Path>) -> Result<Duration> {
        let folder = self.scratch.path();
        let log = folder.join("arqon.log");
        let mut command = Command::new(if profile.is_some() { Path::new("sh") } else { &self.binary });
        if profile.is_some() {
            command.args(["-c", STOPPED]).arg(&self.binary);
        }
        command.args(["serve", "--listen", "127.0.0.1:0", "--data", "data", "--config", "arqon.toml"]);
        let foreign = std::env::vars_os().map(|(name, _)| name);
        for name in foreign.filter(|name| name.to_string_lossy().starts_with("ARQON_")) {
            command.env_remove(name);
        }
        command.current_dir(folder).env("XDG_CONFIG_HOME", folder.join("config")).env("HOME", folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(File::options().create(true).append(true).open(&log)?);
        let mut begin = now();
        let child = command.spawn().with_context(|| format!("cannot start {}", self.binary.display()))?;
        let child = self.child.insert(child);
        let output = child.stdout.take().context("its output was asked for")?;
        let recording = profile.map(|file| recorded(child, file)).transpose()?;
        if recording.is_some() {
            begin = now();
        }
        // Ends at the end of the process too, with an empty line.
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let Some((_, address)) = line.trim().split_once("http://") else {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            bail!("the server did not start; it said:\n{line}{said}");
        };
        self.dialect.address = address.to_owned();
        while !http::get(address, "/ready", None).is_ok_and(|(status, _)| status == 200) {
            ensure!(begin.elapsed() < START, "the server was not ready within {START:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        let time = begin.elapsed();
        recording.map(Recording::end).transpose()?;
        self.dialect.token = token(&folder.join("config/arqon/credentials.json"), address)?;
        Ok(time)
    }

    fn stop(&mut self, how: Stop) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        match how {
            Stop::Orderly => {
                kill_process(Pid::from_child(&child), Signal::TERM)?;
            }
            Stop::Kill => child.kill()?,
        }
        child.wait()?;
        Ok(())
    }
}

/// Begins to record a process that stopped itself, and lets it go on.
fn recorded(child: &Child, file: &Path) -> Result<Recording> {
    let pid = Pid::from_child(child);
    waitpid(Some(pid), WaitOptions::UNTRACED)?;
    let mut recording = Recording::prepare(file, &[child.id()], Frequency::High)?;
    recording.enable()?;
    recording.wait()?;
    kill_process(pid, Signal::CONT)?;
    Ok(recording)
}

impl Running for Process {
    fn version(&self) -> String {
        usage::said(&self.binary, &["--version"]).unwrap_or_else(|| "unknown".to_owned())
    }

    fn settings(&self) -> String {
        self.settings.clone()
    }

    fn pids(&self) -> Vec<u32> {
        self.child.iter().map(Child::id).collect()
    }

    fn dialect(&self) -> &dyn Dialect {
        &self.dialect
    }

    fn restart(&mut self, how: Stop) -> Result<Duration> {
        self.stop(how)?;
        let profile = self.profile.clone().filter(|_| how == Stop::Kill);
        self.start(profile.as_deref())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The folder goes in any case.
        let _it_may_be_gone = self.stop(Stop::Kill);
    }
}

/// The owner's token, as the server left it.
fn token(path: &Path, address: &str) -> Result<String> {
    let text = std::fs::read_to_string(path).context("the server left no credentials")?;
    let file: serde_json::Value = serde_json::from_str(&text)?;
    let token = file["servers"][format!("http://{address}")]["token"].as_str();
    Ok(token.context("the credentials lack a token for this server")?.to_owned())
}
