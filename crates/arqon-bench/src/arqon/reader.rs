//! A reader of a durable room: from the first record on, or under a durable name with acknowledgements.
//!
//! Invariant: what is acknowledged is what was handed out, up to the last of it.

use super::dialect::{ArqonDialect, text_member};
use super::protobuf as pb;
use crate::link::Link;
use crate::load::Form;
use crate::system::{Later, Reading, Topic, TopicReader};
use anyhow::{Context, Result};
use futures_util::FutureExt;

/// The durable name.
const NAME: &str = "bench";
/// Deliveries that may be out; the server's own default is 1024, and a batch must fit in.
const CREDIT: u32 = 1024;

pub(super) struct ArqonReader<'a> {
    dialect: &'a ArqonDialect,
    topic: Topic,
    reading: Reading,
    /// Delivered and not acknowledged.
    open: u32,
    /// The position of the last of them.
    last: Vec<u8>,
}

impl<'a> ArqonReader<'a> {
    pub(super) fn new(dialect: &'a ArqonDialect, topic: Topic, reading: Reading) -> Self {
        ArqonReader { dialect, topic, reading, open: 0, last: Vec::new() }
    }

    /// The arguments of an acknowledgement: of one delivery by its position, of several up to the last.
    fn args(&self, how: &str, more: &str) -> String {
        format!(r#"{{"subscription":"s","{how}":"{}"{more}}}"#, String::from_utf8_lossy(&self.last))
    }
}

impl TopicReader for ArqonReader<'_> {
    fn begin<'b>(&'b mut self, link: &'b mut Link) -> Later<'b, ()> {
        async move {
            let how = match self.reading {
                Reading::Earliest => String::new(),
                Reading::Acknowledged(batch) => {
                    format!(r#","durable":"{NAME}","credit":{}"#, CREDIT.max(batch * 2))
                }
            };
            let name = self.dialect.name(self.topic);
            let args = format!(r#"{{"pattern":"{name}","id":"s","from":"earliest"{how}}}"#);
            self.dialect.call(link, "subscribe", &args).await
        }
        .boxed_local()
    }

    fn delivered(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let Reading::Acknowledged(batch) = self.reading else { return Ok(()) };
        let position = match self.dialect.form {
            Form::Json => text_member(raw, br#""position":""#),
            Form::Proto => pb::field(raw, pb::POSITION),
        };
        self.last.clear();
        self.last.extend_from_slice(position.context("a delivery without a position")?);
        self.open += 1;
        if self.open >= batch {
            let how = if batch == 1 { "position" } else { "up_to" };
            out.extend_from_slice(&self.dialect.command("", "acknowledge", &self.args(how, "")));
            self.open = 0;
        }
        Ok(())
    }

    fn pause(&mut self, _out: &mut Vec<u8>) -> Result<()> {
        // Deliveries are pushed. A batch that is not full waits for more: it is smaller than what may be out.
        Ok(())
    }

    fn finish<'b>(&'b mut self, link: &'b mut Link) -> Later<'b, ()> {
        async move {
            if matches!(self.reading, Reading::Earliest) || self.last.is_empty() {
                return Ok(());
            }
            self.open = 0;
            self.dialect.call(link, "acknowledge", &self.args("up_to", r#","confirm":true"#)).await
        }
        .boxed_local()
    }
}
