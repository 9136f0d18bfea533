//! Runs every example of `arqon-client` against a server of its own: an example that does not work is a fault.
//!
//! Expects them beside itself, where cargo builds examples.

#![allow(clippy::print_stdout, reason = "a program that prints")]

use arqon_testkit::TestServer;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

/// Examples are short; one that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> ExitCode {
    let folder = std::env::current_exe().expect("we were started from a file");
    let folder = folder.parent().expect("a file is in a folder");
    let server = TestServer::start().await;
    let mut failed = 0;
    for name in names() {
        let outcome = run(&folder.join(&name), &server).await;
        println!("example {name}: {}", outcome.as_ref().map_or_else(String::as_str, |()| "ok"));
        failed += u8::from(outcome.is_err());
    }
    server.stop().await;
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Every example by the name of its file, so that a new one cannot be forgotten here.
fn names() -> Vec<String> {
    let sources = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../arqon-client/examples");
    let files = std::fs::read_dir(sources).expect("the client has examples");
    let paths = files.map(|file| file.expect("the folder can be read").path());
    let rust = paths.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let mut names: Vec<String> =
        rust.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    names.sort_unstable();
    assert!(!names.is_empty(), "the client has examples");
    names
}

async fn run(program: &Path, server: &TestServer) -> Result<(), String> {
    let mut command = tokio::process::Command::new(program);
    command.env("ARQON_URL", server.url()).env("ARQON_TOKEN", server.token());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output())
        .await
        .map_err(|_| format!("not over after {LIMIT:?}"))?
        .map_err(|error| format!("cannot be run: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr))),
    }
}
