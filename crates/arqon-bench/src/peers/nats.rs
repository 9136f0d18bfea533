//! NATS as the generator speaks to it: over TCP or WebSocket, core subjects for what is live, JetStream for what is
//! durable.
//!
//! Invariant: with WebSocket, a server's frame holds whole operations, so its head can be handed out as a thing of its
//! own and the operations after it as they are on TCP.

use super::nats_protocol::{Token, publish, sequence, token};
use crate::clock::now;
use crate::link::Link;
use crate::system::{Dialect, Later, Reading, Said, Topic, TopicReader};
use crate::template::{Template, digits, marker, number_in, payload as payload_of};
use crate::websocket::{self, BINARY};
use anyhow::{Context, Result, bail, ensure};
use std::cell::Cell;
use std::io::Write as _;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// Messages that one pull request asks for.
const PULL: u32 = 1000;
/// How long JetStream may take to take note of acknowledgements.
const PATIENCE: Duration = Duration::from_secs(10);

/// A NATS at a port of this machine.
pub struct Nats {
    address: String,
    websocket: bool,
    /// Readers so far that have nothing to acknowledge; each is a consumer of its own.
    readers: Cell<u32>,
}

impl Nats {
    /// The NATS that listens there, for WebSocket or TCP.
    pub fn new(port: u16, websocket: bool) -> Nats {
        Nats { address: format!("127.0.0.1:{port}"), websocket, readers: Cell::new(0) }
    }

    fn wrap(&self, operation: Vec<u8>) -> Vec<u8> {
        if self.websocket { websocket::frame(&operation) } else { operation }
    }

    async fn send(&self, link: &mut Link, operation: Vec<u8>) -> Result<()> {
        link.writer.write_all(&self.wrap(operation)).await?;
        Ok(())
    }

    /// Reads until `pick` takes an operation; what comes before it is dropped.
    async fn until<T>(
        &self,
        link: &mut Link,
        mut pick: impl FnMut(Token<'_>) -> Result<Option<T>>,
    ) -> Result<T> {
        loop {
            let Some((said, used)) = self.operation(link.reader.waiting())? else {
                link.reader.more().await?;
                continue;
            };
            let found = said.map(&mut pick).transpose()?.flatten();
            link.reader.consume(used);
            if let Some(found) = found {
                return Ok(found);
            }
        }
    }

    /// Waits until the server has taken all that was sent.
    async fn settle(&self, link: &mut Link) -> Result<()> {
        self.send(link, b"PING\r\n".to_vec()).await?;
        self.until(link, |said| Ok((said == Token::Pong).then_some(()))).await
    }

    /// The next operation; `Some(None)` for a head of a frame.
    fn operation<'a>(&self, bytes: &'a [u8]) -> Result<Option<(Option<Token<'a>>, usize)>> {
        if self.websocket && bytes.first().is_some_and(|first| *first >= 0x80) {
            let Some((opcode, begin, end)) = websocket::head(bytes)? else { return Ok(None) };
            if opcode <= 2 {
                return Ok(Some((None, begin)));
            }
            return Ok((bytes.len() >= end).then_some((None, end)));
        }
        let Some((said, used)) = token(bytes)? else { return Ok(None) };
        match said {
            Token::Error(text) => bail!("NATS refused: {}", String::from_utf8_lossy(text)),
            Token::Status(text) if text.starts_with(b"409") || text.starts_with(b"503") => {
                bail!("NATS refused: {}", String::from_utf8_lossy(text))
            }
            said => Ok(Some((Some(said), used))),
        }
    }

    /// Asks JetStream for something and waits for its answer.
    async fn api(&self, link: &mut Link, what: &str, request: &str) -> Result<String> {
        let mut out = b"SUB _API 9\r\n".to_vec();
        out.extend_from_slice(&publish(&format!("$JS.API.{what}"), "_API", request.as_bytes()));
        out.extend_from_slice(b"UNSUB 9 1\r\n");
        self.send(link, out).await?;
        let answer = self.until(link, |said| {
            let Token::Message { subject: b"_API", payload, .. } = said else { return Ok(None) };
            Ok(Some(String::from_utf8_lossy(payload).into_owned()))
        });
        let answer = answer.await?;
        ensure!(!answer.contains("\"error\""), "JetStream refused {what}: {answer}");
        Ok(answer)
    }
}

fn name(topic: Topic) -> String {
    match topic {
        Topic::Live(n) => format!("live.{n}"),
        Topic::Durable(n) => format!("durable.{n}"),
    }
}

/// Each durable topic is a stream of its own.
fn stream(topic: Topic) -> String {
    name(topic).replace('.', "-")
}

