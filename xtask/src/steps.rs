//! Running the steps of a suite one after the other, and counting.
//!
//! Invariant: a step that could not run counts as failed; nothing is left out without a line that says so.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// The root of the workspace.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask lies in the workspace").to_owned()
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// The cargo that runs us.
pub fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(args);
    command
}

/// What ran, and how it went.
#[derive(Default)]
pub struct Steps {
    passed: usize,
    failures: Vec<String>,
    notes: Vec<String>,
    times: Vec<(String, Duration)>,
}

impl Steps {
    /// Runs one step that either works or complains; it counts as one.
    pub fn check(&mut self, name: &str, step: impl FnOnce() -> Result<Vec<String>>) {
        let complaints = self.timed(name, |_| step().unwrap_or_else(|error| vec![format!("{error:#}")]));
        for complaint in &complaints {
            println!("{complaint}");
        }
        match complaints.len() {
            0 => self.passed += 1,
            n => self.failures.push(format!("{name}: {n} to mend, the first is: {}", complaints[0])),
        }
    }

    /// Runs a command whose exit code is the verdict; it counts as one.
    pub fn command(&mut self, name: &str, command: &mut Command) {
        self.check(name, || {
            let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
            Ok(if status.success() { Vec::new() } else { vec![format!("{command:?}: {status}")] })
        });
    }

    /// Runs a command that reports tests the way the test harness of Rust does; each test counts.
    pub fn tests(&mut self, name: &str, command: &mut Command) {
        let outcome = self.timed(name, |_| run_tests(command));
        match outcome {
            Err(error) => self.failures.push(format!("{name}: {error:#}")),
            Ok(tally) => {
                self.passed += tally.passed;
                let nothing_named = tally.failed.is_empty() && !tally.success;
                self.failures.extend(tally.failed.into_iter().map(|test| format!("test {test}")));
                if nothing_named {
                    self.failures.push(format!("{name}: stopped before its tests could fail; see above"));
                }
            }
        }
    }

    /// Something that the reader of the summary must know.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Prints the summary; true when nothing failed.
    pub fn finish(self) -> bool {
        println!();
        for (name, took) in &self.times {
            println!("{:>6.1} s  {name}", took.as_secs_f64());
        }
        for note in &self.notes {
            println!("note: {note}");
        }
        for failure in &self.failures {
            println!("FAILED {failure}");
        }
        println!("{} passed, {} failed", self.passed, self.failures.len());
        self.failures.is_empty()
    }

    #[allow(clippy::disallowed_methods, reason = "how long a chore takes is nobody's parameter")]
    fn timed<T>(&mut self, name: &str, step: impl FnOnce(&mut Self) -> T) -> T {
        println!("\n== {name}");
        let begin = Instant::now();
        let result = step(self);
        self.times.push((name.to_owned(), begin.elapsed()));
        result
    }
}

/// What a run of tests came to.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    passed: usize,
    failed: Vec<String>,
    success: bool,
}

impl Tally {
    /// Takes in one line of the harness's output.
    fn read(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("test result: ") {
            let mut words = rest.split_whitespace().peekable();
            while let Some(word) = words.next() {
                if words.peek().is_some_and(|next| next.starts_with("passed")) {
                    self.passed += word.parse::<usize>().unwrap_or(0);
                }
            }
        } else if let Some(test) = line.strip_prefix("test ").and_then(|l| l.strip_suffix(" ... FAILED")) {
            self.failed.push(test.to_owned());
        }
    }
}

/// Nothing is said for this long, not even by the compiler's end: something hangs.
const SILENCE: Duration = Duration::from_secs(20 * 60);

fn run_tests(command: &mut Command) -> Result<Tally> {
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run {command:?}"))?;
    let stdout = child.stdout.take().expect("it was asked for");
    let (send, lines) = mpsc::channel();
    // The thread ends with the pipe, which ends with the last process that holds it.
    thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            let _nobody_waits_after_a_hang = send.send(line);
        }
    });
    let mut tally = Tally::default();
    loop {
        match lines.recv_timeout(SILENCE) {
            Ok(line) => {
                let line = String::from_utf8_lossy(&line);
                println!("{line}");
                tally.read(&line);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let _it_may_be_gone = child.kill();
                bail!("nothing happened for {} minutes", SILENCE.as_secs() / 60);
            }
        }
    }
    std::io::stdout().flush()?;
    tally.success = child.wait()?.success();
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_harness_is_understood() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test bus::tests::one ... ok",
            "test bus::tests::two ... FAILED",
            "test result: FAILED. 11 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ] {
            tally.read(line);
        }
        let failed = vec!["bus::tests::two".to_owned()];
        assert_eq!(tally, Tally { passed: 15, failed, success: false });
    }

    #[test]
    fn a_step_that_cannot_run_is_a_failure() {
        let mut steps = Steps::default();
        steps.command("absent", &mut Command::new("/nonexistent/program"));
        steps.tests("absent tests", &mut Command::new("/nonexistent/program"));
        steps.tests("stopped early", &mut Command::new("false"));
        steps.check("fine", || Ok(Vec::new()));
        assert_eq!((steps.passed, steps.failures.len()), (1, 3));
    }
}
