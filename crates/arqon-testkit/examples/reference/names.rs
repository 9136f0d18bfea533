//! Every name that clients, dashboards and alarms may meet, read from the tables that make them.
//!
//! Invariant: no name is written here. Metrics are those that a running server shows.

use arqon_core::Code;
use arqon_core::bus::events::EventType;
use arqon_core::inspect;
use arqon_core::operations;
use arqon_testkit::TestServer;
use arqon_ws::CloseCode;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A list of objects: `kind`, `name`, `about`.
pub fn all() -> Value {
    let name = |kind: &str, name: &str, about: String| json!({ "kind": kind, "name": name, "about": about });
    let mut list = Vec::new();
    for operation in operations::all() {
        let route = operation
            .route
            .as_ref()
            .map_or_else(String::new, |route| format!("`{} {}`", super::method(route.method), route.path));
        list.push(name("command", operation.name, route));
        let aliases = operation.aliases.iter();
        list.extend(aliases.map(|alias| name("alias", alias, format!("`{}`", operation.name))));
    }
    let events = EventType::ALL.iter();
    list.extend(events.map(|what| name("event", what.as_str(), what.doc().to_owned())));
    list.extend(metrics().into_iter().map(|(metric, help)| name("metric", &metric, help)));
    list.extend(Code::ALL.iter().map(|code| {
        let later = if code.is_retryable() { "the same may succeed later" } else { "" };
        name("code", code.as_str(), later.to_owned())
    }));
    for (kind, reasons) in [("reason", reasons()), ("fault", faults())] {
        list.extend(reasons.into_iter().map(|(reason, about)| name(kind, reason, about)));
    }
    list.extend(inspect::Reason::ALL.iter().map(|reason| name("inspection", reason.as_str(), String::new())));
    list.extend(CloseCode::ALL.iter().map(|code| {
        let back = if code.reconnect() { "come back" } else { "do not come back unchanged" };
        name("close", &code.number().to_string(), format!("`{code:?}`: {back}"))
    }));
    Value::Array(list)
}

/// Each reason with its code and the operations that give it.
fn reasons() -> BTreeMap<&'static str, String> {
    let mut found: BTreeMap<&str, (&str, Vec<&str>)> = BTreeMap::new();
    for operation in operations::all() {
        for reason in operation.reasons {
            let entry = found.entry(reason.name).or_insert((reason.code.as_str(), Vec::new()));
            entry.1.push(operation.name);
        }
    }
    let shown = found.into_iter();
    shown.map(|(reason, (code, by))| (reason, format!("with `{code}`, of {}", names(&by)))).collect()
}

/// Each reason of faults of ours with its operations.
fn faults() -> BTreeMap<&'static str, String> {
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for operation in operations::all() {
        found.entry(operation.fault).or_default().push(operation.name);
    }
    found.into_iter().map(|(reason, by)| (reason, format!("of {}", names(&by)))).collect()
}

/// The first few, and how many more.
fn names(by: &[&str]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<String> = by.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match by.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Name and help of every metric that a server shows.
fn metrics() -> Vec<(String, String)> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let text = runtime.block_on(async {
        let server = TestServer::start().await;
        let host = server.url().trim_start_matches("http://").to_owned();
        let mut stream = TcpStream::connect(&host).await.expect("the server listens");
        let ask = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(ask.as_bytes()).await.expect("the server reads");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("the server answers");
        server.stop().await;
        text
    });
    let helps = text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '));
    let metrics: Vec<_> = helps.map(|(name, help)| (name.to_owned(), help.to_owned())).collect();
    assert!(!metrics.is_empty(), "a server shows metrics: {text}");
    metrics
}
