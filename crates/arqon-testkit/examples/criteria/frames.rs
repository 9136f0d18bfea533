//! SC-005 and SC-009: what is malformed is refused, all of it, and reaches nobody; other versions of the protocol too.

use crate::corpus;
use crate::ground::{Ground, Row, client};
use arqon_client::Event;
use arqon_testkit::process::Site;
use arqon_testkit::thin::{Frame, Reached, Thin};
use arqon_wire::{ServerSays, proto};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Where current and older clients connect.
const ENDPOINTS: [&str; 2] = ["/ws", "/"];

pub async fn measure(ground: &Ground) -> Vec<Row> {
    let (site, bus) = ground.start("");
    let watcher = client(&site).await;
    let mut heard = watcher.subscribe("corpus:*").await.expect("it may subscribe");
    let frames = corpus::malformed();
    let (mut refused, mut all) = (0, 0);
    for endpoint in ENDPOINTS {
        let mut talk = Talk::open(&site, endpoint).await;
        for frame in &frames {
            let is_refused = talk.refuses(&site, frame.clone()).await;
            if !is_refused {
                eprintln!("not refused at {endpoint}: {frame:?}");
            }
            refused += usize::from(is_refused);
        }
        all += frames.len();
    }
    let raw = broken_frames();
    for bytes in &raw {
        refused += usize::from(closes(&site, bytes).await);
    }
    all += raw.len();
    let version = versions(&site).await;
    // What was refused reached nobody: the first that is heard is what is well formed.
    watcher.publish("corpus:main", json!({ "well": "formed" })).await.expect("it may publish");
    let first = heard.next().await.expect("it goes on").expect("the connection stays open");
    let Event::Message(first) = first else { panic!("nothing is missing: {first:?}") };
    let is_silent = first.json::<Value>().expect("it is JSON")["well"] == "formed";
    watcher.close().await.expect("it ends in order");
    assert!(bus.stop().success(), "the server ends in order");
    let malformed = Row {
        id: "SC-005",
        criterion: "malformed frames are refused",
        target: "100 %",
        measured: format!(
            "{refused} of {all}; {} reached a subscriber",
            if is_silent { "none" } else { "SOME" }
        ),
        how: "JSON and protobuf cut off at every byte, members of wrong kinds, unknown words, broken WebSocket frames; at `/ws` \
              and at `/`, where older clients connect"
            .to_owned(),
        is_met: refused == all && is_silent,
        is_timed: false,
    };
    vec![malformed, version]
}

/// Version 1.0 is taken, and none is; every other is refused, and subprotocols that nobody speaks are not granted.
async fn versions(site: &Site) -> Row {
    let (mut right, mut all) = (0, 0);
    for endpoint in ENDPOINTS {
        let mut talk = Talk::open(site, endpoint).await;
        for (version, is_taken) in [
            (Some(json!("1.0")), true),
            (None, true),
            (Some(json!("1.1")), false),
            (Some(json!("2.0")), false),
            (Some(json!("0.9")), false),
            (Some(json!("v1")), false),
            (Some(json!(1)), false),
        ] {
            let mut message = corpus::message();
            message["room"] = "versions".into();
            match version {
                Some(version) => message["version"] = version,
                None => drop(message.as_object_mut().expect("it is an object").remove("version")),
            }
            all += 1;
            right += usize::from(talk.refuses(site, Message::text(message.to_string())).await != is_taken);
        }
    }
    let mut request = request(site, "/ws");
    let unknown = "arqon.v9.json".parse().expect("it is a header");
    request.headers_mut().insert("Sec-WebSocket-Protocol", unknown);
    all += 1;
    // A client must fail where none of its subprotocols is granted.
    right += usize::from(tokio_tungstenite::connect_async(request).await.is_err());
    Row {
        id: "SC-009",
        criterion: "versions of the protocol",
        target: "1.0 taken, others refused",
        measured: format!("{right} of {all} as they must be"),
        how: "`version` 1.0, none, 1.1, 2.0, 0.9, v1 and a number, at `/ws` and `/`; the subprotocol `arqon.v9.json`".to_owned(),
        is_met: right == all,
        is_timed: false,
    }
}

