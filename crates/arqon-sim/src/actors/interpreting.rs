//! An interpreter between a client, whose library speaks JSON, and a connection that speaks protobuf, compresses, or both.
//!
//! It also listens: on one connection nothing is answered more often than it was asked, and all that the server says can
//! be read. Invariant: what it passes on says the same; what it cannot read is told to the judge, never dropped in silence.

use super::lock;
use crate::judge::Judge;
use arqon_core::value::Value;
use arqon_core::{Gap, MessageId, Record, RoomKey, RoomName, Tenant, Timestamp};
use arqon_wire::{Decoder, Delivered, Form, Incoming, ServerSays, Stamp, proto};
use arqon_ws::Agreed;
use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use futures_util::future::{Either, select};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

pub(super) const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;
const COMPRESSED: u8 = 0x40;
/// The client compresses what is longer, in bytes.
const COMPRESS_FROM: usize = 100;
/// Ends each compressed message, and is left out on the wire.
const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];

/// What one connection has asked and was answered, by id.
#[derive(Default)]
struct Tally {
    asked: u32,
    answered: u32,
}

struct Interpreter {
    agreed: Agreed,
    who: String,
    judge: Judge,
    decoder: Decoder,
    tally: BTreeMap<String, Tally>,
}

/// One frame of a WebSocket, unmasked.
pub(super) struct Frame {
    /// The first byte: whether it is the last, whether it is compressed, and what it is.
    pub(super) head: u8,
    pub(super) payload: Vec<u8>,
}

/// Interprets until one side is gone. `client` is what the library reads and writes.
pub(super) async fn interpret<S>(client: DuplexStream, wire: S, agreed: Agreed, (who, judge): (String, Judge))
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let decoder = Decoder::default();
    let both = Arc::new(Mutex::new(Interpreter { agreed, who, judge, decoder, tally: BTreeMap::new() }));
    let (from_client, to_client) = tokio::io::split(client);
    let (from_server, to_server) = tokio::io::split(wire);
    let up = pump(from_client, to_server, |frame, out| lock(&both).up(frame, out));
    let down = pump(from_server, to_client, |frame, out| lock(&both).down(frame, out));
    // What the server has said arrives also where nothing reaches it any more.
    if let Either::Left((End::Deaf, down)) = select(pin!(up), pin!(down)).await {
        down.await;
    }
}

/// How one direction came to its end.
enum End {
    /// Nothing more comes.
    Over,
    /// Nothing is taken any more.
    Deaf,
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut interpret: impl FnMut(Frame, &mut Vec<u8>),
) -> End {
    let (mut heap, mut space) = (Vec::new(), vec![0; 16 << 10]);
    loop {
        let Ok(n @ 1..) = from.read(&mut space).await else { return End::Over };
        heap.extend_from_slice(&space[..n]);
        let mut out = Vec::new();
        while let Some(frame) = Frame::take(&mut heap) {
            interpret(frame, &mut out);
        }
        if to.write_all(&out).await.is_err() {
            return End::Deaf;
        }
    }
}

