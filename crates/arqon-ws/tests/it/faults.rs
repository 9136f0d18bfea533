//! What a client is told when the store below fails: whose fault it is, and which command met it.

use crate::client::Client;
use crate::world::World;
use arqon_core::Timestamp;
use arqon_core::limits::Limits;
use arqon_core::port::{Doc, DocKey, Durability, Records, Scan, ScanPage, StoreError, StoreErrorKind, Write};
use arqon_store_memory::MemoryRecords;
use arqon_ws::Settings;
use futures_util::future::{BoxFuture, FutureExt};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

type Answer<T> = BoxFuture<'static, Result<T, StoreError>>;

/// Records that fail in one way once they are told to.
struct Failing {
    inner: MemoryRecords,
    /// What reading fails with, and what writing does.
    how: Mutex<(Option<StoreErrorKind>, Option<StoreErrorKind>)>,
}

impl Failing {
    fn new() -> Arc<Failing> {
        Arc::new(Failing { inner: MemoryRecords::new(), how: Mutex::new((None, None)) })
    }

    fn fail(&self, reads: Option<StoreErrorKind>, writes: Option<StoreErrorKind>) {
        *self.how.lock().unwrap() = (reads, writes);
    }

    fn or<T: Send + 'static>(kind: Option<StoreErrorKind>, real: impl FnOnce() -> Answer<T>) -> Answer<T> {
        match kind {
            Some(kind) => std::future::ready(Err(StoreError::new(kind, "not what was written"))).boxed(),
            None => real(),
        }
    }

    fn reads(&self) -> Option<StoreErrorKind> {
        self.how.lock().unwrap().0
    }
}

impl Records for Failing {
    fn get(&self, key: &DocKey, now: Timestamp) -> Answer<Option<Doc>> {
        Failing::or(self.reads(), || self.inner.get(key, now))
    }
    fn commit(&self, writes: Vec<Write>, durability: Durability, now: Timestamp) -> Answer<Vec<u64>> {
        let kind = self.how.lock().unwrap().1;
        Failing::or(kind, || self.inner.commit(writes, durability, now))
    }
    fn scan(&self, scan: Scan) -> Answer<ScanPage> {
        Failing::or(self.reads(), || self.inner.scan(scan))
    }
    fn sweep(&self, now: Timestamp, limit: usize) -> Answer<usize> {
        self.inner.sweep(now, limit)
    }
    fn health(&self) -> Result<(), StoreError> {
        self.inner.health()
    }
    fn close(&self) -> Answer<()> {
        self.inner.close()
    }
}

async fn world() -> (Arc<Failing>, World) {
    let records = Failing::new();
    let world = World::on(records.clone(), Settings::default(), Limits::default()).await;
    (records, world)
}

/// The code and the reason that a command is refused with.
async fn refused(client: &mut Client, command: &str, args: Value) -> (String, String) {
    let answer = client.call("c", command, &args.to_string()).await;
    assert_eq!(answer["type"], "error", "{command}: {answer}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&answer["error_code"]), text(&answer["payload"]["reason"]))
}

#[tokio::test]
async fn a_damaged_store_is_a_fault_of_ours_and_the_reason_says_which_command_met_it() {
    let (records, world) = world().await;
    let (mut boss, _) = Client::connect(&world, "?token=admin").await;
    let made = boss.call("c", "create_channel", r#"{"room":"lab","channel":"bench"}"#).await;
    let data = &made["payload"]["data"];
    // Names are looked up where an id is given; a command that needs no look-up is none the worse.
    let by_id = json!({ "room": data["room_id"], "channel": data["channel_id"] });
    records.fail(Some(StoreErrorKind::Damaged), Some(StoreErrorKind::Damaged));
    let new = json!({ "room": "lab", "channel": "new" });
    let cases = [
        ("create_channel", new, "CREATE_CHANNEL_ERROR"),
        ("delete_channel", by_id.clone(), "DELETE_CHANNEL_ERROR"),
        ("join_channel", by_id.clone(), "JOIN_CHANNEL_ERROR"),
        ("leave_channel", by_id.clone(), "LEAVE_CHANNEL_ERROR"),
        ("list_channels", json!({ "room": "lab" }), "LIST_CHANNELS_ERROR"),
        ("channel_info", by_id.clone(), "CHANNEL_INFO_ERROR"),
        ("history", by_id, "HISTORY_ERROR"),
        ("op.store.get", json!({ "key": "a" }), "EXECUTION_ERROR"),
    ];
    for (command, args, reason) in cases {
        let (code, said) = refused(&mut boss, command, args).await;
        assert_eq!((&*code, &*said), ("INTERNAL_ERROR", reason), "{command}");
    }
    // What can be said without the store is said.
    let status = boss.call("c", "status", "{}").await;
    assert_eq!(status["payload"]["data"]["server"]["status"], "running", "{status}");
}

#[tokio::test]
async fn a_change_that_others_are_always_ahead_of_is_contended() {
    let (records, world) = world().await;
    let (mut boss, _) = Client::connect(&world, "?token=admin").await;
    records.fail(None, Some(StoreErrorKind::Conflict));
    for (command, args) in [
        ("create_channel", json!({ "room": "lab", "channel": "bench" })),
        ("op.store.set", json!({ "key": "a", "value": 1 })),
    ] {
        let (code, reason) = refused(&mut boss, command, args).await;
        assert_eq!((&*code, &*reason), ("CONFLICT", "CONTENDED"), "{command}");
    }
}
