//! The epochs of a room, oldest first, and how a reader's position is understood against them.
//!
//! Invariant: offsets rise through all epochs of a room, so an offset alone names one record; each epoch begins higher
//! than any offset that the one before can have given out, by two at least.

use arqon_core::Position;
use arqon_core::record::Epoch;
use std::sync::Arc;

/// One unbroken history: it begins at `first`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub epoch: Epoch,
    pub first: u64,
}

/// All histories of a room; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lineage(Arc<[Span]>);

/// What a reader's position means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Go on after this offset.
    After(u64),
    /// It lies beyond what any record of its epoch can have had; what follows is after this offset.
    Beyond(u64),
    /// Nobody here knows that epoch.
    Unknown,
}

impl Lineage {
    pub fn new(epoch: Epoch) -> Self {
        Lineage(Arc::new([Span { epoch, first: 1 }]))
    }

    /// `None` unless the spans can be a lineage.
    pub fn from_spans(spans: Vec<Span>) -> Option<Self> {
        let rising = spans.windows(2).all(|w| w[0].first < w[1].first);
        (!spans.is_empty() && rising && spans[0].first >= 1).then(|| Lineage(spans.into()))
    }

    pub fn spans(&self) -> &[Span] {
        &self.0
    }

    pub fn current(&self) -> Span {
        *self.0.last().expect("a lineage has a span from its making on")
    }

    /// The same with a new epoch that begins at `first`.
    pub fn extended(&self, epoch: Epoch, first: u64) -> Self {
        let mut spans = self.0.to_vec();
        spans.push(Span { epoch, first });
        Lineage(spans.into())
    }

    /// Whether this knows of later history than `other`.
    pub fn is_later(&self, other: &Lineage) -> bool {
        self.current().first > other.current().first
    }

    /// The position of an offset; just before an epoch's first record counts to that epoch.
    pub fn position(&self, offset: u64) -> Position {
        let after = self.0.partition_point(|span| span.first <= offset.saturating_add(1));
        Position::new(self.0[after.saturating_sub(1)].epoch, offset)
    }

    /// Whether an epoch begins right after one of the offsets `from..=to`.
    pub fn breaks_within(&self, from: u64, to: u64) -> bool {
        self.0.iter().skip(1).any(|span| (from..=to).contains(&(span.first - 1)))
    }

    /// What `position` means, where `end` is the last offset of the log.
    pub fn place(&self, position: Position, end: u64) -> Place {
        let Some(i) = self.0.iter().position(|span| span.epoch == position.epoch) else {
            return Place::Unknown;
        };
        let offset = position.offset.max(self.0[i].first - 1);
        match self.0.get(i + 1) {
            Some(next) if offset >= next.first - 1 => Place::Beyond(next.first - 1),
            None if offset > end => Place::Beyond(end),
            _ => Place::After(offset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_understood_against_every_epoch() {
        let (a, b) = (Epoch::durable(10), Epoch::durable(20));
        let lineage = Lineage::new(a).extended(b, 1001);
        assert_eq!(lineage.position(5), Position::new(a, 5));
        assert_eq!(lineage.position(1000), Position::new(b, 1000));
        assert_eq!(lineage.position(1001), Position::new(b, 1001));
        assert_eq!(lineage.place(Position::new(a, 5), 1010), Place::After(5));
        assert_eq!(lineage.place(Position::new(a, 1000), 1010), Place::Beyond(1000));
        assert_eq!(lineage.place(Position::new(b, 0), 1010), Place::After(1000));
        assert_eq!(lineage.place(Position::new(b, 2000), 1010), Place::Beyond(1010));
        assert_eq!(lineage.place(Position::new(Epoch::durable(30), 1), 1010), Place::Unknown);
        assert!(lineage.breaks_within(6, 1000) && !lineage.breaks_within(6, 999));
    }
}
