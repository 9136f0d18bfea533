//! What is measured against: a system that is started or connected to, and how the generator speaks to it.
//!
//! Invariant: the loads in `drive` are written once, over these traits. A system brings bytes, never a loop, a clock or
//! a count of its own, so that all systems are measured by the same code.

use crate::link::Link;
use crate::load::{Load, Plan};
use crate::template::Template;
use anyhow::Result;
use futures_util::future::LocalBoxFuture;
use std::path::Path;
use std::time::Duration;

/// A future of this single-threaded program.
pub type Later<'a, T> = LocalBoxFuture<'a, Result<T>>;

/// Something that can be measured.
pub trait System {
    /// The word that scripts and results know it by, such as `arqon` or `redis-always`.
    fn name(&self) -> &str;

    /// Whether it has that load. One that has it only with a weaker promise is a system of its own, by another name.
    fn can(&self, load: Load) -> bool;

    /// Starts it with an empty data folder inside `folder`, or connects to one that runs. Answers once it serves.
    fn start(&self, folder: &Path, plan: &Plan) -> Result<Box<dyn Running>>;
}

/// A system that serves. Dropping it ends its processes at once.
pub trait Running {
    /// What it says of its version.
    fn version(&self) -> String;

    /// The settings that matter for comparing, in a few words: `fdatasync before each confirm`, `appendfsync everysec`.
    fn settings(&self) -> String;

    /// Its processes, if they are on this machine and known.
    fn pids(&self) -> Vec<u32>;

    /// How to speak to it now. A restart may give it another address.
    fn dialect(&self) -> &dyn Dialect;

    /// Stops it and starts it again on the same data. Answers with the time from starting the process to its saying
    /// that it is ready.
    fn restart(&mut self, how: Stop) -> Result<Duration>;
}

/// How a process is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM, and wait.
    Orderly,
    /// SIGKILL.
    Kill,
}

/// Where a message goes. Each system has its own name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// At most once, never on disk; channel `n` of one room.
    Live(u32),
    /// On disk before it is confirmed, to the extent of the system's settings; room `n`.
    Durable(u32),
}

/// How a reader of a durable topic reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// From the first record on, with nothing to acknowledge.
    Earliest,
    /// Under a durable name from the first record on, each delivery acknowledged, so many at a time.
    Acknowledged(u32),
}

/// One thing that the system said.
#[derive(Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// A message for a subscriber, a question for a responder, or a record for a reader. `raw` is all of it.
    Delivery {
        /// The number in its payload.
        number: u64,
        /// Its bytes, for answering or acknowledging.
        raw: &'a [u8],
    },
    /// A publish is stored. Confirms come in the order of the publishes; `offset` where the system gives one that
    /// rises with each record of the topic.
    Confirm {
        /// Where it is.
        offset: Option<u64>,
        /// How many publishes it is the confirm of; they stand one behind the other from there.
        count: u64,
    },
    /// The answer to a request.
    Reply {
        /// The number in the answer's payload.
        number: u64,
    },
    /// Anything else that is no failure: the answer to a command, a ping, a head of a list.
    Other,
}

/// A protocol: bytes in and bytes out.
pub trait Dialect {
    /// Connects and greets; everything that the system says by itself at the beginning has been read. The link's
    /// buffer can hold `room` bytes and one read takes at most as much.
    fn connect(&self, room: usize) -> Later<'_, Link>;

    /// The first whole thing in the bytes and how many bytes it takes; `None` if it is not all there. A failure that
    /// the system reports is an error with its text. Called once for each message: it must not allocate.
    fn cut<'a>(&self, bytes: &'a [u8]) -> Result<Option<(Said<'a>, usize)>>;

    /// Makes the first `topics` durable topics, where a system wants that before anybody publishes to them.
    fn make<'a>(&'a self, link: &'a mut Link, topics: u32) -> Later<'a, ()>;

    /// Prepares this link for confirmed publishes to a topic, before the first of them (an inbox for the confirms, for
    /// instance). Most systems answer on the link by themselves.
    fn confirms<'a>(&'a self, _link: &'a mut Link, _topic: Topic) -> Later<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// A publish, prepared. `confirm`: the system answers with [`Said::Confirm`]. One that answers in any case is
    /// welcome to; the drivers skip what they did not ask for.
    fn publish(&self, to: Topic, payload: usize, confirm: bool) -> Template;

    /// Subscribes this link to a live topic and waits until the system has taken note.
    fn listen<'a>(&'a self, link: &'a mut Link, topic: Topic) -> Later<'a, ()>;

    /// Prepares this link for asking (a reply inbox, for instance).
    fn ask<'a>(&'a self, link: &'a mut Link) -> Later<'a, ()>;

    /// A question to a live topic, prepared; answered with [`Said::Reply`].
    fn request(&self, to: Topic, payload: usize) -> Template;

    /// Appends the answer to a question, of that payload size and with the question's number.
    fn answer(&self, question: &[u8], number: u64, payload: usize, out: &mut Vec<u8>) -> Result<()>;

    /// A reader of a durable topic.
    fn reader(&self, topic: Topic, reading: Reading) -> Box<dyn TopicReader + '_>;
}

/// A reader's side of its protocol; it may be one that is pushed to or one that pulls.
pub trait TopicReader {
    /// Prepares whatever must exist (a stream, a group) and asks for the first deliveries.
    fn begin<'a>(&'a mut self, link: &'a mut Link) -> Later<'a, ()>;

    /// After each delivery: appends the acknowledgement if one is due, and asks for more if it pulls.
    fn delivered(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<()>;

    /// When all that had arrived was handed out: appends what is due by then, such as a pull for more.
    fn pause(&mut self, out: &mut Vec<u8>) -> Result<()>;

    /// The end: acknowledges all that was delivered, and waits until the system has taken note. Somebody who reads
    /// under the same name afterwards must be given none of it.
    fn finish<'a>(&'a mut self, link: &'a mut Link) -> Later<'a, ()>;
}
