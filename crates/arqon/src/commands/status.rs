//! `arqon status`.

use crate::connect::{Outcome, block_on, with_client};
use crate::options::{Global, Patience};
use crate::progress::grouped;
use crate::show::{clock, span};
use crate::terminal::{Paint, Style, harmless, line};
use arqon_wire::parse_timestamp;
use clap::Args;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// Show how the server does and who you are to it.
#[derive(Args)]
#[command(after_help = "Examples:
  arqon status
  arqon status --json | jq .metrics
  arqon status --url https://bus.example.com")]
pub(crate) struct Status {}

impl Status {
    pub(crate) fn run(&self, global: &Global) -> Outcome {
        block_on(with_client(global, "status", Patience(Some(Duration::ZERO)), |client| async move {
            let status = client.call("status", json!({})).await?;
            match global.json {
                true => line(&status.to_string())?,
                false => line(&text(Paint::stdout(), &client.endpoint().to_string(), &status))?,
            }
            // A server that answers and cannot store is not well.
            Ok(if status["healthy"] == true { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }))
    }
}

fn text(paint: Paint, url: &str, status: &Value) -> String {
    let word = |name: &str| harmless(status[name].as_str().unwrap_or_default());
    let you = |name: &str| harmless(status["you"][name].as_str().unwrap_or("-"));
    let damaged = status["metrics"]["log_damaged"].as_f64().unwrap_or(0.0);
    let health = match status["problem"].as_str() {
        Some(problem) => paint.style(Style::Red, &format!("not well: {}", harmless(problem))),
        None if damaged > 0.0 => {
            let what = format!("well, with {damaged} damaged places in its log: see `arqon log check DIR`");
            paint.style(Style::Yellow, &what)
        }
        None => paint.style(Style::Green, "well"),
    };
    let until = status["you"]["expires_at"].as_str().and_then(|at| parse_timestamp("expires_at", at).ok());
    let until = until.map_or_else(String::new, |at| format!(", until {}", clock(at)));
    let uptime = span(status["uptime_seconds"].as_u64().unwrap_or(0));
    let mut out = vec![
        format!("{} {} is {health}", paint.style(Style::Bold, "arqon"), word("version")),
        format!("  at        {url}, up {uptime}"),
        format!("  you       {} ({}, tenant {}){until}", you("subject"), you("role"), you("tenant")),
        format!("  connected {}", connected(status)),
    ];
    let agents = status["agents"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !agents.is_empty() {
        let names: Vec<String> = agents.iter().map(agent).collect();
        out.push(format!("  agents    {}", names.join(", ")));
    }
    // Counts over all tenants, which a server shows only to those who look after all of it.
    let metrics = status["metrics"].as_object().into_iter().flatten();
    let numbers: Vec<(&String, String)> = metrics
        .filter(|(name, _)| *name != "uptime_seconds")
        .map(|(name, value)| (name, number(value)))
        .collect();
    if !numbers.is_empty() {
        out.push(String::new());
    }
    let width = numbers.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    out.extend(numbers.iter().map(|(name, value)| format!("  {name:<width$}  {value}")));
    out.join("\n")
}

fn number(value: &Value) -> String {
    value.as_u64().map_or_else(|| value.to_string(), grouped)
}

fn agent(agent: &Value) -> String {
    let skills: Vec<&str> =
        agent["skills"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let name = agent["agent"].as_str().unwrap_or_default();
    harmless(&if skills.is_empty() { name.to_owned() } else { format!("{name} ({})", skills.join(", ")) })
}

fn connected(status: &Value) -> String {
    let list = status["connections"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut by_sender = std::collections::BTreeMap::<&str, usize>::new();
    for connection in list {
        *by_sender.entry(connection["sender"].as_str().unwrap_or("-")).or_default() += 1;
    }
    let names: Vec<String> = by_sender.iter().take(10).map(|(name, n)| format!("{name} ×{n}")).collect();
    harmless(&format!("{} ({})", list.len(), names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_like_a_sentence() {
        let status = json!({
            "version": "0.1.0", "uptime_seconds": 65, "healthy": true, "problem": null,
            "you": {"subject": "owner", "role": "system", "tenant": "default", "expires_at": "2036-01-02T03:04:05Z"},
            "agents": [{"agent": "planner", "skills": ["plan"]}],
            "connections": [{"sender": "owner"}, {"sender": "owner"}],
            "metrics": {"messages_stored_total": 12345, "uptime_seconds": 65.2},
        });
        expect_test::expect![[r#"
            arqon 0.1.0 is well
              at        http://127.0.0.1:9100, up 1m 5s
              you       owner (system, tenant default), until 2036-01-02 03:04:05Z
              connected 2 (owner ×2)
              agents    planner (plan)

              messages_stored_total  12,345"#]]
        .assert_eq(&text(Paint::none(), "http://127.0.0.1:9100", &status));
    }

    #[test]
    fn damage_is_said_although_the_server_works() {
        let status = json!({ "version": "0.1.0", "healthy": true, "metrics": {"log_damaged": 2} });
        let shown = text(Paint::none(), "http://127.0.0.1:9100", &status);
        assert!(shown.starts_with("arqon 0.1.0 is well, with 2 damaged places in its log: see"), "{shown}");
    }

    #[test]
    fn a_status_without_numbers_ends_with_what_there_is() {
        let status = json!({ "version": "0.1.0", "healthy": true, "connections": [{"sender": "ci"}] });
        let shown = text(Paint::none(), "http://127.0.0.1:9100", &status);
        assert!(shown.ends_with("connected 1 (ci ×1)"), "{shown}");
    }
}
