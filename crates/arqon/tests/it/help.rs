//! The help of every command as one golden text, `help.txt`; `UPDATE_EXPECT=1` writes it anew.
//!
//! Invariant: every command has help, and every help has examples.

use expect_test::expect_file;
use std::process::Command;

fn help(path: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_arqon"));
    for name in ["ARQON_URL", "ARQON_TOKEN", "ARQON_CA"] {
        command.env_remove(name);
    }
    let output = command.args(path).arg("--help").env("COLUMNS", "100").output().expect("the binary runs");
    assert!(output.status.success(), "{path:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("help is UTF-8")
}

/// The names under `Commands:`.
fn commands(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_command_explains_itself_with_examples() {
    let mut all = String::new();
    let mut waiting = vec![Vec::<String>::new()];
    while let Some(path) = waiting.pop() {
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        let text = help(&names);
        assert!(text.contains("Examples:"), "{path:?} has no examples");
        for name in commands(&text).into_iter().rev() {
            waiting.push(path.iter().cloned().chain([name]).collect());
        }
        // What every command understands is shown once.
        let shown = match path.is_empty() {
            true => text,
            false => without_globals(&text),
        };
        all.push_str(&format!(
            "$ {} --help\n\n{}\n\n",
            [&["arqon"], &*names].concat().join(" "),
            shown.trim_end()
        ));
    }
    // The golden must not depend on the terminal's habits.
    let all: Vec<&str> = all.trim_end().lines().map(str::trim_end).collect();
    expect_file!["help.txt"].assert_eq(&(all.join("\n") + "\n"));
}

fn without_globals(text: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for line in text.lines() {
        if line == "Global options:" {
            inside = true;
        } else if inside && !line.is_empty() && !line.starts_with(' ') {
            inside = false;
        }
        if !inside {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}
