//! Two clients: tokio-tungstenite for what it can do, and a bare socket for what it refuses to do.

use crate::world::{PATIENCE, World};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Response};
use tokio_tungstenite::tungstenite::{Error, Message};

/// tokio-tungstenite with short words.
pub struct Client {
    pub socket: WebSocketStream<TcpStream>,
    pub response: Response<Option<Vec<u8>>>,
}

impl Client {
    /// Connects and takes the welcome.
    pub async fn connect(world: &World, query: &str) -> (Client, Value) {
        let mut client = Client::try_connect(world, query, &[]).await.unwrap();
        let welcome = client.json().await;
        (client, welcome)
    }

    pub async fn try_connect(
        world: &World,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Client, Error> {
        Client::open(world, &format!("/ws{query}"), headers).await
    }

    pub async fn open(world: &World, path: &str, headers: &[(&'static str, &str)]) -> Result<Client, Error> {
        let mut request = format!("ws://{}{path}", world.addr).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let stream = TcpStream::connect(world.addr).await.unwrap();
        let (socket, response) = tokio_tungstenite::client_async(request, stream).await?;
        Ok(Client { socket, response })
    }

    pub async fn send(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.unwrap();
    }

    pub async fn next(&mut self) -> Message {
        let next = tokio::time::timeout(PATIENCE, self.socket.next()).await;
        next.expect("something comes").expect("the connection is open").expect("frames are whole")
    }

    pub async fn json(&mut self) -> Value {
        match self.next().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("expected text, found {other:?}"),
        }
    }

    /// Sends a command and takes its answer.
    pub async fn call(&mut self, id: &str, command: &str, args: &str) -> Value {
        self.send(format!(r#"{{"type":"command","id":"{id}","command":"{command}","args":{args}}}"#)).await;
        let answer = self.json().await;
        assert_eq!(answer["request_id"], id, "{answer}");
        answer
    }

    /// The code and reason of the close frame; what comes before it is skipped.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            if let Message::Close(frame) = self.next().await {
                let frame = frame.expect("a close frame has a code");
                return (frame.code.into(), frame.reason.to_string());
            }
        }
    }
}

/// A frame of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub first: u8,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn json(&self) -> Value {
        assert_eq!(self.first & 0x0F, 1, "{self:?}");
        serde_json::from_slice(&self.payload).unwrap()
    }

    pub fn close_code(&self) -> u16 {
        assert_eq!(self.first, 0x88, "{self:?}");
        u16::from_be_bytes([self.payload[0], self.payload[1]])
    }
}

/// A bare socket after the handshake.
pub struct Raw {
    pub stream: TcpStream,
    pub head: String,
    read: Vec<u8>,
}

impl Raw {
    /// Connects and takes the welcome.
    pub async fn connect(world: &World, headers: &str) -> Raw {
        let mut raw = Raw::open(world, headers, None).await;
        assert!(raw.head.starts_with("HTTP/1.1 101"), "{}", raw.head);
        let welcome = raw.frame().await.expect("a welcome");
        assert_eq!(welcome.json()["sender"], "arqon");
        raw
    }

    pub async fn open(world: &World, headers: &str, receive_buffer: Option<u32>) -> Raw {
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        let mut stream = socket.connect(world.addr).await.unwrap();
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n",
            world.addr
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut raw = Raw { stream, head: String::new(), read: Vec::new() };
        let end = loop {
            if let Some(at) = raw.read.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(raw.fill().await, "an answer");
        };
        raw.head = String::from_utf8(raw.read.drain(..end).collect()).unwrap();
        raw
    }

    async fn fill(&mut self) -> bool {
        let mut space = [0; 64 * 1024];
        let read =
            tokio::time::timeout(PATIENCE, self.stream.read(&mut space)).await.expect("something comes");
        let n = read.unwrap_or(0);
        self.read.extend_from_slice(&space[..n]);
        n > 0
    }

    /// The next frame; `None` at the end of the stream.
    pub async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.whole() {
                return Some(frame);
            }
            if !self.fill().await {
                assert!(self.read.is_empty(), "half a frame at the end");
                return None;
            }
        }
    }

    fn whole(&mut self) -> Option<Frame> {
        let (first, second) = (*self.read.first()?, *self.read.get(1)?);
        let (len, at) = match second {
            126 => (usize::from(u16::from_be_bytes(*self.read.get(2..)?.first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*self.read.get(2..)?.first_chunk()?) as usize, 10),
            short => (usize::from(short), 2),
        };
        if self.read.len() < at + len {
            return None;
        }
        let payload = self.read[at..at + len].to_vec();
        self.read.drain(..at + len);
        Some(Frame { first, payload })
    }

    /// Sends one frame, masked.
    pub async fn send(&mut self, first: u8, payload: &[u8]) {
        self.stream.write_all(&masked(first, payload)).await.unwrap();
    }

    /// The code of the close frame; what comes before it is skipped.
    pub async fn closed(&mut self) -> u16 {
        loop {
            let frame = self.frame().await.expect("a close frame before the end");
            if frame.first == 0x88 {
                return frame.close_code();
            }
        }
    }
}

/// A frame as a client sends it.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        n @ 0..=125 => frame.push(0x80 | n as u8),
        n @ 126..=65_535 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    let key = [0x37, 0xfa, 0x21, 0x3d];
    frame.extend_from_slice(&key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k));
    frame
}
