//! Prints the generated parts of the documents as one JSON object, `FILE#MARKER` → Markdown, or `FILE` → the whole of it;
//! `cargo xtask codegen` puts them where they belong.

#![allow(clippy::print_stdout, reason = "a program that prints")]

use arqon_core::bus::events::EventType;
use arqon_core::operations::{self, Category, Method, Operation};
use serde_json::json;
use std::fmt::Write as _;

/// The names of all that docs/coverage.md has a row for.
#[path = "reference/names.rs"]
mod names;

fn main() {
    let parts = json!({
        "docs/protocol.md#operations": operations_reference(),
        "docs/configuration.md#configuration": arqon_server::config::reference(),
        "docs/telemetry.md#events": events_reference(),
        "docs/metrics.md#metrics": metrics_reference(),
        "api/asyncapi.json": arqon_server::asyncapi(),
        "docs/coverage.md": names::all().to_string(),
    });
    println!("{parts:#}");
}

/// A table of all operations for each category, then each operation with its arguments.
fn operations_reference() -> String {
    let mut out = String::new();
    for category in Category::ALL {
        let head = "| operation | what it does | right | calls a minute | HTTP |\n|---|---|---|---|---|";
        writeln!(out, "\n**{}**\n\n{head}", category.as_str()).expect("writing to a string cannot fail");
        operations::all().iter().filter(|o| o.category == category).for_each(|o| row(&mut out, o));
    }
    for operation in operations::all() {
        details(&mut out, operation);
    }
    out
}

fn row(out: &mut String, operation: &Operation) {
    let Operation { name, summary, permission, .. } = operation;
    let rate = match operation.per_minute {
        0 => "unlimited".to_owned(),
        n => n.to_string(),
    };
    let route = match &operation.route {
        Some(route) => format!("`{} {}`", method(route.method), route.path),
        None if operation.needs_connection => "needs a live connection".to_owned(),
        None => "–".to_owned(),
    };
    let right = permission.as_str();
    // Anchors have no dots.
    let anchor = name.replace('.', "");
    writeln!(out, "| [`{name}`](#{anchor}) | {} | `{right}` | {rate} | {route} |", cell(summary))
        .expect("writing to a string cannot fail");
}

fn details(out: &mut String, operation: &Operation) {
    let mut write = || {
        writeln!(out, "\n#### `{}`\n\n{}\n", operation.name, operation.summary)?;
        if !operation.args.is_empty() {
            writeln!(out, "| argument | type | needed | meaning |\n|---|---|---|---|")?;
        }
        for arg in operation.args {
            let needed = if arg.required { "yes" } else { "" };
            writeln!(out, "| `{}` | {} | {needed} | {} |", arg.name, arg.kind.as_str(), cell(arg.doc))?;
        }
        if !operation.args.is_empty() {
            writeln!(out)?;
        }
        if !operation.answer.is_empty() {
            writeln!(out, "Answers with {}.\n", operation.answer)?;
        }
        if !operation.aliases.is_empty() {
            writeln!(out, "Also called `{}`.\n", operation.aliases.join("`, `"))?;
        }
        if !operation.reasons.is_empty() {
            writeln!(out, "| reason | code | when |\n|---|---|---|")?;
        }
        for reason in operation.reasons {
            writeln!(out, "| `{}` | `{}` | {} |", reason.name, reason.code.as_str(), cell(reason.doc))?;
        }
        if !operation.reasons.is_empty() {
            writeln!(out)?;
        }
        write!(out, "```json\n{{\"type\":\"command\",\"command\":\"{}\",\"args\":", operation.name)?;
        writeln!(out, "{}}}\n```", operation.example)
    };
    write().expect("writing to a string cannot fail");
}

/// A table of all types of events.
fn events_reference() -> String {
    let mut out = "| event | severity | when |\n|---|---|---|\n".to_owned();
    for what in EventType::ALL {
        let (name, severity) = (what.as_str(), what.severity().as_str());
        writeln!(out, "| `{name}` | {severity} | {} |", what.doc()).expect("writing to a string cannot fail");
    }
    out
}

/// A table of all metrics, with the names that older dashboards know.
fn metrics_reference() -> String {
    let mut out = "| metric | type | unit | meaning | older names |\n|---|---|---|---|---|\n".to_owned();
    for info in arqon_server::all_metrics() {
        let older: Vec<String> = info.older.iter().map(|name| format!("`arqonbus_{name}`")).collect();
        let (name, kind, unit) = (info.name, info.kind.as_str(), info.unit);
        writeln!(out, "| `arqon_{name}` | {kind} | {unit} | {} | {} |", cell(info.help), older.join(", "))
            .expect("writing to a string cannot fail");
    }
    out
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn method(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
    }
}
