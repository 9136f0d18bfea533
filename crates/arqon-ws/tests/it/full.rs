//! Limits of a tenant that are reached only by many. What fills them is written to the store behind the server's back, by
//! the words of the first of them; the last ones and what is refused go over a socket.

use crate::client::Client;
use crate::world::World;
use arqon_core::limits::Limits;
use arqon_core::port::{DocKey, Durability, Expect, Records, Scan, Write};
use arqon_core::{Tenant, Timestamp};
use arqon_store_memory::MemoryRecords;
use arqon_ws::Settings;
use serde_json::{Value, json};
use std::ops::Range;
use std::sync::Arc;

const NOW: Timestamp = Timestamp::from_millis(0);

async fn world(records: &Arc<MemoryRecords>) -> (World, Client) {
    let world = World::on(records.clone(), Settings::default(), Limits::default()).await;
    let (boss, _) = Client::connect(&world, "?token=admin").await;
    (world, boss)
}

/// Copies the one document of a space, whose id ends with 0, to ids that end with these numbers.
async fn copy(records: &MemoryRecords, space: &'static str, numbers: Range<usize>) {
    let tenant = Tenant::default();
    let all = Scan {
        space,
        tenant: tenant.clone(),
        index: None,
        prefix: String::new(),
        cursor: None,
        limit: 2,
        now: NOW,
    };
    let page = records.scan(all).await.unwrap();
    let [only] = &page.items[..] else { panic!("{page:?}") };
    let name = only.id.strip_suffix('0').expect("the first has the number 0");
    for n in numbers {
        let put = Write::Put {
            key: DocKey { space, tenant: tenant.clone(), id: format!("{name}{n}") },
            expect: Expect::Absent,
            data: only.doc.data.clone(),
            indexes: Vec::new(),
            expires_at: None,
        };
        records.commit(vec![put], Durability::Buffered, NOW).await.unwrap();
    }
}

/// What a call answers with: `success`, or the code and the reason.
async fn told(client: &mut Client, command: &str, args: Value) -> String {
    let answer = client.call("c", command, &args.to_string()).await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match &answer["error_code"] {
        Value::Null => text(&answer["status"]),
        code => format!("{} {}", text(code), text(&answer["payload"]["reason"])),
    }
}

#[tokio::test]
async fn a_room_holds_ten_thousand_made_channels_and_not_one_more() {
    let records = Arc::new(MemoryRecords::new());
    let (_world, mut boss) = world(&records).await;
    let channel = |n: usize| json!({ "room": "lab", "channel": format!("c{n}") });
    assert_eq!(told(&mut boss, "create_channel", channel(0)).await, "success");
    copy(&records, "channels", 1..9_999).await;
    assert_eq!(told(&mut boss, "create_channel", channel(9_999)).await, "success");
    let refused = told(&mut boss, "create_channel", channel(10_000)).await;
    assert_eq!(refused, "RESOURCE_EXHAUSTED ROOM_FULL");
}

#[tokio::test]
async fn a_tenant_holds_a_hundred_thousand_keys_and_not_one_more() {
    let records = Arc::new(MemoryRecords::new());
    let key = |n: usize| json!({ "key": format!("k{n}"), "value": n });
    let (first, mut boss) = world(&records).await;
    assert_eq!(told(&mut boss, "op.store.set", key(0)).await, "success");
    drop(first);
    copy(&records, "store", 1..99_999).await;
    // Keys are counted at the start.
    let (_world, mut boss) = world(&records).await;
    assert_eq!(told(&mut boss, "op.store.set", key(99_999)).await, "success");
    assert_eq!(told(&mut boss, "op.store.set", key(100_000)).await, "RESOURCE_EXHAUSTED STORE_FULL");
    // What is there may be set to something else.
    assert_eq!(told(&mut boss, "op.store.set", key(1)).await, "success");
}
