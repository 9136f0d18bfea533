//! Records on fjall: the laws of the port, and what happens to them when the process or the disk does its worst.

use arqon_core::Tenant;
use arqon_core::Timestamp;
use arqon_core::port::{Doc, DocKey, Durability, Expect, Records, Scan, StoreError, StoreErrorKind, Write};
use arqon_store_contract::{RecordsFactory, World};
use arqon_store_embedded::records::{EmbeddedRecords, RecordsConfig, RecordsReport};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Folder(TempDir::new().unwrap())
    }
}

impl RecordsFactory for Folder {
    fn open(&self, _: &World) -> Arc<dyn Records> {
        Arc::new(EmbeddedRecords::open(self.0.path()).unwrap())
    }
    fn outlives_process(&self) -> bool {
        true
    }
    fn reopen(&self, world: &World) -> Option<Arc<dyn Records>> {
        Some(self.open(world))
    }
}

mod laws {
    arqon_store_contract::records_contract!(super::Folder::new());
}

mod laws_of_restarts {
    arqon_store_contract::records_reopen_contract!(super::Folder::new());
}

const NOW: Timestamp = Timestamp(1_000_000);

fn key(n: usize) -> DocKey {
    DocKey { space: "things", tenant: Tenant::default(), id: format!("d{n:03}") }
}

fn content(n: usize) -> Vec<u8> {
    format!("content of {n}, ").repeat(20).into_bytes()
}

fn put(n: usize) -> Write {
    let indexes = vec![("parity", (n % 2).to_string())];
    Write::Put { key: key(n), expect: Expect::Any, data: content(n).into(), indexes, expires_at: None }
}

fn scan(index: Option<(&'static str, String)>) -> Scan {
    let (prefix, tenant) = (String::new(), Tenant::default());
    Scan { space: "things", tenant, index, prefix, cursor: None, limit: 1000, now: NOW }
}

async fn write(records: &EmbeddedRecords, n: usize, durability: Durability) {
    records.commit(vec![put(n)], durability, NOW).await.unwrap();
}

fn kind<T>(result: Result<T, StoreError>) -> Option<StoreErrorKind> {
    result.err().map(|e| e.kind)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (entry, to) = entry.map(|e| (e.path(), to.join(e.file_name()))).unwrap();
        if entry.is_dir() { copy(&entry, &to) } else { copy_file(&entry, &to) }
    }
}

/// Leaves out zeros at the end, which are most of a fresh journal, and gives the length back.
fn copy_file(from: &Path, to: &Path) {
    let bytes = std::fs::read(from).unwrap();
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
    std::fs::write(to, &bytes[..end]).unwrap();
    std::fs::OpenOptions::new().write(true).open(to).unwrap().set_len(bytes.len() as u64).unwrap();
}

fn journal(dir: &Path) -> PathBuf {
    let files = std::fs::read_dir(dir.join("records/store")).unwrap().map(|e| e.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|ext| ext == "jnl")).max().expect("there is a journal")
}

/// A folder with `count` documents, each written by itself, and a journal without room to spare.
async fn written(count: usize) -> TempDir {
    let dir = TempDir::new().unwrap();
    let records = EmbeddedRecords::open(dir.path()).unwrap();
    for n in 0..count {
        write(&records, n, if n % 10 == 0 { Durability::Synced } else { Durability::Buffered }).await;
    }
    records.close().await.unwrap();
    EmbeddedRecords::open(dir.path()).unwrap().close().await.unwrap();
    dir
}

#[tokio::test]
async fn what_was_confirmed_survives_a_killed_process() {
    let (dir, copied) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let records = EmbeddedRecords::open(dir.path()).unwrap();
    for n in 0..40 {
        write(&records, n, Durability::Buffered).await;
    }
    // What the operating system has now is what it would have if the process were killed now.
    copy(dir.path(), copied.path());
    let again = EmbeddedRecords::open(copied.path()).unwrap();
    assert_eq!(again.report(), RecordsReport::default());
    for n in 0..40 {
        let expected = Doc { version: 1, data: content(n).into(), expires_at: None };
        assert_eq!(again.get(&key(n), NOW).await.unwrap(), Some(expected));
    }
    let odd = again.scan(scan(Some(("parity", "1".into())))).await.unwrap();
    assert_eq!(odd.items.len(), 20);
}