impl Dialect for Nats {
    fn connect(&self, room: usize) -> Later<'_, Link> {
        Box::pin(async move {
            let mut link = match self.websocket {
                true => websocket::connect(&self.address, "/", "", room).await?,
                false => Link::connect(&self.address, room).await?,
            };
            let hello = br#"CONNECT {"verbose":false,"pedantic":false,"tls_required":false,"headers":true,"no_responders":true,"protocol":1,"lang":"bench","version":"1"}"#;
            let mut hello = hello.to_vec();
            hello.extend_from_slice(b"\r\n");
            self.send(&mut link, hello).await?;
            self.settle(&mut link).await?;
            Ok(link)
        })
    }

    fn cut<'a>(&self, bytes: &'a [u8]) -> Result<Option<(Said<'a>, usize)>> {
        let Some((said, used)) = self.operation(bytes)? else { return Ok(None) };
        let Some(Token::Message { subject, payload, .. }) = said else {
            return Ok(Some((Said::Other, used)));
        };
        let number = || number_in(payload).context("a message that nobody published");
        let said = match subject {
            [b'_', b'C', b'.', ..] => Said::Confirm { offset: Some(sequence(payload)?), count: 1 },
            [b'_', b'R', b'.', ..] => Said::Reply { number: number()? },
            _ => Said::Delivery { number: number()?, raw: &bytes[..used] },
        };
        Ok(Some((said, used)))
    }

    fn make<'a>(&'a self, link: &'a mut Link, topics: u32) -> Later<'a, ()> {
        Box::pin(async move {
            for topic in (0..topics).map(Topic::Durable) {
                let (stream, subject) = (stream(topic), name(topic));
                let request = format!(
                    r#"{{"name":"{stream}","subjects":["{subject}"],"retention":"limits","storage":"file","discard":"old","num_replicas":1,"max_msgs":-1,"max_bytes":-1,"max_consumers":-1}}"#
                );
                self.api(link, &format!("STREAM.CREATE.{stream}"), &request).await?;
            }
            Ok(())
        })
    }

    fn confirms<'a>(&'a self, link: &'a mut Link, topic: Topic) -> Later<'a, ()> {
        Box::pin(async move {
            let subscribe = format!("SUB _C.{}.* 2\r\n", stream(topic)).into_bytes();
            self.send(link, subscribe).await?;
            self.settle(link).await
        })
    }

    fn publish(&self, to: Topic, payload: usize, confirm: bool) -> Template {
        // A reply of its own for each message, as client libraries do.
        let reply = if confirm { format!("_C.{}.{}", stream(to), marker()) } else { String::new() };
        Template::new(self.wrap(publish(&name(to), &reply, payload_of(payload).as_bytes())))
    }

    fn listen<'a>(&'a self, link: &'a mut Link, topic: Topic) -> Later<'a, ()> {
        Box::pin(async move {
            self.send(link, format!("SUB {} 1\r\n", name(topic)).into_bytes()).await?;
            self.settle(link).await
        })
    }

    fn ask<'a>(&'a self, link: &'a mut Link) -> Later<'a, ()> {
        Box::pin(async move {
            self.send(link, b"SUB _R.* 3\r\n".to_vec()).await?;
            self.settle(link).await
        })
    }

    fn request(&self, to: Topic, payload: usize) -> Template {
        let reply = format!("_R.{}", marker());
        Template::new(self.wrap(publish(&name(to), &reply, payload_of(payload).as_bytes())))
    }

    fn answer(&self, question: &[u8], _number: u64, payload: usize, out: &mut Vec<u8>) -> Result<()> {
        let Some((Token::Message { reply, payload: body, .. }, _)) = token(question)? else {
            bail!("a question that is no message");
        };
        ensure!(body.len() == payload && !reply.is_empty(), "a question that wants no answer");
        if self.websocket {
            let digits = payload.to_string().len();
            let length = b"PUB  \r\n\r\n".len() + reply.len() + digits + payload;
            websocket::put_head(BINARY, length, out);
        }
        out.extend_from_slice(b"PUB ");
        out.extend_from_slice(reply);
        write!(out, " {payload}\r\n")?;
        out.extend_from_slice(body);
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn reader(&self, topic: Topic, reading: Reading) -> Box<dyn TopicReader + '_> {
        let consumer = match reading {
            Reading::Acknowledged(_) => "c".to_owned(),
            Reading::Earliest => format!("r{}", self.readers.replace(self.readers.get() + 1)),
        };
        let pull = publish(
            &format!("$JS.API.CONSUMER.MSG.NEXT.{}.{consumer}", stream(topic)),
            "_P",
            format!(r#"{{"batch":{PULL}}}"#).as_bytes(),
        );
        let pull = self.wrap(pull);
        Box::new(Consumer {
            nats: self,
            topic,
            reading,
            consumer,
            pull,
            delivered: 0,
            unacknowledged: 0,
            last: Vec::new(),
        })
    }
}

/// A durable pull consumer. Two requests are outstanding, so that the server never waits for the next one.
struct Consumer<'a> {
    nats: &'a Nats,
    topic: Topic,
    reading: Reading,
    /// Its name.
    consumer: String,
    pull: Vec<u8>,
    delivered: u32,
    unacknowledged: u32,
    /// Where the last delivery is acknowledged.
    last: Vec<u8>,
}

impl Consumer<'_> {
    fn acknowledge(&mut self, out: &mut Vec<u8>) {
        self.unacknowledged = 0;
        if self.nats.websocket {
            websocket::put_head(BINARY, b"PUB  4\r\n+ACK\r\n".len() + self.last.len(), out);
        }
        out.extend_from_slice(b"PUB ");
        out.extend_from_slice(&self.last);
        out.extend_from_slice(b" 4\r\n+ACK\r\n");
    }
}

