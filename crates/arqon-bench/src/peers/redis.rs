//! Redis as the generator speaks to it: RESP3, publish/subscribe for what is live, streams for what is durable.
//!
//! Invariant: a stream's answer is followed without keeping it: its head is handed out with its first entry.

use super::resp::{Token, command, token};
use crate::clock::now;
use crate::link::Link;
use crate::system::{Dialect, Later, Reading, Said, Topic, TopicReader};
use crate::template::{Template, number_in, payload as payload_of};
use anyhow::{Context, Result, bail, ensure};
use std::io::Write as _;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// Where answers to requests are published.
const REPLIES: &str = "replies";
/// The consumer group and its only member.
const GROUP: &[u8] = b"g";
/// Entries of a stream that one command asks for.
const COUNT: usize = 1000;
/// How long Redis may take to take note of acknowledgements.
const PATIENCE: Duration = Duration::from_secs(10);

/// A Redis at a port of this machine.
pub struct Redis {
    address: String,
}

impl Redis {
    /// The Redis that listens there.
    pub fn new(port: u16) -> Redis {
        Redis { address: format!("127.0.0.1:{port}") }
    }

    /// Makes the consumer group, unless somebody has read under its name before.
    async fn make_group(&self, stream: &[u8]) -> Result<()> {
        let mut link = self.connect(4096).await?;
        let create: [&[u8]; 6] = [b"XGROUP", b"CREATE", stream, GROUP, b"0", b"MKSTREAM"];
        match ask(&mut link, &create, |said| said == Token::Simple(b"OK")).await {
            Err(refused) if refused.to_string().contains("BUSYGROUP") => Ok(()),
            made => made,
        }
    }
}

fn name(topic: Topic) -> String {
    match topic {
        Topic::Live(n) => format!("live:{n}"),
        Topic::Durable(n) => format!("durable:{n}"),
    }
}

/// Sends a command and waits for the first token that is `awaited`; what comes before it is dropped.
async fn ask(link: &mut Link, parts: &[&[u8]], mut awaited: impl FnMut(Token<'_>) -> bool) -> Result<()> {
    link.writer.write_all(&command(parts)).await?;
    loop {
        let Some((said, used)) = token(link.reader.waiting())? else {
            link.reader.more().await?;
            continue;
        };
        if let Token::Error(text) = said {
            bail!("Redis refused: {}", String::from_utf8_lossy(text));
        }
        let found = awaited(said);
        link.reader.consume(used);
        if found {
            return Ok(());
        }
    }
}

impl Dialect for Redis {
    fn connect(&self, room: usize) -> Later<'_, Link> {
        Box::pin(async move {
            let mut link = Link::connect(&self.address, room).await?;
            link.writer.write_all(&command(&[b"HELLO", b"3"])).await?;
            ask(&mut link, &[b"ECHO", b"ready"], |said| said == Token::Bulk(b"ready")).await?;
            Ok(link)
        })
    }

    fn cut<'a>(&self, bytes: &'a [u8]) -> Result<Option<(Said<'a>, usize)>> {
        let Some(first) = bytes.first() else { return Ok(None) };
        match first {
            b'>' => pushed(bytes),
            b'*' | b'%' => entry(bytes),
            _ => {
                let Some((said, used)) = token(bytes)? else { return Ok(None) };
                let said = match said {
                    Token::Error(text) => bail!("Redis refused: {}", String::from_utf8_lossy(text)),
                    // An id is a time, not a place in a row.
                    Token::Bulk(_) => Said::Confirm { offset: None, count: 1 },
                    _ => Said::Other,
                };
                Ok(Some((said, used)))
            }
        }
    }

    fn make<'a>(&'a self, _link: &'a mut Link, _topics: u32) -> Later<'a, ()> {
        // The first entry makes a stream.
        Box::pin(std::future::ready(Ok(())))
    }

    fn publish(&self, to: Topic, payload: usize, _confirm: bool) -> Template {
        let (name, payload) = (name(to), payload_of(payload));
        Template::new(match to {
            Topic::Live(_) => command(&[b"PUBLISH", name.as_bytes(), payload.as_bytes()]),
            Topic::Durable(_) => command(&[b"XADD", name.as_bytes(), b"*", b"p", payload.as_bytes()]),
        })
    }

    fn listen<'a>(&'a self, link: &'a mut Link, topic: Topic) -> Later<'a, ()> {
        Box::pin(async move {
            let name = name(topic);
            ask(link, &[b"SUBSCRIBE", name.as_bytes()], |said| matches!(said, Token::Number(_))).await
        })
    }

    fn ask<'a>(&'a self, link: &'a mut Link) -> Later<'a, ()> {
        Box::pin(async move {
            ask(link, &[b"SUBSCRIBE", REPLIES.as_bytes()], |said| matches!(said, Token::Number(_))).await
        })
    }

    fn request(&self, to: Topic, payload: usize) -> Template {
        self.publish(to, payload, false)
    }

    fn answer(&self, question: &[u8], _number: u64, payload: usize, out: &mut Vec<u8>) -> Result<()> {
        // The payload comes last, before the end of its line.
        let begin = question.len().checked_sub(payload + 2).context("a question that is too short")?;
        write!(out, "*3\r\n$7\r\nPUBLISH\r\n${}\r\n{REPLIES}\r\n${payload}\r\n", REPLIES.len())?;
        out.extend_from_slice(&question[begin..]);
        Ok(())
    }

    fn reader(&self, topic: Topic, reading: Reading) -> Box<dyn TopicReader + '_> {
        let batch = match reading {
            Reading::Earliest => None,
            Reading::Acknowledged(batch) => Some(batch as usize),
        };
        let stream = name(topic).into_bytes();
        let (ids, last) = (Vec::new(), b"0".to_vec());
        Box::new(StreamReader { redis: self, stream, batch, left: 0, ids, waiting: 0, last })
    }
}