/// One connection that is opened anew when the server has had enough of it.
struct Talk {
    endpoint: &'static str,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    asked: u64,
}

fn request(site: &Site, endpoint: &str) -> tokio_tungstenite::tungstenite::handshake::client::Request {
    let url = format!("{}{endpoint}", site.url().replacen("http", "ws", 1));
    let mut request = url.into_client_request().expect("the URL is well formed");
    let token = format!("Bearer {}", site.token()).parse().expect("tokens are ASCII");
    request.headers_mut().insert("Authorization", token);
    request
}

impl Talk {
    async fn open(site: &Site, endpoint: &'static str) -> Talk {
        let connected = tokio_tungstenite::connect_async(request(site, endpoint)).await;
        let (socket, _) = connected.expect("the server lets us in");
        Talk { endpoint, socket, asked: 0 }
    }

    /// Says it, and asks something after it: whether an error or the end came before the answer.
    async fn refuses(&mut self, site: &Site, frame: Message) -> bool {
        self.asked += 1;
        let id = format!("arq_1700000000000000000_{}_f0f0f0", self.asked);
        let ask = json!({ "id": id, "version": "1.0", "type": "command", "timestamp": "2026-02-20T10:00:00Z",
            "command": "op.store.get", "args": { "key": "x" } });
        let said = async {
            self.socket.feed(frame).await?;
            self.socket.send(Message::text(ask.to_string())).await
        };
        // If it is closed by now, the reason is still to be read.
        let _it_may_be_closed = said.await;
        let mut is_refused = false;
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let said: Value = serde_json::from_str(&text).expect("the server says JSON");
                    // Older clients are told of a command's failure in its response.
                    is_refused |= said["type"] == "error" || said["status"] == "error";
                    if said["request_id"] == id.as_str() {
                        return is_refused;
                    }
                }
                Some(Ok(Message::Binary(bytes))) => is_refused |= is_error(&bytes),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => {
                    *self = Talk::open(site, self.endpoint).await;
                    return true;
                }
            }
        }
    }
}

/// In the form of current clients; older ones have none of ours, and theirs is looked at for its words.
fn is_error(bytes: &[u8]) -> bool {
    let ours = proto::client::decode(&bytes.to_vec().into());
    matches!(ours, Ok(ServerSays::Error { .. })) || bytes.windows(5).any(|window| window == b"error")
}

/// WebSocket frames that break RFC 6455.
fn broken_frames() -> Vec<Vec<u8>> {
    let mask = [0x80, 0, 0, 0, 0];
    let masked = |first: u8, payload: &[u8]| {
        let mut frame = vec![first, 0x80 | payload.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(payload);
        frame
    };
    let ping = [&[0x89, 0x80 | 126, 0, 126][..], &[0; 4], &[b'x'; 126]].concat();
    vec![
        // Not masked.
        vec![0x81, 2, b'{', b'}'],
        // Reserved bits and opcodes.
        masked(0xa1, b"{}"),
        masked(0x83, b"{}"),
        masked(0x8b, b"{}"),
        // A control frame in pieces, and one that is too long.
        masked(0x09, b"x"),
        ping,
        // A continuation of nothing, and text that is not UTF-8.
        masked(0x80, b"{}"),
        masked(0x81, &[0xff, 0xfe]),
        // More than is allowed.
        [&[0x81, 0x80 | 127][..], &(1u64 << 40).to_be_bytes(), &mask[1..]].concat(),
    ]
}

/// Whether the connection is closed upon these bytes, with a code that says why.
async fn closes(site: &Site, bytes: &[u8]) -> bool {
    let reached = Thin::connect(&site.url(), &site.token()).await.expect("the server listens");
    let Reached::Open(mut thin) = reached else { panic!("a connection was refused") };
    thin.send_bytes(bytes).await.expect("it is open");
    loop {
        match thin.frame().await {
            Ok(Frame::Close(code)) => return [1002, 1007, 1009].contains(&code),
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}
