//! The goals that the project has set itself, each a ratio to a peer in the same run or a figure, and whether they are met.
//!
//! Invariant: a goal is judged only when both sides were measured in the same session.

use super::matrix::{self, Case, Group};
use super::results::{Results, Row, Spread, spread};
use super::tables::figure;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// How much a second; more is better.
    Rate,
    /// Processor seconds of the server for a million; less is better, as for all below.
    Cpu,
    /// Half are faster.
    P50,
    /// 99 of 100 are faster.
    P99,
    /// Memory for each connection.
    Memory,
    /// Processor seconds at the largest size, in times of the smallest.
    Growth,
    /// Seconds of wall time.
    Time,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            What::Rate => "rate",
            What::Cpu => "server CPU",
            What::P50 => "p50",
            What::P99 => "p99",
            What::Memory => "KiB each",
            What::Growth => "largest ÷ smallest, server CPU",
            What::Time => "time",
        }
    }

    /// The figure of one run.
    pub fn of(self, row: &Row) -> Option<f64> {
        let run = &row.run;
        match self {
            What::Rate => Some(run.rate).filter(|rate| *rate > 0.0),
            What::Cpu => run.server_cpu_per_million,
            What::P50 => run.latency.as_ref().map(|latency| latency.p50_us),
            What::P99 => run.latency.as_ref().map(|latency| latency.p99_us),
            What::Memory => run.figures.get("memory_per_connection_kib").copied(),
            What::Growth => {
                let cost = |point: Option<&super::results::Point>| point?.server_cpu_per_million;
                Some(cost(run.points.last())? / cost(run.points.first())?)
            }
            What::Time => run.figures.get("write_s").copied(),
        }
    }
}

