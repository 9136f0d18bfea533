//! A client process whose output goes to files, so that a test can look at it while it grows.

use crate::wait;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A running client.
pub struct Client {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Client {
    /// Starts a command; a later one of the same name appends to the same files.
    pub(super) fn spawn(command: &mut Command, name: &str, folder: &Path) -> Client {
        let open = |kind: &str| {
            let path = folder.join(format!("{name}.{kind}"));
            let file =
                File::options().create(true).append(true).open(&path).expect("an output can be opened");
            (path, file)
        };
        let ((stdout, out), (stderr, err)) = (open("out"), open("err"));
        let child =
            command.stdin(Stdio::piped()).stdout(out).stderr(err).spawn().expect("the binary can be run");
        Client { name: name.to_owned(), child, stdout, stderr }
    }

    /// Its standard input; dropping it is the end of the input.
    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("the input is taken once")
    }

    /// All that it has written to standard output, up to the last whole line.
    pub fn output(&self) -> String {
        let mut text = fs::read_to_string(&self.stdout).unwrap_or_default();
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        text
    }

    /// All that it has written to standard error.
    pub fn errors(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// How many whole lines it has written.
    pub fn lines(&self) -> usize {
        let bytes = fs::read(&self.stdout).unwrap_or_default();
        bytes.iter().filter(|byte| **byte == b'\n').count()
    }

    /// Waits until it has written so many lines.
    ///
    /// # Panics
    /// When it ends before or the time is up.
    pub fn wait_for_lines(&mut self, count: usize, limit: Duration) {
        let what = format!("{} to write {count} lines", self.name);
        wait::until(&what, limit, || {
            if self.lines() >= count {
                return Some(());
            }
            let ended = self.child.try_wait().expect("a child can be awaited");
            let late = ended.is_some() && self.lines() < count;
            assert!(!late, "{} ended ({ended:?}) at line {}: {}", self.name, self.lines(), self.errors());
            None
        });
    }

    /// Waits for its end.
    pub fn wait(mut self, limit: Duration) -> ExitStatus {
        let what = format!("{} to end", self.name);
        wait::until(&what, limit, || self.child.try_wait().expect("a child can be awaited"))
    }

    /// Waits for its end, which must be a good one.
    pub fn finish(self, limit: Duration) {
        let (name, errors) = (self.name.clone(), self.stderr.clone());
        let status = self.wait(limit);
        let said = fs::read_to_string(errors).unwrap_or_default();
        assert!(status.success(), "{name}: {status}: {said}");
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child can be awaited");
    }

    /// `kill -TERM`, and waits for the end that it chose itself.
    pub fn stop(self, limit: Duration) -> ExitStatus {
        super::terminate(&self.child);
        self.wait(limit)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _it_may_be_gone = self.child.kill();
        let _it_may_be_reaped = self.child.wait();
    }
}
