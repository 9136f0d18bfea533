//! Asks and answers: an agent serves requests to its inbox, and another client asks it.
//!
//! `ARQON_URL=http://127.0.0.1:9100 cargo run -p arqon-client --example request`

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use arqon_client::{Client, Payload};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> arqon_client::Result<()> {
    let url = std::env::var("ARQON_URL").unwrap_or_default();
    let agent = Client::builder(&url).agent("counter", ["count"]).connect().await?;
    let serving = agent.serve("@counter", 4, |request| async move {
        let question: Value = request.json().unwrap_or_default();
        let words = question["text"].as_str().unwrap_or_default().split_whitespace().count();
        Payload::from(json!({ "words": words }))
    });

    let client = Client::connect(&url).await?;
    let asking = async {
        let question = Payload::text("how many words are these");
        let answer = client.request("@counter", question).timeout(Duration::from_secs(5)).await?;
        println!("the answer is {}", String::from_utf8_lossy(answer.payload()));
        client.close().await
    };
    tokio::select! {
        ended = serving => ended,
        asked = asking => asked,
    }
}
