//! What will be done to the bus: the kinds of faults, the kinds of rounds, and the order of things, all from a seed.
//!
//! Invariant: each fault that a round may do is done once before any is done again, so that short runs see them all.

use super::dice::Dice;
use clap::ValueEnum;
use std::fmt;

/// What can be done to a bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub(super) enum Fault {
    /// `kill -9` of the server, at times again while it starts.
    Kill,
    /// SIGSTOP, and SIGCONT later: at times after all time-outs.
    Stop,
    /// Connections cut after some bytes, half-open, or slow.
    Cut,
    /// A full disk.
    Full,
    /// A file of the log cut short while the server is down.
    Truncate,
    /// A bit of a file of the log flipped while the server is down.
    Flip,
}

impl Fault {
    pub(super) const ALL: [Fault; 6] =
        [Fault::Kill, Fault::Stop, Fault::Cut, Fault::Full, Fault::Truncate, Fault::Flip];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Fault::Kill => "kill",
            Fault::Stop => "stop",
            Fault::Cut => "cut",
            Fault::Full => "full",
            Fault::Truncate => "truncate",
            Fault::Flip => "flip",
        }
    }

    const fn is_damage(self) -> bool {
        matches!(self, Fault::Truncate | Fault::Flip)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a round is about. Each begins with an empty bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Everything that leaves files alone: there must not be a single gap.
    Whole,
    /// The same on a small disk that fills up.
    Full,
    /// Files are damaged: what is lost must be named.
    Damage,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Kind::Whole => "whole",
            Kind::Full => "full disk",
            Kind::Damage => "damage",
        }
    }

    fn takes(self, fault: Fault) -> bool {
        match fault {
            Fault::Full => self == Kind::Full,
            fault if fault.is_damage() => self == Kind::Damage,
            _ => true,
        }
    }
}

/// The kinds of rounds that these faults call for, in the order in which they take turns.
pub(super) fn kinds(faults: &[Fault]) -> Vec<Kind> {
    let mut kinds = Vec::new();
    if faults.iter().any(|fault| matches!(fault, Fault::Kill | Fault::Stop | Fault::Cut)) {
        kinds.push(Kind::Whole);
    }
    if faults.contains(&Fault::Full) {
        kinds.push(Kind::Full);
    }
    if faults.iter().any(|fault| fault.is_damage()) {
        kinds.push(Kind::Damage);
    }
    kinds
}

/// The faults of one round, one after another without end.
pub(super) struct Deck {
    cards: Vec<Fault>,
    left: Vec<Fault>,
    own: Vec<Fault>,
}

impl Deck {
    pub(super) fn new(kind: Kind, faults: &[Fault]) -> Deck {
        let cards: Vec<Fault> =
            Fault::ALL.into_iter().filter(|f| faults.contains(f) && kind.takes(*f)).collect();
        // What the round is about comes first, so that even the shortest round is about it.
        let own = cards.iter().copied().filter(|fault| !Kind::Whole.takes(*fault)).collect();
        Deck { cards, left: Vec::new(), own }
    }

    pub(super) fn draw(&mut self, dice: &mut Dice) -> Fault {
        if self.left.is_empty() {
            self.left.clone_from(&self.cards);
            dice.shuffle(&mut self.left);
            // Drawn from the end.
            self.left.sort_by_key(|fault| self.own.contains(fault));
            self.own.clear();
        }
        self.left.pop().expect("a round has at least one fault, and it was just filled")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_comes_once_before_any_comes_again_and_damage_stays_in_its_rounds() {
        assert_eq!(kinds(&Fault::ALL), [Kind::Whole, Kind::Full, Kind::Damage]);
        assert_eq!(kinds(&[Fault::Flip]), [Kind::Damage]);
        for (kind, count) in [(Kind::Whole, 3), (Kind::Full, 4), (Kind::Damage, 5)] {
            let (mut deck, mut dice) = (Deck::new(kind, &Fault::ALL), Dice::new(3));
            let mut drawn: Vec<Fault> = (0..count).map(|_| deck.draw(&mut dice)).collect();
            assert!(kind == Kind::Whole || !Kind::Whole.takes(drawn[0]), "{kind:?}: {drawn:?}");
            drawn.sort_unstable();
            drawn.dedup();
            assert_eq!(drawn.len(), count, "{kind:?}");
            assert!(drawn.iter().all(|fault| kind.takes(*fault)));
        }
    }
}
