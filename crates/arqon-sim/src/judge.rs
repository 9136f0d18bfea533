//! The judge: an independent model of what the protocol promises. It knows what clients sent, what they were told and
//! what they were given; nothing of how the bus does it, and it shares no code with it.
//!
//! Invariant: everything is judged from the clients' side; the first broken promise ends the run.

mod book;
mod ending;

use crate::world::{World, lock};
use book::{Book, Reader, Sent};
use std::sync::{Arc, Mutex};

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which law.
    pub law: &'static str,
    /// What happened, for people.
    pub text: String,
}

/// Where a record stands, in plain numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its history.
    pub epoch: u64,
    /// Its place in it.
    pub offset: u64,
    /// Whether that history lives in memory only.
    pub memory: bool,
}

/// A message about to be sent.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Its unique name.
    pub label: String,
    /// Who sends it, in this life of the client.
    pub sender: String,
    /// Whose.
    pub tenant: String,
    /// Where to.
    pub room: String,
    /// The channel in it.
    pub channel: String,
    /// Its content, which no other message has.
    pub payload: Vec<u8>,
    /// The key that it is to be stored once under.
    pub key: Option<String>,
    /// Whether the sender waits for a confirm.
    pub confirmed: bool,
    /// Whether it is not to be delivered any more after a while.
    pub expires: bool,
}

/// Where a reader begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// With what is published after it was answered.
    Latest,
    /// With everything.
    Earliest,
    /// After these offsets, by room; everything where a room is not named.
    After(Vec<(String, u64)>),
}

/// A reader about to begin.
#[derive(Debug, Clone)]
pub struct Reading {
    /// For people.
    pub who: String,
    /// Whose rooms.
    pub tenant: String,
    /// What of them.
    pub pattern: String,
    /// Where it begins.
    pub begin: Begin,
    /// The durable name.
    pub name: Option<String>,
    /// When it was asked for: [`Judge::moment`].
    pub asked: u64,
}

/// What a reader was given.
#[derive(Debug, Clone)]
pub struct Given<'a> {
    /// The room.
    pub room: &'a str,
    /// The channel.
    pub channel: &'a str,
    /// Where.
    pub place: Place,
    /// The content.
    pub payload: &'a [u8],
    /// Which try; 0 where nothing is acknowledged.
    pub attempt: u32,
}

/// What takes the place of records that are gone.
#[derive(Debug, Clone)]
pub struct Hole<'a> {
    /// The room.
    pub room: &'a str,
    /// Before it.
    pub from: Option<Place>,
    /// Its end.
    pub to: Place,
    /// Why.
    pub reason: &'a str,
}

/// Number of a reader.
pub type ReaderId = usize;

/// Deliveries whose acknowledgements are to be confirmed.
pub type Asked = Vec<(String, u64)>;

/// The judge. Clones are one.
#[derive(Clone)]
pub struct Judge {
    world: World,
    book: Arc<Mutex<Book>>,
}

impl Judge {
    /// One who has seen nothing. `trimmed` names the rooms that retention works in.
    pub fn new(world: World, trimmed: Vec<String>) -> Self {
        Judge { world, book: Arc::new(Mutex::new(Book::new(trimmed))) }
    }

    /// The first broken promise.
    pub fn violation(&self) -> Option<Violation> {
        lock(&self.book).violation.clone()
    }

    /// Something that is against a law was seen by somebody else.
    pub fn accuse(&self, law: &'static str, text: String) {
        lock(&self.book).break_law(law, text);
    }

    /// A number for now; later ones are higher.
    pub fn moment(&self) -> u64 {
        lock(&self.book).step()
    }

    /// A client makes a connection, and asks on it again for what it had.
    pub fn dials(&self, who: &str) {
        let mut book = lock(&self.book);
        let step = book.step();
        book.dialled.insert(who.to_owned(), step);
    }

    /// The server was started: what it had in memory only is forgotten.
    pub fn restarted(&self) {
        let mut book = lock(&self.book);
        book.restarted = book.step();
    }

    /// The disk was damaged: from here on gaps may be named for it.
    pub fn damaged(&self) {
        lock(&self.book).damaged = true;
    }

    /// Records are confirmed before they are flushed, and the machine may stop: what is gone then is named like damage. A
    /// room of which nothing is left has nobody to tell until it is written to again.
    pub fn loses_unflushed(&self) {
        let mut book = lock(&self.book);
        (book.damaged, book.unflushed) = (true, true);
    }

    /// Whether the disk was damaged.
    pub fn is_damaged(&self) -> bool {
        lock(&self.book).damaged
    }

    /// A message is about to be sent.
    pub fn sends(&self, draft: Draft) {
        self.world.note(|| {
            format!(
                "{} sends {} to {}/{}:{}",
                draft.sender, draft.label, draft.tenant, draft.room, draft.channel
            )
        });
        let mut book = lock(&self.book);
        let step = book.step();
        let order = book.sent.len() as u64;
        book.by_payload.insert((draft.tenant.clone(), draft.payload.clone()), draft.label.clone());
        let to_skill = draft.room.starts_with("@skill/");
        if draft.confirmed {
            book.open.insert(draft.label.clone());
        }
        book.sent.insert(
            draft.label.clone(),
            Sent { draft, step, order, places: Vec::new(), told: None, to_skill },
        );
    }

