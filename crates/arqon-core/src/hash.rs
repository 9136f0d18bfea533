//! Maps and sets that hash fast, with one seed for the whole process: drawn at random, so that nobody outside can choose
//! names that collide, or fixed by a simulation, so that a run can be repeated.
//!
//! Invariant: with a fixed seed, maps that were filled the same way are walked in the same order.

use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;
use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::OnceLock;

/// A hash map with the process's seed. Made with `Map::default()`.
pub type Map<K, V> = HashMap<K, V, Hashing>;
/// A hash set with the process's seed. Made with `Set::default()`.
pub type Set<T> = HashSet<T, Hashing>;

/// What a map hashes with.
#[derive(Clone, Debug)]
pub struct Hashing(SeedableRandomState);

impl Default for Hashing {
    fn default() -> Self {
        static SEED: OnceLock<(u64, SharedSeed)> = OnceLock::new();
        let (own, shared) = SEED.get_or_init(|| {
            let seed = *FIXED.get_or_init(|| RandomState::new().hash_one(0u8));
            (seed, SharedSeed::from_u64(seed))
        });
        Hashing(SeedableRandomState::with_seed(*own, shared))
    }
}

impl BuildHasher for Hashing {
    type Hasher = <SeedableRandomState as BuildHasher>::Hasher;

    #[inline]
    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}

static FIXED: OnceLock<u64> = OnceLock::new();

/// Fixes the seed of this process. For simulations; to be called before the first map is made, else it changes
/// nothing. Answers whether the seed is now the one that was asked for.
pub fn fix(seed: u64) -> bool {
    *FIXED.get_or_init(|| seed) == seed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_is_one_for_all_maps_and_stays() {
        let filled = || (0..100).map(|n| (n, ())).collect::<Map<u32, ()>>();
        let order = |map: Map<u32, ()>| map.into_keys().collect::<Vec<_>>();
        assert_eq!(order(filled()), order(filled()));
        assert!(!(fix(7) && fix(8)), "the first seed stays, whichever it was");
    }
}
