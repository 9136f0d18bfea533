//! Looks at a log without opening it: what is whole, what is fenced off, where and why; and prints all of it.
//!
//! Invariant: nothing is opened for writing, and damage stops nothing: what is whole is shown, the rest is named. What a
//! server writes meanwhile is not taken for damage (`looks`).

mod looks;

pub use looks::User;

use super::engine::{Fault, LOCK};
use super::format::segment_path;
use super::merge::{Merged, merge};
use super::read;
use super::rooms::Assembly;
use super::shared::Shared;
use super::survey::{Depth, Survey, survey};
use crate::disk::{Disk, RealDisk};
use arqon_core::port::{ChannelFilter, LogItem, Read, ReadFrom, StoreError, StoreErrorKind};
use arqon_core::record::Epoch;
use arqon_core::{Gap, GapReason, Pattern, Position, RoomKey, Tenant};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// Memory for indexes while a log is printed.
const CACHE: usize = 32 << 20;

/// One segment of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentCheck {
    /// Its number.
    pub id: u64,
    /// Its file, inside the data folder.
    pub file: String,
    /// Whether the file is there.
    pub present: bool,
    /// Bytes of its files.
    pub bytes: u64,
    /// Where its data ends.
    pub end: u64,
    /// Whole blocks.
    pub blocks: u64,
    /// Records that are whole, trimmed or not.
    pub records: u64,
    /// Records whose place is known and whose content is damaged.
    pub damaged_records: u64,
    /// Rooms that are mentioned in it.
    pub rooms: usize,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
}

/// One room of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomCheck {
    /// Which.
    pub room: RoomKey,
    /// Its histories, oldest first: the epoch, and the offset that it begins at.
    pub epochs: Vec<(Epoch, u64)>,
    /// Before the first record kept.
    pub start: Position,
    /// The last offset.
    pub end: Position,
    /// Records kept.
    pub records: u64,
    /// Offsets that cannot be served, as ranges.
    pub damaged: Vec<(u64, u64)>,
    /// More may be lost behind the end: the next opening begins a new epoch.
    pub in_doubt: bool,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// The segments, oldest first, the missing ones included.
    pub segments: Vec<SegmentCheck>,
    /// The rooms, by tenant and name.
    pub rooms: Vec<RoomCheck>,
    /// An unfinished block at the end, which was never confirmed: the segment, and its bytes. The next opening cuts it.
    pub torn_tail: Option<(u64, u64)>,
    /// What is wrong outside of the segments.
    pub faults: Vec<Fault>,
    /// Whoever uses the log at this moment. What is damaged was then found twice, and an unfinished block is none.
    pub user: Option<User>,
}

impl CheckReport {
    /// Whether everything that was confirmed is whole.
    pub fn is_whole(&self) -> bool {
        self.faults.is_empty()
            && self.segments.iter().all(|s| s.faults.is_empty())
            && self.rooms.iter().all(|r| r.damaged.is_empty() && !r.in_doubt)
    }
}

/// Reads every block of the log in `dir`, also while a server uses it.
pub fn check(dir: &Path) -> Result<CheckReport, StoreError> {
    let disk = Arc::new(existing(dir)?);
    // Where it cannot be told, nobody is taken to be there: what is found then is what the folder has.
    let user = || disk.user(LOCK).ok().flatten().map(|pid| User { pid });
    looks::settle(&mut || check_on(disk.clone()), &user)
}

/// The same on any disk, which nobody uses.
pub fn check_on(disk: Arc<dyn Disk>) -> Result<CheckReport, StoreError> {
    let survey = survey(&*disk, Depth::Everything)?;
    let mut report = CheckReport {
        faults: survey
            .faults
            .iter()
            .map(|what| Fault { file: "log".to_owned(), what: what.clone() })
            .collect(),
        segments: segments(&survey),
        ..CheckReport::default()
    };
    report.torn_tail = survey.segments.last().and_then(|f| f.torn.map(|(from, to)| (f.id, to - from)));
    let (shared, doubts) = open(&disk, &survey)?;
    for (key, doubt) in doubts {
        let Some(room) = shared.room(&key) else { continue };
        let view = room.view();
        report.rooms.push(RoomCheck {
            epochs: view.lineage.spans().iter().map(|s| (s.epoch, s.first)).collect(),
            start: view.lineage.position(view.floor),
            end: view.lineage.position(view.end),
            records: view.totals.records,
            damaged: view.damaged.iter().filter(|d| d.1 > view.floor).copied().collect(),
            in_doubt: doubt > 0,
            room: key,
        });
    }
    Ok(report)
}

