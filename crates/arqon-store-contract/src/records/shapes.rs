//! Shapes: walls between tenants and spaces, odd ids, contents of any size, the bounds, the end.

use super::{Desk, RecordsFactory, delete, ids, indexed, key, kind, put, put_at};
use arqon_core::Tenant;
use arqon_core::port::{DocKey, Durability, Expect, Scan, StoreErrorKind, Write};
use bytes::Bytes;

fn key_in(space: &'static str, tenant: &str, id: &str) -> DocKey {
    DocKey { space, tenant: Tenant::parse(tenant).unwrap(), id: id.to_owned() }
}

/// The same id in another tenant or another space is another document, also where names run into one another.
pub async fn tenants_and_spaces_are_walls(factory: &dyn RecordsFactory) {
    let desk = Desk::new(factory);
    let places = [
        ("things", "a"),
        ("things", "ab"),
        ("things", "b"),
        ("thing", "a"),
        ("things2", "a"),
        ("b", "things"),
    ];
    for (n, (space, tenant)) in places.into_iter().enumerate() {
        let key = key_in(space, tenant, "x");
        let (data, indexes) = (Bytes::from(n.to_string()), vec![("all", "yes".to_owned())]);
        let write = Write::Put { key, expect: Expect::Absent, data, indexes, expires_at: None };
        assert_eq!(desk.write(write).await, 1);
    }
    desk.write(put_at(key_in("things", "a", "bx"), Expect::Absent, "more")).await;
    for (n, (space, tenant)) in places.into_iter().enumerate() {
        assert_eq!(desk.content(&key_in(space, tenant, "x")).await.unwrap(), n.to_string());
        let tenant = Tenant::parse(tenant).unwrap();
        let scan = Scan { space, tenant, index: Some(("all", "yes".into())), ..desk.scan() };
        let found = desk.walk(scan.clone()).await;
        assert_eq!((ids(&found), found[0].doc.data.clone()), (vec!["x"], n.to_string().into()));
        let all = desk.walk(Scan { index: None, ..scan }).await;
        assert_eq!(all.len(), if n == 0 { 2 } else { 1 });
    }
    desk.write(Write::Delete { key: key_in("things", "a", "x"), expect: Expect::Any }).await;
    assert_eq!(desk.content(&key_in("things", "ab", "x")).await.unwrap(), "1");
}

/// An id is any text: separators, zero bytes, the last code point, a kilobyte.
pub async fn ids_may_hold_odd_bytes(factory: &dyn RecordsFactory) {
    let desk = Desk::new(factory);
    let long = "l".repeat(1024);
    let odd = [
        "\0",
        "\0\0",
        "\0a",
        "a",
        "a\0",
        "a\0b",
        "a\u{1}",
        "a/b",
        "a:b",
        "ÿ",
        "\u{10FFFF}",
        "🦀\n",
        long.as_str(),
    ];
    for id in odd {
        let value = format!("v{id}");
        assert_eq!(desk.write(indexed(id, &[("self", id), ("other", &value)])).await, 1, "{id:?}");
    }
    let mut sorted: Vec<&str> = odd.into();
    sorted.sort_unstable();
    for limit in [1, 100] {
        assert_eq!(ids(&desk.walk(Scan { limit, ..desk.scan() }).await), sorted);
    }
    for id in odd {
        assert_eq!(desk.content(&key(id)).await.unwrap(), id.as_bytes());
        for (name, value) in [("self", id.to_owned()), ("other", format!("v{id}"))] {
            let found = desk.walk(Scan { index: Some((name, value)), ..desk.scan() }).await;
            assert_eq!(ids(&found), [id], "{name} {id:?}");
        }
        let starting: Vec<&str> = sorted.iter().copied().filter(|s| s.starts_with(id)).collect();
        let found = desk.walk(Scan { prefix: id.to_owned(), limit: 2, ..desk.scan() }).await;
        assert_eq!(ids(&found), starting, "prefix {id:?}");
    }
    for id in odd {
        desk.write(delete(id, Expect::Version(1))).await;
    }
    assert_eq!(desk.walk(desk.scan()).await, []);
}

/// A document may be a megabyte or nothing at all.
pub async fn content_may_be_large_or_empty(factory: &dyn RecordsFactory) {
    let desk = Desk::new(factory);
    let large: Bytes = (0..1 << 20).map(|n: u32| (n * 31 % 251) as u8).collect::<Vec<u8>>().into();
    for (id, data) in [("large", large.clone()), ("empty", Bytes::new())] {
        let write =
            Write::Put { key: key(id), expect: Expect::Any, data, indexes: Vec::new(), expires_at: None };
        let versions = desk.records.commit(vec![write], Durability::Synced, desk.now()).await.unwrap();
        assert_eq!(versions, [1]);
    }
    assert!(desk.content(&key("large")).await.unwrap() == large, "a megabyte comes back as it was");
    assert_eq!(desk.content(&key("empty")).await.unwrap(), "");
    let found = desk.walk(desk.scan()).await;
    assert_eq!((ids(&found), found[1].doc.data.len()), (vec!["empty", "large"], 1 << 20));
}

/// Ids of 1 to 1,024 bytes, at most 8 indexes.
pub async fn bounds_are_refused(factory: &dyn RecordsFactory) {
    let desk = Desk::new(factory);
    let refused = Some(StoreErrorKind::Refused);
    for id in ["", "x".repeat(1025).as_str()] {
        assert_eq!(kind(desk.commit(vec![put(id, Expect::Any, "x")]).await), refused);
    }
    let values: Vec<String> = (0..9).map(|n| n.to_string()).collect();
    let indexes: Vec<_> = values.iter().map(|v| ("n", v.as_str())).collect();
    assert_eq!(kind(desk.commit(vec![put("ok", Expect::Any, ""), indexed("nine", &indexes)]).await), refused);
    assert_eq!(desk.walk(desk.scan()).await, [], "a refused batch changes nothing");
    assert_eq!(desk.write(indexed("eight", &indexes[..8])).await, 1);
}

/// Closed records answer so, to everything.
pub async fn closed_records_refuse(factory: &dyn RecordsFactory) {
    let desk = Desk::new(factory);
    desk.write(put("a", Expect::Any, "x")).await;
    desk.records.close().await.unwrap();
    let closed = Some(StoreErrorKind::Closed);
    assert_eq!(kind(desk.commit(vec![put("a", Expect::Any, "y")]).await), closed);
    assert_eq!(kind(desk.records.get(&key("a"), desk.now()).await), closed);
    assert_eq!(kind(desk.records.scan(desk.scan()).await), closed);
    assert_eq!(kind(desk.records.sweep(desk.now(), 1).await), closed);
    assert!(desk.records.close().await.is_ok(), "closing twice is fine");
}
