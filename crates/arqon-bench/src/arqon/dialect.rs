//! Arqon's protocol as the generator speaks it: both forms over WebSocket.
//!
//! Invariant: what is expected is recognised by its first bytes and read from its end, where the payload stands, so that
//! checking a delivery costs the same whatever is in between.

use super::protobuf as pb;
use super::reader::ArqonReader;
use crate::link::Link;
use crate::load::Form;
use crate::system::{Dialect, Later, Reading, Said, Topic, TopicReader};
use crate::template::{DIGITS, Template, digits, marker, number_in, payload};
use crate::websocket::{self, BINARY, TEXT, put_frame};
use anyhow::{Context, Result, bail, ensure};
use futures_util::FutureExt;
use tokio::io::AsyncWriteExt;

/// What a gap means to a run.
const LOST: &str = "the run is void: the server named a gap, because a subscriber fell too far behind";

/// How to speak to one server.
#[derive(Debug, Clone)]
pub struct ArqonDialect {
    /// `host:port`.
    pub address: String,
    /// What stands before `/ws`, if a proxy gives it a path of its own.
    pub prefix: String,
    /// The token.
    pub token: String,
    /// JSON or protobuf.
    pub form: Form,
    /// Bytes of a payload, by which numbers are found.
    pub payload: usize,
    /// What all rooms of this run begin with.
    pub context: String,
}

impl ArqonDialect {
    /// The address of a topic.
    pub fn name(&self, topic: Topic) -> String {
        match topic {
            Topic::Live(channel) => format!("{}-live:c{channel}", self.context),
            Topic::Durable(room) => format!("{}-{room}:main", self.context),
        }
    }