impl TopicReader for Consumer<'_> {
    fn begin<'a>(&'a mut self, link: &'a mut Link) -> Later<'a, ()> {
        Box::pin(async move {
            let (stream, consumer) = (stream(self.topic), &self.consumer);
            let policy = match self.reading {
                Reading::Earliest => "none",
                Reading::Acknowledged(1) => "explicit",
                // One acknowledgement covers all before it.
                Reading::Acknowledged(_) => "all",
            };
            let request = format!(
                r#"{{"stream_name":"{stream}","config":{{"durable_name":"{consumer}","deliver_policy":"all","ack_policy":"{policy}","max_ack_pending":-1}}}}"#
            );
            self.nats.api(link, &format!("CONSUMER.DURABLE.CREATE.{stream}.{consumer}"), &request).await?;
            self.nats.send(link, b"SUB _P 4\r\n".to_vec()).await?;
            self.nats.settle(link).await?;
            for _ in 0..2 {
                link.writer.write_all(&self.pull).await?;
            }
            Ok(())
        })
    }

    fn delivered(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
        if let Reading::Acknowledged(batch) = self.reading {
            let Some((Token::Message { reply, .. }, _)) = token(raw)? else { bail!("not a delivery") };
            self.last.clear();
            self.last.extend_from_slice(reply);
            self.unacknowledged += 1;
            if self.unacknowledged == batch {
                self.acknowledge(out);
            }
        }
        self.delivered += 1;
        if self.delivered == PULL {
            self.delivered = 0;
            out.extend_from_slice(&self.pull);
        }
        Ok(())
    }

    fn pause(&mut self, _out: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn finish<'a>(&'a mut self, link: &'a mut Link) -> Later<'a, ()> {
        Box::pin(async move {
            let Reading::Acknowledged(_) = self.reading else { return Ok(()) };
            if self.unacknowledged > 0 {
                let mut out = Vec::new();
                self.acknowledge(&mut out);
                link.writer.write_all(&out).await?;
            }
            let last = stream_sequence(&self.last).context("an acknowledgement without a sequence")?;
            // JetStream takes acknowledgements in the background: it is asked until all have been taken.
            let (what, begin) = (format!("CONSUMER.INFO.{}.{}", stream(self.topic), self.consumer), now());
            let mut asking = self.nats.connect(4096).await?;
            loop {
                let info = self.nats.api(&mut asking, &what, "").await?;
                let info: serde_json::Value = serde_json::from_str(&info)?;
                let floor = info["ack_floor"]["stream_seq"].as_u64().unwrap_or(0);
                if floor >= last {
                    return Ok(());
                }
                ensure!(
                    begin.elapsed() < PATIENCE,
                    "JetStream has acknowledged up to {floor}, not to {last}"
                );
            }
        })
    }
}

/// The sequence in its stream of a delivery, from where it is acknowledged:
/// `$JS.ACK.STREAM.CONSUMER.TRIES.SEQUENCE.…`.
fn stream_sequence(reply: &[u8]) -> Option<u64> {
    digits(reply.split(|b| *b == b'.').nth(5)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_replies_and_confirms_are_told_apart() {
        let nats = Nats::new(1, false);
        let payload = payload_of(27);
        let message =
            |subject: &str, reply: &str| format!("MSG {subject} 1 {reply}27\r\n{payload}\r\n").into_bytes();
        let (live, reply) = (message("live.0", "_R.1 "), message("_R.0000000001", ""));
        assert!(matches!(nats.cut(&live).unwrap(), Some((Said::Delivery { .. }, _))));
        assert!(matches!(nats.cut(&reply).unwrap(), Some((Said::Reply { number: 9_876_543_210 }, _))));
        let confirm = b"MSG _C.durable-0.0000000001 2 27\r\n{\"stream\":\"S\", \"seq\":1234 }\r\n";
        assert_eq!(nats.cut(confirm).unwrap().unwrap().0, Said::Confirm { offset: Some(1234), count: 1 });
        assert!(nats.cut(b"-ERR 'Slow Consumer'\r\n").is_err());
        let mut out = Vec::new();
        nats.answer(&live, 1, 27, &mut out).unwrap();
        assert_eq!(out, publish("_R.1", "", payload.as_bytes()));
    }

    #[test]
    fn a_delivery_says_where_it_is_in_its_stream() {
        assert_eq!(stream_sequence(b"$JS.ACK.durable-0.c.1.42.41.1700000000.7"), Some(42));
        assert_eq!(stream_sequence(b"_R.1"), None);
    }

    #[test]
    fn a_frames_head_is_a_thing_of_its_own() {
        let nats = Nats::new(1, true);
        let bytes = b"\x82\x06PING\r\n";
        assert_eq!(nats.cut(bytes).unwrap(), Some((Said::Other, 2)));
        assert_eq!(nats.cut(&bytes[2..]).unwrap(), Some((Said::Other, 6)));
        assert_eq!(nats.cut(&bytes[..1]).unwrap(), None);
    }
}