/// `>3`, then the kind, the channel, and the payload or a count.
fn pushed(bytes: &[u8]) -> Result<Option<(Said<'_>, usize)>> {
    let mut at = 0;
    let mut parts = [Token::Nothing; 4];
    for part in &mut parts {
        let Some((said, used)) = token(&bytes[at..])? else { return Ok(None) };
        *part = said;
        at += used;
    }
    let [_, Token::Bulk(b"message"), Token::Bulk(channel), Token::Bulk(payload)] = parts else {
        return Ok(Some((Said::Other, at)));
    };
    let number = number_in(payload).context("a message that nobody published")?;
    let said = match channel == REPLIES.as_bytes() {
        true => Said::Reply { number },
        false => Said::Delivery { number, raw: &bytes[..at] },
    };
    Ok(Some((said, at)))
}

/// An entry of a stream, `*2 id *2 field payload`; the first of an answer with the answer's head before it.
fn entry(bytes: &[u8]) -> Result<Option<(Said<'_>, usize)>> {
    let Some((_, mut at)) = skip_head(bytes)? else { return Ok(None) };
    let mut parts = [Token::Nothing; 5];
    for part in &mut parts {
        let Some((said, used)) = token(&bytes[at..])? else { return Ok(None) };
        *part = said;
        at += used;
    }
    let [Token::List(2), Token::Bulk(_), Token::List(2), Token::Bulk(_), Token::Bulk(payload)] = parts else {
        bail!("not an entry of a stream: {parts:?}");
    };
    let number = number_in(payload).context("an entry that nobody added")?;
    Ok(Some((Said::Delivery { number, raw: &bytes[..at] }, at)))
}

/// How many entries an answer has, and where the first begins. An entry that is not the first has no head.
fn skip_head(bytes: &[u8]) -> Result<Option<(Option<usize>, usize)>> {
    if bytes[0] != b'%' {
        return Ok(Some((None, 0)));
    }
    // `%1`, the stream's name, `*N`.
    let mut at = 0;
    let mut entries = 0;
    for _ in 0..3 {
        let Some((said, used)) = token(&bytes[at..])? else { return Ok(None) };
        if let Token::List(count) = said {
            entries = count;
        }
        at += used;
    }
    Ok(Some((Some(entries), at)))
}

/// Reads a stream: `XREAD` from the first entry on, or `XREADGROUP` with `XACK`.
struct StreamReader<'r> {
    redis: &'r Redis,
    stream: Vec<u8>,
    /// Entries that one `XACK` covers; `None` without a group.
    batch: Option<usize>,
    /// Entries of the current answer that are still to come.
    left: usize,
    /// Entries to acknowledge, as parts of a command.
    ids: Vec<u8>,
    waiting: usize,
    /// The last id read.
    last: Vec<u8>,
}

impl StreamReader<'_> {
    fn pull(&self, out: &mut Vec<u8>) {
        let count = COUNT.to_string();
        let parts: &[&[u8]] = match self.batch {
            None => {
                &[b"XREAD", b"COUNT", count.as_bytes(), b"BLOCK", b"0", b"STREAMS", &self.stream, &self.last]
            }
            Some(_) => &[
                b"XREADGROUP",
                b"GROUP",
                GROUP,
                GROUP,
                b"COUNT",
                count.as_bytes(),
                b"BLOCK",
                b"0",
                b"STREAMS",
                &self.stream,
                b">",
            ],
        };
        out.extend_from_slice(&command(parts));
    }

    fn acknowledge(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if self.waiting > 0 {
            write!(out, "*{}\r\n$4\r\nXACK\r\n${}\r\n", 3 + self.waiting, self.stream.len())?;
            out.extend_from_slice(&self.stream);
            out.extend_from_slice(b"\r\n$1\r\n");
            out.extend_from_slice(GROUP);
            out.extend_from_slice(b"\r\n");
            out.append(&mut self.ids);
            self.waiting = 0;
        }
        Ok(())
    }
}

