//! A folder of a log whose files were changed: by a disk, or by somebody who sets the checksums right afterwards.
//!
//! Invariant: opening, checking and printing neither panic nor ask for much memory. Where the checksums were left alone,
//! nothing is served that was not confirmed as it is, what was confirmed is served or named as gone, no position is given
//! out twice; and the log goes on.

use crate::disk::MemoryDisk;
use arqon_core::env::Clock;
use arqon_core::port::{Append, ChannelFilter, Log, LogItem, Page, Read, ReadFrom, Retention};
use arqon_core::{
    Address, ChannelName, Kind, Message, MessageId, Pattern, Position, Priority, RoomKey, RoomName, Tenant,
    Timestamp,
};
use arqon_store_contract::World;
use arqon_store_embedded::{EmbeddedLog, LogConfig, check_on, dump_on, fuzzing};
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

type Files = BTreeMap<String, Vec<u8>>;
/// What was confirmed: by room and position.
type Confirmed = HashMap<(String, Position), Arc<Message>>;

struct Template {
    files: Files,
    log_id: u64,
    /// All that was ever given out.
    confirmed: Confirmed,
    /// What an untouched folder serves of each room, in order.
    kept: HashMap<&'static str, Vec<Position>>,
}

const ROOMS: [&str; 3] = ["a", "b", "@c"];

fn config() -> LogConfig {
    LogConfig { segment_bytes: 16 << 10, cache_bytes: 1 << 20, ..LogConfig::default() }
}

