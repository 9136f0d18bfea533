//! `arqon inspect test`: what it says of a file of messages, and that it never says the secret.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A key of the right shape, made here so that none stands in a file.
fn key() -> String {
    format!("AKIA{}", "Z7QX2LMN4PRS5TUV")
}

fn messages() -> String {
    let key = key();
    format!(
        "{{\"text\":\"all is well\"}}\n\n{{\"type\":\"message\",\"room\":\"repo\",\"channel\":\"main\",\"payload\":{{\"log\":[\"x {key} y\"]}}}}\n{{\"password\":true}}\n"
    )
}

fn run(folder: &Path, policy: &str, input: &str, options: &[&str]) -> Output {
    let path = folder.join("policy.toml");
    std::fs::write(&path, policy).expect("it can be written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_arqon"));
    command.args(["inspect", "test"]).arg(&path).arg("-").args(options);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

const ENFORCE: &str = "enabled = true\nmode = 'enforce'\nblock_on_probable_secret = true\n";

#[test]
fn each_message_is_judged_and_no_secret_is_shown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = run(folder.path(), ENFORCE, &messages(), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    let expected = "1: ALLOW CASIL_POLICY_ALLOWED -
3: BLOCK CASIL_POLICY_BLOCKED_SECRET repo:main contains_probable_secret
   aws-access-key at payload.log[0]
   payload: {\"log\":[\"x ***REDACTED*** y\"]}
4: ALLOW_WITH_REDACTION CASIL_POLICY_REDACTED -
   redaction_paths at payload.password
   payload: {\"password\":\"***REDACTED***\"}
3 messages: 1 ALLOW, 1 ALLOW_WITH_REDACTION, 1 BLOCK
found in messages: 1 aws-access-key, 1 redaction_paths
";
    assert_eq!(said, expected);
    assert!(!text(&output.stderr).contains(&key()));
}

#[test]
fn json_has_a_line_for_each_and_a_summary() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let monitor = "enabled = true\nblock_on_probable_secret = true\n";
    let output = run(folder.path(), monitor, &messages(), &["--json", "--found", "--strict"]);
    assert_eq!(output.status.code(), Some(1), "enforce would change something");
    let said = text(&output.stdout);
    assert!(!said.contains(&key()));
    let lines: Vec<serde_json::Value> =
        said.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert_eq!(lines.len(), 3);
    let leak = &lines[0];
    assert_eq!((&leak["line"], &leak["address"]), (&3.into(), &"repo:main".into()));
    assert_eq!(
        (&leak["decision"], &leak["reason_code"]),
        (&"ALLOW_WITH_REDACTION".into(), &"CASIL_MONITOR_MODE".into())
    );
    assert_eq!(leak["enforced"]["reason_code"], "CASIL_POLICY_BLOCKED_SECRET");
    assert_eq!(leak["redacted"]["payload"]["log"][0], "x ***REDACTED*** y");
    assert_eq!(lines[2]["summary"]["enforced"]["BLOCK"], 1);
}

#[test]
fn the_scope_sees_the_address_of_each_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let policy = format!("{ENFORCE}scope_include = ['repo:*', 'given:*']\n");
    let counts = |options: &[&str]| {
        let output = run(folder.path(), &policy, &messages(), &[options, &["--json"]].concat());
        let said = text(&output.stdout);
        let last: serde_json::Value =
            serde_json::from_str(said.lines().last().expect("a summary")).expect("JSON");
        last["summary"]["reason_codes"].clone()
    };
    assert_eq!(counts(&[])["CASIL_OUT_OF_SCOPE"], 2);
    assert_eq!(counts(&["--address", "given:x"])["CASIL_OUT_OF_SCOPE"], serde_json::Value::Null);
}

#[test]
fn what_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let check = |policy: &str, input: &str, code: i32, says: &[&str]| {
        let output = run(folder.path(), policy, input, &[]);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{errors}");
        assert!(says.iter().all(|part| errors.contains(part)), "{errors}");
    };
    check("mdoe = 'enforce'", "", 2, &["`mdoe` in", "did you mean `mode`?"]);
    check("mode = 'fast'", "", 2, &["`mode` in", "expected `monitor` or `enforce`"]);
    check("redaction_patterns = ['a', '(']", "", 2, &["`redaction_patterns[1]` in", "no regular expression"]);
    check("redaction_patterns = ['((a{1,99}){1,99}){1,99}']", "", 2, &["compiles to more than 128 KiB"]);
    check(
        "[inspection]\nenabled = false\n[server]\nlisten = 'x'",
        "{}\n",
        0,
        &["what it would do if it were enabled"],
    );
    check(ENFORCE, "{}\nnot json\n{}\n", 1, &["line 2: is no JSON", "1 line not read"]);
}
