//! A durable subscription: what is done is acknowledged, what is not done comes again, also to the next process.
//!
//! `ARQON_URL=http://127.0.0.1:9100 cargo run -p arqon-client --example worker`

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use arqon_client::{Client, Event};
use serde_json::json;
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> arqon_client::Result<()> {
    let client = Client::connect(&std::env::var("ARQON_URL").unwrap_or_default()).await?;
    let mut jobs = client.subscribe("examples:jobs").durable("examples-worker").credit(8).await?;
    for n in 1..=3 {
        client.publish("examples:jobs", json!({ "job": n })).await?;
    }

    let mut done = 0;
    while done < 3 {
        let Some(Event::Message(job)) = jobs.next().await.transpose()? else { break };
        let payload: serde_json::Value = job.json()?;
        if payload["job"] == 2 && job.attempt() == 1 {
            println!("job 2 does not work; it comes again");
            job.reject(Some(Duration::from_millis(200)), "not yet");
            continue;
        }
        println!("{payload} is done at try {}", job.attempt());
        job.ack();
        done += 1;
    }
    // Resolves once the acknowledgements are on the server's disk.
    client.close().await
}
