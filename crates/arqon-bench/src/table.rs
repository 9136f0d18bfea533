//! The table: medians with their spread.

use crate::cases::{Case, PAYLOAD, QUIET, Run};
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::path::Path;

const BEGIN: &str = "<!-- bench:begin -->\n";
const END: &str = "<!-- bench:end -->";

/// The table as Markdown, with what is needed to judge it.
pub fn render(cases: &[(Case, Vec<Run>)], machine: &str, seconds: u64) -> String {
    let repeats = cases.iter().map(|(_, runs)| runs.len()).max().unwrap_or(0);
    let mut out = String::new();
    let mut write = || {
        writeln!(
            out,
            "{machine}. Loopback, WebSocket JSON, no TLS, payload {PAYLOAD} B, `flush = \"always\"`; "
        )?;
        writeln!(
            out,
            "{repeats} runs of {seconds} s each after 1 s of warming up; medians, in brackets the least and"
        )?;
        writeln!(out, "the most. Nothing was lost in any run.\n")?;
        writeln!(
            out,
            "| load | a second | server CPU-s per million | confirm p50 / p99 µs | others, cores |"
        )?;
        writeln!(out, "|---|---|---|---|---|")?;
        for (case, runs) in cases {
            let rate = spread(runs, Run::rate, 0);
            let cpu = spread(runs, Run::server_cpu, 2);
            let others = runs.iter().map(Run::others).fold(0.0, f64::max);
            let mark = if others > QUIET { " (disturbed)" } else { "" };
            let (name, unit, latency) = (case.name(), case.unit(), latency(runs));
            writeln!(out, "| {name} | {rate} {unit} | {cpu} | {latency} | ≤ {others:.2}{mark} |")?;
        }
        Ok::<(), std::fmt::Error>(())
    };
    write().expect("writing to a string cannot fail");
    out.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn latency(runs: &[Run]) -> String {
    if runs.iter().any(|run| run.latency.is_empty()) {
        return "–".to_owned();
    }
    let at = |quantile: f64| {
        median(runs.iter().map(|run| run.latency.value_at_quantile(quantile) as f64).collect())
    };
    format!("{:.0} / {:.0}", at(0.5), at(0.99))
}

fn spread(runs: &[Run], figure: fn(&Run) -> f64, digits: usize) -> String {
    let figures: Vec<f64> = runs.iter().map(figure).collect();
    let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let most = figures.iter().copied().fold(0.0, f64::max);
    let show = |figure: f64| match digits {
        0 => thousands(figure),
        n => format!("{figure:.n$}"),
    };
    format!("**{}** ({}–{})", show(median(figures)), show(least), show(most))
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let (low, high) = ((figures.len() - 1) / 2, figures.len() / 2);
    (figures[low] + figures[high]) / 2.0
}

/// 1234567 → `1,234,567`.
fn thousands(figure: f64) -> String {
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

/// Puts the table between the markers of a document.
pub fn write(document: &Path, table: &str) -> Result<()> {
    let old = std::fs::read_to_string(document).with_context(|| document.display().to_string())?;
    let (head, rest) = old.split_once(BEGIN).context("the document lacks the marker of the beginning")?;
    let (_, tail) = rest.split_once(END).context("the document lacks the marker of the end")?;
    std::fs::write(document, format!("{head}{BEGIN}\n{table}\n{END}{tail}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_readable() {
        assert_eq!(thousands(1_234_567.4), "1,234,567");
        assert_eq!(thousands(999.0), "999");
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(vec![1.0, 2.0]) - 1.5).abs() < 1e-9);
    }
}
