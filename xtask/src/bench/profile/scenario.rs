//! Which loads are profiled, from what is measured.
//!
//! Invariant: whatever Arqon is measured with and whose server works while it is measured has a profile.

use crate::bench::matrix::{self, Case, Group};

/// One profile.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The name of its file.
    pub name: String,
    /// How people call it.
    pub title: String,
    /// `arqon` or `arqon-proto`.
    pub system: &'static str,
    /// What is measured.
    pub case: Case,
}

/// These in protobuf too: where the form is what much of the time goes to.
const BOTH_FORMS: [&str; 4] = ["fan-out:1", "request-reply:64", "confirmed:256", "replay"];

/// All, in the order of the page.
pub fn scenarios(quick: bool) -> Vec<Scenario> {
    let mut all = Vec::new();
    for case in matrix::cases(quick).into_iter().filter(|case| case.systems.contains(&"arqon")) {
        let Some(case) = profiled(case, quick) else { continue };
        let is_usual = case.pace == "max" && case.payload == matrix::PAYLOAD;
        let kind = case.load.split(':').next().unwrap_or_default();
        let is_both = is_usual && BOTH_FORMS.iter().any(|load| case.load == *load || kind == *load);
        all.push(scenario(&case, "arqon"));
        all.extend(is_both.then(|| scenario(&case, "arqon-proto")));
    }
    all
}

/// The case as it is profiled. Where something grows, its end says what growing costs; of the log, the beginning of its
/// growth, for it would take minutes. Idle connections take no time, and a pipe is what other cases are.
fn profiled(case: Case, quick: bool) -> Option<Case> {
    let (kind, size) = case.load.split_once(':')?;
    match case.group {
        Group::Idle | Group::Pipes => None,
        Group::Scaling if kind == "log-growth" => {
            let records = if quick { 100_000 } else { 2_000_000 };
            Some(Case { load: format!("log-growth:{records}"), stretch: 1.0, overhead: 6.0, ..case })
        }
        Group::Scaling => (size.len() >= 4 && size != "1000").then_some(case),
        _ => Some(case),
    }
}

fn scenario(case: &Case, system: &'static str) -> Scenario {
    let mut name = case.load.replace(':', "-");
    let mut title = title(&case.load);
    if case.pace == "half" {
        name.push_str("-half");
        title.push_str(", half of the maximum rate");
    }
    if case.payload != matrix::PAYLOAD {
        let (short, long) = match case.payload {
            bytes if bytes >= 1024 => (format!("-{}k", bytes / 1024), format!(", {} KiB", bytes / 1024)),
            bytes => (format!("-{bytes}"), format!(", {bytes} B")),
        };
        name.push_str(&short);
        title.push_str(&long);
    }
    if system == "arqon-proto" {
        name.push_str("-proto");
        title.push_str(", protobuf");
    }
    Scenario { name, title, system, case: case.clone() }
}

fn title(load: &str) -> String {
    let name = matrix::load_name(load);
    match load.split(':').next().unwrap_or_default() {
        "fan-out" => format!("Fan-out {name}"),
        "request-reply" => format!("Request and reply, {name}"),
        "confirmed" => format!("Durable publish, {name}"),
        "durable-subscription" => format!("Durable subscription, {name}"),
        "replay" => format!("Replay of {name}"),
        "start-up" => format!("Start after SIGKILL, {name}"),
        "rooms" => format!("Durable publish, {name} in turn"),
        "connections" => format!("Fan-out 1 → 1 among {name}"),
        "log-growth" => format!("Durable publish, {name}"),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_case_of_ours_has_a_profile_of_its_own() {
        for quick in [false, true] {
            let scenarios = scenarios(quick);
            let names: BTreeSet<&str> = scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
            let titles: BTreeSet<&str> = scenarios.iter().map(|scenario| scenario.title.as_str()).collect();
            assert_eq!((names.len(), titles.len()), (scenarios.len(), scenarios.len()));
            for case in matrix::cases(quick) {
                let has = scenarios.iter().any(|scenario| scenario.case.group == case.group);
                let has_none = matches!(case.group, Group::Idle | Group::Pipes);
                assert!(has != has_none, "{:?}", case.group);
            }
            for kind in ["rooms", "connections", "log-growth"] {
                assert_eq!(names.iter().filter(|name| name.starts_with(kind)).count(), 1, "{kind}");
            }
        }
    }
}
