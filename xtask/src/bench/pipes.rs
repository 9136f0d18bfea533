//! The command line as a pipe: a file of lines through `arqon pub` until all are confirmed on disk, and back through
//! `arqon sub`; beside it the same lines through `redis-cli --pipe` into a stream with `appendfsync always`.
//!
//! Invariant: what was read back is counted and its order checked, or there is no figure.

use super::results::Run;
use crate::steps::target;
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Bytes of a line, without its end.
const LINE: usize = 256;
/// How long a server may take to serve.
const PATIENCE: Duration = Duration::from_secs(20);

/// Races one system.
pub fn run(system: &str, arqon: &Path, lines: u64) -> Result<Run> {
    let folder = target().join(format!("bench/pipes-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let race = Race { folder: fs::canonicalize(&folder)?, lines };
    let run = if system == "arqon" { race.arqon(arqon) } else { race.redis() };
    fs::remove_dir_all(&folder)?;
    run
}

struct Race {
    folder: PathBuf,
    lines: u64,
}

/// What a client and its server took.
struct Spent {
    /// Seconds from its start to its end.
    wall: f64,
    /// Processor seconds of both.
    processor: f64,
    /// Cores that everybody else took meanwhile.
    others: f64,
}

/// A server, killed when its handle goes.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; what it left goes with its folder.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

impl Race {
    fn arqon(&self, arqon: &Path) -> Result<Run> {
        let command = |args: &[&str]| {
            let mut command = Command::new(arqon);
            command.args(args).current_dir(&self.folder).env("HOME", &self.folder).env("NO_COLOR", "1");
            command.env("XDG_CONFIG_HOME", self.folder.join("config"));
            command.env_remove("ARQON_TOKEN").env_remove("ARQON_URL");
            command
        };
        let data = self.folder.join("data");
        let data = data.to_str().context("the folder's name is not UTF-8")?;
        let mut serve = command(&["serve", "--listen", "127.0.0.1:0", "--data", data]);
        let log = File::create(self.folder.join("serve.log"))?;
        let mut server = Server(serve.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn()?);
        let mut said = String::new();
        let stdout = server.0.stdout.take().context("it was asked for")?;
        BufReader::new(stdout).read_line(&mut said)?;
        let url =
            said.trim().strip_prefix("arqon listening on ").with_context(|| format!("it said {said:?}"))?;
        let input = self.input("lines", |number, out| {
            out.extend_from_slice(&line(number));
            out.push(b'\n');
        })?;
        let count = self.lines.to_string();
        let mut publish = command(&["--url", url, "--quiet", "pub", "pipe:main", "-"]);
        let mut subscribe =
            command(&["--url", url, "sub", "pipe:main", "--from", "earliest", "--count", &count, "--json"]);
        let write = self.timed(&server, &mut publish, Some(&input))?;
        let read = self.timed(&server, &mut subscribe, None)?;
        self.check()?;
        let version = first_line(Command::new(arqon).arg("--version"));
        let settings = "arqon pub - and arqon sub --from earliest --json, class durable";
        Ok(self.result(version, settings, write, read))
    }

    fn redis(&self) -> Result<Run> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let number = port.to_string();
        let mut serve = Command::new("redis-server");
        serve.args(["--port", &number, "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]);
        serve
            .args(["--appendfsync", "always", "--auto-aof-rewrite-percentage", "0", "--dir"])
            .arg(&self.folder);
        let log = File::create(self.folder.join("serve.log"))?;
        let server = Server(serve.stdin(Stdio::null()).stdout(log).spawn()?);
        wait_for(port)?;
        let client = |args: &[&str]| {
            let mut command = Command::new("redis-cli");
            command.args(["-p", &number]).args(args);
            command
        };
        let input = self.input("resp", |number, out| {
            out.extend_from_slice(b"*5\r\n$4\r\nXADD\r\n$4\r\npipe\r\n$1\r\n*\r\n$1\r\np\r\n$256\r\n");
            out.extend_from_slice(&line(number));
            out.extend_from_slice(b"\r\n");
        })?;
        let write = self.timed(&server, &mut client(&["--pipe"]), Some(&input))?;
        let said = fs::read_to_string(self.folder.join("out"))?;
        let expected = format!("errors: 0, replies: {}", self.lines);
        ensure!(said.contains(&expected), "redis-cli --pipe said {said:?}");
        let read = self.timed(&server, &mut client(&["XRANGE", "pipe", "-", "+"]), None)?;
        self.check()?;
        let version = first_line(Command::new("redis-server").arg("--version"));
        let version = version.split(" sha=").next().unwrap_or_default().to_owned();
        let settings = "redis-cli --pipe with XADD, and XRANGE - +; appendonly yes, appendfsync always";
        Ok(self.result(version, settings, write, read))
    }

    /// Runs a client from its start to its end, what it prints in a file; wall and processor seconds, the server's too.
    #[allow(clippy::disallowed_methods, reason = "measuring real time is what this is for")]
    fn timed(&self, server: &Server, command: &mut Command, input: Option<&Path>) -> Result<Spent> {
        let input = input.map_or_else(|| Ok(Stdio::null()), |path| File::open(path).map(Stdio::from))?;
        command.stdin(input).stdout(File::create(self.folder.join("out"))?);
        let own = std::process::id();
        // The client is the only child that is waited for meanwhile.
        let read = || Ok::<f64, anyhow::Error>(processor(server.0.id(), 11)? + processor(own, 13)?);
        let (before, all_before) = (read()?, all_processors()?);
        let begin = Instant::now();
        let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
        let wall = begin.elapsed().as_secs_f64();
        ensure!(status.success(), "{command:?}: {status}");
        let spent = read()? - before;
        let others = (all_processors()? - all_before - spent).max(0.0) / wall;
        Ok(Spent { wall, processor: spent, others })
    }

    /// The file of all lines in some form; made once, for it is the same every time.
    fn input(&self, kind: &str, put: impl Fn(u64, &mut Vec<u8>)) -> Result<PathBuf> {
        let path = target().join(format!("bench/pipes-{}.{kind}", self.lines));
        if path.exists() {
            return Ok(fs::canonicalize(path)?);
        }
        let unfinished = path.with_extension("unfinished");
        let mut file = BufWriter::new(File::create(&unfinished)?);
        let mut out = Vec::new();
        for number in 0..self.lines {
            out.clear();
            put(number, &mut out);
            file.write_all(&out)?;
        }
        file.into_inner()?.sync_all()?;
        fs::rename(unfinished, &path)?;
        Ok(fs::canonicalize(path)?)
    }

    /// All numbers, each once and in order, are in what was read.
    fn check(&self) -> Result<()> {
        let mut next = 0;
        let mut reader = BufReader::new(File::open(self.folder.join("out"))?);
        let mut text = Vec::new();
        while reader.read_until(b'\n', &mut text)? > 0 {
            if let Some(number) = number_in(&text) {
                ensure!(number == next, "line {number} was read where {next} was expected");
                next += 1;
            }
            text.clear();
        }
        ensure!(next == self.lines, "{next} of {} lines were read back", self.lines);
        Ok(())
    }

    fn result(&self, version: String, settings: &str, write: Spent, read: Spent) -> Run {
        let figures = [
            ("write_s", write.wall),
            ("write_cpu_s", write.processor),
            ("read_s", read.wall),
            ("read_cpu_s", read.processor),
        ];
        Run {
            version,
            settings: settings.to_owned(),
            load: format!("pipes:{}", self.lines),
            pace: "max".to_owned(),
            payload: LINE,
            unit: "lines".to_owned(),
            seconds: write.wall,
            rate: self.lines as f64 / write.wall,
            others_cores: Some(write.others.max(read.others)),
            figures: figures.map(|(name, value)| (name.to_owned(), value)).into(),
            ..Run::default()
        }
    }
}

fn line(number: u64) -> Vec<u8> {
    let mut line = format!(r#"{{"n":"{number:010}","pad":""#).into_bytes();
    line.resize(LINE - 2, b'x');
    line.extend_from_slice(br#""}"#);
    line
}

fn number_in(text: &[u8]) -> Option<u64> {
    let key = br#""n":""#;
    let at = text.windows(key.len()).position(|window| window == key)? + key.len();
    std::str::from_utf8(text.get(at..at + 10)?).ok()?.parse().ok()
}

/// Processor seconds from /proc/PID/stat: `field` 11 is the process's own, 13 that of the children it has waited for.
fn processor(pid: u32, field: usize) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = text.rsplit_once(')').context("an odd /proc")?;
    let ticks = rest.split_whitespace().skip(field).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / 100.0)
}

/// Processor seconds of everything on the machine: all but idle and waiting for disks.
fn all_processors() -> Result<f64> {
    let text = fs::read_to_string("/proc/stat")?;
    let fields = text.lines().next().context("an odd /proc/stat")?.split_whitespace().skip(1);
    let busy = fields.enumerate().filter(|(i, _)| !matches!(i, 3 | 4 | 8 | 9));
    let ticks = busy.map(|(_, ticks)| ticks.parse::<f64>()).sum::<Result<f64, _>>()?;
    Ok(ticks / 100.0)
}

#[allow(clippy::disallowed_methods, reason = "how long a server takes is nobody's parameter")]
fn wait_for(port: u16) -> Result<()> {
    let begin = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        ensure!(begin.elapsed() < PATIENCE, "redis-server does not serve");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn first_line(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().next().unwrap_or("unknown").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_their_size_and_number() {
        assert_eq!((line(42).len(), number_in(&line(42))), (LINE, Some(42)));
        assert_eq!(number_in(b"1700000000-0"), None);
        assert!(processor(std::process::id(), 11).unwrap() >= 0.0);
    }
}