/// What a figure is held against.
#[derive(Debug, Clone, Copy)]
enum Against {
    /// The same figure of another system.
    System(&'static str),
    /// The figure itself.
    Itself,
    /// The same of a smaller size, by the load's word.
    Load(&'static str),
}

/// One goal: the ratio, or the figure, is at most or at least so much.
struct Goal {
    load: &'static str,
    what: What,
    against: Against,
    first: Option<f64>,
    moonshot: Option<f64>,
}

const fn goal(load: &'static str, what: What, against: &'static str, first: f64, moonshot: f64) -> Goal {
    Goal {
        load,
        what,
        against: Against::System(against),
        first: if first > 0.0 { Some(first) } else { None },
        moonshot: if moonshot > 0.0 { Some(moonshot) } else { None },
    }
}

/// A ratio of zero: there is no such goal.
const NONE: f64 = 0.0;

const GOALS: &[Goal] = &[
    goal("fan-out:1", What::Cpu, "redis", 1.0, 0.52),
    goal("fan-out:10", What::Cpu, "redis", 1.0, 0.43),
    goal("fan-out:100", What::Cpu, "redis", 1.0, 0.56),
    goal("fan-out:1000", What::Cpu, "redis", 1.0, 0.48),
    goal("request-reply:1", What::P50, "redis", 1.0, NONE),
    goal("request-reply:1", What::P99, "redis", 1.0, NONE),
    goal("request-reply:1", What::Cpu, "redis", 1.0, NONE),
    goal("request-reply:64", What::Rate, "nats", 1.3, 2.0),
    goal("request-reply:64", What::Cpu, "redis", 1.0, 0.6),
    goal("confirmed:1", What::Rate, "redis-always", 1.0, NONE),
    goal("confirmed:1", What::Rate, "floor", NONE, 0.83),
    goal("confirmed:256", What::Rate, "redis-always", 3.0, NONE),
    goal("confirmed:256", What::Rate, "jetstream", 1.0, NONE),
    goal("confirmed:256", What::Cpu, "redis-always", 0.58, 0.28),
    goal("confirmed:256", What::Rate, "floor", NONE, 0.5),
    Goal {
        load: "idle:5000",
        what: What::Memory,
        against: Against::Itself,
        first: Some(24.0),
        moonshot: Some(8.0),
    },
    Goal {
        load: "rooms:10000",
        what: What::Cpu,
        against: Against::Load("rooms:10"),
        first: Some(1.5),
        moonshot: Some(1.1),
    },
    Goal {
        load: "connections:5000",
        what: What::Cpu,
        against: Against::Load("connections:10"),
        first: Some(1.5),
        moonshot: Some(1.1),
    },
    Goal {
        load: "log-growth:50000000",
        what: What::Growth,
        against: Against::Itself,
        first: Some(1.5),
        moonshot: Some(1.1),
    },
    goal("pipes:1000000", What::Time, "redis-always", 1.0, NONE),
];

/// One line of the table of goals.
pub struct Verdict {
    /// The group and the load, for people.
    pub load: String,
    /// What was asked.
    pub asked: String,
    /// What came out, for each form of ours that was measured.
    pub came: Vec<String>,
    /// The first goal and whether it was met by the best of ours.
    pub first: String,
    /// The same of the moonshot.
    pub moonshot: String,
    /// Whether the first goal was missed.
    pub is_missed: bool,
}

/// Judges all goals; one without results counts as missed.
pub fn judge(results: &Results, cases: &[Case]) -> Vec<Verdict> {
    let judged = |goal: &Goal| verdict(goal, results, cases).unwrap_or_else(|| not_measured(goal));
    let mut verdicts: Vec<Verdict> = GOALS.iter().map(judged).collect();
    verdicts.extend(pipes_read(results, cases));
    verdicts
}

impl Goal {
    fn asked(&self) -> String {
        match self.against {
            Against::System(system) => format!("{} ÷ {}", self.what.name(), matrix::name_of(system)),
            Against::Itself => self.what.name().to_owned(),
            Against::Load(load) => format!("{} ÷ that of {}", self.what.name(), matrix::load_name(load)),
        }
    }
}

fn not_measured(goal: &Goal) -> Verdict {
    Verdict {
        load: matrix::load_name(goal.load),
        asked: goal.asked(),
        came: Vec::new(),
        first: "not measured".to_owned(),
        moonshot: "–".to_owned(),
        is_missed: goal.first.is_some(),
    }
}

fn find<'a>(cases: &'a [Case], load: &str) -> Option<&'a Case> {
    let case = |case: &&Case| case.load == load && case.pace == "max" && case.payload == matrix::PAYLOAD;
    cases.iter().filter(|case| case.group != Group::Payloads).find(case)
}

fn verdict(goal: &Goal, results: &Results, cases: &[Case]) -> Option<Verdict> {
    let case = find(cases, goal.load)?;
    let (mut came, mut best): (Vec<String>, Option<f64>) = (Vec::new(), None);
    for system in case.systems.iter().filter(|system| matrix::is_ours(system)) {
        let Some((ratio, text)) = compare(goal, case, system, results, cases) else { continue };
        came.push(text);
        let is_better =
            best.is_none_or(|best| if goal.what == What::Rate { ratio > best } else { ratio < best });
        best = if is_better { Some(ratio) } else { best };
    }
    let best = best?;
    let met = |bound: f64| if goal.what == What::Rate { best >= bound } else { best <= bound };
    let show = |bound: Option<f64>| match bound {
        None => "–".to_owned(),
        Some(bound) => {
            let sign = if goal.what == What::Rate { "≥" } else { "≤" };
            format!("{sign} {}: {}", figure(bound), if met(bound) { "**met**" } else { "missed" })
        }
    };
    Some(Verdict {
        load: format!("{}, {}", case.group.heading(), matrix::load_name(goal.load)),
        asked: goal.asked(),
        came,
        first: show(goal.first),
        moonshot: show(goal.moonshot),
        is_missed: goal.first.is_some_and(|bound| !met(bound)),
    })
}

