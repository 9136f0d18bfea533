//! The generated part of docs/benchmarks.md: goals, one table for each group, what was measured and how.
//!
//! Invariant: a figure stands here only if a row of the results has it; what was not measured is said to be missing.

use super::goals::{self, What};
use super::matrix::{self, Case, Group};
use super::results::{QUIET, Results, Row, Spread, spread};
use std::fmt::Write as _;

/// All of it as Markdown.
pub fn render(results: &Results, cases: &[Case], charts: &[&str]) -> String {
    let mut out = String::new();
    out.push_str(&conditions(results, cases));
    out.push_str(&goals_table(results, cases));
    for group in Group::ALL {
        let own: Vec<&Case> = cases.iter().filter(|case| case.group == group).collect();
        let is_measured = own.iter().any(|case| case.systems.iter().any(|s| !results.of(case, s).is_empty()));
        if !is_measured {
            continue;
        }
        put(&mut out, &format!("### {}\n\n", group.heading()));
        for chart in charts.iter().filter(|chart| chart_group(chart) == Some(group)) {
            put(&mut out, &format!("![{}]({chart})\n\n", group.heading()));
        }
        out.push_str(&match group {
            Group::Scaling => scaling(results, &own),
            Group::StartUp | Group::Idle | Group::Pipes => figures(results, &own),
            _ => table(results, &own),
        });
    }
    out.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Which section a chart belongs to, by the name of its file.
fn chart_group(chart: &str) -> Option<Group> {
    let word = chart.strip_prefix("bench-")?.strip_suffix(".svg")?;
    Group::ALL.into_iter().find(|group| group.word() == word)
}

fn put(out: &mut String, text: &str) {
    out.push_str(text);
}

/// Machine, versions, settings, how often.
fn conditions(results: &Results, cases: &[Case]) -> String {
    let Some(latest) = results.latest() else { return "Nothing has been measured yet.\n\n".to_owned() };
    let mut out = format!("Machine: {}.\n\n| system | version | settings |\n|---|---|---|\n", latest.machine);
    let mut seen: Vec<(String, String, String)> = Vec::new();
    for case in cases {
        for system in &case.systems {
            for row in results.of(case, system).into_iter().take(1) {
                let run = &row.run;
                let version = match matrix::is_ours(system) {
                    true => format!("{} at commit {}", run.version, row.commit),
                    false => run.version.clone(),
                };
                let line = (matrix::name_of(system).to_owned(), version, run.settings.clone());
                if !line.2.is_empty() && !seen.contains(&line) {
                    seen.push(line);
                }
            }
        }
    }
    for (name, version, settings) in &seen {
        put(&mut out, &format!("| {name} | {version} | {settings} |\n"));
    }
    let disturbed = count(results, cases, Row::is_disturbed);
    let all = count(results, cases, |_| true);
    let closed = |case: &&Case| case.pace == "max" && case.group == Group::FanOut;
    let fan_out = cases.iter().find(closed).map(|case| results.of(case, "arqon")).unwrap_or_default();
    let length = spread(&fan_out, |row| Some(row.run.seconds));
    let length =
        length.map_or_else(String::new, |s| format!(", each measured for about {} s", figure(s.median)));
    let void = match count(results, cases, |row| row.void > 0) {
        0 => String::new(),
        void => format!(" {void} runs were void (something was lost or failed) and were taken again."),
    };
    put(
        &mut out,
        &format!(
            "\n{all} runs, systems in turn{length}. Rates are medians, with the least and the most in brackets. {disturbed} runs are \
             marked *: others took more than {QUIET} of a core meanwhile, also when the run was repeated.{void}\n\n"
        ),
    );
    out
}

fn count(results: &Results, cases: &[Case], which: impl Fn(&Row) -> bool) -> usize {
    let of = |case: &Case| -> usize {
        case.systems.iter().map(|s| results.of(case, s).iter().filter(|row| which(row)).count()).sum()
    };
    cases.iter().map(of).sum()
}

fn goals_table(results: &Results, cases: &[Case]) -> String {
    let verdicts = goals::judge(results, cases);
    if verdicts.is_empty() {
        return String::new();
    }
    let missed = verdicts.iter().filter(|verdict| verdict.is_missed).count();
    let mut out = format!(
        "### Goals\n\nThe project's own goals, as ratios of medians of the same session where a peer is named. First goals \
         missed: {missed} of {}.\n\n| load | compared | Arqon | first goal | moonshot |\n|---|---|---|---|---|\n",
        verdicts.iter().filter(|verdict| verdict.first != "–").count()
    );
    for verdict in verdicts {
        let came = verdict.came.join(", ");
        let (load, asked, first, moonshot) = (verdict.load, verdict.asked, verdict.first, verdict.moonshot);
        put(&mut out, &format!("| {load} | {asked} | {came} | {first} | {moonshot} |\n"));
    }
    out.push('\n');
    out
}

/// Rates, cost, latencies, and what Arqon is beside each.
fn table(results: &Results, cases: &[&Case]) -> String {
    let unit = cases
        .iter()
        .flat_map(|case| case.systems.iter().flat_map(|s| results.of(case, s)))
        .map(|row| row.run.unit.clone())
        .next()
        .unwrap_or_default();
    let is_paced = cases.iter().any(|case| case.pace == "half");
    let unit = if cases.iter().any(|case| case.load.split(':').next() != cases[0].load.split(':').next()) {
        "messages".to_owned()
    } else {
        unit
    };
    let compared = if is_paced { "p50, p99" } else { "rate, CPU" };
    let mut out = format!(
        "| load | system | {unit} a second | server CPU-s per million | p50 / p99 / p99.9 µs | generator, cores | Arqon ÷ this: {compared} |\n\
         |---|---|---|---|---|---|---|\n"
    );
    for case in cases {
        let mut name = format!("**{}**", case_name(case));
        for system in &case.systems {
            let rows = results.of(case, system);
            let Some(rate) = spread(&rows, |row| Some(row.run.rate)) else { continue };
            let mark = if rows.iter().any(|row| row.is_disturbed()) { "\\*" } else { "" };
            let promise = match matrix::promise_of(system) {
                "" => String::new(),
                weaker => format!(" ({weaker})"),
            };
            let shown = if matrix::is_ours(system) {
                format!("**{}**", matrix::name_of(system))
            } else {
                matrix::name_of(system).to_owned()
            };
            let cpu = spread(&rows, |row| row.run.server_cpu_per_million);
            let cores = spread(&rows, |row| Some(row.run.generator_cores)).map_or(0.0, |s| s.median);
            writeln!(
                out,
                "| {name} | {shown}{promise} | {}{mark} | {} | {} | {cores:.2} | {} |",
                rates(rate),
                cpu.map_or_else(|| "–".to_owned(), costs),
                latencies(&rows),
                ratios(results, case, system),
            )
            .expect("writing to a string cannot fail");
            name.clear();
        }
    }
    out.push('\n');
    out
}

/// A load with what is special about it.
fn case_name(case: &Case) -> String {
    let name = matrix::load_name(&case.load);
    let name = match (case.group, case.load.split(':').next()) {
        (Group::Latency | Group::Payloads, Some("fan-out")) => format!("fan-out {name}"),
        (Group::Latency | Group::Payloads, Some("confirmed")) => format!("confirmed, {name}"),
        (Group::Latency, Some("request-reply")) => "request and reply".to_owned(),
        _ => name,
    };
    match case.payload {
        matrix::PAYLOAD => name,
        bytes if bytes >= 1024 => format!("{name}, {} KiB", bytes / 1024),
        bytes => format!("{name}, {bytes} B"),
    }
}

/// What Arqon, in JSON where it was measured, is beside another: rate and cost, or latencies.
fn ratios(results: &Results, case: &Case, system: &str) -> String {
    if matrix::is_ours(system) {
        return "–".to_owned();
    }
    let (own, theirs) = (results.of(case, "arqon"), results.of(case, system));
    if own.first().map(|row| row.session) != theirs.first().map(|row| row.session) {
        return "not measured together".to_owned();
    }
    let ratio = |what: fn(&Row) -> Option<f64>| {
        let (own, theirs) = (spread(&own, what)?, spread(&theirs, what)?);
        Some(own.median / theirs.median).filter(|ratio| ratio.is_finite())
    };
    let show =
        |ratio: Option<f64>| ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{} ×", figure(ratio)));
    // On a schedule the rate is half of the system's own: a ratio of it would say nothing.
    let (first, second) = match case.pace {
        "half" => (ratio(|row| What::P50.of(row)), ratio(|row| What::P99.of(row))),
        _ => (ratio(|row| What::Rate.of(row)), ratio(|row| What::Cpu.of(row))),
    };
    format!("{}, {}", show(first), show(second))
}

fn rates(rate: Spread) -> String {
    ranged(rate, thousands)
}

fn costs(cost: Spread) -> String {
    ranged(cost, figure)
}

/// The middle, and the least and the most where they are not the same.
fn ranged(spread: Spread, show: fn(f64) -> String) -> String {
    let (median, least, most) = (show(spread.median), show(spread.least), show(spread.most));
    if least == most { median } else { format!("{median} ({least}–{most})") }
}

fn latencies(rows: &[&Row]) -> String {
    let at = |pick: fn(&super::results::Latency) -> f64| {
        let middle = spread(rows, |row| row.run.latency.as_ref().map(pick))?;
        Some(thousands(middle.median))
    };
    match (at(|l| l.p50_us), at(|l| l.p99_us), at(|l| l.p999_us)) {
        (Some(p50), Some(p99), Some(p999)) => format!("{p50} / {p99} / {p999}"),
        _ => "–".to_owned(),
    }
}

/// One row for each size.
fn scaling(results: &Results, cases: &[&Case]) -> String {
    let mut out = "| size | a second | server CPU-s per million |\n|---|---|---|\n".to_owned();
    let mut line = |name: String, rate: String, cpu: String| {
        writeln!(out, "| {name} | {rate} | {cpu} |").expect("writing to a string cannot fail");
    };
    for case in cases {
        let rows = results.of(case, "arqon");
        let mark = if rows.iter().any(|row| row.is_disturbed()) { "\\*" } else { "" };
        if let Some(points) = rows.first().map(|row| &row.run.points).filter(|points| !points.is_empty()) {
            for point in points {
                let cpu = point.server_cpu_per_million.map_or_else(|| "–".to_owned(), figure);
                let name = format!("log of {} records", thousands(point.at));
                line(name, format!("{}{mark}", thousands(point.rate)), cpu);
            }
            continue;
        }
        let Some(rate) = spread(&rows, |row| Some(row.run.rate)) else { continue };
        let cpu = spread(&rows, |row| row.run.server_cpu_per_million);
        line(
            matrix::load_name(&case.load),
            format!("{}{mark}", rates(rate)),
            cpu.map_or_else(|| "–".to_owned(), costs),
        );
    }
    out.push('\n');
    out
}

/// Figures that have names of their own.
fn figures(results: &Results, cases: &[&Case]) -> String {
    let mut names: Vec<String> = Vec::new();
    let all = || cases.iter().flat_map(|case| case.systems.iter().map(move |system| (case, system)));
    for (case, system) in all() {
        for name in results.of(case, system).iter().flat_map(|row| row.run.figures.keys()) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    names.sort_by_key(|name| NAMES.iter().position(|(known, _)| known == name));
    let heads: Vec<String> = names.iter().map(|name| head_of(name)).collect();
    let mut out =
        format!("| load | system | {} |\n|---|---|{}\n", heads.join(" | "), "---|".repeat(names.len()));
    for (case, system) in all() {
        let rows = results.of(case, system);
        if rows.is_empty() {
            continue;
        }
        let mark = if rows.iter().any(|row| row.is_disturbed()) { "\\*" } else { "" };
        let cell = |name: &String| {
            let figures = spread(&rows, |row| row.run.figures.get(name).copied());
            figures.map_or_else(|| "–".to_owned(), |s| format!("{}{mark}", figure(s.median)))
        };
        let cells: Vec<String> = names.iter().map(cell).collect();
        let name = match *system {
            "redis-always" if case.group == Group::Pipes => "`redis-cli`, XADD, appendfsync always",
            "arqon" if case.group == Group::Pipes => "**`arqon pub`, `arqon sub`**",
            "redis" if case.group == Group::Idle => "Redis",
            other => matrix::name_of(other),
        };
        put(&mut out, &format!("| {} | {name} | {} |\n", matrix::load_name(&case.load), cells.join(" | ")));
    }
    out.push('\n');
    out
}

/// Figures that have names of their own, in this order, and how people read them.
const NAMES: &[(&str, &str)] = &[
    ("ready_ms", "to ready after SIGTERM, ms"),
    ("ready_after_kill_ms", "to ready after SIGKILL, ms"),
    ("memory_before_kib", "memory before, KiB"),
    ("memory_per_connection_kib", "KiB a connection"),
    ("memory_per_subscribed_connection_kib", "KiB a connection that subscribes"),
    ("write_s", "writing, s"),
    ("write_cpu_s", "its CPU, client and server, s"),
    ("read_s", "reading back, s"),
    ("read_cpu_s", "its CPU, client and server, s"),
];

fn head_of(name: &str) -> String {
    let known = NAMES.iter().find(|(known, _)| *known == name);
    known.map_or_else(|| name.replace('_', " "), |(_, head)| (*head).to_owned())
}

/// 1234567 → `1,234,567`.
pub fn thousands(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Three digits that mean something, without zeros at the end.
pub fn figure(figure: f64) -> String {
    let digits = match figure.abs() {
        f if f >= 99.95 => return thousands(figure),
        f if f >= 9.995 => 1,
        f if f >= 0.0995 => 2,
        _ => 3,
    };
    let text = format!("{figure:.digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_readable() {
        assert_eq!((thousands(1_234_567.4), thousands(999.0)), ("1,234,567".into(), "999".into()));
        let shown = [0.0123, 0.5, 1.234, 12.34, 0.0, 1234.0].map(figure);
        assert_eq!(shown, ["0.012", "0.5", "1.23", "12.3", "0", "1,234"]);
        assert_eq!(head_of("memory_per_connection_kib"), "KiB a connection");
        assert_eq!(head_of("some_thing_new"), "some thing new");
        assert_eq!(chart_group("bench-fan-out.svg"), Some(Group::FanOut));
    }
}
