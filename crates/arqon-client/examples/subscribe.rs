//! Reads a channel from its beginning, gaps included, and goes on with what is published meanwhile.
//!
//! `ARQON_URL=http://127.0.0.1:9100 cargo run -p arqon-client --example subscribe`

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use arqon_client::{Client, Event, Payload};

#[tokio::main(flavor = "current_thread")]
async fn main() -> arqon_client::Result<()> {
    let client = Client::connect(&std::env::var("ARQON_URL").unwrap_or_default()).await?;
    client.publish("examples:subscribe", Payload::text("before")).await?;

    let mut events = client.subscribe("examples:subscribe").from_earliest().await?;
    client.publish("examples:subscribe", Payload::text("after")).await?;

    while let Some(event) = events.next().await {
        match event? {
            Event::Message(message) => {
                let payload: serde_json::Value = message.json()?;
                println!("{} {}: {payload}", message.position(), message.sender());
                if payload["text"] == "after" {
                    break;
                }
            }
            Event::Gap(gap) => println!("nothing is kept up to {} ({})", gap.to, gap.reason.as_str()),
        }
    }
    client.close().await
}
