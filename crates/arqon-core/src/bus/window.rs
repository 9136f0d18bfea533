//! What was stored between two moments. Positions know no time, so the edges of a window are found by halving the log.
//!
//! Invariant: what lies in the window is answered in the order of its room, or named in a gap. Halving takes the times of
//! a room to rise: where the server's clock was set back, an edge that lies in the repeated time may leave some out.

use super::{Bus, Shared};
use crate::port::{Bounds, ChannelFilter, LogItem, Page, Read, ReadFrom};
use crate::{Ctx, Gap, Pattern, Position, Record, Result, RoomKey, Timestamp};
use std::sync::Arc;

/// Between two moments, both excluded; an absent one is open.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Window {
    pub(crate) after: Option<Timestamp>,
    pub(crate) before: Option<Timestamp>,
}

/// Which of the records of a window are wanted, where there are more than so many.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    First(usize),
    Last(usize),
}

/// What lies in a window, oldest first.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) records: Vec<Arc<Record>>,
    /// What could not be served.
    pub(crate) gaps: Vec<Gap>,
    /// Whether there may be more in the window.
    pub(crate) more: bool,
}

/// Records read at once.
const PAGE_RECORDS: usize = 1000;
/// Most bytes of one page, and of one answer.
const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// Gaps named in one answer.
const GAPS_MAX: usize = 100;

impl Bus {
    /// What the caller may read of a pattern and a window. A pattern over many rooms looks at each of them.
    pub(crate) async fn between(
        &self,
        ctx: &Ctx,
        pattern: &Pattern,
        window: Window,
        wanted: Wanted,
    ) -> Result<Found> {
        ctx.require_subscribe(pattern)?;
        let rooms = match pattern.only_room() {
            Some(room) => vec![room],
            None => self.room_names(ctx).await?,
        };
        let filter = ChannelFilter::of(pattern);
        let mut all = Found::default();
        for room in rooms.into_iter().filter(|room| pattern.matches_room(room)) {
            let key = Arc::new(RoomKey::new(ctx.tenant().clone(), room));
            let mut found = self.shared.stored_between(&key, &filter, (window, wanted)).await?;
            found.records.extend(self.shared.kept_between(&key, &filter, window));
            all.add(found, wanted);
        }
        Ok(all)
    }
}

impl Shared {
    /// What the log has of a room.
    async fn stored_between(
        &self,
        key: &Arc<RoomKey>,
        filter: &ChannelFilter,
        (window, wanted): (Window, Wanted),
    ) -> Result<Found> {
        let Some(bounds) = self.log.bounds(key).await? else { return Ok(Found::default()) };
        let search = Search { shared: self, key, filter, window, bounds };
        match wanted {
            Wanted::First(_) => search.walk(search.begin().await?, u64::MAX, wanted).await,
            Wanted::Last(limit) => search.last(limit).await,
        }
    }

    /// What a room keeps in memory only.
    fn kept_between(&self, key: &RoomKey, filter: &ChannelFilter, window: Window) -> Vec<Arc<Record>> {
        let Some(room) = self.rooms.find(key) else { return Vec::new() };
        let state = room.state();
        let Some(lane) = &state.lane else { return Vec::new() };
        let mut records = lane.latest(filter, usize::MAX);
        records.retain(|record| window.wants(record.message.stored_at));
        records
    }
}

impl Window {
    fn wants(&self, at: Timestamp) -> bool {
        self.after.is_none_or(|after| at > after) && !self.is_over(at)
    }

    fn is_over(&self, at: Timestamp) -> bool {
        self.before.is_some_and(|before| at >= before)
    }
}

impl Found {
    /// Takes what was found in another place.
    fn add(&mut self, other: Found, wanted: Wanted) {
        self.records.extend(other.records);
        self.records.sort_by_key(|record| record.message.stored_at);
        self.gaps.extend(other.gaps);
        self.gaps.truncate(GAPS_MAX);
        self.more |= other.more;
        self.cut(wanted);
    }

    /// Leaves out what is more than wanted, or more than one answer should hold.
    fn cut(&mut self, wanted: Wanted) {
        let mut bytes = 0;
        let fits = |record: &&Arc<Record>| {
            bytes += record.message.weight();
            bytes <= PAGE_BYTES
        };
        let records = self.records.iter();
        let fitting = match wanted {
            Wanted::First(limit) => records.take(limit).take_while(fits).count(),
            Wanted::Last(limit) => records.rev().take(limit).take_while(fits).count(),
        };
        // One is answered, however large it is.
        let count = fitting.max(1).min(self.records.len());
        let surplus = self.records.len() - count;
        self.more |= surplus > 0;
        match wanted {
            Wanted::First(_) => self.records.truncate(count),
            Wanted::Last(_) => drop(self.records.drain(..surplus)),
        }
    }
}

