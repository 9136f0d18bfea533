//! The laws of `Records`, by theme, and what they stand on.

pub mod expiry;
pub mod model;
pub mod reopen;
pub mod scans;
pub mod shapes;
pub mod versions;

use crate::World;
use arqon_core::env::Clock;
use arqon_core::port::{
    Doc, DocKey, Durability, Expect, Found, Records, Scan, StoreError, StoreErrorKind, Write,
};
use arqon_core::{Tenant, Timestamp};
use bytes::Bytes;
use std::sync::Arc;

/// Makes the records under test. A factory stands for one place of storage.
pub trait RecordsFactory: Send + Sync {
    /// Fresh, empty records. Called once per factory.
    fn open(&self, world: &World) -> Arc<dyn Records>;

    /// Whether what is stored outlives the process; then `reopen` answers.
    fn outlives_process(&self) -> bool {
        false
    }

    /// Opens the same storage again; what was open before was closed and dropped. `None` where nothing outlives the
    /// process.
    fn reopen(&self, _world: &World) -> Option<Arc<dyn Records>> {
        None
    }
}

impl<F: Fn(&World) -> Arc<dyn Records> + Send + Sync> RecordsFactory for F {
    fn open(&self, world: &World) -> Arc<dyn Records> {
        self(world)
    }
}

/// Records under test with their world.
pub(crate) struct Desk {
    pub(crate) records: Arc<dyn Records>,
    pub(crate) world: World,
}

impl Desk {
    pub(crate) fn new(factory: &dyn RecordsFactory) -> Self {
        let world = World::new(1);
        Desk { records: factory.open(&world), world }
    }

    pub(crate) async fn reopened(self, factory: &dyn RecordsFactory) -> Self {
        self.records.close().await.expect("records close");
        let Desk { records, world } = self;
        drop(records);
        let records = factory.reopen(&world).expect("the factory of this law must be able to reopen");
        Desk { records, world }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    pub(crate) async fn commit(&self, writes: Vec<Write>) -> Result<Vec<u64>, StoreError> {
        self.records.commit(writes, Durability::Buffered, self.now()).await
    }

    /// One write that must succeed.
    pub(crate) async fn write(&self, write: Write) -> u64 {
        let versions = self.commit(vec![write]).await.expect("the write is taken");
        assert_eq!(versions.len(), 1, "a commit answers for each write");
        versions[0]
    }

    pub(crate) async fn get(&self, key: &DocKey) -> Option<Doc> {
        self.records.get(key, self.now()).await.expect("healthy records are read")
    }

    pub(crate) async fn version(&self, key: &DocKey) -> u64 {
        self.get(key).await.map_or(0, |doc| doc.version)
    }

    pub(crate) async fn content(&self, key: &DocKey) -> Option<Bytes> {
        self.get(key).await.map(|doc| doc.data)
    }

    /// Scans page after page.
    pub(crate) async fn walk(&self, mut scan: Scan) -> Vec<Found> {
        let mut found: Vec<Found> = Vec::new();
        loop {
            let page = self.records.scan(scan.clone()).await.expect("healthy records are scanned");
            assert!(page.items.len() <= scan.limit.max(1), "a page obeys its limit");
            found.extend(page.items);
            assert!(found.windows(2).all(|w| w[0].id < w[1].id), "ids come in order, each once");
            let Some(cursor) = page.cursor else { return found };
            assert_ne!(Some(&cursor), scan.cursor.as_ref(), "a page that is not the last goes on");
            scan.cursor = Some(cursor);
        }
    }

    pub(crate) fn scan(&self) -> Scan {
        Scan {
            space: "things",
            tenant: Tenant::default(),
            index: None,
            prefix: String::new(),
            cursor: None,
            limit: 1000,
            now: self.now(),
        }
    }
}

pub(crate) fn key(id: &str) -> DocKey {
    DocKey { space: "things", tenant: Tenant::default(), id: id.to_owned() }
}

pub(crate) fn put(id: &str, expect: Expect, data: &str) -> Write {
    put_at(key(id), expect, data)
}

pub(crate) fn put_at(key: DocKey, expect: Expect, data: &str) -> Write {
    Write::Put {
        key,
        expect,
        data: Bytes::copy_from_slice(data.as_bytes()),
        indexes: Vec::new(),
        expires_at: None,
    }
}

pub(crate) fn delete(id: &str, expect: Expect) -> Write {
    Write::Delete { key: key(id), expect }
}

pub(crate) fn indexed(id: &str, indexes: &[(&'static str, &str)]) -> Write {
    let indexes = indexes.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Write::Put {
        key: key(id),
        expect: Expect::Any,
        data: Bytes::from(id.to_owned()),
        indexes,
        expires_at: None,
    }
}

pub(crate) fn expiring(id: &str, at: Timestamp) -> Write {
    let (key, indexes) = (key(id), vec![("all", "yes".to_owned())]);
    Write::Put { key, expect: Expect::Any, data: Bytes::from_static(b"x"), indexes, expires_at: Some(at) }
}

pub(crate) fn ids(found: &[Found]) -> Vec<&str> {
    found.iter().map(|f| f.id.as_str()).collect()
}

pub(crate) fn kind<T>(result: Result<T, StoreError>) -> Option<StoreErrorKind> {
    result.err().map(|e| e.kind)
}
