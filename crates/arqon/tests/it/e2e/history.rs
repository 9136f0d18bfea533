//! The history of a real git repository, one JSON line for each commit, as git itself prints it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// What the README pipes into the bus.
const FORMAT: &str = r#"--format={"commit":"%H","parents":"%P","tree":"%T","author":"%ae","time":%at}"#;

/// Makes a repository of that many commits in the folder and answers with its history, the oldest first.
pub fn history(folder: &Path, commits: usize) -> String {
    let repository = folder.join("repository");
    git(Command::new("git").args(["init", "--quiet", "--bare"]).arg(&repository));
    let mut import = Command::new("git");
    import.arg("-C").arg(&repository).args(["fast-import", "--quiet"]).stdin(Stdio::piped());
    let mut import = import.spawn().expect("git can be run");
    let mut stream = String::new();
    for n in 1..=commits {
        let message = format!("Change {n}: \"quoted\", ümläut and \\ backslash");
        let content = format!("content {n}\n");
        let when = 1_600_000_000 + n * 61;
        write!(
            stream,
            "commit refs/heads/main\nmark :{n}\ncommitter Dev {d} <dev{d}@example.org> {when} +0000\n\
             data {}\n{message}\nM 100644 inline file{f}.txt\ndata {}\n{content}\n",
            message.len(),
            content.len(),
            d = n % 7,
            f = n % 40,
        )
        .expect("writing to a string cannot fail");
    }
    let mut stdin = import.stdin.take().expect("it was asked for");
    stdin.write_all(stream.as_bytes()).expect("git reads it all");
    drop(stdin);
    assert!(import.wait().expect("git can be awaited").success());
    let lines =
        git(Command::new("git").arg("-C").arg(&repository).args(["log", "--reverse", FORMAT, "main"]));
    assert_eq!(lines.lines().count(), commits);
    lines
}

fn git(command: &mut Command) -> String {
    let output = command.output().expect("git can be run");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("git prints UTF-8 here")
}