/// Opens a folder that was tampered with: what is served must be what was written, and what is missing be reported.
async fn judge(dir: &Path, count: usize, what: &str) -> usize {
    let records = match EmbeddedRecords::open(dir) {
        Ok(records) => records,
        Err(e) => {
            assert_eq!(e.kind, StoreErrorKind::Damaged, "{what}: {e:?}");
            return count;
        }
    };
    let mut missing = 0;
    for n in 0..count {
        match records.get(&key(n), NOW).await {
            Ok(Some(doc)) => assert_eq!(doc.data, content(n), "{what}: {n} is not what was written"),
            Ok(None) => missing += 1,
            Err(e) => assert_eq!(e.kind, StoreErrorKind::Damaged, "{what}"),
        }
    }
    let lost = records.report().lost_batches;
    // A changed sequence number makes an old mark look newer than the last one: more is reported than is missing.
    assert!(lost >= missing as u64, "{what}: {missing} are missing, {lost} are reported");
    if missing > 9 {
        assert!(records.report().lost_synced, "{what}: ten in a row hold a synced one");
    }
    missing
}

#[tokio::test]
async fn a_journal_cut_short_is_reported() {
    let dir = written(30).await;
    let len = std::fs::metadata(journal(dir.path())).unwrap().len();
    let mut most = 0;
    for step in 0..=12 {
        let copied = TempDir::new().unwrap();
        copy(dir.path(), copied.path());
        let file = std::fs::OpenOptions::new().write(true).open(journal(copied.path())).unwrap();
        file.set_len(len * step / 12).unwrap();
        let missing = judge(copied.path(), 30, &format!("cut to {step}/12")).await;
        let lost = EmbeddedRecords::open(copied.path()).unwrap().report().lost_batches;
        assert_eq!(
            lost, missing as u64,
            "cut to {step}/12: until something is written, the loss is reported"
        );
        most = most.max(missing);
        assert_eq!(missing == 0, step == 12, "cut to {step}/12 of {len}");
    }
    assert_eq!(most, 30);
}

#[tokio::test]
async fn a_flipped_byte_is_never_served_and_never_silent() {
    let dir = written(20).await;
    let len = std::fs::metadata(journal(dir.path())).unwrap().len();
    let mut noticed = 0;
    for step in 0..60 {
        let copied = TempDir::new().unwrap();
        copy(dir.path(), copied.path());
        let path = journal(copied.path());
        let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        let at = (step * 97 + len * step / 60) % len;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
        noticed += usize::from(judge(copied.path(), 20, &format!("byte {at} of {len}")).await > 0);
    }
    assert!(noticed > 40, "most of the journal is data: {noticed}");
}

#[tokio::test]
async fn a_loss_is_reported_once_and_numbers_go_on() {
    let dir = written(10).await;
    std::fs::remove_dir_all(dir.path().join("records/store")).unwrap();
    let records = EmbeddedRecords::open(dir.path()).unwrap();
    assert_eq!(records.report(), RecordsReport { lost_batches: 10, lost_synced: true });
    write(&records, 1, Durability::Buffered).await;
    records.close().await.unwrap();
    let records = EmbeddedRecords::open(dir.path()).unwrap();
    assert_eq!(records.report(), RecordsReport::default());
    assert!(records.get(&key(1), NOW).await.unwrap().is_some());
}

#[tokio::test]
async fn a_damaged_document_is_named_counted_and_can_be_deleted() {
    let dir = written(5).await;
    {
        let db = fjall::Database::builder(dir.path().join("records/store")).open().unwrap();
        let documents = db.keyspace("documents", fjall::KeyspaceCreateOptions::default).unwrap();
        let (name, value) = documents.prefix(b"d").map(|entry| entry.into_inner().unwrap()).nth(2).unwrap();
        let mut value = value.to_vec();
        *value.last_mut().unwrap() ^= 1;
        documents.insert(name, value).unwrap();
    }
    let records = EmbeddedRecords::open(dir.path()).unwrap();
    let damaged = Some(StoreErrorKind::Damaged);
    assert_eq!(kind(records.get(&key(2), NOW).await), damaged);
    assert_eq!(kind(records.scan(scan(None)).await), damaged);
    assert_eq!(kind(records.scan(scan(Some(("parity", "0".into())))).await), damaged);
    assert_eq!(kind(records.commit(vec![put(2)], Durability::Buffered, NOW).await), damaged);
    assert_eq!(records.damaged(), 4);
    assert_eq!(records.scan(scan(Some(("parity", "1".into())))).await.unwrap().items.len(), 2);
    assert!(records.get(&key(1), NOW).await.unwrap().is_some(), "the others are served");
    let delete = Write::Delete { key: key(2), expect: Expect::Any };
    records.commit(vec![delete], Durability::Synced, NOW).await.unwrap();
    assert_eq!(records.get(&key(2), NOW).await.unwrap(), None);
    assert_eq!(records.scan(scan(None)).await.unwrap().items.len(), 4);
    assert_eq!(records.scan(scan(Some(("parity", "0".into())))).await.unwrap().items.len(), 2);
    write(&records, 2, Durability::Buffered).await;
    assert_eq!(records.scan(scan(Some(("parity", "0".into())))).await.unwrap().items.len(), 3);
}

