//! A soak: the real binary under mixed load for a while, its memory sampled each second and judged by its slope.
//!
//! `cargo xtask soak --minutes 20` builds and runs it. The load is moderate on purpose and of every kind: fan-out,
//! confirmed durable messages with acknowledgements, requests, subscriptions and connections that come and go, channels
//! that are used once and never again, rooms that are used by turns and emptied by age. Invariant: what is judged was read
//! from the kernel, not from the server.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports")]

#[path = "soak/chart.rs"]
mod chart;
#[path = "soak/load.rs"]
mod load;

use arqon_testkit::process::Site;
use load::{Counts, Load};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// What is left out at the beginning: caches fill, the allocator finds its size.
const WARM_UP: f64 = 0.25;
/// How much the memory may grow over the judged time. One bounded part is still filling then, by about a quarter of a MiB a
/// minute under this load: the table of documents (what durable names have acknowledged), which is written out at 16 MiB.
const MAY_GROW_MIB: f64 = 6.0;

/// What the bus keeps in memory of its log grows with what the log keeps, up to a bound that twenty minutes do not reach:
/// 24 bytes a record, until a segment of 64 MiB is full, and then in a cache of 32 MiB. Here the log keeps a minute of
/// everything, in small segments that are deleted whole, so that this is full after three minutes and what grows after that
/// is something else.
const CONFIG: &str = r#"
[log]
segment_bytes = "1MiB"

[[delivery]]
pattern = "fan:*"
class = "ephemeral"

[[delivery]]
pattern = "once:*"
class = "ephemeral"

[[delivery]]
pattern = "work:*"
max_age = "1min"

[[delivery]]
pattern = "ask:*"
max_age = "1min"

[[delivery]]
pattern = "*:passing"
max_age = "1min"
"#;

/// One second.
pub struct Sample {
    /// Since the start.
    pub seconds: f64,
    /// Memory that is the process's own.
    pub own_mib: f64,
    /// With mapped files.
    pub resident_mib: f64,
    /// Open files.
    pub files: usize,
}

struct Options {
    minutes: f64,
    arqon: PathBuf,
    folder: PathBuf,
    svg: Option<PathBuf>,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        minutes: 20.0,
        arqon: PathBuf::from("target/release/arqon"),
        folder: std::env::temp_dir(),
        svg: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--minutes" => options.minutes = value.parse().map_err(|e| format!("--minutes: {e}"))?,
            "--arqon" => options.arqon = value.into(),
            "--folder" => options.folder = value.into(),
            "--svg" => options.svg = Some(value.into()),
            _ => return Err(format!("there is no option {name}")),
        }
    }
    Ok(options)
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("soak: {error}");
            return ExitCode::from(2);
        }
    };
    let mut site = Site::new_in(&options.folder, &options.arqon);
    let config = site.path().join("arqon.toml");
    std::fs::write(&config, CONFIG).expect("the site's folder is ours");
    site.serve_with(&["--config", config.to_str().expect("we made an ASCII path")]);
    let bus = site.start();
    let load = Load::start(&site.url(), &site.token()).await;
    let samples = watch(bus.pid(), options.minutes).await;
    let counts = load.stop().await;
    let verdict = judge(&samples, &counts);
    if let Some(path) = &options.svg {
        std::fs::write(path, chart::svg(&samples, WARM_UP)).expect("the chart can be written");
    }
    assert!(bus.stop().success(), "the server ends in order");
    if verdict { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn watch(pid: u32, minutes: f64) -> Vec<Sample> {
    let mut samples = Vec::new();
    let begin = tokio::time::Instant::now();
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    loop {
        beat.tick().await;
        let seconds = begin.elapsed().as_secs_f64();
        let Some(sample) = sample(pid, seconds) else { return samples };
        if samples.len() % 60 == 0 {
            println!(
                "{:>5.0} s  {:>7.1} MiB  {:>5} open files",
                sample.seconds, sample.own_mib, sample.files
            );
        }
        samples.push(sample);
        if seconds >= minutes * 60.0 {
            return samples;
        }
    }
}

fn sample(pid: u32, seconds: f64) -> Option<Sample> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mib = |key: &str| -> Option<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
    };
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    Some(Sample { seconds, own_mib: mib("RssAnon:")?, resident_mib: mib("VmRSS:")?, files })
}

/// Prints what was measured; true when the memory is flat and everything that was sent arrived.
fn judge(samples: &[Sample], counts: &Counts) -> bool {
    let from = (samples.len() as f64 * WARM_UP) as usize;
    let judged = &samples[from.min(samples.len().saturating_sub(2))..];
    let slope = slope(judged);
    let span = judged.last().map_or(0.0, |s| s.seconds) - judged.first().map_or(0.0, |s| s.seconds);
    let growth = slope * span;
    let most = judged.iter().map(|s| s.own_mib).fold(0.0, f64::max);
    let least = judged.iter().map(|s| s.own_mib).fold(f64::INFINITY, f64::min);
    println!("\n{counts}");
    println!(
        "memory after warm-up: {least:.1} to {most:.1} MiB; slope {:.2} MiB an hour, {growth:.2} MiB over {:.0} s; at most {MAY_GROW_MIB} MiB are allowed",
        slope * 3600.0,
        span
    );
    let flat = growth <= MAY_GROW_MIB;
    let whole = counts.is_whole();
    println!("{}", if flat { "flat" } else { "NOT FLAT" });
    println!("{}", if whole { "everything arrived" } else { "SOMETHING IS MISSING" });
    flat && whole
}

/// Least squares, MiB a second.
fn slope(samples: &[Sample]) -> f64 {
    let n = samples.len() as f64;
    let mean = |of: fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|s| s.seconds), mean(|s| s.own_mib));
    let above: f64 = samples.iter().map(|s| (s.seconds - x) * (s.own_mib - y)).sum();
    let below: f64 = samples.iter().map(|s| (s.seconds - x).powi(2)).sum();
    if below > 0.0 { above / below } else { 0.0 }
}
