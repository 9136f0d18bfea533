//! Says what would happen to each message, and how many of each kind there were.

use super::sample::Sample;
use crate::progress::counted;
use crate::terminal::{Paint, Style, harmless, line};
use arqon_core::inspect::{Decision, Redacted, Verdict};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;

/// How much of a redacted payload is shown to people, in characters.
const SHOWN: usize = 400;

pub(super) struct Report {
    json: bool,
    only_found: bool,
    paint: Paint,
    messages: u64,
    decisions: BTreeMap<&'static str, u64>,
    enforced: BTreeMap<&'static str, u64>,
    reasons: BTreeMap<&'static str, u64>,
    rules: BTreeMap<String, u64>,
}

impl Report {
    pub(super) fn new(json: bool, only_found: bool) -> Self {
        let empty = BTreeMap::new;
        Report {
            json,
            only_found,
            paint: Paint::stdout(),
            messages: 0,
            decisions: empty(),
            enforced: empty(),
            reasons: empty(),
            rules: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, number: u64, sample: &Sample, verdict: &Verdict) -> io::Result<()> {
        self.messages += 1;
        *self.decisions.entry(verdict.decision.as_str()).or_default() += 1;
        *self.enforced.entry(verdict.enforced.0.as_str()).or_default() += 1;
        *self.reasons.entry(verdict.reason.as_str()).or_default() += 1;
        let mut rules: Vec<&str> = verdict.findings.iter().map(|f| f.rule.as_str()).collect();
        rules.sort_unstable();
        rules.dedup();
        for rule in rules {
            *self.rules.entry(rule.to_owned()).or_default() += 1;
        }
        if self.only_found && !verdict.is_notable() {
            return Ok(());
        }
        if self.json {
            return line(&as_json(number, sample, verdict).to_string());
        }
        self.show(number, sample, verdict)
    }

    fn show(&self, number: u64, sample: &Sample, verdict: &Verdict) -> io::Result<()> {
        let style = match verdict.enforced.0 {
            Decision::Allow => Style::Green,
            Decision::AllowWithRedaction => Style::Yellow,
            Decision::Block => Style::Red,
        };
        let decision = self.paint.style(style, verdict.decision.as_str());
        let mut text = format!("{number}: {decision} {}", verdict.reason.as_str());
        if verdict.enforced.0 != verdict.decision {
            let (decision, reason) = verdict.enforced;
            text.push_str(&format!(" (enforce: {} {})", decision.as_str(), reason.as_str()));
        }
        text.push_str(&format!(" {}", self.paint.style(Style::Cyan, &harmless(&sample.address()))));
        for flag in verdict.flags.names() {
            text.push_str(&format!(" {flag}"));
        }
        line(&text)?;
        for finding in &verdict.findings {
            line(&format!("   {} at {}", finding.rule, harmless(&finding.path)))?;
        }
        let Some(redacted) = &verdict.redacted else { return Ok(()) };
        for (name, bytes) in parts(redacted) {
            let text = harmless(&String::from_utf8_lossy(bytes));
            let shown: String = text.chars().take(SHOWN).collect();
            let more = if shown.len() < text.len() { "…" } else { "" };
            line(&self.paint.style(Style::Dim, &format!("   {name}: {shown}{more}")))?;
        }
        Ok(())
    }

    /// The summary. Answers whether `enforce` would block or redact anything.
    pub(super) fn finish(&self, monitor: bool) -> io::Result<bool> {
        let allowed = self.enforced.get(Decision::Allow.as_str()).copied().unwrap_or(0);
        if self.json {
            let summary = json!({
                "messages": self.messages, "decisions": self.decisions, "enforced": self.enforced,
                "reason_codes": self.reasons, "rules": self.rules,
            });
            line(&json!({ "summary": summary }).to_string())?;
            return Ok(allowed < self.messages);
        }
        let list = |counts: &BTreeMap<&'static str, u64>| {
            let items: Vec<String> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
            items.join(", ")
        };
        line(&format!("{}: {}", counted(self.messages, "message"), list(&self.decisions)))?;
        if monitor {
            line(&format!("with `mode = \"enforce\"`: {}", list(&self.enforced)))?;
        }
        if !self.rules.is_empty() {
            let rules: Vec<String> =
                self.rules.iter().map(|(rule, count)| format!("{count} {rule}")).collect();
            line(&format!("found in messages: {}", rules.join(", ")))?;
        }
        Ok(allowed < self.messages)
    }
}

fn parts(redacted: &Redacted) -> impl Iterator<Item = (&'static str, &bytes::Bytes)> {
    let all =
        [("payload", &redacted.payload), ("metadata", &redacted.metadata), ("envelope", &redacted.unknown)];
    all.into_iter().filter_map(|(name, bytes)| bytes.as_ref().map(|bytes| (name, bytes)))
}

fn as_json(number: u64, sample: &Sample, verdict: &Verdict) -> Value {
    let findings: Vec<Value> = verdict
        .findings
        .iter()
        .map(|f| json!({ "rule": f.rule, "path": f.path, "probable_secret": f.secret }))
        .collect();
    let redacted: serde_json::Map<String, Value> = verdict
        .redacted
        .iter()
        .flat_map(parts)
        .map(|(name, bytes)| {
            // Members of the envelope come without braces.
            let text = String::from_utf8_lossy(bytes);
            let text = if name == "envelope" { format!("{{{text}}}") } else { text.into_owned() };
            (name.to_owned(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
        })
        .collect();
    json!({
        "line": number,
        "address": sample.address(),
        "decision": verdict.decision.as_str(),
        "reason_code": verdict.reason.as_str(),
        "enforced": { "decision": verdict.enforced.0.as_str(), "reason_code": verdict.enforced.1.as_str() },
        "kind": verdict.traffic.as_str(),
        "risk_level": verdict.risk.as_str(),
        "flags": verdict.flags.names(),
        "findings": findings,
        "redacted": redacted,
        "alters_delivery": verdict.alters_delivery,
    })
}
