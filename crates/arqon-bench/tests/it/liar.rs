//! A small server of lines that can lie about message 100, and the dialect to speak to it.

use anyhow::{Context, Result, bail};
use arqon_bench::link::Link;
use arqon_bench::load::{Load, Plan};
use arqon_bench::system::{Dialect, Later, Reading, Running, Said, Stop, System, Topic, TopicReader};
use arqon_bench::template::{Template, number_in, payload};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// The message that is lied about.
const WHICH: usize = 100;

/// What it does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lie {
    /// Nothing.
    #[default]
    None,
    /// One does not come.
    Lose,
    /// Nothing comes from it on.
    LoseTheRest,
    /// One comes twice.
    Repeat,
    /// One confirm says that it is for two.
    Overcount,
    /// Whoever reads again under a durable name gets everything again.
    ForgetAcknowledgements,
    /// It does nothing for a while: slow, but no lie.
    Stop,
}

impl Lie {
    /// How often the message of that number is said.
    fn times(self, number: usize) -> usize {
        match self {
            Lie::Lose if number == WHICH => 0,
            Lie::LoseTheRest if number >= WHICH => 0,
            Lie::Repeat if number == WHICH => 2,
            _ => 1,
        }
    }
}

/// The system.
pub struct Liar(pub Lie);

impl System for Liar {
    fn name(&self) -> &str {
        "liar"
    }

    fn can(&self, _load: Load) -> bool {
        true
    }

    fn start(&self, _folder: &Path, plan: &Plan) -> Result<Box<dyn Running>> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        // Where somebody reads a log, the publisher is told the truth and the reader the lie.
        let lies_to_readers = matches!(plan.load, Load::Replay { .. } | Load::DurableSubscription { .. });
        let state = State { lie: self.0, lies_to_readers, ..State::default() };
        let state = Arc::new(Mutex::new(state));
        // The threads end with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = state.clone();
                std::thread::spawn(move || serve(&stream, &state));
            }
        });
        Ok(Box::new(Lines { address }))
    }
}

#[derive(Default)]
struct State {
    lie: Lie,
    lies_to_readers: bool,
    live: usize,
    asked: usize,
    listeners: Vec<TcpStream>,
    readers: Vec<TcpStream>,
    rooms: HashMap<String, Vec<String>>,
    acknowledged: usize,
}

/// One connection: a line is a command.
fn serve(stream: &TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    let mut out = stream;
    while let Some(Ok(line)) = lines.next() {
        let mut words = line.splitn(3, ' ');
        let (command, room, payload) = (words.next()?, words.next()?, words.next()?);
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        match command {
            "live" => state.live(payload),
            "ask" => {
                let times = state.lie.times(state.asked);
                state.asked += 1;
                out.write_all(format!("rep {payload}\n").repeat(times).as_bytes()).ok()?;
            }
            "listen" => {
                state.listeners.push(stream.try_clone().ok()?);
                out.write_all(b"fine -\n").ok()?;
            }
            "store" => {
                let said = state.store(room, payload);
                out.write_all(said.as_bytes()).ok()?;
            }
            "read" => {
                let forgets = state.lie == Lie::ForgetAcknowledgements;
                let from = if forgets || payload == "earliest" { 0 } else { state.acknowledged };
                let (lie, records) = (state.lie, state.rooms.get(room).cloned().unwrap_or_default());
                let said: String = records[from..]
                    .iter()
                    .zip(from..)
                    .map(|(record, n)| format!("msg {record}\n").repeat(lie.times(n)))
                    .collect();
                out.write_all(format!("fine -\n{said}").as_bytes()).ok()?;
                state.readers.push(stream.try_clone().ok()?);
            }
            "acknowledge" => {
                state.acknowledged = payload.parse().ok()?;
                out.write_all(b"fine -\n").ok()?;
            }
            _ => return None,
        }
    }
    Some(())
}

impl State {
    fn live(&mut self, payload: &str) {
        let times = self.lie.times(self.live);
        self.live += 1;
        say(&mut self.listeners, &format!("msg {payload}\n").repeat(times));
    }

    /// Stores a record, hands it to whoever reads, and says what the publisher is told.
    fn store(&mut self, room: &str, payload: &str) -> String {
        let records = self.rooms.entry(room.to_owned()).or_default();
        let number = records.len();
        records.push(payload.to_owned());
        if self.lie == Lie::Stop && number == WHICH {
            std::thread::sleep(Duration::from_millis(100));
        }
        let times = self.lie.times(number);
        if !self.lies_to_readers {
            let count = if self.lie == Lie::Overcount && number == WHICH { 2 } else { 1 };
            return format!("ok {number} {count}\n").repeat(times);
        }
        say(&mut self.readers, &format!("msg {payload}\n").repeat(times));
        format!("ok {number} 1\n")
    }
}