    /// The sender was told that it is stored.
    pub fn stored(&self, label: &str, room: &str, place: Place, duplicate: bool) {
        self.world.note(|| format!("{label} is confirmed at {room} {}{}", place.offset, mark(duplicate)));
        let mut book = lock(&self.book);
        book.open.remove(label);
        book.confirm(label, room, place, duplicate);
    }

    /// The sender was told that it is not stored, or not certainly.
    pub fn refused(&self, label: &str, why: &str) {
        self.world.note(|| format!("{label} is refused: {why}"));
        lock(&self.book).open.remove(label);
    }

    /// A client died: it will hear of nothing that it has sent, and read nothing more.
    pub fn forget(&self, sender: &str) {
        let mut book = lock(&self.book);
        let Book { open, sent, .. } = &mut *book;
        open.retain(|label| sent.get(label).is_some_and(|s| s.draft.sender != sender));
        book.readers.iter_mut().filter(|r| r.reading.who == sender).for_each(|r| r.ended = true);
    }

    /// A reader was answered that its subscription stands.
    pub fn begins(&self, reading: Reading) -> ReaderId {
        let mut book = lock(&self.book);
        let step = book.step();
        let id = book.readers.len();
        self.world.note(|| {
            let Reading { who, pattern, begin, name, .. } = &reading;
            format!("reader {id} ({who}) begins: {pattern} {begin:?} {}", name.as_deref().unwrap_or(""))
        });
        if let Some(name) = &reading.name {
            let key = (reading.tenant.clone(), name.clone());
            let known = book.names.entry(key).or_insert_with(|| book::Name::new(&reading, step));
            known.holders.push((reading.asked, step));
        }
        book.readers.push(Reader::new(reading, step));
        id
    }

    /// A reader was given a record. Answers its label if it is one of ours.
    pub fn given(&self, reader: ReaderId, given: &Given<'_>) -> Option<String> {
        let mut book = lock(&self.book);
        let label = book.given(reader, given);
        self.world.note(|| {
            let what = label.as_deref().unwrap_or("something");
            format!(
                "reader {reader} gets {what} at {} {} ({})",
                given.room, given.place.offset, given.attempt
            )
        });
        label
    }

    /// A reader was told of a gap.
    pub fn gap(&self, reader: ReaderId, hole: &Hole<'_>) {
        self.world.note(|| {
            let from = hole.from.map_or(0, |p| p.offset);
            format!("reader {reader} is told: {} {from}..{} {}", hole.room, hole.to.offset, hole.reason)
        });
        lock(&self.book).gap(reader, hole);
    }

    /// A reader is over.
    pub fn ends(&self, reader: ReaderId, why: &str) {
        self.world.note(|| format!("reader {reader} ends: {why}"));
        lock(&self.book).readers[reader].ended = true;
    }

    /// A reader acknowledges.
    pub fn acknowledges(&self, reader: ReaderId, room: &str, offset: u64) {
        lock(&self.book).acknowledges(reader, (room.to_owned(), offset));
    }

    /// What a reader has acknowledged and was not told of yet.
    pub fn asks(&self, reader: ReaderId) -> Asked {
        std::mem::take(&mut lock(&self.book).readers[reader].asked)
    }

    /// The reader was told that these acknowledgements are on disk.
    pub fn acknowledged(&self, reader: ReaderId, asked: Asked) {
        self.world.note(|| format!("reader {reader}: {} acknowledgements are confirmed", asked.len()));
        lock(&self.book).acknowledged(reader, asked);
    }

    /// A dead letter was found.
    pub fn buried(&self, tenant: &str, name: &str, (room, offset): (&str, u64), reason: &str) {
        lock(&self.book).buried(tenant, name, (room, offset), reason);
    }

    /// What a reader, or a durable name, still has to get; `None` when nothing is left.
    pub fn missing(&self) -> Option<String> {
        lock(&self.book).missing()
    }

    /// What one reader still has to get.
    pub fn missing_of(&self, reader: ReaderId) -> Option<String> {
        lock(&self.book).missing_of(reader)
    }

    /// A reader has read all that its tenant has: what is there twice, or in another order, is so for good.
    pub fn audited(&self, reader: ReaderId) {
        lock(&self.book).audited(reader);
    }

    /// Messages that were sent, confirmed and delivered.
    pub fn counts(&self) -> (usize, usize, usize) {
        let book = lock(&self.book);
        (book.sent.len(), book.sent.values().filter(|s| s.told.is_some()).count(), book.deliveries)
    }
}

fn mark(duplicate: bool) -> &'static str {
    if duplicate { " (again)" } else { "" }
}
