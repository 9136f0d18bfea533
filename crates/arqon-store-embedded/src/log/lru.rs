//! A small cache bounded by weight; what was used longest ago leaves first.

use arqon_core::hash::Map;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

struct Kept<V: ?Sized> {
    value: Arc<V>,
    weight: usize,
    used: u64,
}

struct Inner<K, V: ?Sized> {
    map: Map<K, Kept<V>>,
    weight: usize,
    tick: u64,
}

/// The cache; shared between threads, its lock held for moments only.
pub(crate) struct Lru<K, V: ?Sized> {
    inner: Mutex<Inner<K, V>>,
    capacity: usize,
}

impl<K: Hash + Eq + Clone, V: ?Sized> Lru<K, V> {
    pub fn new(capacity: usize) -> Self {
        Lru { inner: Mutex::new(Inner { map: Map::default(), weight: 0, tick: 0 }), capacity }
    }

    pub fn get(&self, key: &K) -> Option<Arc<V>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.tick += 1;
        let tick = inner.tick;
        let kept = inner.map.get_mut(key)?;
        kept.used = tick;
        Some(kept.value.clone())
    }

    pub fn put(&self, key: K, value: Arc<V>, weight: usize) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.tick += 1;
        let used = inner.tick;
        if let Some(old) = inner.map.insert(key.clone(), Kept { value, weight, used }) {
            inner.weight -= old.weight;
        }
        inner.weight += weight;
        while inner.weight > self.capacity && inner.map.len() > 1 {
            let oldest = inner.map.iter().filter(|(k, _)| **k != key).min_by_key(|(_, v)| v.used);
            let Some(oldest) = oldest.map(|(k, _)| k.clone()) else { break };
            if let Some(gone) = inner.map.remove(&oldest) {
                inner.weight -= gone.weight;
            }
        }
    }

    pub fn forget(&self, unwanted: impl Fn(&K) -> bool) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut freed = 0;
        inner.map.retain(|k, v| {
            let stays = !unwanted(k);
            freed += if stays { 0 } else { v.weight };
            stays
        });
        inner.weight -= freed;
    }
}
