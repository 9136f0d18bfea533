//! Restarts: documents, versions, indexes and expiry are as they were.

use super::model::Model;
use super::{Desk, RecordsFactory, delete, expiring, ids, indexed, key, put};
use arqon_core::port::{Durability, Expect, Scan};
use std::time::Duration;

/// Documents are there with their versions, deleted ones are not; compare-and-set goes on where it was.
pub async fn documents_are_there_after_reopening(factory: &dyn RecordsFactory) {
    let desk = Desk::new(factory);
    for n in 0..50 {
        let durability = if n % 5 == 0 { Durability::Synced } else { Durability::Buffered };
        let writes =
            vec![put("counted", Expect::Any, &n.to_string()), put(&format!("d{n:02}"), Expect::Absent, "x")];
        desk.records.commit(writes, durability, desk.now()).await.unwrap();
    }
    desk.write(delete("d07", Expect::Any)).await;
    let before = desk.walk(desk.scan()).await;
    assert_eq!(before.len(), 50);
    let desk = desk.reopened(factory).await;
    assert_eq!(desk.walk(desk.scan()).await, before);
    assert_eq!(desk.version(&key("counted")).await, 50);
    assert_eq!(desk.write(put("counted", Expect::Version(50), "51")).await, 51);
    assert_eq!(desk.write(put("d07", Expect::Absent, "again")).await, 1);
}

/// Index entries and expiry are as they were.
pub async fn indexes_and_expiry_are_there_after_reopening(factory: &dyn RecordsFactory) {
    let desk = Desk::new(factory);
    desk.write(indexed("a", &[("state", "open")])).await;
    desk.write(indexed("b", &[("state", "open")])).await;
    desk.write(indexed("b", &[("state", "closed")])).await;
    let at = desk.now().plus(Duration::from_secs(5));
    desk.write(expiring("e", at)).await;
    let desk = desk.reopened(factory).await;
    let open = Scan { index: Some(("state", "open".into())), ..desk.scan() };
    assert_eq!(ids(&desk.walk(open).await), ["a"]);
    assert_eq!(desk.get(&key("e")).await.unwrap().expires_at, Some(at));
    assert_eq!(desk.records.sweep(at, 10).await.unwrap(), 1);
    assert_eq!(desk.get(&key("e")).await, None);
}

/// Random writes with restarts in between.
pub async fn random_writes_and_restarts_agree_with_a_model(factory: &dyn RecordsFactory) {
    let mut model = Model::new(Desk::new(factory), 11);
    for _ in 0..6 {
        for _ in 0..100 {
            model.step().await;
        }
        model.desk = model.desk.reopened(factory).await;
        model.check_everything().await;
    }
}
