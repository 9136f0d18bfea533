//! Exit codes and the shape of errors.

use std::process::{Command, Output};

fn arqon(args: &[&str]) -> Output {
    let folder = std::env::temp_dir();
    let mut command = Command::new(env!("CARGO_BIN_EXE_arqon"));
    command
        .args(args)
        .env_remove("ARQON_TOKEN")
        .env_remove("ARQON_URL")
        .env("XDG_CONFIG_HOME", folder.join("none"));
    command.stdin(std::process::Stdio::null()).output().expect("the binary runs")
}

fn check(args: &[&str], code: i32, says: &str) -> String {
    let output = arqon(args);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {errors}");
    assert!(errors.contains(says), "{args:?}: {errors}");
    assert!(output.stdout.is_empty(), "{args:?} wrote to standard output");
    errors
}

/// A port at which nobody listens: bound once and given back.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("http://{}", listener.local_addr().expect("it is bound"))
}

#[test]
fn a_server_that_is_not_there_is_code_4_with_what_to_do() {
    let url = nobody();
    let commands: [&[&str]; 7] = [
        &["status"],
        &["pub", "a:b", "hello"],
        &["sub", "a:*"],
        &["req", "a:b", "hello"],
        &["reply", "a:b", "--", "cat"],
        &["token"],
        &["dead-letters", "list"],
    ];
    for args in commands {
        let args = [&["--url", &url], args].concat();
        let errors = check(
            &args,
            4,
            &format!("arqon: cannot reach an Arqon at {url}: connection refused\n  start one with"),
        );
        assert_eq!(errors.lines().count(), 2, "{errors}");
    }
}

#[test]
fn what_is_asked_wrongly_is_code_2() {
    check(&["no-such-command"], 2, "unrecognized subcommand");
    check(&["pub", "a:b", "missing.jsonl"], 2, "there is no file `missing.jsonl`");
    check(&["pub", "a:b", "one", "two"], 2, "cannot read `one`");
    check(&["reply", "a:b", "--", "no-such-program-here"], 2, "there is no program `no-such-program-here`");
    check(&["--url", "ftp://x", "status"], 2, "scheme `ftp` is not known");
    check(&["sub", "a:*", "--from", "yesterday"], 2, "expected `latest`, `earliest` or a position");
    check(&["req", "a:b", "x", "--timeout", "soon"], 2, "expected a time");
    check(&["pub", "nochannel", "x"], 2, "expected `room:channel`, `@agent`, `@skill/NAME` or `@all`");
    check(&["sub", "a:**:b"], 2, "`**` may stand only as the last segment");
    check(&["serve", "--log-format", "xml"], 2, "logging.format");
}

#[test]
fn errors_are_json_where_json_is_asked_for() {
    let url = nobody();
    let errors = check(&["--url", &url, "status", "--json"], 4, "{");
    let error: serde_json::Value = serde_json::from_str(&errors).expect("one JSON object");
    assert_eq!((&error["error"]["code"], &error["error"]["exit"]), (&"UNAVAILABLE".into(), &4.into()));
}

#[test]
fn a_configuration_is_checked_without_a_server() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("arqon.toml");
    std::fs::write(&path, "[server]\nlistne = \"127.0.0.1:1\"\n").expect("it can be written");
    let path = path.to_str().expect("an ASCII path");
    let output = arqon(&["config", "check", "--config", path]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("listne") && text.contains("listen"), "{text}");
    let output = arqon(&["config", "dump"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("[server]"), "{output:?}");
}