impl Frame {
    /// Takes the first frame, once it is whole.
    pub(super) fn take(heap: &mut Vec<u8>) -> Option<Frame> {
        let [head, second] = *heap.first_chunk()?;
        let (len, mut at) = match second & 0x7F {
            126 => (usize::from(u16::from_be_bytes(*heap.get(2..)?.first_chunk()?)), 4),
            127 => (usize::try_from(u64::from_be_bytes(*heap.get(2..)?.first_chunk()?)).ok()?, 10),
            short => (usize::from(short), 2),
        };
        let mask: [u8; 4] = if second & 0x80 == 0 {
            [0; 4]
        } else {
            at += 4;
            *heap.get(at - 4..)?.first_chunk()?
        };
        let mut payload = heap.get(at..at + len)?.to_vec();
        payload.iter_mut().zip(mask.into_iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        heap.drain(..at + len);
        Some(Frame { head, payload })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>, mask: Option<[u8; 4]>) {
        let masked = if mask.is_some() { 0x80 } else { 0 };
        out.push(self.head);
        let len = self.payload.len();
        match (u8::try_from(len), u16::try_from(len)) {
            (Ok(short @ 0..126), _) => out.push(masked | short),
            (_, Ok(middle)) => {
                out.push(masked | 126);
                out.extend_from_slice(&middle.to_be_bytes());
            }
            _ => {
                out.push(masked | 127);
                out.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        out.extend(mask.into_iter().flatten());
        let mask = mask.unwrap_or_default().into_iter().cycle();
        out.extend(self.payload.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
    }

    fn of(form: Form, payload: Vec<u8>) -> Frame {
        Frame { head: 0x80 | if form == Form::Json { TEXT } else { BINARY }, payload }
    }

    /// What kind of message it is; none for what only the connection is about.
    fn form(&self) -> Option<Form> {
        match self.head & 0x0F {
            TEXT => Some(Form::Json),
            BINARY => Some(Form::Proto),
            _ => None,
        }
    }
}

impl Interpreter {
    fn up(&mut self, frame: Frame, out: &mut Vec<u8>) {
        // Any will do, as long as it is not the same for all.
        let mask = Some([0x5A, frame.payload.len() as u8, 0x33, 0x0F]);
        if frame.form().is_none() {
            return frame.write(out, mask);
        }
        let said = Bytes::from(frame.payload);
        self.asks(&said);
        let mut said = match self.agreed.form {
            form if form.is_text() => Frame::of(Form::Json, said.into()),
            _ => Frame::of(Form::Proto, self.in_protobuf(&said)),
        };
        if self.agreed.deflate && said.payload.len() > COMPRESS_FROM {
            said.payload = deflate(&said.payload);
            said.head |= COMPRESSED;
        }
        said.write(out, mask);
    }

    fn in_protobuf(&mut self, said: &Bytes) -> Vec<u8> {
        let mut out = Vec::new();
        let whole: serde_json::Value = serde_json::from_slice(said).unwrap_or_default();
        if let Some(name) = whole["command"].as_str() {
            let args = Value::Raw(Bytes::from(whole["args"].to_string()));
            proto::client::write_command(&mut out, whole["id"].as_str().unwrap_or_default(), name, &args);
            return out;
        }
        match self.decoder.decode(Form::Json, said) {
            Ok(Incoming::Publish(sent)) => {
                proto::client::write_publish(&mut out, &sent.publish, sent.confirm);
            }
            other => self.accuse(format!("{} says what is no message: {other:?}", self.who)),
        }
        out
    }

    fn asks(&mut self, said: &[u8]) {
        let whole: serde_json::Value = serde_json::from_slice(said).unwrap_or_default();
        if let Some(id) = whole["id"].as_str() {
            self.tally.entry(id.to_owned()).or_default().asked += 1;
        }
    }

    fn down(&mut self, frame: Frame, out: &mut Vec<u8>) {
        let Some(form) = frame.form() else { return frame.write(out, None) };
        let said = if frame.head & COMPRESSED == 0 { Some(frame.payload) } else { inflate(&frame.payload) };
        let Some(said) = said.map(Bytes::from) else {
            return self.accuse(format!("{} cannot inflate what it is told", self.who));
        };
        let says = match form {
            form if form.is_text() => arqon_wire::json::client::decode(&said),
            _ => proto::client::decode(&said),
        };
        let says = match says {
            Ok(says) => says,
            Err(error) => return self.accuse(format!("{} cannot read what it is told: {error}", self.who)),
        };
        self.answered(&says);
        let said = if form == Form::Json { said.into() } else { in_json(says) };
        Frame::of(Form::Json, said).write(out, None);
    }

    fn answered(&mut self, says: &ServerSays) {
        let (ServerSays::Response { request_id, .. } | ServerSays::Error { request_id, .. }) = says else {
            return;
        };
        let Some(id) = request_id.as_deref() else { return };
        let tally = self.tally.entry(id.to_owned()).or_default();
        tally.answered += 1;
        if tally.answered > tally.asked {
            let (asked, answered) = (tally.asked, tally.answered);
            self.accuse(format!("{} asked {id} {asked} times and is answered {answered} times", self.who));
        }
    }

    fn accuse(&self, text: String) {
        self.judge.accuse("answers", text);
    }
}

/// What a server says, as it would say it in JSON.
fn in_json(says: ServerSays) -> Vec<u8> {
    let mut out = Vec::new();
    let stamp = Stamp { id: MessageId::Ulid(1), at: Timestamp(1) };
    let room = |room: RoomName| Arc::new(RoomKey::new(Tenant::default(), room));
    match says {
        ServerSays::Delivery(Delivered { subscription, attempt, position, message }) => {
            let key = room(message.address.room.clone());
            let record = Arc::new(Record::new(key, position, Arc::new(message)));
            Form::Json.write_delivery_prefix(&mut out, &subscription, attempt);
            Form::Json.write_delivery(&mut out, &record);
        }
        ServerSays::Gap(said) => {
            let gap = Gap { room: room(said.room), from: said.from, to: said.to, reason: said.reason };
            Form::Json.write_gap(&mut out, &stamp, &said.subscription, &gap);
        }
        ServerSays::Ended { subscription, error } => {
            Form::Json.write_ended(&mut out, &stamp, &subscription, &error);
        }
        ServerSays::Response { request_id, data } => {
            Form::Json.write_response(&mut out, &stamp, request_id.as_deref(), &Value::Raw(data));
        }
        ServerSays::Error { request_id, error } => {
            Form::Json.write_error(&mut out, &stamp, request_id.as_deref(), &error);
        }
        ServerSays::Welcome(payload) => {
            out.extend_from_slice(b"{\"type\":\"message\",\"version\":\"1.0\",\"payload\":");
            out.extend_from_slice(&payload);
            out.push(b'}');
        }
    }
    out
}

fn deflate(said: &[u8]) -> Vec<u8> {
    let mut state = Compress::new(Compression::fast(), false);
    let mut out = Vec::with_capacity(said.len() + 128);
    state.compress_vec(said, &mut out, FlushCompress::Sync).expect("memory takes what it is given");
    out.truncate(out.len() - TAIL.len());
    out
}

fn inflate(said: &[u8]) -> Option<Vec<u8>> {
    let mut state = Decompress::new(false);
    let mut out = Vec::with_capacity(64 << 10);
    for part in [said, &TAIL] {
        state.decompress_vec(part, &mut out, FlushDecompress::Sync).ok()?;
    }
    Some(out)
}