/// The search through the log of one room.
struct Search<'a> {
    shared: &'a Shared,
    key: &'a Arc<RoomKey>,
    filter: &'a ChannelFilter,
    window: Window,
    bounds: Bounds,
}

impl Search<'_> {
    /// Whether every offset of the log is of one history. Only then can it be halved: elsewhere nobody knows the epoch of
    /// an offset before it was read.
    fn is_one_history(&self) -> bool {
        self.bounds.start.epoch == self.bounds.end.epoch
    }

    fn after(&self, offset: u64) -> ReadFrom {
        ReadFrom::After(Position::new(self.bounds.end.epoch, offset))
    }

    /// Where the window begins.
    async fn begin(&self) -> Result<ReadFrom> {
        match self.window.after {
            Some(after) if self.is_one_history() => Ok(self.after(self.edge(|at| at > after).await?)),
            _ => Ok(ReadFrom::Earliest),
        }
    }

    /// The last of the window.
    async fn last(&self, limit: usize) -> Result<Found> {
        let wanted = Wanted::Last(limit);
        let Some(before) = self.window.before else {
            // The log itself knows the last ones of a channel.
            return self.walk(ReadFrom::Last(limit.saturating_add(1)), u64::MAX, wanted).await;
        };
        if !self.is_one_history() {
            return self.walk(ReadFrom::Earliest, u64::MAX, wanted).await;
        }
        let end = self.edge(|at| at >= before).await?;
        let least = match self.window.after {
            Some(after) => self.edge(|at| at > after).await?,
            None => self.bounds.start.offset,
        };
        // Further and further back, until there are enough of what the filter wants.
        let mut step = limit as u64 + 1;
        loop {
            let begin = end.saturating_sub(step).max(least);
            let mut found = self.walk(self.after(begin), end, wanted).await?;
            if begin <= least || found.records.len() >= limit || found.more {
                found.more |= begin > least;
                return Ok(found);
            }
            step = step.saturating_mul(8);
        }
    }

    /// Reads from a place to the end of the window, or up to an offset.
    async fn walk(&self, mut from: ReadFrom, up_to: u64, wanted: Wanted) -> Result<Found> {
        let mut found = Found::default();
        loop {
            let page = self.read(from, self.filter.clone(), PAGE_RECORDS).await?;
            let mut is_over = page.at_end;
            for item in page.items {
                match item {
                    LogItem::Gap(gap) => found.gaps.push(gap),
                    LogItem::Record(record) => {
                        let at = record.message.stored_at;
                        is_over |= record.position.offset > up_to || self.window.is_over(at);
                        if record.position.offset <= up_to && self.window.wants(at) {
                            found.records.push(record);
                        }
                    }
                }
            }
            found.gaps.truncate(GAPS_MAX);
            found.cut(wanted);
            let has_enough = found.more && matches!(wanted, Wanted::First(_));
            match page.next {
                Some(next) if !is_over && !has_enough => from = ReadFrom::After(next),
                _ => return Ok(found),
            }
        }
    }

    /// The last offset whose record is not beyond an edge; all behind it are.
    async fn edge(&self, is_beyond: impl Fn(Timestamp) -> bool) -> Result<u64> {
        let (mut low, mut high) = (self.bounds.start.offset, self.bounds.end.offset);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.first_after(middle).await? {
                Some((offset, at)) if !is_beyond(at) => low = offset,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// The first record behind an offset, and when it was stored.
    async fn first_after(&self, offset: u64) -> Result<Option<(u64, Timestamp)>> {
        let mut from = self.after(offset);
        loop {
            let page = self.read(from, ChannelFilter::All, 1).await?;
            let record = page.items.iter().find_map(|item| match item {
                LogItem::Record(record) => Some((record.position.offset, record.message.stored_at)),
                LogItem::Gap(_) => None,
            });
            match (record, page.next) {
                (None, Some(next)) if !page.at_end => from = ReadFrom::After(next),
                (found, _) => return Ok(found),
            }
        }
    }

    async fn read(&self, from: ReadFrom, filter: ChannelFilter, max_records: usize) -> Result<Page> {
        let read = Read { room: self.key.clone(), from, filter, max_records, max_bytes: PAGE_BYTES };
        Ok(self.shared.log.read(read).await?)
    }
}
