//! The client against a real server in this process, over connections that are cut in the middle.

mod ends;
mod lost;
mod proxy;
mod talk;

use arqon_client::{Client, Event, Message, Subscription};
use std::time::Duration;

/// Longer than anything here takes on a busy machine; a test that waits this long has failed.
const LIMIT: Duration = Duration::from_secs(60);

/// The next message; gaps and ends are failures.
async fn message(subscription: &mut Subscription) -> Message {
    let event = tokio::time::timeout(LIMIT, subscription.next()).await.expect("a message within the limit");
    match event {
        Some(Ok(Event::Message(message))) => message,
        other => panic!("expected a message, found {other:?}"),
    }
}

/// The number that a test put into a payload.
fn number(message: &Message) -> u64 {
    message.json::<serde_json::Value>().expect("tests publish objects")["n"].as_u64().expect("with a number")
}

/// A client of the server's owner.
async fn connect(url: &str, token: &str) -> Client {
    Client::builder(url).token(token).connect().await.expect("the server is there")
}
