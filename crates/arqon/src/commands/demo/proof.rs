//! The counted proof: what was sent, what was confirmed and what arrived, as the clients wrote it down, held
//! against each other.
//!
//! Invariant: this knows nothing but those three texts. It shares no code with the server or the client library,
//! so that a fault in them cannot hide here.

use serde_json::Value;
use std::collections::HashMap;

/// What the clients of one room wrote down.
pub struct Evidence<'a> {
    /// The lines given to `arqon pub`, each a JSON object that occurs once.
    pub sent: &'a str,
    /// What `arqon pub --json` printed: one line for each confirmed line, in order.
    pub confirmed: &'a str,
    /// What `arqon sub --json` printed: envelopes and gaps.
    pub received: &'a str,
    /// Whether something happened that may destroy what was confirmed: a damaged file, never a mere kill.
    pub damage: bool,
}

/// What came out.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Lines confirmed to the publisher.
    pub confirmed: usize,
    /// Of those: delivered, once, unchanged, in order.
    pub delivered: usize,
    /// Of those: not delivered, and named in a gap. Only damage may cause any.
    pub in_gaps: usize,
    /// Deliveries that were stored but never confirmed at that position, since damage took them first.
    pub strays: usize,
    /// Everything that must not be; empty if the promise was kept.
    pub faults: Vec<String>,
}

/// A position as it stands on the wire, cut in two.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    epoch: String,
    offset: u64,
}

/// A confirmed line: which one, and where it was stored.
struct Confirmed {
    line: usize,
    place: Place,
}

/// One line of the subscriber.
enum Received {
    Message { line: usize, place: Place },
    Gap { from: Option<Place>, to: Place },
}

/// Holds the evidence against itself.
pub fn judge(evidence: &Evidence<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    let confirmed = read_confirmed(evidence, &mut verdict);
    let received = read_received(evidence, &mut verdict);
    let epochs = Epochs::of(&confirmed, &received);
    verdict.confirmed = confirmed.len();
    check_order(&received, &epochs, &mut verdict);
    check_places(evidence, &confirmed, &received, &epochs, &mut verdict);
    check_presence(evidence, &confirmed, &received, &epochs, &mut verdict);
    if !evidence.damage && received.iter().any(|r| matches!(r, Received::Gap { .. })) {
        verdict.faults.push("a gap was reported though nothing was damaged".to_owned());
    }
    verdict
}

fn read_confirmed(evidence: &Evidence<'_>, verdict: &mut Verdict) -> Vec<Confirmed> {
    let mut confirmed = Vec::new();
    for (line, text) in evidence.confirmed.lines().enumerate() {
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        match place(&value["position"]) {
            Some(place) => confirmed.push(Confirmed { line, place }),
            None => verdict.faults.push(format!("confirmation {line} names no position: {text}")),
        }
    }
    let sent = evidence.sent.lines().count();
    if confirmed.len() > sent {
        verdict.faults.push(format!("{} confirmations for {sent} lines", confirmed.len()));
    }
    confirmed
}

fn read_received(evidence: &Evidence<'_>, verdict: &mut Verdict) -> Vec<Received> {
    let parsed = evidence.sent.lines().map(|text| serde_json::from_str::<Value>(text).unwrap_or_default());
    // A value's own text has its members in one order, whatever order they were sent in.
    let known: HashMap<String, usize> =
        parsed.enumerate().map(|(line, value)| (value.to_string(), line)).collect();
    let mut received = Vec::new();
    for text in evidence.received.lines() {
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        if value["type"] == "gap" {
            match place(&value["to"]) {
                Some(to) => received.push(Received::Gap { from: place(&value["from"]), to }),
                None => verdict.faults.push(format!("a gap without an end: {text}")),
            }
            continue;
        }
        match (known.get(&value["payload"].to_string()), place(&value["position"])) {
            (Some(&line), Some(place)) => received.push(Received::Message { line, place }),
            (None, _) => verdict.faults.push(format!("delivered, but never sent: {text}")),
            (_, None) => verdict.faults.push(format!("delivered without a position: {text}")),
        }
    }
    received
}

fn place(value: &Value) -> Option<Place> {
    let (epoch, offset) = value.as_str()?.split_once('-')?;
    Some(Place { epoch: epoch.to_owned(), offset: offset.parse().ok()? })
}