fn say(to: &mut Vec<TcpStream>, text: &str) {
    to.retain_mut(|stream| stream.write_all(text.as_bytes()).is_ok());
}

struct Lines {
    address: String,
}

impl Running for Lines {
    fn version(&self) -> String {
        "0".to_owned()
    }

    fn settings(&self) -> String {
        "none".to_owned()
    }

    fn pids(&self) -> Vec<u32> {
        Vec::new()
    }

    fn dialect(&self) -> &dyn Dialect {
        self
    }

    fn restart(&mut self, _how: Stop) -> Result<Duration> {
        bail!("it has no disk")
    }
}

fn room(topic: Topic) -> String {
    match topic {
        Topic::Live(n) => format!("live-{n}"),
        Topic::Durable(n) => format!("room-{n}"),
    }
}

impl Lines {
    async fn call(&self, link: &mut Link, line: String) -> Result<()> {
        link.writer.write_all(line.as_bytes()).await?;
        loop {
            if let Some((said, used)) = self.cut(link.reader.waiting())? {
                // Deliveries that were on their way may stand before an answer.
                let is_answer = said == Said::Other;
                link.reader.consume(used);
                if is_answer {
                    return Ok(());
                }
            } else {
                link.reader.more().await?;
            }
        }
    }
}

impl Dialect for Lines {
    fn connect(&self, room: usize) -> Later<'_, Link> {
        Box::pin(Link::connect(&self.address, room))
    }

    fn cut<'a>(&self, bytes: &'a [u8]) -> Result<Option<(Said<'a>, usize)>> {
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let line = &bytes[..end];
        let space = line.iter().position(|byte| *byte == b' ').context("a line without a space")?;
        let (word, rest) = (&line[..space], &line[space + 1..]);
        let said = match (word, number_in(rest)) {
            (b"msg", Some(number)) => Said::Delivery { number, raw: rest },
            (b"rep", Some(number)) => Said::Reply { number },
            (b"ok", _) => {
                let (offset, count) = std::str::from_utf8(rest)?.split_once(' ').context("no count")?;
                Said::Confirm { offset: offset.parse().ok(), count: count.parse()? }
            }
            (b"fine", _) => Said::Other,
            _ => bail!("not understood: {}", String::from_utf8_lossy(line)),
        };
        Ok(Some((said, end + 1)))
    }

    fn make<'a>(&'a self, _link: &'a mut Link, _topics: u32) -> Later<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn publish(&self, to: Topic, size: usize, confirm: bool) -> Template {
        let command = if confirm { "store" } else { "live" };
        Template::new(format!("{command} {} {}\n", room(to), payload(size)).into_bytes())
    }

    fn listen<'a>(&'a self, link: &'a mut Link, topic: Topic) -> Later<'a, ()> {
        Box::pin(self.call(link, format!("listen {} -\n", room(topic))))
    }

    fn ask<'a>(&'a self, _link: &'a mut Link) -> Later<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn request(&self, to: Topic, size: usize) -> Template {
        Template::new(format!("ask {} {}\n", room(to), payload(size)).into_bytes())
    }

    fn answer(&self, _question: &[u8], _number: u64, _payload: usize, _out: &mut Vec<u8>) -> Result<()> {
        bail!("the server answers by itself")
    }

    fn reader(&self, topic: Topic, reading: Reading) -> Box<dyn TopicReader + '_> {
        Box::new(LineReader { lines: self, topic, reading, count: 0 })
    }
}

struct LineReader<'a> {
    lines: &'a Lines,
    topic: Topic,
    reading: Reading,
    count: usize,
}

impl TopicReader for LineReader<'_> {
    fn begin<'b>(&'b mut self, link: &'b mut Link) -> Later<'b, ()> {
        let from = if self.reading == Reading::Earliest { "earliest" } else { "acknowledged" };
        Box::pin(self.lines.call(link, format!("read {} {from}\n", room(self.topic))))
    }

    fn delivered(&mut self, _raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.count += 1;
        match self.reading {
            Reading::Acknowledged(batch) if self.count.is_multiple_of(batch as usize) => {
                Ok(writeln!(out, "acknowledge - {}", self.count)?)
            }
            _ => Ok(()),
        }
    }

    fn pause(&mut self, _out: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn finish<'b>(&'b mut self, link: &'b mut Link) -> Later<'b, ()> {
        let line = format!("acknowledge - {}\n", self.count);
        Box::pin(self.lines.call(link, line))
    }
}