#[tokio::test]
async fn a_second_opener_is_refused() {
    let dir = written(1).await;
    let records = EmbeddedRecords::open(dir.path()).unwrap();
    let second = EmbeddedRecords::open(dir.path()).err().unwrap();
    assert_eq!(second.kind, StoreErrorKind::Unavailable);
    assert!(second.message.contains("another process"), "{second}");
    write(&records, 1, Durability::Synced).await;
    // Dropped without being closed, the folder is free again.
    drop(records);
    let records = EmbeddedRecords::open(dir.path()).unwrap();
    assert!(records.get(&key(1), NOW).await.unwrap().is_some());
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_serves_reads() {
    let dir = written(1).await;
    let config = RecordsConfig { reserve_bytes: Some(u64::MAX), ..RecordsConfig::default() };
    let records = EmbeddedRecords::open_with(dir.path(), config).unwrap();
    let refused = records.commit(vec![put(1)], Durability::Buffered, NOW).await.err().unwrap();
    assert_eq!(refused.kind, StoreErrorKind::Unavailable);
    assert!(refused.message.contains("disk is full"), "{refused}");
    assert_eq!(kind(records.sweep(NOW, 10).await), Some(StoreErrorKind::Unavailable));
    assert!(records.get(&key(0), NOW).await.unwrap().is_some());
    assert_eq!(records.get(&key(1), NOW).await.unwrap(), None);
}

#[tokio::test]
async fn writes_beyond_the_queue_are_refused_at_once() {
    let dir = TempDir::new().unwrap();
    let config = RecordsConfig { queue_bytes: 10_000, ..RecordsConfig::default() };
    let records = EmbeddedRecords::open_with(dir.path(), config).unwrap();
    let large = |bytes: usize| {
        let (data, indexes) = (vec![0; bytes].into(), Vec::new());
        vec![Write::Put { key: key(0), expect: Expect::Any, data, indexes, expires_at: None }]
    };
    let refused = records.commit(large(20_000), Durability::Buffered, NOW).await;
    assert_eq!(kind(refused), Some(StoreErrorKind::Unavailable));
    // What was written makes room again, however often.
    for version in 1..=20 {
        assert_eq!(records.commit(large(5000), Durability::Buffered, NOW).await.unwrap(), [version]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_come_together_share_groups() {
    let dir = TempDir::new().unwrap();
    let records = EmbeddedRecords::open(dir.path()).unwrap();
    let queued: Vec<_> = (0..500).map(|n| records.commit(vec![put(n)], Durability::Synced, NOW)).collect();
    for versions in futures_util::future::join_all(queued).await {
        assert_eq!(versions.unwrap(), [1]);
    }
    records.close().await.unwrap();
    std::fs::remove_dir_all(dir.path().join("records/store")).unwrap();
    // The mark beside the store tells how many groups there were.
    let groups = EmbeddedRecords::open(dir.path()).unwrap().report().lost_batches;
    assert!((1..250).contains(&groups), "{groups} flushes for 500 writes");
}

#[tokio::test]
async fn more_than_memory_holds_is_written_out_and_read_back() {
    let dir = TempDir::new().unwrap();
    let records = EmbeddedRecords::open(dir.path()).unwrap();
    let large = |n: usize| {
        let data = vec![(n % 251) as u8; 1 << 20].into();
        let indexes = vec![("all", "yes".to_owned())];
        vec![Write::Put { key: key(n % 50), expect: Expect::Any, data, indexes, expires_at: None }]
    };
    for n in 0..100 {
        records.commit(large(n), Durability::Buffered, NOW).await.unwrap();
    }
    drop(records);
    let records = EmbeddedRecords::open(dir.path()).unwrap();
    assert_eq!(records.report(), RecordsReport::default());
    let mut scan = scan(Some(("all", "yes".into())));
    let mut found = Vec::new();
    loop {
        let page = records.scan(scan.clone()).await.unwrap();
        assert!(page.items.len() < 10, "a page of large documents ends early");
        found.extend(page.items);
        scan.cursor = page.cursor;
        if scan.cursor.is_none() {
            break;
        }
    }
    assert_eq!(found.len(), 50);
    for (n, found) in found.iter().enumerate() {
        assert_eq!((found.doc.version, found.doc.data[0]), (2, ((n + 50) % 251) as u8));
    }
}
