//! `arqon inspect get` and `arqon inspect reload`: the policy of a running server.
//!
//! Invariant: only keys that were named are sent, so that a reload never undoes what somebody else has set.

use crate::connect::{Outcome, block_on, with_client};
use crate::failure::Failure;
use crate::options::{Global, Patience};
use crate::show;
use crate::terminal::{Paint, harmless, table};
use arqon_server::config::InspectionConfig;
use arqon_wire::value_to_json;
use clap::Args;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Args)]
pub(super) struct Reload {
    /// Keys of [inspection] and their new values; a list is `a,b` or `["a","b"]`.
    #[arg(value_name = "KEY=VALUE", value_parser = pair)]
    pairs: Vec<(String, String)>,
    /// The keys that this file sets (TOML), before those named here.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Take back first what earlier reloads have changed; alone: back to the server's configuration.
    #[arg(long)]
    reset: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected `KEY=VALUE`")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

impl Reload {
    fn args(&self) -> Result<Value, Failure> {
        if self.pairs.is_empty() && self.policy.is_none() && !self.reset {
            return Err(Failure::usage("there is nothing to change".to_owned())
                .todo("name a KEY=VALUE, a file with `--policy`, or `--reset`"));
        }
        let file = match &self.policy {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|e| Failure::usage(format!("cannot read {}: {e}", path.display())))?;
                Some((path, text))
            }
        };
        let named = file.as_ref().map(|(path, text)| (path.as_path(), text.as_str()));
        let changes = InspectionConfig::changes(named, &self.pairs).map_err(|problems| {
            let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Failure::usage(format!("the policy cannot be used: {}", all.join("; ")))
                .todo("mend the values named above; docs/inspection.md says what each key takes")
        })?;
        let json = value_to_json(&arqon_core::value::Value::Map(changes));
        let mut args: Map<String, Value> = serde_json::from_slice(&json).unwrap_or_default();
        if self.reset {
            args.insert("reset".to_owned(), true.into());
        }
        Ok(Value::Object(args))
    }

    pub(super) fn run(&self, global: &Global) -> Outcome {
        ask(global, "op.casil.reload", self.args()?)
    }
}

/// Shows the policy in force.
pub(super) fn get(global: &Global) -> Outcome {
    ask(global, "op.casil.get", json!({}))
}

fn ask(global: &Global, operation: &'static str, args: Value) -> Outcome {
    block_on(with_client(global, "inspect", Patience(Some(Duration::ZERO)), |client| async move {
        let policy = client.call(operation, args).await?;
        show::answer(global, &policy, &text(Paint::stdout(), &policy), operation != "op.casil.get")?;
        Ok(ExitCode::SUCCESS)
    }))
}

/// Each key with its value and who has set it; then what was done.
fn text(paint: Paint, policy: &Value) -> String {
    let reloaded = policy["reloaded"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut rows = vec![["KEY", "VALUE", "SET BY"].map(str::to_owned).to_vec()];
    for (key, value) in policy.as_object().into_iter().flatten() {
        if ["counts", "reloaded", "reload_problem"].contains(&key.as_str()) {
            continue;
        }
        let by = if reloaded.iter().any(|name| name == key) { "reload" } else { "configuration" };
        rows.push(vec![key.clone(), harmless(&shown(value)), by.to_owned()]);
    }
    let mut out = table(paint, &rows);
    if let Some(problem) = policy["reload_problem"].as_str() {
        out.push_str(&format!("\n\nkept changes are not in force: {}", harmless(problem)));
    }
    if let Some(counts) = policy["counts"].as_object() {
        let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
        out.push_str(&format!("\n\nsince the start: {}", counts.join(", ")));
    }
    out
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) if list.is_empty() => "-".to_owned(),
        Value::Array(list) => {
            let entries: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            entries.join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reload(pairs: &[&str], reset: bool) -> Result<Value, String> {
        let pairs = pairs.iter().map(|text| pair(text)).collect::<Result<_, _>>()?;
        Reload { pairs, policy: None, reset }.args().map_err(|_| "refused".to_owned())
    }

    #[test]
    fn only_what_was_named_is_sent_in_its_type() {
        let pairs = ["enabled=true", "max_payload_bytes=1 MiB", "redaction_paths=a, b", "scope_include="];
        let expected = json!({
            "enabled": true, "max_payload_bytes": 1 << 20, "redaction_paths": ["a", "b"], "scope_include": [],
        });
        assert_eq!(reload(&pairs, false), Ok(expected));
        let scope = |text: &str| reload(&[&format!("scope_include={text}")], false);
        assert_eq!(scope(r#"["repo:*","a:b"]"#), Ok(json!({ "scope_include": ["repo:*", "a:b"] })));
        assert!(scope("[repo:*]").is_err() && scope("'repo:*'").is_err());
        assert_eq!(reload(&[], true), Ok(json!({ "reset": true })));
        for wrong in [&["enabled"][..], &["enabled=maybe"], &["enbled=true"], &[]] {
            assert!(reload(wrong, false).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_policy_as_a_table() {
        let policy = json!({
            "enabled": true, "mode": "enforce", "redaction_paths": ["password", "token"], "scope_include": [],
            "reloaded": ["mode"], "reload_problem": null, "counts": {"blocked": 2, "inspected": 9},
        });
        expect_test::expect![[r#"
            KEY              VALUE            SET BY
            enabled          true             configuration
            mode             enforce          reload
            redaction_paths  password, token  configuration
            scope_include    -                configuration

            since the start: 2 blocked, 9 inspected"#]]
        .assert_eq(&text(Paint::none(), &policy));
    }
}
