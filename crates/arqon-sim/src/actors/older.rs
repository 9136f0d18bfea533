//! A client of the older protocol, without a library: it joins a channel, says one thing after the other, waits for each
//! acknowledgement and then looks where it stands.
//!
//! Invariant: what was acknowledged stands in the channel's history, and on one connection nothing is heard twice. What a
//! lost connection left unanswered is not said again: this protocol has no way to say it once.

use super::interpreting::{BINARY, Frame, TEXT};
use super::{Actor, Role};
use crate::judge::{Draft, Judge, Place};
use crate::net::{Caller, SimStream};
use arqon_core::Position;
use arqon_wire::Form;
use arqon_ws::Agreed;
use futures_util::future::{Either, select};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// A connection on which an answer does not come for so long is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Any mask is as good as another.
const MASK: [u8; 4] = [7, 1, 9, 3];

/// One connection.
struct Line {
    stream: SimStream,
    heap: Vec<u8>,
    /// Who speaks on it, for the judge: nothing holds messages of two connections in order.
    sender: String,
    said: u64,
    /// What was heard on it.
    heard: BTreeSet<String>,
}

/// A message that the judge waits for, until it is answered or its sender is gone.
struct Open<'a> {
    judge: &'a Judge,
    label: String,
    is_placed: bool,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if !self.is_placed {
            self.judge.refused(&self.label, "nothing more is heard of it");
        }
    }
}

impl Actor {
    pub(super) async fn speak(self) {
        let Role::Older { messages, address: (room, channel) } = self.plan.role.clone() else { return };
        let mut lines = 0;
        loop {
            lines += 1;
            if let Ok(mut line) = self.line(lines, (&room, &channel)).await {
                let why = self.speak_on(&mut line, messages, (&room, &channel)).await.err();
                self.stage.world.note(|| format!("{} is cut off: {why:?}", line.sender));
            }
            self.stage.world.sleep(self.roll(|d| d.millis(200, 2000))).await;
        }
    }

    async fn line(&self, number: u32, (room, channel): (&str, &str)) -> io::Result<Line> {
        let agreed = Agreed { form: Form::OlderJson, ..Agreed::default() };
        let (tenant, subject) = (self.plan.tenant.clone(), self.plan.subject.clone());
        let caller = Caller { tenant, subject, agent: None, agreed };
        let stream = self.stage.net.clone().dial(self.process, caller).await?;
        let sender = format!("{}.{number}", self.sender());
        let mut line = Line { stream, heap: Vec::new(), sender, said: 0, heard: BTreeSet::new() };
        let joins = json!({ "room": room, "channel": channel });
        let joined = self.call(&mut line, "join_channel", joins).await?;
        if joined["status"] == "success" { Ok(line) } else { Err(io::Error::other(joined.to_string())) }
    }

    async fn speak_on(&self, line: &mut Line, messages: u64, place: (&str, &str)) -> io::Result<()> {
        loop {
            let pause = self.stage.world.sleep(self.roll(|d| d.millis(0, 1500)));
            let spent = super::lock(&self.memory).sent >= messages || self.stage.phase.is_calm();
            if spent {
                // It goes on to listen.
                loop {
                    self.next(line, Duration::from_secs(3600)).await?;
                }
            }
            pause.await;
            self.say(line, place).await?;
        }
    }

