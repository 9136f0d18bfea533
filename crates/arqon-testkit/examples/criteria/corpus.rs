//! Frames that are malformed, each in one way: cut off, with a member of a wrong kind, or with an unknown word.
//!
//! Invariant: what they are made from is well formed, and each of them is not.

use arqon_core::Target;
use arqon_core::bus::Publish;
use arqon_wire::proto::client::write_publish;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// A message that is well formed.
pub fn message() -> Value {
    json!({
        "id": "arq_1700000000000000000_1_a1b2c3", "version": "1.0", "type": "message", "timestamp": "2026-02-20T10:00:00Z",
        "room": "corpus", "channel": "main", "payload": { "n": 1 }, "metadata": { "sequence": 1 },
    })
}

/// A command that is well formed.
fn command() -> Value {
    json!({
        "id": "arq_1700000000000000000_2_a1b2c3", "version": "1.0", "type": "command", "timestamp": "2026-02-20T10:00:00Z",
        "command": "op.store.get", "args": { "key": "corpus" },
    })
}

/// The same with one member as it must not be.
fn with(whole: &Value, member: &str, value: Value) -> String {
    let mut changed = whole.clone();
    changed[member] = value;
    changed.to_string()
}

/// All of them.
pub fn malformed() -> Vec<Message> {
    let mut texts = not_json();
    let (message, command) = (message(), command());
    for whole in [&message, &command] {
        let text = whole.to_string();
        texts.extend((1..text.len()).map(|end| text[..end].to_owned()));
        texts.extend([json!(7), json!([]), json!({}), json!("")].map(|value| with(whole, "type", value)));
        texts.push(with(whole, "type", json!("chat")));
        for version in [json!("2.0"), json!("0.9"), json!(""), json!(1.0), json!([])] {
            texts.push(with(whole, "version", version));
        }
        texts.extend([json!(7), json!([]), json!({})].map(|value| with(whole, "id", value)));
        texts.push(format!("{text}{text}"));
    }
    for value in [json!(7), json!("x"), json!([]), json!(true)] {
        for (whole, member) in [(&message, "payload"), (&message, "metadata"), (&command, "args")] {
            texts.push(with(whole, member, value.clone()));
        }
    }
    for value in [json!(7), json!([]), json!({}), json!("")] {
        for (whole, member) in [(&message, "room"), (&message, "channel"), (&command, "command")] {
            texts.push(with(whole, member, value.clone()));
        }
    }
    for value in [json!("yesterday"), json!("2026-13-40T99:00:00Z"), json!([])] {
        texts.push(with(&message, "timestamp", value));
    }
    texts.extend(["", "arq_invalid", "arq_1_2_xyz"].map(|id| with(&message, "id", json!(id))));
    let frames = texts.into_iter().map(Message::text);
    frames.chain(binary().into_iter().map(Message::binary)).collect()
}

fn not_json() -> Vec<String> {
    let deep = format!(
        r#"{{"type":"message","room":"corpus","channel":"main","payload":{{"a":{}}}}}"#,
        "[".repeat(200)
    );
    let twice = r#"{"type":"message","type":"message","room":"corpus","channel":"main","payload":{}}"#;
    let surrogate = r#"{"type":"message","room":"corpus","channel":"main","payload":{"a":"\ud800"}}"#;
    let words = [
        "",
        "null",
        "7",
        "[]",
        "\"text\"",
        "{]",
        "{\"type\"}",
        "{'type':'message'}",
        "<xml/>",
        twice,
        surrogate,
    ];
    words.into_iter().map(str::to_owned).chain([deep]).collect()
}

/// A message in the other form, cut off inside every field and before it has all that it needs; and bytes that are no
/// such message.
fn binary() -> Vec<Vec<u8>> {
    let publish =
        Publish::new(Target::parse("corpus:main").expect("it is an address"), "{\"n\":1}".to_owned());
    let mut whole = Vec::new();
    write_publish(&mut whole, &publish, true);
    let mut found: Vec<Vec<u8>> =
        vec![vec![], vec![0xff; 16], vec![0x0f], b"{\"type\":\"message\"}".to_vec()];
    let fields = field_ends(&whole);
    // A message that ends with a whole field behind its type and its address lacks nothing: an absent payload is empty.
    let is_whole = |end: &usize| fields.iter().skip(1).any(|field| field == end);
    found.extend((1..whole.len()).filter(|end| !is_whole(end)).map(|end| whole[..end].to_vec()));
    found
}

/// Where the fields of a message of protobuf end that has numbers and bytes alone.
fn field_ends(bytes: &[u8]) -> Vec<usize> {
    let mut at = 0;
    let number = |at: &mut usize| {
        let (mut value, mut shift) = (0usize, 0);
        loop {
            let byte = bytes[*at];
            *at += 1;
            value |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    };
    let mut ends = Vec::new();
    while at < bytes.len() {
        let tag = number(&mut at);
        let value = number(&mut at);
        at += if tag & 7 == 2 { value } else { 0 };
        ends.push(at);
    }
    ends
}
