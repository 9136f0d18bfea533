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
fn patience_that_is_asked_for_counts_from_the_start() {
    let url = nobody();
    for args in
        [&["pub", "a:b", "hello"][..], &["sub", "a:*"], &["reply", "a:b", "--retry-for", "1s", "--", "cat"]]
    {
        let patient: &[&str] = if args.contains(&"--retry-for") { &[] } else { &["--retry-for", "1s"] };
        let args = [&["--url", &url], args, patient].concat();
        let errors =
            check(&args, 4, &format!("cannot reach an Arqon at {url} (connection refused); trying for 1 s"));
        assert!(errors.contains("\n  start one with"), "{errors}");
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
fn what_an_option_takes_is_said_by_its_name_and_in_its_unit() {
    let get = ["store", "get", "plan", "--version", "1"];
    check(&get, 2, "takes no --version\n  `arqon store history plan`");
    check(&["pub", "--version"], 2, "unexpected argument '--version'");
    check(&["store", "set", "a", "1", "--ttl", "0s"], 2, "--ttl: expected a time from `1ms` to `3650d`");
    check(&["store", "delete", "a", "--expect", "abc"], 2, "expected a whole number, 0 or more");
    check(&["store", "delete", "a", "--expect", "-1"], 2, "expected a whole number, 0 or more");
    check(&["store", "list", "--limit", "abc"], 2, "expected a whole number from 1 to 1000");
    check(&["sub", "a:*", "--count", "x"], 2, "expected a whole number, 1 or more");
    check(&["sub", "a:*", "--count", "0"], 2, "expected a whole number, 1 or more");
    check(&["token", "--ttl", "10ms"], 2, "--ttl: expected a time from `1s` to `3650d`");
    check(
        &["cron", "add", "a:b", "x", "--every", "1ms"],
        2,
        "--every: expected a time from `10ms` to `3650d`",
    );
    check(&["cron", "add", "a:b", "x", "--in", "4000d"], 2, "--in: expected a time from `10ms` to `3650d`");
    check(&["webhook", "rotate", "x", "--overlap", "8d"], 2, "--overlap: expected a time from `0s` to `7d`");
    let hook = ["webhook", "add", "http://127.0.0.1:1/", "a", "--timeout"];
    check(&[&hook[..], &["1"]].concat(), 2, "expected a time from `100ms` to `30s`, such as");
    check(&[&hook[..], &["1m"]].concat(), 2, "expected a time from `100ms` to `30s`, such as");
    let inbox = ["webhook", "add", "http://127.0.0.1:1/", "@owner"];
    check(&inbox, 2, "`@owner`: inboxes cannot be posted to a receiver\n  name a room or `room:channel`");
    let says = "no subcommand `delte`\n  did you mean `arqon channels delete`?";
    check(&["channels", "delte", "eng:x"], 2, says);
    let reload = ["inspect", "reload", "scope_include=[repo:*]"];
    check(&reload, 2, "`scope_include`: expected a list of texts, such as `a,b`");
}

#[test]
fn nothing_where_something_is_needed_is_code_2() {
    check(&["--token", "", "status"], 2, "--token is empty");
    check(&["status", "--token="], 2, "--token is empty");
    check(&["--url", "", "status"], 2, "--url is empty");
    check(&["req", "a:b", "x", "--timeout", "0s"], 2, "expected a time from `1ms` to `300s`");
    check(&["req", "a:b", "x", "--timeout", "301s"], 2, "expected a time from `1ms` to `300s`");
    check(&["serve", "--listen", "127.0.0.1"], 2, "expected IP:PORT");
    check(&["log", "check", "/nope"], 2, "there is no log in /nope");
    check(&["log", "dump", "/nope"], 2, "there is no log in /nope");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("bad.toml");
    std::fs::write(&path, "[server]\nlistne = 1\n").expect("it can be written");
    check(&["config", "dump", "--config", path.to_str().expect("an ASCII path")], 2, "listne");
}

#[test]
fn a_variable_that_is_set_to_nothing_counts_as_not_set() {
    let url = nobody();
    for name in ["ARQON_TOKEN", "ARQON_CA"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_arqon"));
        let output = command.args(["--url", &url, "status"]).env(name, "").output().expect("the binary runs");
        assert_eq!(output.status.code(), Some(4), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn usage_lines_say_what_was_typed_and_not_what_stands_in_the_environment() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_arqon"));
    command.args(["pub", "--no-such-option"]).env("ARQON_URL", "http://127.0.0.1:1").env("ARQON_TOKEN", "x");
    let output = command.output().expect("the binary runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("Usage: arqon pub") && !errors.contains("--url"), "{errors}");
}

/// Answers every connection with some bytes, whatever it says.
fn answers(bytes: &'static [u8]) -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(bytes);
        }
    });
    address.to_string()
}

#[test]
fn what_is_not_an_arqon_is_code_4_and_said() {
    let not_found = b"HTTP/1.0 404 File not found\r\nContent-Length: 6\r\n\r\n<html>";
    let address = answers(not_found);
    let says =
        format!("there is an HTTP server at http://{address}, but it is not an Arqon (/ws answered 404)\n");
    check(&["--url", &address, "status"], 4, &says);
    check(&["--url", &answers(b"SSH-2.0-x\r\n\r\n"), "status"], 4, "but it is not an Arqon");
    let says = "failed: what answers there does not speak TLS\n  use http://";
    check(&["--url", &format!("https://{}", answers(not_found)), "status"], 4, says);
}

#[test]
fn what_is_used_wrongly_is_json_too() {
    let commands: [&[&str]; 4] = [
        &["pub", "--json"],
        &["--json", "no-such-command"],
        &["--json", "--token", "", "status"],
        &["pub", "nochannel", "x", "--json"],
    ];
    for args in commands {
        let errors = check(args, 2, "{");
        assert_eq!(errors.lines().count(), 1, "{errors}");
        let error: serde_json::Value = serde_json::from_str(&errors).expect("one JSON object");
        assert_eq!(
            (&error["error"]["code"], &error["error"]["exit"]),
            (&"VALIDATION_ERROR".into(), &2.into())
        );
        assert!(error["error"]["message"].as_str().is_some_and(|text| !text.contains('\n')), "{errors}");
    }
    // Behind `--` it is a program's word.
    check(&["reply", "a:b", "--no-such-option", "--", "--json"], 2, "error: ");
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
    assert_eq!(output.status.code(), Some(2));
    assert!(text.contains("listne") && text.contains("listen"), "{text}");
    let output = arqon(&["config", "dump"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("[server]"), "{output:?}");
}
