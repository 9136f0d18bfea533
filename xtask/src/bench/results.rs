//! Raw results: one line of JSON for each run, kept in the target folder, so that tables and charts can be drawn again
//! without measuring, and a part can be measured again without the rest.
//!
//! Invariant: the file is only appended to. For each case and system, only the latest session that has it counts.

use super::matrix::{Case, Group};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

/// When others take more than this many cores, a run is disturbed.
pub const QUIET: f64 = 0.1;

/// One run, with what is needed to find it again.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Row {
    /// When the whole was started: seconds since 1970.
    pub session: u64,
    /// The table.
    pub group: Option<Group>,
    /// The system by our word: `arqon-proto` is Arqon in its other form.
    pub word: String,
    /// The machine.
    pub machine: String,
    /// The commit of what was measured, with `+` if the tree had changes.
    pub commit: String,
    /// Runs before this one in which something was lost, came late or failed, and which yielded no figure.
    #[serde(default)]
    pub void: u32,
    /// What the generator said.
    #[serde(flatten)]
    pub run: Run,
}

/// What the generator says of a run; what is not needed here is left out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Run {
    /// The version of the system.
    pub version: String,
    /// Its settings.
    pub settings: String,
    /// The load's word.
    pub load: String,
    /// `max` or `half`.
    pub pace: String,
    /// Bytes.
    pub payload: usize,
    /// What is counted.
    pub unit: String,
    /// Measured for so long.
    pub seconds: f64,
    /// A second.
    pub rate: f64,
    /// Processor seconds of the server for a million.
    pub server_cpu_per_million: Option<f64>,
    /// Cores that the generator took.
    pub generator_cores: f64,
    /// Cores that others took.
    pub others_cores: Option<f64>,
    /// Of an open loop.
    pub intended_rate: Option<f64>,
    /// Latencies.
    pub latency: Option<Latency>,
    /// Other figures.
    pub figures: BTreeMap<String, f64>,
    /// A figure at several sizes.
    pub points: Vec<Point>,
}

/// Latencies in microseconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    /// Half were faster.
    pub p50_us: f64,
    /// 99 of 100.
    pub p99_us: f64,
    /// 999 of 1000.
    pub p999_us: f64,
    /// How many.
    pub samples: u64,
    /// Quantiles and microseconds.
    pub curve: Vec<(f64, f64)>,
}

/// A figure at one size.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Point {
    /// The size.
    pub at: f64,
    /// A second.
    pub rate: f64,
    /// Processor seconds of the server for a million.
    pub server_cpu_per_million: Option<f64>,
}

impl Row {
    /// Whether others used the cores meanwhile.
    pub fn is_disturbed(&self) -> bool {
        self.run.others_cores.is_some_and(|cores| cores > QUIET)
    }

    fn belongs_to(&self, case: &Case) -> bool {
        let run = (self.group, run_key(&self.run));
        run == (Some(case.group), (case.load.as_str(), case.pace, case.payload))
    }
}

fn run_key(run: &Run) -> (&str, &str, usize) {
    (&run.load, &run.pace, run.payload)
}

/// All runs so far.
pub struct Results {
    rows: Vec<Row>,
}

impl Results {
    /// Reads the file; one that does not exist has none.
    pub fn read(path: &Path) -> Result<Results> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            text => text.with_context(|| path.display().to_string())?,
        };
        let parse = |(number, line): (usize, &str)| {
            serde_json::from_str(line).with_context(|| format!("{}, line {}", path.display(), number + 1))
        };
        Ok(Results { rows: text.lines().enumerate().map(parse).collect::<Result<_>>()? })
    }

    /// The runs of a case on a system, of the latest session that has any.
    pub fn of(&self, case: &Case, system: &str) -> Vec<&Row> {
        let matching = || self.rows.iter().filter(|row| row.word == system && row.belongs_to(case));
        let latest = matching().map(|row| row.session).max();
        matching().filter(|row| Some(row.session) == latest).collect()
    }

    /// The latest run of all.
    pub fn latest(&self) -> Option<&Row> {
        self.rows.iter().max_by_key(|row| row.session)
    }
}

/// Appends one run.
pub fn append(path: &Path, row: &Row) -> Result<()> {
    let mut file = File::options().create(true).append(true).open(path)?;
    writeln!(file, "{}", serde_json::to_string(row)?)?;
    Ok(())
}

/// Several runs of one thing: the middle, the least and the most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The middle.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

/// The spread of a figure over runs; `None` if no run has it.
pub fn spread(rows: &[&Row], figure: impl Fn(&Row) -> Option<f64>) -> Option<Spread> {
    let mut figures: Vec<f64> = rows.iter().filter_map(|row| figure(row)).collect();
    figures.sort_by(f64::total_cmp);
    let (least, most) = (*figures.first()?, *figures.last()?);
    let (low, high) = ((figures.len() - 1) / 2, figures.len() / 2);
    Some(Spread { median: (figures[low] + figures[high]) / 2.0, least, most })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::matrix::cases;

    fn row(session: u64, rate: f64) -> Row {
        let case = &cases(false)[0];
        let run = Run {
            load: case.load.clone(),
            pace: case.pace.to_owned(),
            payload: case.payload,
            rate,
            ..Run::default()
        };
        Row { session, group: Some(case.group), word: "arqon".to_owned(), run, ..Row::default() }
    }

    #[test]
    fn the_latest_session_counts() {
        let case = &cases(false)[0];
        let results = Results { rows: vec![row(1, 10.0), row(2, 20.0), row(2, 40.0), row(2, 30.0)] };
        let rows = results.of(case, "arqon");
        let expected = Spread { median: 30.0, least: 20.0, most: 40.0 };
        assert_eq!(spread(&rows, |row| Some(row.run.rate)), Some(expected));
        assert!(results.of(case, "redis").is_empty());
        assert!(results.of(&cases(false)[1], "arqon").is_empty());
        assert_eq!(spread(&rows, |row| row.run.server_cpu_per_million), None);
    }

    #[test]
    fn rows_come_back_from_the_file() {
        let text = serde_json::to_string(&row(7, 1.5)).unwrap();
        let back: Row = serde_json::from_str(&text).unwrap();
        assert_eq!((back.session, back.run.rate, back.group), (7, 1.5, Some(Group::FanOut)));
        let said =
            r#"{"session":1,"group":"idle","word":"redis","machine":"","commit":"","load":"idle:5","new":1}"#;
        assert!(serde_json::from_str::<Row>(said).is_ok(), "what is not known is passed over");
    }
}