impl TopicReader for StreamReader<'_> {
    fn begin<'a>(&'a mut self, link: &'a mut Link) -> Later<'a, ()> {
        Box::pin(async move {
            if self.batch.is_some() {
                self.redis.make_group(&self.stream).await?;
            }
            let mut out = Vec::new();
            self.pull(&mut out);
            link.writer.write_all(&out).await?;
            Ok(())
        })
    }

    fn delivered(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let (entries, begin) = skip_head(raw)?.context("an entry that is not whole")?;
        if let Some(entries) = entries {
            ensure!(self.left == 0, "Redis began an answer before the last one ended");
            self.left = entries;
        }
        ensure!(self.left > 0, "Redis sent more entries than it said");
        self.left -= 1;
        let id = &raw[begin + b"*2\r\n".len()..];
        let (_, size) = token(id)?.context("an entry without an id")?;
        match self.batch {
            Some(batch) => {
                self.ids.extend_from_slice(&id[..size]);
                self.waiting += 1;
                if self.waiting == batch || self.left == 0 {
                    self.acknowledge(out)?;
                }
            }
            None if self.left == 0 => {
                let Some((Token::Bulk(id), _)) = token(id)? else { bail!("an entry without an id") };
                self.last.clear();
                self.last.extend_from_slice(id);
            }
            None => {}
        }
        if self.left == 0 {
            self.pull(out);
        }
        Ok(())
    }

    fn pause(&mut self, _out: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn finish<'a>(&'a mut self, link: &'a mut Link) -> Later<'a, ()> {
        Box::pin(async move {
            if self.batch.is_none() {
                return Ok(());
            }
            let mut out = Vec::new();
            self.acknowledge(&mut out)?;
            link.writer.write_all(&out).await?;
            // This link may wait for more entries; another one is told what has not been acknowledged.
            let (mut asking, begin) = (self.redis.connect(4096).await?, now());
            let pending: [&[u8]; 3] = [b"XPENDING", &self.stream, GROUP];
            let left = i64::try_from(self.left)?;
            loop {
                let mut count = 0;
                ask(&mut asking, &pending, |said| {
                    count = if let Token::Number(number) = said { number } else { count };
                    matches!(said, Token::Number(_))
                })
                .await?;
                if count == left {
                    return Ok(());
                }
                ensure!(begin.elapsed() < PATIENCE, "Redis has {count} entries unacknowledged, not {left}");
                // Drops what is left of the answer.
                ask(&mut asking, &[b"ECHO", b"next"], |said| said == Token::Bulk(b"next")).await?;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = "*2\r\n$6\r\n1700-1\r\n*2\r\n$1\r\np\r\n$27\r\n";

    fn answer(head: &str) -> Vec<u8> {
        format!("{head}{ENTRY}{}\r\n", payload_of(27)).into_bytes()
    }

    #[test]
    fn an_answer_of_a_stream_is_its_entries() {
        let redis = Redis::new(1);
        let mut bytes = answer("%1\r\n$9\r\ndurable:0\r\n*2\r\n");
        let first = bytes.len();
        bytes.extend(answer(""));
        for end in 0..first {
            assert_eq!(redis.cut(&bytes[..end]).unwrap(), None, "{end}");
        }
        let (said, used) = redis.cut(&bytes).unwrap().unwrap();
        assert_eq!((said, used), (Said::Delivery { number: 9_876_543_210, raw: &bytes[..first] }, first));
        let mut reader = redis.reader(Topic::Durable(0), Reading::Acknowledged(1));
        let mut out = Vec::new();
        reader.delivered(&bytes[..first], &mut out).unwrap();
        assert_eq!(out, b"*4\r\n$4\r\nXACK\r\n$9\r\ndurable:0\r\n$1\r\ng\r\n$6\r\n1700-1\r\n");
        out.clear();
        reader.delivered(&bytes[first..], &mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("XREADGROUP"), "the answer has ended");
        assert!(reader.delivered(&bytes[first..], &mut Vec::new()).is_err(), "more than was said");
    }

    #[test]
    fn messages_replies_and_refusals_are_told_apart() {
        let redis = Redis::new(1);
        let push = |channel: &str| {
            let payload = payload_of(27);
            format!(">3\r\n$7\r\nmessage\r\n${}\r\n{channel}\r\n$27\r\n{payload}\r\n", channel.len())
                .into_bytes()
        };
        let (live, replies) = (push("live:0"), push(REPLIES));
        assert!(matches!(redis.cut(&live).unwrap(), Some((Said::Delivery { .. }, _))));
        assert!(matches!(redis.cut(&replies).unwrap(), Some((Said::Reply { number: 9_876_543_210 }, _))));
        assert!(matches!(redis.cut(b"$3\r\n1-2\r\n").unwrap(), Some((Said::Confirm { .. }, 9))));
        assert!(redis.cut(b"-OOM command not allowed\r\n").is_err());
        let mut out = Vec::new();
        redis.answer(&live, 1, 27, &mut out).unwrap();
        assert!(out.ends_with(format!("$27\r\n{}\r\n", payload_of(27)).as_bytes()));
    }
}
