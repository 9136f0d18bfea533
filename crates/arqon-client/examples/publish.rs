//! Publishes one message, and then many in a pipeline; each receipt says that its message is stored.
//!
//! `ARQON_URL=http://127.0.0.1:9100 cargo run -p arqon-client --example publish`

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use arqon_client::{Client, Payload, Publisher};
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() -> arqon_client::Result<()> {
    let client = Client::connect(&std::env::var("ARQON_URL").unwrap_or_default()).await?;

    let receipt = client.publish("examples:publish", Payload::text("hello")).await?;
    println!("{} is stored at {}", receipt.id, receipt.position);

    // Sent twice under one key, stored once.
    for _ in 0..2 {
        let message = client.publish("examples:publish", json!({"build": 17, "ok": true}));
        let receipt = message.idempotency_key("build-17").await?;
        println!(
            "{} {}",
            receipt.position,
            if receipt.duplicate { "was known" } else { "is new or was known" }
        );
    }

    let publisher = client.publisher(Publisher::WINDOW_DEFAULT);
    let mut receipts = Vec::new();
    for n in 0..1000 {
        receipts.push(publisher.send(publisher.message("examples:publish", json!({ "n": n }))).await?);
    }
    for receipt in receipts {
        receipt.await?;
    }
    println!("1000 more are stored");
    client.close().await
}
