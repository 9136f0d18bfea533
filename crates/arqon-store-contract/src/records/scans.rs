//! Scans: by prefix and by index, in pages that visit each document once.

use super::{Desk, RecordsFactory, delete, ids, indexed, key, put};
use arqon_core::port::{Expect, Scan};
use std::sync::Arc;

fn by_index(desk: &Desk, name: &'static str, value: &str) -> Scan {
    Scan { index: Some((name, value.to_owned())), ..desk.scan() }
}

fn by_prefix(desk: &Desk, prefix: &str) -> Scan {
    Scan { prefix: prefix.to_owned(), ..desk.scan() }
}

/// Only ids that begin with the prefix, in the order of their bytes.
pub async fn a_prefix_selects(factory: &dyn RecordsFactory) {
    let desk = Desk::new(factory);
    for id in ["b", "a/2", "a", "a/10", "A", "a0", "ab", "a/", "ä", "\u{10FFFF}x", "\u{10FFFF}"] {
        desk.write(put(id, Expect::Any, id)).await;
    }
    let all = desk.walk(desk.scan()).await;
    assert_eq!(ids(&all), ["A", "a", "a/", "a/10", "a/2", "a0", "ab", "b", "ä", "\u{10FFFF}", "\u{10FFFF}x"]);
    assert!(all.iter().all(|f| f.doc.data == f.id.as_bytes() && f.doc.version == 1));
    assert_eq!(ids(&desk.walk(by_prefix(&desk, "a/")).await), ["a/", "a/10", "a/2"]);
    assert_eq!(ids(&desk.walk(by_prefix(&desk, "\u{10FFFF}")).await), ["\u{10FFFF}", "\u{10FFFF}x"]);
    assert_eq!(ids(&desk.walk(by_prefix(&desk, "c")).await), [""; 0]);
}

/// Only documents with that value under that name; a prefix narrows it further.
pub async fn an_index_selects(factory: &dyn RecordsFactory) {
    let desk = Desk::new(factory);
    desk.write(indexed("a/1", &[("state", "open"), ("owner", "x")])).await;
    desk.write(indexed("a/2", &[("state", "open:y")])).await;
    desk.write(indexed("b/1", &[("state", "open"), ("owner", "open")])).await;
    desk.write(indexed("b/2", &[("state", ""), ("state", "twice")])).await;
    desk.write(indexed("c", &[])).await;
    for (name, value, expected) in [
        ("state", "open", vec!["a/1", "b/1"]),
        ("state", "open:y", vec!["a/2"]),
        ("state", "", vec!["b/2"]),
        ("state", "twice", vec!["b/2"]),
        ("owner", "open", vec!["b/1"]),
        ("owner", "nobody", vec![]),
        ("nothing", "open", vec![]),
    ] {
        assert_eq!(ids(&desk.walk(by_index(&desk, name, value)).await), expected, "{name}={value}");
    }
    let narrow = Scan { prefix: "b".into(), ..by_index(&desk, "state", "open") };
    let found = desk.walk(narrow).await;
    assert_eq!(ids(&found), ["b/1"]);
    assert_eq!(found[0].doc, desk.get(&key("b/1")).await.unwrap());
}

/// An index names the document as it is now.
pub async fn an_index_follows_its_document(factory: &dyn RecordsFactory) {
    let desk = Desk::new(factory);
    desk.write(indexed("a", &[("state", "open")])).await;
    desk.write(indexed("a", &[("state", "closed")])).await;
    assert_eq!(desk.walk(by_index(&desk, "state", "open")).await, []);
    let closed = desk.walk(by_index(&desk, "state", "closed")).await;
    assert_eq!((ids(&closed), closed[0].doc.version), (vec!["a"], 2));
    let batch =
        vec![indexed("a", &[("state", "x")]), delete("a", Expect::Any), indexed("b", &[("state", "x")])];
    desk.commit(batch).await.unwrap();
    assert_eq!(ids(&desk.walk(by_index(&desk, "state", "x")).await), ["b"]);
    desk.write(put("b", Expect::Any, "without")).await;
    assert_eq!(desk.walk(by_index(&desk, "state", "x")).await, []);
    assert_eq!(ids(&desk.walk(desk.scan()).await), ["b"]);
}

/// Whatever the limit, the pages together are the whole.
pub async fn pages_visit_each_once(factory: &dyn RecordsFactory) {
    let desk = Desk::new(factory);
    let names: Vec<String> = (0..100).map(|n| format!("d/{n:03}")).collect();
    let batch = names.iter().map(|id| indexed(id, &[("third", if id.ends_with('3') { "y" } else { "n" })]));
    desk.commit(batch.collect()).await.unwrap();
    for limit in [1, 2, 7, 99, 100, 101] {
        let all = desk.walk(Scan { limit, ..by_prefix(&desk, "d/") }).await;
        assert_eq!(ids(&all), names, "limit {limit}");
        let some = desk.walk(Scan { limit, ..by_index(&desk, "third", "y") }).await;
        assert_eq!(some.len(), 10, "limit {limit}");
    }
    let page = desk.records.scan(Scan { limit: 100, ..desk.scan() }).await.unwrap();
    assert_eq!(page.items.len(), 100);
}

/// Documents that exist throughout are visited once, though others come, change and go meanwhile.
pub async fn pages_visit_each_once_while_others_are_written(factory: &dyn RecordsFactory) {
    let desk = Arc::new(Desk::new(factory));
    let stable: Vec<String> = (0..200).map(|n| format!("s{n:03}")).collect();
    let batch = stable.iter().map(|id| indexed(id, &[("kind", "stable")])).collect();
    desk.commit(batch).await.unwrap();
    let (writer, stop) = (desk.clone(), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let stopped = stop.clone();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let mut n = 0_u64;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            n += 1;
            let id = format!("s{:03}x{}", n * 37 % 200, n % 3);
            let write = if n.is_multiple_of(4) {
                delete(&id, Expect::Any)
            } else {
                indexed(&id, &[("kind", "stable")])
            };
            writer.commit(vec![write]).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    for limit in [1, 3, 50] {
        for scan in [desk.scan(), by_index(&desk, "kind", "stable")] {
            let found = desk.walk(Scan { limit, ..scan }).await;
            let seen: Vec<_> = ids(&found).into_iter().filter(|id| id.len() == 4).collect();
            assert_eq!(seen, stable, "limit {limit}");
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    tasks.join_all().await;
}

/// A walk goes on though the document that its cursor stands on is gone.
pub async fn a_cursor_survives_its_document(factory: &dyn RecordsFactory) {
    let desk = Desk::new(factory);
    for id in ["a", "b", "c", "d"] {
        desk.write(indexed(id, &[("all", "yes")])).await;
    }
    for scan in [desk.scan(), by_index(&desk, "all", "yes")] {
        let page = desk.records.scan(Scan { limit: 2, ..scan.clone() }).await.unwrap();
        assert_eq!(ids(&page.items), ["a", "b"]);
        desk.write(delete("b", Expect::Any)).await;
        let rest = desk.walk(Scan { cursor: page.cursor, ..scan }).await;
        assert_eq!(ids(&rest), ["c", "d"]);
        desk.write(indexed("b", &[("all", "yes")])).await;
    }
}