/// The ratio of the medians, and how it reads.
fn compare(
    goal: &Goal,
    case: &Case,
    system: &str,
    results: &Results,
    cases: &[Case],
) -> Option<(f64, String)> {
    let rows = results.of(case, system);
    let own = spread(&rows, |row| goal.what.of(row))?;
    let theirs: Option<Spread> = match goal.against {
        Against::Itself => None,
        Against::System(other) => Some(beside(&rows, &results.of(case, other), goal.what)?),
        Against::Load(other) => Some(beside(&rows, &results.of(find(cases, other)?, system), goal.what)?),
    };
    let ratio = own.median / theirs.map_or(1.0, |theirs| theirs.median);
    let form = if system == "arqon-proto" { " (protobuf)" } else { "" };
    Some((ratio, format!("{}{form}", figure(ratio))))
}

fn beside(own: &[&Row], theirs: &[&Row], what: What) -> Option<Spread> {
    let same = own.first()?.session == theirs.first()?.session;
    spread(theirs, |row| what.of(row)).filter(|_| same)
}

/// Reading back is held against writing.
fn pipes_read(results: &Results, cases: &[Case]) -> Option<Verdict> {
    let case = cases.iter().find(|case| case.group == Group::Pipes)?;
    let rows = results.of(case, "arqon");
    let ratio = spread(&rows, |row| Some(row.run.figures.get("write_s")? / row.run.figures.get("read_s")?))?;
    let met = ratio.median >= 2.0;
    Some(Verdict {
        load: format!("{}, {}", case.group.heading(), matrix::load_name(&case.load)),
        asked: "time of writing ÷ time of reading back".to_owned(),
        came: vec![figure(ratio.median)],
        first: format!("≥ 2: {}", if met { "**met**" } else { "missed" }),
        moonshot: "–".to_owned(),
        is_missed: !met,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::results::Run;

    fn row(load: &str, word: &str, cpu: f64, session: u64) -> Row {
        let run = Run {
            load: load.to_owned(),
            pace: "max".to_owned(),
            payload: matrix::PAYLOAD,
            server_cpu_per_million: Some(cpu),
            ..Run::default()
        };
        Row { group: Some(Group::FanOut), session, word: word.to_owned(), run, ..Row::default() }
    }

    fn judged(rows: &[Row]) -> Vec<Verdict> {
        let path = std::env::temp_dir().join(format!("xtask-goals-{}-{}", std::process::id(), rows.len()));
        for row in rows {
            crate::bench::results::append(&path, row).unwrap();
        }
        let results = Results::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let judged = judge(&results, &matrix::cases(false));
        let measured = |verdict: &Verdict| !verdict.came.is_empty();
        assert!(judged.iter().all(|verdict| measured(verdict) || verdict.first == "not measured"));
        judged.into_iter().filter(measured).collect()
    }

    #[test]
    fn a_goal_is_met_or_missed_by_the_best_of_ours() {
        let verdicts = judged(&[
            row("fan-out:10", "arqon", 1.2, 5),
            row("fan-out:10", "arqon-proto", 0.9, 5),
            row("fan-out:10", "redis", 1.0, 5),
        ]);
        assert_eq!(verdicts.len(), 1);
        assert_eq!(verdicts[0].came, ["1.2", "0.9 (protobuf)"]);
        assert!(!verdicts[0].is_missed && verdicts[0].moonshot.ends_with("missed"));
    }

    #[test]
    fn what_was_not_measured_together_is_not_judged() {
        assert!(judged(&[row("fan-out:10", "arqon", 1.2, 5), row("fan-out:10", "redis", 1.0, 4)]).is_empty());
        assert!(judged(&[row("fan-out:10", "arqon", 1.2, 5)]).is_empty());
    }

    #[test]
    fn every_goal_is_about_a_case() {
        let cases = matrix::cases(false);
        for goal in GOALS {
            let case = find(&cases, goal.load).unwrap_or_else(|| panic!("{} is no case", goal.load));
            match goal.against {
                Against::System(other) => assert!(case.systems.contains(&other), "{}: {other}", goal.load),
                Against::Load(other) => assert!(find(&cases, other).is_some(), "{other}"),
                Against::Itself => {}
            }
        }
    }
}