fn existing(dir: &Path) -> Result<RealDisk, StoreError> {
    if dir.join("log").is_dir() {
        return Ok(RealDisk::read_only(dir));
    }
    Err(StoreError::new(StoreErrorKind::Refused, format!("there is no log in {}", dir.display())))
}

fn segments(survey: &Survey) -> Vec<SegmentCheck> {
    let each = survey.segments.iter().map(|found| {
        let (blocks, records, damaged_records) = found.read.unwrap_or_default();
        SegmentCheck {
            id: found.id,
            file: segment_path(found.id, found.generation),
            present: found.present,
            bytes: found.disk_bytes,
            end: found.tail.end,
            blocks,
            records,
            damaged_records,
            rooms: found.heads.len(),
            faults: found.faults(),
        }
    });
    each.collect()
}

/// The rooms as readers would see them, and how much of each may be lost behind its end.
fn open(disk: &Arc<dyn Disk>, survey: &Survey) -> Result<(Arc<Shared>, BTreeMap<RoomKey, u64>), StoreError> {
    let rooms = merge(survey);
    let doubts = rooms.iter().map(|(key, room): (&RoomKey, &Merged)| (key.clone(), room.doubt)).collect();
    let shared = Arc::new(Shared::new(disk.clone(), survey.log_id.unwrap_or(0), CACHE));
    Assembly::build(&shared, survey, rooms, None)?;
    Ok((shared, doubts))
}

/// What to print of a log.
#[derive(Debug, Clone, Default)]
pub struct DumpFilter {
    /// Only this tenant.
    pub tenant: Option<Tenant>,
    /// Only what matches.
    pub pattern: Option<Pattern>,
}

/// One line of a dump: a record, which carries its room and position, or a hole.
pub type DumpItem = LogItem;

/// Shows everything that the log in `dir` keeps, room by room in the order of their names, until `sink` has enough.
pub fn dump(
    dir: &Path,
    filter: &DumpFilter,
    sink: &mut dyn FnMut(DumpItem) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    dump_on(Arc::new(existing(dir)?), filter, sink)
}

/// The same on any disk.
pub fn dump_on(
    disk: Arc<dyn Disk>,
    filter: &DumpFilter,
    sink: &mut dyn FnMut(DumpItem) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let survey = survey(&*disk, Depth::Reading)?;
    let (shared, doubts) = open(&disk, &survey)?;
    drop(survey);
    for (key, doubt) in doubts {
        let wanted = filter.tenant.as_ref().is_none_or(|tenant| tenant == key.tenant())
            && filter.pattern.as_ref().is_none_or(|pattern| pattern.matches_room(key.room()));
        if !wanted {
            continue;
        }
        let channels = filter.pattern.as_ref().map_or(ChannelFilter::All, ChannelFilter::of);
        if dump_room(&shared, (Arc::new(key), doubt), channels, sink)?.is_break() {
            break;
        }
    }
    Ok(())
}

fn dump_room(
    shared: &Shared,
    (room, doubt): (Arc<RoomKey>, u64),
    filter: ChannelFilter,
    sink: &mut dyn FnMut(DumpItem) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, StoreError> {
    let mut read =
        Read { room: room.clone(), from: ReadFrom::Earliest, filter, max_records: 1000, max_bytes: 1 << 20 };
    loop {
        let page = read::page(shared, &read)?;
        for item in page.items {
            if sink(item).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        match page.next {
            Some(next) if !page.at_end => read.from = ReadFrom::After(next),
            Some(end) if doubt > 0 => {
                let to = Position::new(end.epoch, end.offset + doubt);
                return Ok(sink(LogItem::Gap(Gap { room, from: Some(end), to, reason: GapReason::Damaged })));
            }
            _ => return Ok(ControlFlow::Continue(())),
        }
    }
}
