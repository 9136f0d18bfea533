//! What came out: counts, and the evidence for each broken promise.
//!
//! Invariant: everything is counted; evidence is kept up to a bound, the first of each kind and client always.

use std::collections::BTreeMap;

/// Most pieces of evidence of one kind, and of those most that one client has.
const EVIDENCE_MAX: usize = 25;
const EVIDENCE_OF_ONE_MAX: usize = 5;

/// A way to break the promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Broken {
    /// Confirmed, and neither delivered nor named in a gap.
    Lost,
    /// Stored or delivered twice, or delivered again after its acknowledgement was kept.
    Duplicated,
    /// Delivered after something later.
    Reordered,
    /// Delivered with another content, at another place, or never sent at all.
    Changed,
    /// A gap or a new history though no file was harmed.
    Gap,
    /// A question of which its asker was told neither an answer nor that there is none; or no answer to any.
    Unanswered,
}

impl Broken {
    pub const ALL: [Broken; 6] = [
        Broken::Lost,
        Broken::Duplicated,
        Broken::Reordered,
        Broken::Changed,
        Broken::Gap,
        Broken::Unanswered,
    ];

    /// For tables.
    pub const fn name(self) -> &'static str {
        match self {
            Broken::Lost => "lost",
            Broken::Duplicated => "duplicated",
            Broken::Reordered => "out of order",
            Broken::Changed => "changed",
            Broken::Gap => "gaps without damage",
            Broken::Unanswered => "left without an answer",
        }
    }
}

/// What was seen, by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The client whose notes show it.
    pub who: String,
    /// What they show.
    pub text: String,
    /// The publisher and its number of the message.
    pub message: Option<(u64, u64)>,
    /// Room and position.
    pub place: Option<String>,
    /// When, in milliseconds of the run: of the delivery, or of the confirm where nothing was delivered.
    pub at: Option<u64>,
}

impl Evidence {
    pub(super) fn new(who: &str, text: String) -> Evidence {
        Evidence { who: who.to_owned(), text, message: None, place: None, at: None }
    }
    pub(super) fn message(mut self, publisher: u64, n: u64) -> Evidence {
        self.message = Some((publisher, n));
        self
    }
    pub(super) fn place(mut self, place: String) -> Evidence {
        self.place = Some(place);
        self
    }
    pub(super) fn at(mut self, at: u64) -> Evidence {
        self.at = Some(at);
        self
    }
}

/// The judgement of a round, or of all of them together.
#[derive(Debug, Default, Clone)]
pub struct Verdict {
    /// Messages given to the client library.
    pub sent: u64,
    /// Of those: confirmed.
    pub confirmed: u64,
    /// Deliveries of all readers.
    pub delivered: u64,
    /// Deliveries that a durable subscription made again, of what was not acknowledged for good.
    pub redelivered: u64,
    /// Gaps that readers were told.
    pub gaps: u64,
    /// Confirmed messages that a reader did not get, and that a gap named to it; counted for each reader.
    pub in_gaps: u64,
    /// Deliveries of what was stored but never confirmed at that place, since damage took it first.
    pub strays: u64,
    /// Questions.
    pub asked: u64,
    /// Answers.
    pub answered: u64,
    /// Of each kind of broken promise: how often.
    pub counts: BTreeMap<Broken, u64>,
    /// The proof.
    pub evidence: Vec<(Broken, Evidence)>,
}

impl Verdict {
    pub(super) fn broken(&mut self, broken: Broken, evidence: Evidence) {
        *self.counts.entry(broken).or_default() += 1;
        let same = self.evidence.iter().filter(|(kind, _)| *kind == broken);
        let by_one = same.clone().filter(|(_, known)| known.who == evidence.who).count();
        if same.count() < EVIDENCE_MAX && by_one < EVIDENCE_OF_ONE_MAX {
            self.evidence.push((broken, evidence));
        }
    }

    /// How often it was broken in that way.
    pub fn count(&self, broken: Broken) -> u64 {
        self.counts.get(&broken).copied().unwrap_or(0)
    }

    /// Whether everything that was promised was kept.
    pub fn is_good(&self) -> bool {
        self.counts.values().all(|count| *count == 0)
    }

    /// Adds the counts of another round; its evidence stays with it.
    pub fn add(&mut self, other: &Verdict) {
        self.sent += other.sent;
        self.confirmed += other.confirmed;
        self.delivered += other.delivered;
        self.redelivered += other.redelivered;
        self.gaps += other.gaps;
        self.in_gaps += other.in_gaps;
        self.strays += other.strays;
        self.asked += other.asked;
        self.answered += other.answered;
        for (broken, count) in &other.counts {
            *self.counts.entry(*broken).or_default() += count;
        }
    }
}
