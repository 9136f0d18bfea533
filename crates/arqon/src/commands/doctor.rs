//! `arqon doctor`: what could be in the way, each with what to do about it.

mod checks;

use crate::connect::{Outcome, block_on};
use crate::failure::Exit;
use crate::options::Global;
use crate::terminal::{Paint, Style, harmless, line};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Look for what could be in the way: server, token, clock, disk, limits.
#[derive(Args)]
#[command(after_help = "Examples:
  arqon doctor
  arqon doctor --data /var/lib/arqon       also look at that data folder
  arqon doctor --url https://bus.example.com --json")]
pub(crate) struct Doctor {
    /// The data folder of a server on this machine; looked at if it exists.
    #[arg(long, value_name = "DIR", default_value = "./arqon-data")]
    data: PathBuf,
}

/// One thing that was looked at.
#[derive(Debug)]
pub(crate) struct Finding {
    name: &'static str,
    text: String,
    /// What to do, where something is wrong.
    todo: Option<String>,
    exit: Exit,
}

impl Finding {
    fn good(name: &'static str, text: impl Into<String>) -> Self {
        Finding { name, text: text.into(), todo: None, exit: Exit::Failed }
    }

    fn bad(name: &'static str, text: impl Into<String>, todo: impl Into<String>) -> Self {
        Finding { name, text: text.into(), todo: Some(todo.into()), exit: Exit::Failed }
    }

    fn because(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }
}

impl Doctor {
    pub(crate) fn run(&self, global: &Global) -> Outcome {
        let mut findings = block_on(checks::server(global));
        findings.extend(checks::data(&self.data));
        findings.push(checks::open_files());
        if global.json {
            let list: Vec<_> = findings
                .iter()
                .map(|f| json!({ "check": f.name, "ok": f.todo.is_none(), "found": f.text, "todo": f.todo }))
                .collect();
            line(&json!({ "ok": findings.iter().all(|f| f.todo.is_none()), "checks": list }).to_string())?;
        } else {
            let paint = Paint::stdout();
            for finding in &findings {
                line(&show(paint, finding))?;
            }
        }
        let worst = findings.iter().filter(|f| f.todo.is_some()).map(|f| f.exit as u8).max();
        Ok(worst.map_or(ExitCode::SUCCESS, ExitCode::from))
    }
}

fn show(paint: Paint, finding: &Finding) -> String {
    let text = harmless(&finding.text);
    match &finding.todo {
        None => format!("{} {:<11} {text}", paint.style(Style::Green, "✔"), finding.name),
        Some(todo) => {
            let todo = harmless(todo);
            format!("{} {:<11} {text}\n  {:<11} → {todo}", paint.style(Style::Red, "✖"), finding.name, "")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_read_well() {
        let good = Finding::good("server", "0.1.0 answers");
        assert_eq!(show(Paint::none(), &good), "✔ server      0.1.0 answers");
        let bad = Finding::bad("clock", "9 s apart", "set it");
        assert_eq!(show(Paint::none(), &bad), "✖ clock       9 s apart\n              → set it");
    }
}
