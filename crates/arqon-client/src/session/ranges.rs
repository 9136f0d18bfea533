//! A set of offsets kept as ranges, bounded: what was acknowledged in one history of one room.
//!
//! Invariant: never says that an offset is in the set unless it was put there; past the bound it forgets the lowest.

use std::collections::BTreeMap;

/// Most ranges of one set. Dense acknowledgements need one; this many holes cost about 2 MiB.
const RANGES_MAX: usize = 65_536;

/// Offsets, as inclusive ranges that neither touch nor overlap.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    /// First offset → last offset.
    ranges: BTreeMap<u64, u64>,
}

impl Ranges {
    pub(super) fn contains(&self, offset: u64) -> bool {
        self.ranges.range(..=offset).next_back().is_some_and(|(_, last)| *last >= offset)
    }

    /// Adds `first..=last`.
    pub(super) fn insert(&mut self, first: u64, last: u64) {
        let (mut first, mut last) = (first, last.max(first));
        // Everything that overlaps or touches begins at or before `last + 1` and ends at or after `first - 1`.
        while let Some((&start, &end)) = self.ranges.range(..=last.saturating_add(1)).next_back() {
            if end.saturating_add(1) < first {
                break;
            }
            self.ranges.remove(&start);
            first = first.min(start);
            last = last.max(end);
        }
        self.ranges.insert(first, last);
        if self.ranges.len() > RANGES_MAX {
            self.ranges.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_merge_and_holes_stay() {
        let mut ranges = Ranges::default();
        for offset in [5, 7, 6, 1, 9, 3] {
            ranges.insert(offset, offset);
        }
        assert_eq!(ranges.ranges, BTreeMap::from([(1, 1), (3, 3), (5, 7), (9, 9)]));
        ranges.insert(0, 8);
        assert_eq!(ranges.ranges, BTreeMap::from([(0, 9)]));
        assert!(ranges.contains(0) && ranges.contains(9) && !ranges.contains(10));
    }

    #[test]
    fn agrees_with_a_plain_set() {
        let mut ranges = Ranges::default();
        let mut plain = std::collections::BTreeSet::new();
        let mut seed: u64 = 7;
        for _ in 0..2000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let first = (seed >> 33) % 500;
            let last = first + (seed >> 60);
            ranges.insert(first, last);
            plain.extend(first..=last);
        }
        for offset in 0..600 {
            assert_eq!(ranges.contains(offset), plain.contains(&offset), "{offset}");
        }
    }
}
