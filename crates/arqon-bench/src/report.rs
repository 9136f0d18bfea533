//! A run as people read it: the rate, what it cost, and how long things took.

use crate::load::Load;
use crate::run::{Latency, Run};

/// A few lines: names left, figures right.
pub fn text(run: &Run) -> String {
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut row = |name: &str, value: String| rows.push((name.to_owned(), value));
    row("load", format!("{}, payload {} B, {}", run.load, run.payload, pace(run)));
    row("server", format!("{}; {}", run.version, run.settings));
    let is_a_rate = !matches!(run.load, Load::StartUp { .. } | Load::Idle { .. });
    if is_a_rate {
        row(
            "rate",
            format!(
                "{} {}/s ({} payload/s){}",
                grouped(run.rate),
                run.unit,
                bytes(run.bytes_per_second),
                behind(run)
            ),
        );
    }
    if let Some(latency) = &run.latency {
        row("latency", line(latency));
    }
    if is_a_rate {
        rows.extend(costs(run));
    }
    let mut row = |name: &str, value: String| rows.push((name.to_owned(), value));
    for (name, value) in &run.figures {
        let (name, unit) = named(name);
        row(&name, format!("{value:.1}{unit}"));
    }
    for point in &run.points {
        let cpu = point
            .server_cpu_per_million
            .map_or_else(String::new, |cpu| format!(", {cpu:.2} CPU-s per million"));
        row(&format!("at {}", grouped(point.at as f64)), format!("{}/s{cpu}", grouped(point.rate)));
    }
    row("checked", format!("{}: each once and in order, none lost", grouped(run.checked as f64)));
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: Vec<String> = rows.iter().map(|(name, value)| format!("{name:<width$}  {value}")).collect();
    lines.join("\n")
}

/// An open loop that fell behind its schedule measures a queue that grows, not the system at that rate.
fn behind(run: &Run) -> &'static str {
    let each = match run.load {
        Load::FanOut { subscribers } => f64::from(subscribers),
        _ => 1.0,
    };
    match run.intended_rate {
        Some(intended) if run.rate < 0.95 * intended * each => {
            " – slower than the schedule: choose a lower rate"
        }
        _ => "",
    }
}

/// What it took of the machine.
fn costs(run: &Run) -> Vec<(String, String)> {
    let server = match run.server_cpu_per_million {
        Some(cpu) => format!("{cpu:.2} s per million"),
        None => "not known: the server is not on this machine, or not yours to look at".to_owned(),
    };
    let (cpu, cores) = (run.generator_cpu_per_million, run.generator_cores);
    let generator = format!("{cpu:.2} s CPU per million, {cores:.2} of 1 core{}", warn(run));
    let mut rows = vec![("server CPU".to_owned(), server), ("generator".to_owned(), generator)];
    if let Some(others) = run.others_cores {
        let mark = if run.is_disturbed() { " – disturbed: close what else runs and repeat" } else { "" };
        rows.push(("others".to_owned(), format!("{others:.2} cores{mark}")));
    }
    rows
}

/// `memory_per_connection_kib` → `memory per connection`, ` KiB`.
fn named(figure: &str) -> (String, &'static str) {
    const UNITS: [(&str, &str); 3] = [("_kib", " KiB"), ("_ms", " ms"), ("_mb_per_second", " MB/s")];
    let found = UNITS.iter().find_map(|(end, unit)| Some((figure.strip_suffix(end)?, *unit)));
    let (name, unit) = found.unwrap_or((figure, ""));
    (name.replace('_', " "), unit)
}

fn pace(run: &Run) -> String {
    match (run.intended_rate, run.max_rate) {
        (Some(rate), Some(max)) => {
            format!("open loop at {} messages/s, half of {}", grouped(rate), grouped(max))
        }
        (Some(rate), None) => format!("open loop at {} messages/s", grouped(rate)),
        (None, _) => "closed loop".to_owned(),
    }
}

/// `p50 120 µs, p99 …`, and from when on it counts.
pub fn line(latency: &Latency) -> String {
    let from = match latency.from.as_str() {
        "intended" => "from the intended moment",
        _ => "from sending",
    };
    format!(
        "p50 {}, p99 {}, p99.9 {}, worst {} ({from})",
        time(latency.p50_us),
        time(latency.p99_us),
        time(latency.p999_us),
        time(latency.max_us)
    )
}

fn warn(run: &Run) -> &'static str {
    if run.generator_cores > 0.95 {
        " – the generator is the bottleneck: the server can do more"
    } else {
        ""
    }
}

/// `850 µs`, `12.3 ms`, `1.20 s`.
pub fn time(us: u64) -> String {
    match us {
        0..=9_999 => format!("{us} µs"),
        10_000..=999_999 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.2} s", us as f64 / 1e6),
    }
}

/// `12.3 MB`.
fn bytes(count: f64) -> String {
    match count {
        c if c < 1e6 => format!("{:.1} kB", c / 1e3),
        c if c < 1e9 => format!("{:.1} MB", c / 1e6),
        c => format!("{:.2} GB", c / 1e9),
    }
}

/// `1234567` → `1,234,567`.
pub fn grouped(figure: f64) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_readable() {
        assert_eq!((grouped(1_234_567.4).as_str(), grouped(999.0).as_str()), ("1,234,567", "999"));
        assert_eq!(
            (time(850).as_str(), time(12_345).as_str(), time(1_200_000).as_str()),
            ("850 µs", "12.3 ms", "1.20 s")
        );
        assert_eq!(named("memory_per_connection_kib"), ("memory per connection".to_owned(), " KiB"));
        assert_eq!((bytes(25_600.0).as_str(), bytes(2.5e9).as_str()), ("25.6 kB", "2.50 GB"));
    }
}