    async fn say(&self, line: &mut Line, (room, channel): (&str, &str)) -> io::Result<()> {
        let label = self.label();
        let payload = format!(r#"{{"label":"{label}"}}"#);
        let judge = &self.stage.judge;
        judge.sends(Draft {
            label: label.clone(),
            sender: line.sender.clone(),
            tenant: self.plan.tenant.clone(),
            room: room.to_owned(),
            channel: channel.to_owned(),
            payload: payload.clone().into_bytes(),
            key: None,
            confirmed: true,
            expires: false,
        });
        let mut open = Open { judge, label: label.clone(), is_placed: false };
        let message =
            format!(r#""type":"message","room":"{room}","channel":"{channel}","payload":{payload}"#);
        let id = self.tell_server(line, &message).await?;
        let answer = self.awaited(line, |said| match said["type"].as_str() {
            Some("message_response") => said["id"] == *id,
            Some("error") => said["request_id"] == *id,
            _ => false,
        });
        let answer = answer.await?;
        if answer["type"] == "error" {
            // It may be for the disk; anything else would be for the message.
            if answer["error_code"] != "EXECUTION_ERROR" {
                judge.accuse("answers", format!("{label} is refused: {answer}"));
            }
            return Ok(());
        }
        if answer["payload"]["label"] != *label {
            judge.accuse("answers", format!("{label} is acknowledged as {answer}"));
        }
        self.look_up(line, &mut open, (&id, room, channel)).await
    }

    /// Finds what was acknowledged in the channel's history: the same server has just stored it.
    async fn look_up(
        &self,
        line: &mut Line,
        open: &mut Open<'_>,
        (id, room, channel): (&str, &str, &str),
    ) -> io::Result<()> {
        let args = json!({ "room": room, "channel": channel, "limit": 1000 });
        let answer = self.call(line, "history", args).await?;
        let data = &answer["payload"]["data"];
        let mut entries = data["history"].as_array().into_iter().flatten();
        let found = entries.find(|entry| entry["message_id"] == *id);
        let position = found.and_then(|entry| Position::parse(entry["position"].as_str()?).ok());
        let has_gaps = data["gaps"].as_array().is_none_or(|gaps| !gaps.is_empty());
        match position {
            Some(Position { epoch, offset }) => {
                let place = Place { epoch: epoch.0, offset, memory: epoch.is_memory() };
                open.is_placed = true;
                self.stage.judge.stored(&open.label, room, place, false);
            }
            None if answer["status"] == "success" && !has_gaps => {
                let label = &open.label;
                self.stage
                    .judge
                    .accuse("kept", format!("{label} was acknowledged and is not in the history"));
            }
            None => {}
        }
        Ok(())
    }

    async fn call(&self, line: &mut Line, command: &str, args: Value) -> io::Result<Value> {
        let id = self
            .tell_server(line, &format!(r#""type":"command","command":"{command}","args":{args}"#))
            .await?;
        let answer =
            self.awaited(line, |said| said["type"] == "response" && said["request_id"] == *id).await?;
        self.awaited(line, |said| said["type"] == "command_response" && said["id"] == *id).await?;
        Ok(answer)
    }

    /// Sends an envelope; answers with its id.
    async fn tell_server(&self, line: &mut Line, members: &str) -> io::Result<String> {
        line.said += 1;
        let (now, tail) = (self.stage.world.now().as_nanos(), self.roll(|d| d.below(1 << 24)));
        let id = format!("arq_{now}_{}_{tail:06x}", line.said);
        line.write(TEXT, format!(r#"{{"id":"{id}","version":"1.0",{members}}}"#).into_bytes()).await?;
        Ok(id)
    }

    async fn awaited(&self, line: &mut Line, is_it: impl Fn(&Value) -> bool) -> io::Result<Value> {
        loop {
            let said = self.next(line, PATIENCE).await?;
            if is_it(&said) {
                return Ok(said);
            }
        }
    }

    /// The next envelope. What others have said is looked at here.
    async fn next(&self, line: &mut Line, patience: Duration) -> io::Result<Value> {
        let said = match select(pin!(line.read()), self.stage.world.sleep(patience)).await {
            Either::Left((said, _)) => said?,
            Either::Right(_) => return Err(io::ErrorKind::TimedOut.into()),
        };
        let said: Value = serde_json::from_slice(&said).unwrap_or_else(|error| {
            self.stage.judge.accuse("answers", format!("{} is told no JSON: {error}", line.sender));
            Value::Null
        });
        let judge = &self.stage.judge;
        if said["type"] == "message"
            && let Some(label) = said["payload"]["label"].as_str()
            && !line.heard.insert(label.to_owned())
            && !judge.is_damaged()
        {
            judge.accuse("once", format!("{} hears {label} twice", line.sender));
        }
        Ok(said)
    }
}

impl Line {
    async fn write(&mut self, kind: u8, payload: Vec<u8>) -> io::Result<()> {
        let mut out = Vec::new();
        Frame { head: 0x80 | kind, payload }.write(&mut out, Some(MASK));
        self.stream.write_all(&out).await
    }

    /// The payload of the next message.
    async fn read(&mut self) -> io::Result<Vec<u8>> {
        loop {
            while let Some(Frame { head, payload }) = Frame::take(&mut self.heap) {
                match head & 0x0F {
                    TEXT | BINARY => return Ok(payload),
                    PING => self.write(PONG, payload).await?,
                    CLOSE => return Err(io::Error::other("closed")),
                    _ => {}
                }
            }
            let mut space = vec![0; 16 << 10];
            match self.stream.read(&mut space).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => self.heap.extend_from_slice(&space[..n]),
            }
        }
    }
}