/// The law. The first byte says whether checksums are set right; the rest are changes of the files.
///
/// # Panics
/// When it is broken.
pub fn check(data: &[u8]) {
    static TEMPLATE: OnceLock<Template> = OnceLock::new();
    let template = TEMPLATE.get_or_init(Template::make);
    let Some((first, rest)) = data.split_first() else { return };
    let sealed = first % 2 == 1;
    let mut files = template.files.clone();
    change(&mut files, rest);
    if sealed {
        for (path, bytes) in &mut files {
            fuzzing::seal(path.trim_start_matches("log/"), bytes, template.log_id);
        }
    }
    let told = Told::of(template, &files);
    let template = (!sealed).then_some(template);
    let disk = Arc::new(MemoryDisk::with(&files));
    let _whole_or_not = check_on(disk.clone());
    let mut dumped = 0;
    let _whole_or_not = dump_on(disk.clone(), &Default::default(), &mut |_| {
        dumped += 1;
        if dumped < 10_000 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    open(disk, template, told);
}

/// What the files still tell of the end of the log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Enough to know whether something is missing.
    Enough,
    /// That there was more, not how much.
    More,
    /// Nothing: a cut end passes for an unfinished block, since what notes the end is unreadable too.
    Nothing,
}

impl Told {
    fn of(template: &Template, files: &Files) -> Told {
        let untouched = |path: &str| files.get(path) == template.files.get(path);
        let (newest, before) = ("log/0000000000000003.seg", "log/0000000000000002.idx");
        match untouched("log/confirmed") || untouched(newest) {
            true => Told::Enough,
            false if !files.contains_key(newest) && untouched(before) => Told::More,
            false => Told::Nothing,
        }
    }
}

fn open(disk: Arc<MemoryDisk>, template: Option<&Template>, told: Told) {
    let world = World::new(9);
    let opened = EmbeddedLog::open_on(disk.clone(), config(), world.clock.clone(), world.random.clone());
    let Ok((log, _)) = opened else {
        assert!(template.is_none(), "damage alone does not keep a log from opening");
        return;
    };
    for room in ROOMS {
        let key = key(room);
        let items = walk(&log, &key, ReadFrom::Earliest);
        if let Some(template) = template {
            template.served_as_confirmed(room, &items);
        }
        let message = Arc::new(message(&key, 999, world.clock.now()));
        let append = Append { room: key.clone(), message: message.clone() };
        let Ok(answers) = wait(log.append(vec![append])) else { continue };
        let Some(Ok(stored)) = answers.into_iter().next() else { continue };
        let place = (room.to_owned(), stored.position);
        let fresh = template.is_none_or(|template| !template.confirmed.contains_key(&place));
        assert!(fresh || told == Told::Nothing, "{room} {} was given out twice", stored.position);
        let served = walk(&log, &key, ReadFrom::Earliest).into_iter().any(
            |item| matches!(item, LogItem::Record(record) if record.position == stored.position && record.message == message),
        );
        assert!(served || template.is_none(), "what was stored after damage is served");
        // A room that nothing is left of is known again from its first message on.
        if let Some(template) = template {
            template.served_or_named(&log, room, told);
        }
    }
}

impl Template {
    fn served_as_confirmed(&self, room: &str, items: &[LogItem]) {
        for item in items {
            let LogItem::Record(record) = item else { continue };
            let original = self.confirmed.get(&(room.to_owned(), record.position));
            assert_eq!(original, Some(&record.message), "{room} {} was never confirmed so", record.position);
        }
    }

    /// Whoever reads on from before everything gets all that was kept, or hears where something is missing.
    fn served_or_named(&self, log: &EmbeddedLog, room: &str, told: Told) {
        let kept = &self.kept[room];
        let before_all = Position::new(kept[0].epoch, 0);
        let mut heard = 0;
        for item in walk(log, &key(room), ReadFrom::After(before_all)) {
            match item {
                // All of the history, or its end.
                LogItem::Gap(gap) if gap.to.epoch != before_all.epoch => return,
                LogItem::Gap(gap) => heard = heard.max(gap.to.offset),
                LogItem::Record(record) => {
                    let at = record.position.offset;
                    let silent = kept.iter().find(|k| k.offset > heard && k.offset < at);
                    assert_eq!(silent, None, "{room}: dropped in silence");
                    heard = at;
                }
            }
        }
        let silent = kept.iter().find(|k| k.offset > heard);
        assert!(
            silent.is_none() || told == Told::Nothing,
            "{room}: {silent:?} dropped in silence at the end"
        );
    }
}

fn walk(log: &EmbeddedLog, room: &Arc<RoomKey>, mut from: ReadFrom) -> Vec<LogItem> {
    let mut items = Vec::new();
    for _ in 0..1000 {
        let (room, filter) = (room.clone(), ChannelFilter::All);
        let read = log.read(Read { room, from, filter, max_records: 50, max_bytes: 1 << 20 });
        let Ok(Page { items: more, next, at_end, .. }) = wait(read) else { return items };
        items.extend(more);
        match next {
            Some(next) if !at_end => from = ReadFrom::After(next),
            _ => return items,
        }
    }
    panic!("a walk comes to an end");
}

/// Changes files as the input says: six bytes are one change.
fn change(files: &mut Files, input: &[u8]) {
    let names: Vec<String> = files.keys().cloned().collect();
    for step in input.chunks_exact(6).take(16) {
        let name = &names[usize::from(step[0]) % names.len()];
        let at = usize::from(u16::from_le_bytes([step[2], step[3]]));
        if step[1] % 8 == 7 {
            files.remove(name);
            continue;
        }
        let Some(bytes) = files.get_mut(name) else { continue };
        let at = at % bytes.len().max(1);
        let word = [step[4], step[5]];
        match step[1] % 8 {
            0 => {
                let flipped = bytes.get(at).copied().unwrap_or(0) ^ word[0].max(1);
                set(bytes, at, &[flipped]);
            }
            1 => set(bytes, at, &word),
            2 => set(bytes, at, &[word[0], word[1], word[0], word[1], word[0], word[1], word[0], word[1]]),
            3 => set(bytes, at, &[0xFF; 8]),
            4 => bytes.truncate(at),
            5 => {
                let end = (at + usize::from(u16::from_le_bytes(word))).min(bytes.len());
                bytes[at..end].fill(0);
            }
            _ => {
                // Bytes of one place turn up at another.
                let from = usize::from(u16::from_le_bytes(word)) % bytes.len().max(1);
                let piece = bytes[from..(from + 128).min(bytes.len())].to_vec();
                set(bytes, at, &piece);
            }
        }
    }
}

fn set(bytes: &mut [u8], at: usize, with: &[u8]) {
    let n = with.len().min(bytes.len().saturating_sub(at));
    if let Some(place) = bytes.get_mut(at..at + n) {
        place.copy_from_slice(&with[..n]);
    }
}

fn key(room: &str) -> Arc<RoomKey> {
    Arc::new(RoomKey::new(Tenant::default(), RoomName::parse(room).expect("it is one")))
}

fn message(room: &RoomKey, n: u64, now: Timestamp) -> Message {
    let channel = if n.is_multiple_of(3) { "dev:x" } else { "main" };
    Message {
        id: MessageId::Ulid(u128::from(n)),
        kind: Kind::Message,
        address: Address {
            room: room.room().clone(),
            channel: ChannelName::parse(channel).expect("it is one"),
        },
        sender: "someone".into(),
        timestamp: now,
        stored_at: now,
        priority: Priority::Normal,
        payload: format!("{{\"n\":{n},\"pad\":\"{}\"}}", "x".repeat((n * 37 % 700) as usize)).into(),
        extras: None,
    }
}

/// Wakes the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

impl Template {
    /// Three segments of three rooms, some of it trimmed.
    fn make() -> Template {
        let world = World::new(3);
        let disk = Arc::new(MemoryDisk::default());
        let opened = EmbeddedLog::open_on(disk.clone(), config(), world.clock.clone(), world.random.clone());
        let (log, _) = opened.expect("an empty folder opens");
        let mut confirmed = Confirmed::new();
        for n in 0..70 {
            let room = ROOMS[(n % 5 % 3) as usize];
            let key = key(room);
            let message = Arc::new(message(&key, n, world.clock.now()));
            let answers = wait(log.append(vec![Append { room: key, message: message.clone() }]));
            let stored = answers.expect("memory takes it").remove(0).expect("it is no duplicate");
            confirmed.insert((room.to_owned(), stored.position), message);
        }
        wait(log.trim(&key("b"), 4)).expect("memory takes it");
        let rules = vec![(
            Pattern::parse("*:dev:*").expect("it is one"),
            Retention { max_records: Some(3), ..Retention::default() },
        )];
        wait(log.retain(&key("a"), rules, world.clock.now())).expect("memory takes it");
        let kept = ROOMS.map(|room| {
            let records =
                walk(&log, &key(room), ReadFrom::Earliest).into_iter().filter_map(|item| match item {
                    LogItem::Record(record) => Some(record.position),
                    LogItem::Gap(_) => None,
                });
            (room, records.collect::<Vec<_>>())
        });
        assert!(kept.iter().all(|(_, positions)| positions.len() > 3), "there is something to be lost");
        // Closed, so that every run begins with the same files.
        wait(log.close()).expect("memory takes it");
        drop(log);
        let files = disk.files();
        let id = files.iter().find(|(name, _)| name.ends_with(".seg")).expect("there are segments").1;
        let log_id = u64::from_le_bytes(*id[8..].first_chunk().expect("a header is longer"));
        Template { files, log_id, confirmed, kept: kept.into() }
    }
}
