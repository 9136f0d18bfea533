//! `Log`: what was published, in the order of each room, for as long as retention keeps it.

use super::StoreError;
use crate::{ChannelName, Gap, Message, Pattern, Position, Record, RoomKey, Tenant, Timestamp};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// One message to append. The log reads `message.producer()` and `message.idempotency_key()` for deduplication.
#[derive(Debug, Clone)]
pub struct Append {
    /// The room; its log is made at the first append.
    pub room: Arc<RoomKey>,
    /// The message, whose `address.room` is this room.
    pub message: Arc<Message>,
}

/// What became of one append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Where it stands; for a duplicate, where the first one stands.
    pub position: Position,
    /// Whether it was stored before and this one was dropped.
    pub duplicate: bool,
}

/// The answer to an append of a batch: one entry for each, in order.
pub type AppendFuture = BoxFuture<'static, Result<Vec<Result<Appended, StoreError>>, StoreError>>;

/// Told of every commit, before the append's future resolves.
pub trait CommitObserver: Send + Sync + 'static {
    /// Records that have just become durable. Called from one thread at a time, in commit order: within a room,
    /// offsets rise without holes over all calls. Must be quick and must not call the log.
    fn committed(&self, records: &[Arc<Record>]);
}

/// Where a read begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFrom {
    /// At the first record kept.
    Earliest,
    /// After this position.
    After(Position),
    /// At the last N records that match.
    Last(usize),
}

/// Which channels of the room a read wants.
#[derive(Debug, Clone)]
pub enum ChannelFilter {
    /// All of them.
    All,
    /// One.
    Exact(ChannelName),
    /// Those that match.
    Matching(Pattern),
}

impl ChannelFilter {
    /// The filter of a pattern inside a room that it matches.
    pub fn of(pattern: &Pattern) -> Self {
        if pattern.is_whole_room() {
            return ChannelFilter::All;
        }
        pattern.only_channel().map_or_else(|| ChannelFilter::Matching(pattern.clone()), ChannelFilter::Exact)
    }

    /// Whether the channel is wanted.
    pub fn wants(&self, channel: &ChannelName) -> bool {
        match self {
            ChannelFilter::All => true,
            ChannelFilter::Exact(name) => name == channel,
            ChannelFilter::Matching(pattern) => pattern.matches_channel(channel),
        }
    }
}

/// A bounded read of one room.
#[derive(Debug, Clone)]
pub struct Read {
    /// The room.
    pub room: Arc<RoomKey>,
    /// Where to begin.
    pub from: ReadFrom,
    /// Which channels.
    pub filter: ChannelFilter,
    /// At most this many records (at least 1).
    pub max_records: usize,
    /// Stop once the records' bytes pass this; one record is always returned if there is one.
    pub max_bytes: usize,
}

/// A record or a hole, in order.
#[derive(Debug, Clone)]
pub enum LogItem {
    /// A record.
    Record(Arc<Record>),
    /// Records that cannot be served.
    Gap(Gap),
}

/// One page of a read.
#[derive(Debug, Clone)]
pub struct Page {
    /// Records and gaps, offsets rising.
    pub items: Vec<LogItem>,
    /// Everything up to here has been looked at: read on with `After(next)`. `None`: the room has no log yet.
    pub next: Option<Position>,
    /// Whether `next` was the end of the log when it was read.
    pub at_end: bool,
}

/// The extent of a room's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Before the first record kept.
    pub start: Position,
    /// The last record (or `start` when there is none).
    pub end: Position,
    /// Records kept.
    pub records: u64,
    /// Bytes kept.
    pub bytes: u64,
}

/// What is known of one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelStat {
    /// Its name.
    pub channel: ChannelName,
    /// Records kept.
    pub records: u64,
    /// When the last one was stored.
    pub last_stored_at: Timestamp,
    /// Where the last one stands.
    pub last: Position,
}

/// How much of a channel to keep; a field that is absent does not limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Not older than this.
    pub max_age: Option<Duration>,
    /// Not more bytes than this, for the whole set of channels that the rule matches in one room.
    pub max_bytes: Option<u64>,
    /// Not more records than this, for the same set.
    pub max_records: Option<u64>,
}

/// Numbers for people and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogStats {
    /// Rooms with a log.
    pub rooms: u64,
    /// Records kept.
    pub records: u64,
    /// Bytes that the files take.
    pub disk_bytes: u64,
    /// Flushes since the start.
    pub flushes: u64,
    /// Holes known to be in the log.
    pub damaged: u64,
}

/// Appends, reads, trims. One log per tenant and room; offsets are contiguous from 1 within a room.
pub trait Log: Send + Sync + 'static {
    /// Queues the batch **at the call**, not at the first poll; calls made one after another keep their order.
    /// Dropping the future does not undo it. Resolves when everything is durable and the observer was told.
    /// An outer error means that nothing of the batch was applied (or `Unknown`); an inner one concerns its entry.
    ///
    /// Deduplication, per room and atomic with the append: a message whose idempotency key was stored in the last
    /// 24 hours, or whose producer's sequence was stored, is not stored again and answers with the first one's
    /// position. A producer's last 1,024 sequences are remembered; one below that window answers `Conflict`.
    ///
    /// Order, per room and producer: after a message was refused for the moment (`Unavailable`, `Unknown`), later sequences
    /// are refused as `Unavailable` until it was stored, unless they were stored before; after 60 s without a retry of the
    /// first that is missing they are taken again. Remembered in memory only.
    fn append(&self, batch: Vec<Append>) -> AppendFuture;

    /// Reads a page. A position of another epoch, or before the first record kept, yields a gap first, never silence;
    /// gaps are yielded whatever the filter wants, unless it is known that nothing in them matches.
    fn read(&self, read: Read) -> BoxFuture<'static, Result<Page, StoreError>>;

    /// The extent of a room's log; `None` when nothing was ever appended.
    fn bounds(&self, room: &RoomKey) -> BoxFuture<'static, Result<Option<Bounds>, StoreError>>;

    /// The rooms of a tenant that have a log, in the order of their names.
    fn rooms(&self, tenant: &Tenant) -> BoxFuture<'static, Result<Vec<RoomKey>, StoreError>>;

    /// The tenants that have a log, in the order of their names.
    fn tenants(&self) -> BoxFuture<'static, Result<Vec<Tenant>, StoreError>>;

    /// The channels of a room that have records, in the order of their names.
    fn channels(&self, room: &RoomKey) -> BoxFuture<'static, Result<Vec<ChannelStat>, StoreError>>;

    /// Removes what the rules do not keep: each channel obeys the first rule that matches it. Idempotent; disk space
    /// comes back in the background.
    fn retain(
        &self,
        room: &RoomKey,
        rules: Vec<(Pattern, Retention)>,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Removes every record of the room up to and including `up_to`; readers below it get a gap. Idempotent.
    fn trim(&self, room: &RoomKey, up_to: u64) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Sets who is told of commits; called once, before the first append.
    fn observe(&self, observer: Arc<dyn CommitObserver>);

    /// Whether an append would be tried now; a sentence if not. Used for readiness.
    fn health(&self) -> Result<(), StoreError>;

    /// Numbers for metrics; cheap.
    fn stats(&self) -> LogStats;

    /// Writes what is open, closes; later calls answer `Closed`.
    fn close(&self) -> BoxFuture<'static, Result<(), StoreError>>;
}
