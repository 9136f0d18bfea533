//! One reader's notes against the ledger.
//!
//! Invariant: each confirmed message that the reader should see is counted once: seen, named in a gap, or lost.

use super::epochs::Epochs;
use super::ledger::{Ledger, Sent};
use super::{Broken, Evidence, Excuse, Verdict, number, place};
use std::collections::{HashMap, HashSet};

/// How a reader reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Each once, in order.
    Plain,
    /// At least once; nothing again that was acknowledged for good.
    Durable,
    /// After everything was over: what is stored, as it is.
    Audit,
}

type Rank = (usize, u64);

/// What is known of one room.
#[derive(Default)]
struct Room {
    /// The highest place so far.
    last: Option<Rank>,
    gaps: Vec<(Option<Rank>, Rank)>,
    /// By publisher: its highest number so far.
    numbers: HashMap<u64, u64>,
}

/// A delivery, read.
struct Got<'a> {
    at: u64,
    room: &'a str,
    channel: &'a str,
    position: &'a str,
    rank: Rank,
    attempt: u64,
    publisher: u64,
    n: u64,
    sum: u64,
}

/// Judges one reader.
pub(super) struct Reader<'a> {
    name: &'a str,
    ledger: &'a Ledger,
    epochs: &'a Epochs,
    excuse: Excuse,
    kind: Kind,
    /// What it reads; absent is all.
    room: Option<String>,
    channel: Option<String>,
    rooms: HashMap<String, Room>,
    seen: HashMap<u64, Vec<bool>>,
    /// Durable: acknowledged since the last time that they were asked to be kept, and those whose keeping is asked for.
    fresh: Vec<(u64, u64)>,
    asked: HashMap<u64, Vec<(u64, u64)>>,
    kept: HashSet<(u64, u64)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(name: &'a str, ledger: &'a Ledger, epochs: &'a Epochs, excuse: Excuse) -> Self {
        Reader {
            name,
            ledger,
            epochs,
            excuse,
            kind: Kind::Plain,
            room: None,
            channel: None,
            rooms: HashMap::new(),
            seen: HashMap::new(),
            fresh: Vec::new(),
            asked: HashMap::new(),
            kept: HashSet::new(),
        }
    }

    fn damaged(&self) -> bool {
        self.excuse.is_damage()
    }

    /// One line.
    pub(super) fn read(&mut self, words: &[&str], verdict: &mut Verdict) {
        match words {
            ["want", room, channel, kind] => {
                let some = |text: &str| (text != "*").then(|| text.to_owned());
                (self.room, self.channel) = (some(room), some(channel));
                self.kind = match *kind {
                    "durable" => Kind::Durable,
                    "audit" => Kind::Audit,
                    _ => Kind::Plain,
                };
            }
            ["got", at, room, channel, position, attempt, publisher, n, sum] => {
                verdict.delivered += 1;
                let Some((epoch, offset)) = place(position) else {
                    let text = format!("a delivery without a position: {}", words.join(" "));
                    return verdict.broken(Broken::Changed, Evidence::new(self.name, text));
                };
                let got = Got {
                    at: number(at),
                    room,
                    channel,
                    position,
                    rank: self.epochs.rank(room, epoch, offset),
                    attempt: number(attempt),
                    publisher: number(publisher),
                    n: number(n),
                    sum: u64::from_str_radix(sum, 16).unwrap_or(0),
                };
                self.got(&got, verdict);
            }
            ["gap", at, room, from, to, reason @ ..] => {
                self.gap(number(at), (room, from, to), reason, verdict)
            }
            // What a dead client had acknowledged may never have left it; its successor cannot vouch for that.
            ["life", ..] => {
                self.fresh.clear();
                self.asked.clear();
            }
            ["save", _, k] => {
                let fresh = std::mem::take(&mut self.fresh);
                self.asked.insert(number(k), fresh);
            }
            // Keeping is in order: with a later one the earlier ones are kept too.
            ["saved", _, k] => {
                let k = number(k);
                let kept = &mut self.kept;
                self.asked.retain(|asked, list| {
                    *asked > k || {
                        kept.extend(list.drain(..));
                        false
                    }
                });
            }
            _ => {}
        }
    }

    fn accuse(&self, got: &Got<'_>, broken: Broken, text: String, verdict: &mut Verdict) {
        let evidence = Evidence::new(self.name, text).message(got.publisher, got.n).at(got.at);
        verdict.broken(broken, evidence.place(format!("{} {}", got.room, got.position)));
    }

    fn got(&mut self, got: &Got<'_>, verdict: &mut Verdict) {
        let ledger = self.ledger;
        let Some(sent) = ledger.find(got.publisher, got.n) else {
            return self.accuse(got, Broken::Changed, "delivered, but never sent".to_owned(), verdict);
        };
        let address = (ledger.rooms.find(got.room), ledger.channels.find(got.channel));
        if sent.sum != got.sum || address != (Some(sent.room), Some(sent.channel)) {
            let text = "delivered with another content or under another address than it was sent with";
            return self.accuse(got, Broken::Changed, text.to_owned(), verdict);
        }
        if self.is_stray(got, sent, verdict) {
            return;
        }
        let seen = self.seen.entry(got.publisher).or_default();
        if seen.len() <= got.n as usize {
            seen.resize(got.n as usize + 1, false);
        }
        let again = std::mem::replace(&mut seen[got.n as usize], true);
        if self.kind == Kind::Durable {
            self.fresh.push((got.publisher, got.n));
        }
        match again {
            true => self.again(got, verdict),
            false => self.order(got, verdict),
        }
    }

    /// Whether it stands elsewhere than its publisher was told; damage may have taken an earlier copy.
    fn is_stray(&self, got: &Got<'_>, sent: &Sent, verdict: &mut Verdict) -> bool {
        let Some((told, _)) = sent.confirmed else { return false };
        let told_rank = self.epochs.rank_of(self.ledger, sent.room, told);
        if told_rank == got.rank {
            return false;
        }
        if self.damaged() && self.kind != Kind::Audit && got.rank < told_rank {
            verdict.strays += 1;
        } else {
            let told = self.ledger.text(sent.room, told, self.epochs);
            self.accuse(got, Broken::Duplicated, format!("delivered here, but confirmed at {told}"), verdict);
        }
        true
    }

    fn again(&mut self, got: &Got<'_>, verdict: &mut Verdict) {
        match self.kind {
            Kind::Durable
                if self.excuse != Excuse::DamagedRecords && self.kept.contains(&(got.publisher, got.n)) =>
            {
                let text = "delivered again after its acknowledgement was kept".to_owned();
                self.accuse(got, Broken::Duplicated, text, verdict);
            }
            Kind::Durable => verdict.redelivered += 1,
            // It was never confirmed, and damage took the first copy.
            Kind::Plain if self.damaged() && self.unconfirmed(got) => verdict.strays += 1,
            _ => self.accuse(got, Broken::Duplicated, "delivered twice".to_owned(), verdict),
        }
    }

    fn unconfirmed(&self, got: &Got<'_>) -> bool {
        self.ledger.find(got.publisher, got.n).is_some_and(|sent| sent.confirmed.is_none())
    }

    /// Places rise, and with them each publisher's numbers. What a durable subscription tries again may come late.
    fn order(&mut self, got: &Got<'_>, verdict: &mut Verdict) {
        let room = self.rooms.entry(got.room.to_owned()).or_default();
        let (last, number) = (room.last, room.numbers.get(&got.publisher).copied());
        room.last = last.max(Some(got.rank));
        room.numbers.insert(got.publisher, number.unwrap_or(0).max(got.n));
        if got.attempt > 1 {
            return;
        }
        if last.is_some_and(|last| got.rank <= last) {
            self.accuse(got, Broken::Reordered, "delivered after something later".to_owned(), verdict);
        } else if let Some(number) = number.filter(|number| got.n < *number) {
            let text = format!("stored after message {number} of the same publisher");
            self.accuse(got, Broken::Reordered, text, verdict);
        }
    }

    fn gap(&mut self, at: u64, (room, from, to): (&str, &str, &str), reason: &[&str], verdict: &mut Verdict) {
        // What clients speak of themselves is not judged here, and nor are their private inboxes.
        if self.ledger.rooms.find(room).is_none() {
            return;
        }
        verdict.gaps += 1;
        let rank = |(epoch, offset)| self.epochs.rank(room, epoch, offset);
        let (from_rank, to_rank) = (place(from).map(rank), place(to).map(rank));
        let text = format!("a gap from {from} to {to}: {}", reason.join(" "));
        let evidence = Evidence::new(self.name, text).place(format!("{room} {to}")).at(at);
        match to_rank {
            None => verdict.broken(Broken::Changed, evidence),
            Some(_) if !self.damaged() => verdict.broken(Broken::Gap, evidence),
            Some(to) => {
                let room = self.rooms.entry(room.to_owned()).or_default();
                room.gaps.push((from_rank, to));
                room.last = room.last.max(Some(to));
            }
        }
    }

    /// Everything confirmed was seen or named.
    pub(super) fn finish(self, verdict: &mut Verdict) {
        let wants = |wanted: &Option<String>, name: &str| wanted.as_ref().is_none_or(|wanted| wanted == name);
        for (publisher, n, sent) in self.ledger.all() {
            let Some((place, at)) = sent.confirmed else { continue };
            let room = self.ledger.rooms.name(sent.room);
            if !wants(&self.room, room) || !wants(&self.channel, self.ledger.channels.name(sent.channel)) {
                continue;
            }
            if self.seen.get(&publisher).and_then(|seen| seen.get(n as usize)) == Some(&true) {
                continue;
            }
            let rank = self.epochs.rank_of(self.ledger, sent.room, place);
            let covers =
                |(from, to): &(Option<Rank>, Rank)| from.is_none_or(|from| rank > from) && rank <= *to;
            if self.damaged() && self.rooms.get(room).is_some_and(|room| room.gaps.iter().any(covers)) {
                verdict.in_gaps += 1;
                continue;
            }
            let text = "confirmed, and neither delivered to this reader nor named in a gap".to_owned();
            let evidence = Evidence::new(self.name, text).message(publisher, n).at(at);
            verdict.broken(Broken::Lost, evidence.place(self.ledger.text(sent.room, place, self.epochs)));
        }
    }
}