/// Epochs are random; which came first is known from the order in which the clients met them.
struct Epochs(Vec<String>);

impl Epochs {
    fn of(confirmed: &[Confirmed], received: &[Received]) -> Epochs {
        let mut order: Vec<String> = Vec::new();
        for one in confirmed {
            if !order.contains(&one.place.epoch) {
                order.push(one.place.epoch.clone());
            }
        }
        let mut last = 0;
        for one in received {
            let (Received::Message { place, .. } | Received::Gap { to: place, .. }) = one;
            match order.iter().position(|epoch| *epoch == place.epoch) {
                Some(at) => last = at + 1,
                None => {
                    order.insert(last, place.epoch.clone());
                    last += 1;
                }
            }
        }
        Epochs(order)
    }

    /// A number that sorts places as the log has them; an epoch that nobody met comes first.
    fn rank(&self, place: &Place) -> (usize, u64) {
        let epoch = self.0.iter().position(|epoch| *epoch == place.epoch);
        (epoch.map_or(0, |at| at + 1), place.offset)
    }
}

/// Positions rise; a gap ends where it says, and nothing older comes after it.
fn check_order(received: &[Received], epochs: &Epochs, verdict: &mut Verdict) {
    let mut last: Option<(usize, u64)> = None;
    for one in received {
        let (place, what) = match one {
            Received::Message { place, line } => (place, format!("line {line}")),
            Received::Gap { to, .. } => (to, "a gap".to_owned()),
        };
        let rank = epochs.rank(place);
        if last.is_some_and(|last| rank < last || (rank == last && matches!(one, Received::Message { .. }))) {
            verdict
                .faults
                .push(format!("{what} at {}-{} came after something later", place.epoch, place.offset));
        }
        last = last.max(Some(rank));
    }
}

/// Each delivery stands where the publisher was told that it stands, and no line comes twice.
fn check_places(
    evidence: &Evidence<'_>,
    confirmed: &[Confirmed],
    received: &[Received],
    epochs: &Epochs,
    verdict: &mut Verdict,
) {
    let mut seen: HashMap<usize, u32> = HashMap::new();
    for one in received {
        let Received::Message { line, place } = one else { continue };
        let promised = confirmed.get(*line).map(|c| &c.place);
        let Some(promised) = promised.filter(|promised| *promised != place) else {
            // Confirmed at this place, or delivered before its confirmation could arrive.
            *seen.entry(*line).or_default() += 1;
            continue;
        };
        if evidence.damage && epochs.rank(place).0 < epochs.rank(promised).0 {
            verdict.strays += 1;
        } else {
            let (at, told) = (format!("{}-{}", place.epoch, place.offset), &promised.offset);
            verdict.faults.push(format!("line {line} was delivered at {at}, but confirmed at offset {told}"));
        }
    }
    for (line, times) in seen.into_iter().filter(|(_, times)| *times > 1) {
        verdict.faults.push(format!("line {line} was delivered {times} times"));
    }
}

/// Each confirmed line was delivered, or, after damage, named as gone.
fn check_presence(
    evidence: &Evidence<'_>,
    confirmed: &[Confirmed],
    received: &[Received],
    epochs: &Epochs,
    verdict: &mut Verdict,
) {
    let mut delivered = vec![false; confirmed.len()];
    let mut gaps = Vec::new();
    for one in received {
        match one {
            Received::Message { line, place } => {
                if confirmed.get(*line).is_some_and(|c| c.place == *place) {
                    delivered[*line] = true;
                }
            }
            Received::Gap { from, to } => gaps.push((from.as_ref().map(|f| epochs.rank(f)), epochs.rank(to))),
        }
    }
    for one in confirmed {
        let rank = epochs.rank(&one.place);
        let in_gap = || gaps.iter().any(|(from, to)| from.is_none_or(|from| rank > from) && rank <= *to);
        if delivered[one.line] {
            verdict.delivered += 1;
        } else if evidence.damage && in_gap() {
            verdict.in_gaps += 1;
        } else {
            let at = format!("{}-{}", one.place.epoch, one.place.offset);
            verdict.faults.push(format!("line {} was confirmed at {at} and never delivered", one.line));
        }
    }
}
