//! A client for HTTP/1.1 by hand: tests see the very bytes, and nothing is retried or pooled behind their back.

use serde_json::Value;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// How long an answer may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An answer as a whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The lines of the body, each as JSON.
    pub fn lines(&self) -> Vec<Value> {
        self.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// A request to be sent.
#[derive(Debug, Clone)]
pub struct Ask {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// `GET`, `POST`, … of a path.
pub fn ask(method: &str, path: &str) -> Ask {
    Ask { method: method.to_owned(), path: path.to_owned(), headers: Vec::new(), body: Vec::new() }
}

impl Ask {
    pub fn header(mut self, name: &str, value: &str) -> Ask {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn token(self, token: &str) -> Ask {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Ask {
        self.body = body.into();
        self
    }

    pub fn lines(self, body: impl Into<Vec<u8>>) -> Ask {
        self.header("content-type", "application/x-ndjson").body(body)
    }

    /// The head as bytes, with whatever length header was asked for.
    pub fn head(&self) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\nhost: 127.0.0.1\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head
    }

    /// Sends it on a connection of its own and reads the whole answer.
    pub async fn send(self, addr: SocketAddr) -> Answer {
        let stream = TcpStream::connect(addr).await.unwrap();
        self.send_on(stream).await
    }

    pub async fn send_on(mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Answer {
        self = self.header("connection", "close");
        if !self.body.is_empty() || self.method == "POST" {
            let length = self.body.len().to_string();
            self = self.header("content-length", &length);
        }
        let (reader, mut writer) = tokio::io::split(stream);
        let bytes = [self.head().as_bytes(), &self.body[..]].concat();
        let write = async move {
            // The server may answer and close before it has read everything.
            let _ = writer.write_all(&bytes).await;
            let _ = writer.flush().await;
            writer
        };
        let bodiless = self.method == "HEAD";
        let read = read_answer_of(BufReader::new(reader), bodiless);
        let both = async { tokio::join!(write, read).1 };
        tokio::time::timeout(PATIENCE, both).await.unwrap_or_else(|_| panic!("no answer in time: {self:?}"))
    }
}

pub async fn read_head(reader: &mut (impl AsyncBufReadExt + Unpin)) -> (u16, HashMap<String, String>) {
    let mut line = String::new();
    reader.read_line(&mut line).await.unwrap();
    let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("no status in {line:?}")).parse().unwrap();
    let mut headers = HashMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line).await.unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    (status, headers)
}

pub async fn read_answer(reader: impl AsyncBufReadExt + Unpin) -> Answer {
    read_answer_of(reader, false).await
}

async fn read_answer_of(mut reader: impl AsyncBufReadExt + Unpin, bodiless: bool) -> Answer {
    let (status, headers) = read_head(&mut reader).await;
    let mut body = Vec::new();
    if bodiless {
        return Answer { status, headers, body: String::new() };
    }
    if headers.get("transfer-encoding").is_some_and(|v| v == "chunked") {
        while let Some(chunk) = read_chunk(&mut reader).await {
            body.extend_from_slice(&chunk);
        }
    } else if let Some(length) = headers.get("content-length") {
        body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut body).await.unwrap();
    } else {
        reader.read_to_end(&mut body).await.unwrap();
    }
    Answer { status, headers, body: String::from_utf8(body).unwrap() }
}

/// The next chunk; `None` at the end, or where the connection breaks off.
async fn read_chunk(reader: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Vec<u8>> {
    let mut line = String::new();
    if reader.read_line(&mut line).await.ok()? == 0 {
        return None;
    }
    let size = usize::from_str_radix(line.trim(), 16).unwrap();
    let mut chunk = vec![0; size + 2];
    reader.read_exact(&mut chunk).await.ok()?;
    chunk.truncate(size);
    (size > 0).then_some(chunk)
}

/// One server-sent event.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Event {
    pub id: Option<String>,
    pub kind: String,
    pub data: String,
}

impl Event {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap()
    }
}

/// An open event stream.
pub struct Events {
    reader: BufReader<TcpStream>,
    buffer: String,
    /// What a browser would hand back when it reconnects.
    pub last_id: String,
}

impl Events {
    pub async fn open(addr: SocketAddr, ask: Ask) -> Events {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(ask.head().as_bytes()).await.unwrap();
        let mut reader = BufReader::new(stream);
        let (status, headers) = tokio::time::timeout(PATIENCE, read_head(&mut reader)).await.unwrap();
        assert_eq!((status, headers["content-type"].as_str()), (200, "text/event-stream"), "{ask:?}");
        let mut events = Events { reader, buffer: String::new(), last_id: String::new() };
        // The server's first block carries where the stream begins.
        let first = events.block().await.unwrap();
        assert!(first.starts_with("retry: "), "{first}");
        events
    }

    /// The next block of lines, up to an empty one; `None` at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.buffer = rest;
                if let Some(id) = block.lines().find_map(|line| line.strip_prefix("id: ")) {
                    self.last_id = id.to_owned();
                }
                return Some(block);
            }
            let chunk = read_chunk(&mut self.reader).await?;
            self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next event, comments left out; `None` at the end.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let block = tokio::time::timeout(PATIENCE, self.block()).await.expect("an event in time")?;
            let mut event = Event::default();
            for line in block.lines() {
                match line.split_once(": ") {
                    Some(("id", id)) => event.id = Some(id.to_owned()),
                    Some(("event", kind)) => kind.clone_into(&mut event.kind),
                    Some(("data", data)) => data.clone_into(&mut event.data),
                    _ => {}
                }
            }
            if !event.data.is_empty() {
                return Some(event);
            }
        }
    }

    /// The `n` of the payloads of the next messages.
    pub async fn numbers(&mut self, count: usize) -> Vec<i64> {
        let mut list = Vec::new();
        while list.len() < count {
            let event = self.next().await.expect("more events");
            assert_eq!(event.kind, "message", "{event:?}");
            list.push(event.json()["payload"]["n"].as_i64().unwrap());
        }
        list
    }

    /// Raw text of the next block, comments included.
    pub async fn raw(&mut self) -> Option<String> {
        tokio::time::timeout(PATIENCE, self.block()).await.expect("a block in time")
    }
}
