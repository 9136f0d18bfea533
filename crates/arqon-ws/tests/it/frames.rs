//! Framing over a bare socket: fragments, control frames, limits, compression.

use crate::client::{Raw, masked};
use crate::world::World;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use tokio::io::AsyncWriteExt;

const PING: &str = r#"{"type":"command","id":"p","command":"ping"}"#;

async fn refused(bytes: &[u8], code: u16) {
    let world = World::new().await;
    let mut raw = Raw::connect(&world, "").await;
    raw.stream.write_all(bytes).await.unwrap();
    assert_eq!(raw.closed().await, code, "{:?}", &bytes[..bytes.len().min(16)]);
    // The end of the socket comes right after, since nothing else is written.
    assert_eq!(raw.frame().await, None);
    world.until("the connection is given back", || world.metric("active_connections") == 0.0).await;
}

#[tokio::test]
async fn fragments_with_control_frames_between_them_are_one_message() {
    let world = World::new().await;
    let mut raw = Raw::connect(&world, "").await;
    let (a, rest) = PING.as_bytes().split_at(10);
    let (b, c) = rest.split_at(1);
    raw.send(0x01, a).await;
    raw.send(0x89, b"are you there").await;
    raw.send(0x00, b).await;
    raw.send(0x8A, b"unasked").await;
    raw.send(0x00, b"").await;
    raw.send(0x80, c).await;
    let pong = raw.frame().await.unwrap();
    assert_eq!((pong.first, &pong.payload[..]), (0x8A, &b"are you there"[..]));
    assert_eq!(raw.frame().await.unwrap().json()["request_id"], "p");
}

#[tokio::test]
async fn a_frame_that_arrives_byte_by_byte_is_read() {
    let world = World::new().await;
    let mut raw = Raw::connect(&world, "").await;
    raw.stream.set_nodelay(true).unwrap();
    for byte in masked(0x81, PING.as_bytes()) {
        raw.stream.write_all(&[byte]).await.unwrap();
    }
    assert_eq!(raw.frame().await.unwrap().json()["request_id"], "p");
}

#[tokio::test]
async fn what_breaks_the_protocol_closes_with_its_code() {
    refused(&[0x81, 0x01, b'x'], 1002).await;
    refused(&masked(0x83, b"x"), 1002).await;
    refused(&masked(0x80, b"x"), 1002).await;
    refused(&masked(0xC1, b"x"), 1002).await;
    refused(&masked(0x81, &[0xFF, 0xFE]), 1007).await;
}

#[tokio::test]
async fn a_frame_over_the_limit_is_refused_by_its_header() {
    let mut header = vec![0x82, 0xFF];
    header.extend_from_slice(&(1024u64 * 1024 + 16 * 1024 + 1).to_be_bytes());
    refused(&header, 1009).await;
}

#[tokio::test]
async fn a_message_at_the_limit_passes_and_one_above_is_refused_politely() {
    let world = World::new().await;
    let mut raw = Raw::connect(&world, "").await;
    let sized = |n: usize| {
        format!(r#"{{"type":"message","to":"a:b","confirm":"stored","payload":{{"x":"{}"}}}}"#, "y".repeat(n))
    };
    let room = 1024 * 1024 - r#"{"x":""}"#.len();
    raw.send(0x81, sized(room).as_bytes()).await;
    assert_eq!(raw.frame().await.unwrap().json()["status"], "success");
    raw.send(0x81, sized(room + 1).as_bytes()).await;
    assert_eq!(raw.frame().await.unwrap().json()["error_code"], "PAYLOAD_TOO_LARGE");
}

fn deflated(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 64);
    let mut state = Compress::new(Compression::best(), false);
    state.compress_vec(text.as_bytes(), &mut out, FlushCompress::Sync).unwrap();
    assert_eq!(out.split_off(out.len() - 4), [0, 0, 0xFF, 0xFF]);
    out
}

fn inflated(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 << 20);
    let input = [data, &[0, 0, 0xFF, 0xFF]].concat();
    Decompress::new(false).decompress_vec(&input, &mut out, FlushDecompress::Sync).unwrap();
    out
}

#[tokio::test]
async fn compressed_messages_travel_both_ways() {
    let world = World::new().await;
    let mut raw =
        Raw::connect(&world, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n")
            .await;
    let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert!(raw.head.to_ascii_lowercase().contains(agreed), "{}", raw.head);
    raw.send(
        0xC1,
        &deflated(r#"{"type":"command","id":"s","command":"subscribe","args":{"pattern":"a:b"}}"#),
    )
    .await;
    assert_eq!(raw.frame().await.unwrap().json()["request_id"], "s");
    let text = "again and ".repeat(1000);
    let message = deflated(&format!(r#"{{"type":"message","to":"a:b","payload":{{"text":"{text}"}}}}"#));
    let (first, second) = message.split_at(message.len() / 2);
    raw.send(0x41, first).await;
    raw.send(0x80, second).await;
    let frame = raw.frame().await.unwrap();
    assert_eq!(frame.first, 0xC1, "compressed");
    assert!(frame.payload.len() < 1000);
    let got: serde_json::Value = serde_json::from_slice(&inflated(&frame.payload)).unwrap();
    assert_eq!(got["payload"]["text"], text);
    // A bomb: a few kilobytes that would be many megabytes.
    raw.send(0xC1, &deflated(&" ".repeat(8 << 20))).await;
    assert_eq!(raw.closed().await, 1009);
}
