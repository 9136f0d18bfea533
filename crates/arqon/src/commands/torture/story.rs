//! What a whole run came to: its rounds, their judgements, and what is kept of them.
//!
//! Invariant: totals hold every round; evidence is bounded, and every piece of it says which round and seed it is from.

use super::chronicle::Chronicle;
use super::judge::{Broken, Evidence, Verdict};
use super::plan::{Fault, Kind};
use super::round::Script;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A round that could not be judged.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    /// Why.
    pub(super) text: String,
    /// When, in the run.
    pub(super) at: Duration,
}

impl Trouble {
    pub(super) fn new(error: &anyhow::Error, chronicle: &Chronicle) -> Trouble {
        Trouble { text: format!("{error:#}"), at: chronicle.elapsed() }
    }
}

/// One round, as it is kept.
#[derive(Debug)]
pub(super) struct RoundEnd {
    pub(super) number: u64,
    pub(super) seed: u64,
    pub(super) kind: Kind,
    pub(super) took: Duration,
    /// How much of that everybody needed to finish, once there were no more faults.
    pub(super) settled: Duration,
    pub(super) verdict: Option<Verdict>,
    pub(super) trouble: Option<Trouble>,
    /// Where its notes, its log and its data are.
    pub(super) folder: Option<PathBuf>,
}

impl RoundEnd {
    pub(super) fn is_good(&self) -> bool {
        self.verdict.as_ref().is_some_and(Verdict::is_good)
    }
}

/// A run.
pub(super) struct Story {
    pub(super) seed: u64,
    pub(super) command: String,
    pub(super) folder: PathBuf,
    pub(super) faults: Vec<Fault>,
    /// What was asked for and is not possible here, and why.
    pub(super) left_out: Vec<(Fault, String)>,
    /// How the full disk is made.
    pub(super) disk: Option<&'static str>,
    pub(super) chronicle: Arc<Chronicle>,
    pub(super) rounds: Vec<RoundEnd>,
    pub(super) total: Verdict,
    pub(super) took: Duration,
    pub(super) interrupted: bool,
}

impl Story {
    pub(super) fn new(seed: u64, command: String, folder: PathBuf) -> Story {
        Story {
            seed,
            command,
            folder,
            faults: Vec::new(),
            left_out: Vec::new(),
            disk: None,
            chronicle: Arc::new(Chronicle::new()),
            rounds: Vec::new(),
            total: Verdict::default(),
            took: Duration::ZERO,
            interrupted: false,
        }
    }

    /// A round was judged (how long it took, and of that to settle); answers whether all was well.
    pub(super) fn judged(
        &mut self,
        script: &Script<'_>,
        verdict: &Verdict,
        took: (Duration, Duration),
    ) -> bool {
        self.total.add(verdict);
        self.push(script, took, Some(verdict.clone()), None);
        verdict.is_good()
    }

    /// A round could not be judged.
    pub(super) fn failed(
        &mut self,
        script: &Script<'_>,
        trouble: Trouble,
        took: (Duration, Duration),
    ) -> bool {
        self.push(script, took, None, Some(trouble));
        false
    }

    fn push(
        &mut self,
        script: &Script<'_>,
        (took, settled): (Duration, Duration),
        verdict: Option<Verdict>,
        trouble: Option<Trouble>,
    ) {
        let Script { number, seed, kind, .. } = *script;
        self.rounds.push(RoundEnd { number, seed, kind, took, settled, verdict, trouble, folder: None });
    }

    /// The last round's folder is kept.
    pub(super) fn kept(&mut self, folder: PathBuf) {
        if let Some(last) = self.rounds.last_mut() {
            last.folder = Some(folder);
        }
    }

    pub(super) fn bad_rounds(&self) -> usize {
        self.rounds.iter().filter(|round| !round.is_good()).count()
    }

    /// Whether every promise was kept, in every round.
    pub(super) fn is_good(&self) -> bool {
        self.bad_rounds() == 0
    }

    /// What to do about a failure.
    pub(super) fn repeat(&self) -> String {
        let bad = self.rounds.iter().find(|round| !round.is_good());
        let folder = bad.and_then(|round| round.folder.as_ref()).unwrap_or(&self.folder);
        let number = bad.map_or(0, |round| round.number);
        format!(
            "round {number} is kept in {} (notes, bus.log, data); the same faults again: {}",
            folder.display(),
            self.command
        )
    }

    /// All evidence, with its round.
    pub(super) fn evidence(&self) -> impl Iterator<Item = (&RoundEnd, Broken, &Evidence)> {
        self.rounds.iter().flat_map(|round| {
            let evidence = round.verdict.iter().flat_map(|verdict| &verdict.evidence);
            evidence.map(move |(broken, evidence)| (round, *broken, evidence))
        })
    }
}
