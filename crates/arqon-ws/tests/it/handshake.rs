//! Who is let in, and what the others are told.

use crate::client::{Client, Raw};
use crate::world::World;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::http::Response;

async fn refused(world: &World, query: &str, headers: &[(&'static str, &str)]) -> Response<Option<Vec<u8>>> {
    match Client::try_connect(world, query, headers).await {
        Err(Error::Http(response)) => *response,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("was let in"),
    }
}

fn details(response: &Response<Option<Vec<u8>>>) -> (String, String) {
    let body: serde_json::Value = serde_json::from_slice(response.body().as_ref().unwrap()).unwrap();
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    (text("error"), text("details"))
}

#[tokio::test]
async fn who_is_not_known_is_refused_before_the_upgrade() {
    let world = World::new().await;
    let response = refused(&world, "?token=none", &[]).await;
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"arqonbus\"");
    assert_eq!(details(&response), ("Unauthorized".to_owned(), "Missing bearer token".to_owned()));
    assert_eq!(world.metric("active_connections"), 0.0);
}

#[tokio::test]
async fn pages_of_other_origins_are_refused() {
    let world = World::new().await;
    assert_eq!(refused(&world, "", &[("origin", "https://evil.example")]).await.status(), 403);
    let same = format!("http://{}", world.addr);
    assert!(Client::try_connect(&world, "", &[("origin", &same)]).await.is_ok());
    assert!(Client::try_connect(&world, "", &[("origin", "https://console.example")]).await.is_ok());
}

#[tokio::test]
async fn a_name_that_is_none_is_refused() {
    let world = World::new().await;
    let response = refused(&world, "?agent=not%20a%20name", &[]).await;
    assert_eq!(response.status(), 400);
    assert!(details(&response).1.starts_with("agent: "), "{:?}", details(&response));
}

#[tokio::test]
async fn another_version_is_told_which_one_there_is() {
    let world = World::new().await;
    let response = refused(&world, "", &[("sec-websocket-version", "8")]).await;
    assert_eq!(response.status(), 426);
    assert_eq!(response.headers()["sec-websocket-version"], "13");
}

#[tokio::test]
async fn no_subprotocol_is_json_and_an_unknown_one_is_not_echoed() {
    let world = World::new().await;
    let raw = Raw::connect(&world, "Sec-WebSocket-Protocol: mqtt\r\n").await;
    assert!(!raw.head.to_ascii_lowercase().contains("sec-websocket-protocol"), "{}", raw.head);
}