    /// A command as a whole frame.
    pub(super) fn command(&self, id: &str, name: &str, args: &str) -> Vec<u8> {
        let mut out = Vec::new();
        match self.form {
            Form::Json => {
                let id = if id.is_empty() { String::new() } else { format!(r#""id":"{id}","#) };
                let text = format!(r#"{{"type":"command",{id}"command":"{name}","args":{args}}}"#);
                put_frame(TEXT, text.as_bytes(), &mut out);
            }
            Form::Proto => {
                let mut body = Vec::new();
                pb::put_number(pb::TYPE, 3, &mut body);
                if !id.is_empty() {
                    pb::put_bytes(pb::ID, id.as_bytes(), &mut body);
                }
                pb::put_bytes(pb::COMMAND, name.as_bytes(), &mut body);
                pb::put_bytes(pb::ARGS, args.as_bytes(), &mut body);
                put_frame(BINARY, &body, &mut out);
            }
        }
        out
    }

    /// Sends a command and waits for its answer; a refusal is an error with the server's words.
    pub(super) async fn call(&self, link: &mut Link, name: &str, args: &str) -> Result<()> {
        link.writer.write_all(&self.command("c", name, args)).await?;
        let mut is_answered = false;
        while !is_answered {
            link.reader.more().await?;
            // Deliveries follow the answer; they stay for the driver.
            if let Some((said, used)) = self.cut(link.reader.waiting())? {
                ensure!(said == Said::Other, "`{name}` was not answered, but this came: {said:?}");
                link.reader.consume(used);
                is_answered = true;
            }
        }
        Ok(())
    }

    /// Appends a message with what an envelope needs beside its payload.
    fn message(&self, to: &[u8], extra: Extra<'_>, payload: &[u8], out: &mut Vec<u8>) {
        let mut body = Vec::with_capacity(payload.len() + 256);
        match self.form {
            Form::Json => {
                body.extend_from_slice(br#"{"type":"message","to":""#);
                body.extend_from_slice(to);
                body.push(b'"');
                match extra {
                    Extra::None => {}
                    Extra::Confirm => body.extend_from_slice(br#","confirm":"stored""#),
                    Extra::Correlation(id) => {
                        body.extend_from_slice(br#","correlation_id":""#);
                        body.extend_from_slice(id);
                        body.push(b'"');
                    }
                }
                body.extend_from_slice(br#","payload":"#);
                body.extend_from_slice(payload);
                body.push(b'}');
                put_frame(TEXT, &body, out);
            }
            Form::Proto => {
                pb::put_number(pb::TYPE, 1, &mut body);
                pb::put_bytes(pb::TO, to, &mut body);
                match extra {
                    Extra::None => {}
                    Extra::Confirm => pb::put_number(pb::CONFIRM, 1, &mut body),
                    Extra::Correlation(id) => pb::put_bytes(pb::CORRELATION_ID, id, &mut body),
                }
                pb::put_bytes(pb::PAYLOAD, payload, &mut body);
                put_frame(BINARY, &body, out);
            }
        }
    }

    /// The number of the payload that ends `behind` bytes before the end.
    fn number(&self, body: &[u8], behind: usize) -> Option<u64> {
        let end = body.len().checked_sub(behind)?;
        number_in(body.get(end.checked_sub(self.payload)?..end)?)
    }

    fn said<'a>(&self, body: &'a [u8]) -> Result<Said<'a>> {
        let said = match self.form {
            Form::Json => self.said_json(body)?,
            Form::Proto => self.said_proto(body)?,
        };
        said.with_context(|| format!("not understood: {}", shown(body)))
    }

    fn said_json<'a>(&self, body: &'a [u8]) -> Result<Option<Said<'a>>> {
        if body.starts_with(br#"{"subscription":""#) {
            return Ok(self.number(body, 1).map(|number| Said::Delivery { number, raw: body }));
        }
        if body.starts_with(br#"{"type":"response""#) {
            let id = text_member(body, br#""request_id":""#);
            return Ok(id.and_then(|id| match id.first()? {
                b'c' => Some(Said::Other),
                b'a' => confirm(body),
                _ => self
                    .number(body, 3)
                    .filter(|n| digits(id) == Some(*n))
                    .map(|number| Said::Reply { number }),
            }));
        }
        if body.starts_with(br#"{"type":"gap""#) {
            bail!("{LOST}: {}", shown(body));
        }
        ensure!(
            body.starts_with(br#"{"type":"message""#) && find(body, br#""welcome""#).is_some(),
            "the server said: {}",
            shown(body)
        );
        Ok(Some(Said::Other))
    }

    fn said_proto<'a>(&self, body: &'a [u8]) -> Result<Option<Said<'a>>> {
        match body {
            // The subscription stands first in a delivery.
            [0x6a, ..] => Ok(self.number(body, 0).map(|number| Said::Delivery { number, raw: body })),
            [0x48, 4, ..] => {
                let id = pb::field(body, pb::REQUEST_ID);
                Ok(id.and_then(|id| match id.first()? {
                    b'c' => Some(Said::Other),
                    b'a' => confirm(body),
                    _ => {
                        // The data is the answer's envelope, which ends with its payload and a brace.
                        let number = self.number(body, 2).filter(|n| digits(id) == Some(*n));
                        number.map(|number| Said::Reply { number })
                    }
                }))
            }
            [0x48, 1, ..] => Ok(Some(Said::Other)),
            [0x48, 6, ..] => {
                bail!("{LOST} ({})", shown(pb::field(body, pb::REASON).unwrap_or_default()))
            }
            _ => {
                let words = pb::field(body, pb::ERROR).unwrap_or(body);
                bail!("the server said: {}", shown(words))
            }
        }
    }
}

/// What stands beside a payload.
#[derive(Clone, Copy)]
enum Extra<'a> {
    None,
    Confirm,
    Correlation(&'a [u8]),
}

impl Dialect for ArqonDialect {
    fn connect(&self, room: usize) -> Later<'_, Link> {
        async move {
            let form = match self.form {
                Form::Json => "arqon.v1.json",
                Form::Proto => "arqon.v1.proto",
            };
            let headers =
                format!("Sec-WebSocket-Protocol: {form}\r\nAuthorization: Bearer {}\r\n", self.token);
            // As the client library does: one confirm for a run of messages.
            let path = format!("{}/ws?confirms=runs", self.prefix);
            let mut link = websocket::connect(&self.address, &path, &headers, room).await?;
            // The welcome.
            link.reader.read(self, |_| Ok(())).await?;
            Ok(link)
        }
        .boxed_local()
    }

    fn cut<'a>(&self, bytes: &'a [u8]) -> Result<Option<(Said<'a>, usize)>> {
        let Some(frame) = websocket::cut(bytes)? else { return Ok(None) };
        let said = if frame.is_control { Said::Other } else { self.said(frame.body)? };
        Ok(Some((said, frame.length)))
    }

    fn make<'a>(&'a self, _link: &'a mut Link, _topics: u32) -> Later<'a, ()> {
        // A room is there once something is published to it.
        async { Ok(()) }.boxed_local()
    }

    fn publish(&self, to: Topic, size: usize, confirm: bool) -> Template {
        let extra = if confirm { Extra::Confirm } else { Extra::None };
        let mut out = Vec::new();
        self.message(self.name(to).as_bytes(), extra, payload(size).as_bytes(), &mut out);
        Template::new(out)
    }

    fn listen<'a>(&'a self, link: &'a mut Link, topic: Topic) -> Later<'a, ()> {
        async move {
            let args = format!(r#"{{"pattern":"{}","id":"s"}}"#, self.name(topic));
            self.call(link, "subscribe", &args).await
        }
        .boxed_local()
    }

    fn ask<'a>(&'a self, _link: &'a mut Link) -> Later<'a, ()> {
        async { Ok(()) }.boxed_local()
    }

    fn request(&self, to: Topic, size: usize) -> Template {
        let (to, payload) = (self.name(to), payload(size));
        let args = format!(r#"{{"address":"{to}","timeout_ms":30000,"payload":{payload}}}"#);
        Template::new(self.command(&marker(), "request", &args))
    }

    fn answer(&self, question: &[u8], number: u64, size: usize, out: &mut Vec<u8>) -> Result<()> {
        let (to, id) = match self.form {
            Form::Json => {
                (text_member(question, br#""reply_to":""#), text_member(question, br#""correlation_id":""#))
            }
            Form::Proto => (pb::field(question, pb::REPLY_TO), pb::field(question, pb::CORRELATION_ID)),
        };
        let (to, id) = to.zip(id).context("a question without `reply_to` and `correlation_id`")?;
        let begin = question.len() - size - usize::from(self.form == Form::Json);
        let payload = &question[begin..begin + size];
        ensure!(number_in(payload) == Some(number) && size >= DIGITS, "a question without its number");
        self.message(to, Extra::Correlation(id), payload, out);
        Ok(())
    }

    fn reader(&self, topic: Topic, reading: Reading) -> Box<dyn TopicReader + '_> {
        Box::new(ArqonReader::new(self, topic, reading))
    }
}

/// Where a text begins; both are short.
pub(super) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// The text behind `"name":"`, which has no escapes in what we look for.
pub(super) fn text_member<'a>(body: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let begin = find(body, key)? + key.len();
    let length = body[begin..].iter().position(|byte| *byte == b'"')?;
    Some(&body[begin..begin + length])
}

/// The offset in a confirm's position; its data is JSON in both forms.
fn offset(confirm: &[u8]) -> Option<u64> {
    let position = text_member(confirm, br#""position":""#)?;
    let dash = position.iter().position(|byte| *byte == b'-')?;
    digits(&position[dash + 1..]).filter(|_| position.len() > dash + 1)
}

/// What a confirm says: where the first message stands, and of how many it is the confirm.
fn confirm(body: &[u8]) -> Option<Said<'_>> {
    const COUNT: &[u8] = br#","count":"#;
    let count = find(body, COUNT).map_or(Some(1), |at| {
        let rest = &body[at + COUNT.len()..];
        let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
        digits(&rest[..end]).filter(|count| *count > 0)
    });
    Some(Said::Confirm { offset: Some(offset(body)?), count: count? })
}

/// Bytes for an error, not more than can be read.
fn shown(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(500)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialect() -> ArqonDialect {
        ArqonDialect {
            address: "127.0.0.1:1".to_owned(),
            prefix: String::new(),
            token: "t".to_owned(),
            form: Form::Json,
            payload: 64,
            context: "bench".to_owned(),
        }
    }

    #[test]
    fn what_the_server_says_is_told_apart() {
        let dialect = dialect();
        let payload = payload(64).replace(&marker(), "0000000042");
        let delivery = format!(r#"{{"subscription":"s","id":"x","payload":{payload}}}"#);
        let said = dialect.said(delivery.as_bytes()).unwrap();
        assert_eq!(said, Said::Delivery { number: 42, raw: delivery.as_bytes() });
        let confirm =
            br#"{"type":"response","request_id":"arq_1","payload":{"data":{"position":"ab12-42","duplicate":false}}}"#;
        assert_eq!(dialect.said(confirm).unwrap(), Said::Confirm { offset: Some(42), count: 1 });
        let run = br#"{"type":"response","request_id":"arq_1","payload":{"data":{"position":"ab12-42","count":7}}}"#;
        assert_eq!(dialect.said(run).unwrap(), Said::Confirm { offset: Some(42), count: 7 });
        let reply = format!(
            r#"{{"type":"response","request_id":"0000000042","payload":{{"data":{{"id":"x","payload":{payload}}}}}}}"#
        );
        assert_eq!(dialect.said(reply.as_bytes()).unwrap(), Said::Reply { number: 42 });
        let error = br#"{"type":"error","error":"no"}"#;
        assert!(dialect.said(error).unwrap_err().to_string().contains("no"));
        let gap = br#"{"type":"gap","room":"bench-live"}"#;
        assert!(dialect.said(gap).is_err(), "a gap voids a run");
        assert!(
            dialect.said(br#"{"subscription":"s","payload":{}}"#).is_err(),
            "another's message voids a run"
        );
    }
}
