//! How the generator speaks to the floor: WebSocket frames whose body is the payload and nothing else.
//!
//! Invariant: a question is a binary frame and its answer a text frame; that is all that tells them apart.

use super::floor::{CONTROL, LISTEN};
use crate::link::Link;
use crate::system::{Dialect, Later, Reading, Said, Topic, TopicReader};
use crate::template::{Template, digits, number_in, payload as payload_of, put_number};
use crate::websocket::{self, TEXT};
use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;

/// A floor at a port of this machine.
pub struct Bare {
    address: String,
    /// Whether it is the one that writes to disk: it answers with numbers.
    disk: bool,
}

impl Bare {
    /// The floor that listens there.
    pub fn new(port: u16, disk: bool) -> Bare {
        Bare { address: format!("127.0.0.1:{port}"), disk }
    }
}

/// Says what this connection wants to read, and waits for the answer.
async fn say(link: &mut Link, what: &[u8]) -> Result<()> {
    let mut frame = websocket::frame(what);
    frame[0] = CONTROL;
    link.writer.write_all(&frame).await?;
    while link.reader.waiting().len() < 2 {
        link.reader.more().await?;
    }
    link.reader.consume(2);
    Ok(())
}

impl Dialect for Bare {
    fn connect(&self, room: usize) -> Later<'_, Link> {
        Box::pin(websocket::connect(&self.address, "/", "", room))
    }

    fn cut<'a>(&self, bytes: &'a [u8]) -> Result<Option<(Said<'a>, usize)>> {
        let Some((opcode, begin, end)) = websocket::head(bytes)? else { return Ok(None) };
        let Some(body) = bytes.get(begin..end) else { return Ok(None) };
        if self.disk {
            let offset = Some(digits(body).context("a confirm without a number")?);
            return Ok(Some((Said::Confirm { offset, count: 1 }, end)));
        }
        let number = number_in(body).context("a frame that nobody sent")?;
        let said =
            if opcode == 1 { Said::Reply { number } } else { Said::Delivery { number, raw: &bytes[..end] } };
        Ok(Some((said, end)))
    }

    fn make<'a>(&'a self, _link: &'a mut Link, _topics: u32) -> Later<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn publish(&self, _to: Topic, payload: usize, _confirm: bool) -> Template {
        Template::new(websocket::frame(payload_of(payload).as_bytes()))
    }

    fn listen<'a>(&'a self, link: &'a mut Link, _topic: Topic) -> Later<'a, ()> {
        Box::pin(say(link, LISTEN))
    }

    fn ask<'a>(&'a self, link: &'a mut Link) -> Later<'a, ()> {
        Box::pin(say(link, b"ask"))
    }

    fn request(&self, to: Topic, payload: usize) -> Template {
        self.publish(to, payload, false)
    }

    fn answer(&self, _question: &[u8], number: u64, payload: usize, out: &mut Vec<u8>) -> Result<()> {
        websocket::put_head(TEXT, payload, out);
        let body = out.len();
        out.resize(body + payload, b'x');
        out[body..body + 6].copy_from_slice(br#"{"n":""#);
        put_number(&mut out[body + 6..body + 16], number);
        Ok(())
    }

    fn reader(&self, _topic: Topic, _reading: Reading) -> Box<dyn TopicReader + '_> {
        Box::new(Unread)
    }
}

/// The floor keeps nothing that could be read.
struct Unread;

impl TopicReader for Unread {
    fn begin<'a>(&'a mut self, _link: &'a mut Link) -> Later<'a, ()> {
        Box::pin(async { bail!("the floor keeps nothing that could be read") })
    }

    fn delivered(&mut self, _raw: &[u8], _out: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn pause(&mut self, _out: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn finish<'a>(&'a mut self, _link: &'a mut Link) -> Later<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_from_questions() {
        let bare = Bare::new(1, false);
        let mut answer = Vec::new();
        bare.answer(&[], 42, 64, &mut answer).unwrap();
        // As a server hands it on: without the key.
        let mut frame = vec![answer[0], answer[1] & 0x7f];
        frame.extend_from_slice(&answer[6..]);
        assert_eq!(bare.cut(&frame).unwrap(), Some((Said::Reply { number: 42 }, 66)));
        frame[0] = 0x82;
        assert!(matches!(bare.cut(&frame).unwrap(), Some((Said::Delivery { number: 42, .. }, 66))));
        assert_eq!(bare.cut(&frame[..65]).unwrap(), None);
        let disk = Bare::new(1, true);
        let said = disk.cut(b"\x82\x0a0000000007").unwrap();
        assert_eq!(said, Some((Said::Confirm { offset: Some(7), count: 1 }, 12)));
    }
}
