//! Looks at a log's folder: which segments are there, which are missing, what each holds. Changes no data.
//!
//! Invariant: a segment that is neither present nor known to be removed is lost, and counts as damage.

use super::confirmed::{self, Confirmed, Slots};
use super::format::{PAGE, SegmentHeader, Tail, parse_name, seed, segment_path, sidecar_path};
use super::merge::records_most;
use super::running;
use super::scan::{self, End, Scan, ScanPart};
use super::shared::unavailable;
use super::sidecar::{self, Contents, Directory, Identity, PartHead};
use super::trims::{self, JournalEnd, TrimState};
use crate::disk::Disk;
use arqon_core::Timestamp;
use arqon_core::port::StoreError;
use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::io;

/// How thoroughly to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Believe sidecars that check; make those again that do not.
    Opening,
    /// Believe sidecars that check; write nothing.
    Reading,
    /// Read every block of every segment; write nothing.
    Everything,
}

/// One segment.
#[derive(Debug)]
pub(crate) struct Found {
    pub id: u64,
    pub generation: u32,
    pub seed: u32,
    /// Whether there is a data file at all.
    pub present: bool,
    /// Whether one of the two headers, at least, can be read.
    pub header: Option<SegmentHeader>,
    pub tail: Tail,
    pub created_at: Timestamp,
    pub max_at: Timestamp,
    pub disk_bytes: u64,
    pub regions: Vec<(u64, u64)>,
    pub heads: Vec<PartHead>,
    /// For the last segment, which goes on being written.
    pub parts: Vec<ScanPart>,
    /// An unfinished block at the end.
    pub torn: Option<(u64, u64)>,
    /// What is wrong with the file as such.
    pub faults: Vec<String>,
    /// Blocks and records that were read, if they were.
    pub read: Option<(u64, u64, u64)>,
}

impl Found {
    /// Whether the log may go on being written in it.
    pub fn is_sound(&self) -> bool {
        self.present
            && self.header.is_some()
            && self.faults.is_empty()
            && self.regions.is_empty()
            && self.generation == 0
            && self.heads.iter().all(|h| h.damaged.is_empty())
    }
}

/// All that was found.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// Absent in an empty folder.
    pub log_id: Option<u64>,
    pub segments: Vec<Found>,
    pub confirmed: Option<Confirmed>,
    pub trims: TrimState,
    /// Where the journal ends, and whether it is harmed.
    pub journal: JournalEnd,
    /// Files that are of no use any more.
    pub strays: Vec<String>,
    /// Records that were confirmed unflushed may be missing at the end.
    pub interrupted: bool,
    /// Files of a log of which nothing says which one it was.
    pub unknown: Vec<String>,
    /// Sidecars of removed segments, kept for deduplication.
    pub ghosts: Vec<(u64, u32, Directory)>,
    /// What is wrong outside of the segments.
    pub faults: Vec<String>,
    /// Bytes of a lost segment, for want of a better figure.
    pub segment_bytes: u64,
}

impl Survey {
    /// The index of the last segment if the log can go on in it.
    pub fn resumed(&self) -> Option<usize> {
        let last = self.segments.len().checked_sub(1)?;
        self.segments[last].is_sound().then_some(last)
    }
}

impl Survey {
    /// Notes the files of a log that nothing is left to name. What was in them is lost to readers, who are to be told.
    fn set_aside(&mut self, names: &Names) {
        let files = |of: &BTreeMap<u64, Vec<u32>>, path: fn(u64, u32) -> String| -> Vec<String> {
            of.iter().flat_map(|(id, generations)| generations.iter().map(move |g| path(*id, *g))).collect()
        };
        self.unknown = files(&names.data, segment_path);
        self.unknown.extend(files(&names.sidecars, sidecar_path));
        self.unknown.extend(names.journals.iter().map(|number| trims::path(*number)));
        if self.unknown.is_empty() {
            return;
        }
        let what = "no file can be read that says which log this was: its files are set aside as `*.unknown`, and the log begins anew";
        self.faults.push(what.to_owned());
        self.segment_bytes = SEGMENT_BYTES;
        self.trims.lost = (names.data.len() as u64 + 1).saturating_mul(records_most(SEGMENT_BYTES));
        self.journal.harmed = true;
    }
}

/// How long segments are where none can be asked.
const SEGMENT_BYTES: u64 = 64 << 20;

struct Names {
    /// Segment → generations, ascending.
    data: BTreeMap<u64, Vec<u32>>,
    sidecars: BTreeMap<u64, Vec<u32>>,
    journals: Vec<u64>,
    strays: Vec<String>,
}

fn names(disk: &dyn Disk) -> io::Result<Names> {
    let mut names =
        Names { data: BTreeMap::new(), sidecars: BTreeMap::new(), journals: Vec::new(), strays: Vec::new() };
    for name in disk.list("log")? {
        if let Some((id, generation, kind)) = parse_name(&name) {
            let map = if kind == "seg" { &mut names.data } else { &mut names.sidecars };
            map.entry(id).or_default().push(generation);
        } else if let Some(number) = trims::parse_name(&name) {
            names.journals.push(number);
        } else if name.ends_with(".tmp") {
            names.strays.push(format!("log/{name}"));
        }
    }
    names.data.values_mut().chain(names.sidecars.values_mut()).for_each(|g| g.sort_unstable());
    Ok(names)
}

/// Looks at the folder.
pub(crate) fn survey(disk: &dyn Disk, depth: Depth) -> Result<Survey, StoreError> {
    take(disk, depth).map_err(|e| unavailable(&format!("the log in {} cannot be opened", disk.name()), e))
}

fn take(disk: &dyn Disk, depth: Depth) -> io::Result<Survey> {
    let mut names = names(disk)?;
    let (confirmed, slots) = confirmed::read(disk);
    let interrupted = running::end_may_be_missing(disk);
    let strays = std::mem::take(&mut names.strays);
    let mut survey = Survey { confirmed, strays, interrupted, ..Survey::default() };
    // One slot of two may be torn at any moment; that is what the other one is for.
    if slots.whole == 0 && !names.data.is_empty() {
        let what = format!(
            "`{}` cannot be read: if the end of the log is damaged too, that passes for an unfinished block; compare with a backup if you have one",
            confirmed::PATH
        );
        survey.faults.push(what);
    }
    let mut headers = BTreeMap::new();
    for (id, generations) in &names.data {
        let (generation, header) = best_generation(disk, *id, generations)?;
        headers.insert(*id, (generation, header));
        survey.strays.extend(generations.iter().filter(|g| **g != generation).map(|g| segment_path(*id, *g)));
    }
    let from_headers = || headers.values().rev().find_map(|(_, h)| h.map(|(h, _)| h.log_id));
    survey.log_id = confirmed.map(|c| c.log_id).or_else(from_headers);
    let from_sidecars = || names.sidecars.iter().find_map(|(id, g)| sidecar::log_id(disk, *id, *g.last()?));
    survey.log_id = survey.log_id.or_else(from_sidecars);
    let Some(log_id) = survey.log_id else {
        survey.set_aside(&names);
        return Ok(survey);
    };
    (survey.trims, survey.journal) = trims::read(disk, log_id, &names.journals)?;
    if survey.journal.harmed {
        let number = survey.journal.number;
        let what = format!("`log/trim.{number}` has damaged entries: some trimmed records may be back");
        survey.faults.push(what);
    }
    let sealed = |from, trims: &TrimState| last_sealed(disk, log_id, names.sidecars.range(from..), trims);
    let newest = newest(&mut survey, &mut headers, sealed);
    let confirmed = survey.confirmed;
    survey.segment_bytes =
        headers.values().filter_map(|(_, h)| h.map(|(h, _)| h.file_len)).max().unwrap_or(SEGMENT_BYTES);
    for id in survey.trims.removed_below.max(1)..=newest {
        if survey.trims.is_removed(id) {
            continue;
        }
        let rewritten = names.sidecars.get(&id).and_then(|generations| generations.last().copied());
        let look = Look { disk, depth, log_id, id, newest, headers: &headers, rewritten, confirmed, slots };
        let found = look.look(&survey)?;
        survey.segments.push(found);
    }
    for id in headers.keys().filter(|id| survey.trims.is_removed(**id)) {
        survey.strays.extend(names.data[id].iter().map(|g| segment_path(*id, *g)));
    }
    for (id, (used, _)) in &headers {
        let unused = names.sidecars.get(id).into_iter().flatten().filter(|g| *g != used);
        survey.strays.extend(unused.map(|g| sidecar_path(*id, *g)));
    }
    for (id, generations) in names.sidecars.iter().filter(|(id, _)| survey.trims.is_removed(**id)) {
        let newest = generations.last().copied().unwrap_or(0);
        let ghost = sidecar::open(disk, Identity { log_id, segment: *id, generation: newest });
        survey.ghosts.extend(ghost.map(|directory| (*id, newest, directory)));
    }
    survey.strays.sort_unstable();
    survey.strays.dedup();
    Ok(survey)
}

/// More segments than this are not missing in a row, unless a readable header says that there were so many: else one
/// wrong number would make the log look for years of files.
const HOLE_MOST: u64 = 10_000;

/// The last segment that has one of these sidecars; 0 where none has. It is enough to know that the segment was there.
fn last_sealed(disk: &dyn Disk, log_id: u64, sidecars: Range<'_, u64, Vec<u32>>, trims: &TrimState) -> u64 {
    let whole = |(segment, generations): &(&u64, &Vec<u32>)| {
        let identity = |generation: &u32| Identity { log_id, segment: **segment, generation: *generation };
        generations.iter().any(|generation| sidecar::open(disk, identity(generation)).is_some())
    };
    let kept = sidecars.rev().filter(|(segment, _)| !trims.is_removed(**segment));
    kept.take(SIDECARS_MOST).find(whole).map_or(0, |(segment, _)| *segment)
}

/// So many sidecars are opened at most to find a whole one.
const SIDECARS_MOST: usize = 100;

/// The number of the newest segment. What names one far beyond those that can be read is not believed, and said.
/// `sealed` answers with the last segment, from one on, that has a sidecar.
fn newest(
    survey: &mut Survey,
    headers: &mut BTreeMap<u64, (u32, Header)>,
    sealed: impl FnOnce(u64, &TrimState) -> u64,
) -> u64 {
    let read = headers.iter().filter(|(_, (_, header))| header.is_some()).map(|(id, _)| *id).max();
    let most = read.unwrap_or(0).max(survey.trims.removed_below).saturating_add(HOLE_MOST);
    let beyond: Vec<u64> = headers.keys().copied().filter(|id| *id > most).collect();
    for id in beyond {
        headers.remove(&id);
        let what =
            format!("segment {id} has no readable header and a number far beyond all others: left alone");
        survey.faults.push(what);
    }
    if let Some(said) = survey.confirmed.take_if(|c| c.tail.segment > most) {
        let what =
            format!("`{}` names segment {}, far beyond all others", confirmed::PATH, said.tail.segment);
        survey.faults.push(what);
    }
    let last = headers.keys().max().copied().unwrap_or(0);
    // A segment gets its sidecar, and may be deleted, after the next one was begun.
    let deleted = survey.trims.removed.last().copied().max(survey.trims.removed_below.checked_sub(1));
    let before = sealed(last, &survey.trims).max(deleted.unwrap_or(0));
    let last = if (last..most).contains(&before) { before + 1 } else { last };
    if before >= most {
        let what = format!("something tells of segment {before}, far beyond all others: not believed");
        survey.faults.push(what);
    }
    last.max(survey.confirmed.map_or(0, |c| c.tail.segment))
}

type Header = Option<(SegmentHeader, bool)>;

fn best_generation(disk: &dyn Disk, id: u64, generations: &[u32]) -> io::Result<(u32, Header)> {
    for generation in generations.iter().rev() {
        let file = disk.open(&segment_path(id, *generation))?;
        let mut page = vec![0; PAGE as usize];
        let n = file.read_at(&mut page, 0)?;
        page.truncate(n);
        if let Some((header, whole)) = SegmentHeader::read(&page)
            && header.segment == id
            && header.generation == *generation
        {
            return Ok((*generation, Some((header, whole))));
        }
    }
    Ok((generations.last().copied().unwrap_or(0), None))
}

struct Look<'a> {
    disk: &'a dyn Disk,
    depth: Depth,
    log_id: u64,
    id: u64,
    newest: u64,
    headers: &'a BTreeMap<u64, (u32, Header)>,
    /// The newest generation of the segment that has a sidecar.
    rewritten: Option<u32>,
    confirmed: Option<Confirmed>,
    /// What is left of the two notes of it.
    slots: Slots,
}

impl Look<'_> {
    fn look(&self, survey: &Survey) -> io::Result<Found> {
        let known = self.headers.get(&self.id);
        let generation = known.map(|(g, _)| *g).or(self.rewritten).unwrap_or(0);
        let header = known.and_then(|(_, h)| *h).filter(|(h, _)| h.log_id == self.log_id);
        let mut found = Found {
            id: self.id,
            generation,
            seed: seed(self.log_id, self.id),
            present: known.is_some(),
            header: header.map(|(h, _)| h),
            tail: Tail { segment: self.id, ..header.map(|(h, _)| h.before).unwrap_or_default() },
            created_at: header.map_or(Timestamp(0), |(h, _)| h.created_at),
            max_at: Timestamp(0),
            disk_bytes: 0,
            regions: Vec::new(),
            heads: Vec::new(),
            parts: Vec::new(),
            torn: None,
            faults: Vec::new(),
            read: None,
        };
        let identity = Identity { log_id: self.log_id, segment: self.id, generation };
        if !found.present {
            found.faults.push("the file is missing".to_owned());
            match sidecar::open(self.disk, identity) {
                Some(directory) => found.believe(directory),
                None => found.regions.push((PAGE, survey.segment_bytes)),
            }
            return Ok(found);
        }
        match header {
            None => found.faults.push("both copies of the header are damaged".to_owned()),
            Some((_, false)) => found.faults.push("one copy of the header is damaged".to_owned()),
            Some((_, true)) => {}
        }
        self.contents(&mut found, identity)?;
        Ok(found)
    }

    fn contents(&self, found: &mut Found, identity: Identity) -> io::Result<()> {
        let file = self.disk.open(&segment_path(self.id, found.generation))?;
        let size = file.size()?;
        found.disk_bytes = size;
        let full = found.header.map_or(size, |h| h.file_len);
        if size != full {
            found.faults.push(format!("the file has {size} bytes instead of {full}"));
        }
        let sealed = self.id < self.newest;
        let sidecar = if sealed { sidecar::open(self.disk, identity) } else { None };
        // A file that was cut is no reason to doubt its sidecar: it says exactly which records are gone.
        let believed = self.depth != Depth::Everything;
        if let Some(directory) = sidecar.as_ref().filter(|d| believed && d.tail.segment == self.id) {
            found.believe(directory.clone());
            return Ok(());
        }
        let before = found.header.map_or(Tail::default(), |h| h.before);
        let end = self.end(found, sidecar.as_ref());
        let mut scan = scan::segment(&*file, found.seed, before, end)?;
        scan.tail.segment = self.id;
        if sealed && let (End::Open(_), Some(torn)) = (end, scan.torn.take()) {
            // The end of a sealed segment is not known; so what cannot be read there may have been confirmed.
            scan.regions.push(torn);
        }
        // No crash makes a file shorter. Where only one note of the confirmed end is left it may be the older one, so that
        // blocks behind it may have been confirmed that were cut off.
        if !sealed && size < full && self.slots.whole < 2 {
            scan.torn = None;
            scan.regions.push((scan.tail.end, full));
        }
        // The newer note may be the one that is unreadable: then what passes for an unfinished block may have been confirmed.
        if !sealed
            && self.slots.harmed > 0
            && let Some(torn) = scan.torn.take()
        {
            scan.regions.push(torn);
        }
        let agrees = scan.regions.is_empty() && scan.lost_records == 0;
        found.take(scan, sealed);
        if let Some(directory) = sidecar.filter(|d| agrees && d.tail == found.tail) {
            // Nothing but the records themselves needed to be looked at; the index on disk saves memory.
            found.believe(directory);
        }
        if sealed && self.depth == Depth::Opening && found.faults.is_empty() {
            self.mend(found, identity);
        }
        if sealed {
            found.parts.clear();
        }
        Ok(())
    }

    /// Where a segment ends, from what comes after it.
    fn end(&self, found: &Found, sidecar: Option<&Directory>) -> End {
        if found.generation > 0 {
            return End::Sealed(found.header.map_or(found.disk_bytes, |h| h.file_len));
        }
        let next = self.headers.get(&(self.id + 1)).and_then(|(_, h)| *h).map(|(h, _)| h.before);
        if let Some(before) = next.filter(|before| before.segment == self.id) {
            return End::Sealed(before.end);
        }
        if let Some(directory) = sidecar {
            return End::Sealed(directory.tail.end);
        }
        match self.confirmed {
            Some(c) if c.tail.segment == self.id => End::Open(c.tail.end),
            _ => End::Open(PAGE),
        }
    }

    /// Writes the sidecar of a sealed segment that had none, so that the next opening is quick again.
    fn mend(&self, found: &mut Found, identity: Identity) {
        let contents = Contents {
            identity,
            tail: found.tail,
            created_at: found.created_at,
            regions: &found.regions,
            parts: found.parts.iter().map(ScanPart::contents).collect(),
        };
        match sidecar::write(self.disk, &contents) {
            Ok(directory) => found.believe(directory),
            Err(error) => tracing::warn!(segment = self.id, %error, "sidecar could not be written"),
        }
    }
}

impl Found {
    fn believe(&mut self, directory: Directory) {
        self.tail = directory.tail;
        self.created_at = directory.created_at;
        self.max_at = directory.max_at;
        self.regions = directory.regions;
        self.heads = directory.parts;
        self.disk_bytes += directory.bytes;
    }

    fn take(&mut self, scan: Scan, sealed: bool) {
        self.tail = scan.tail;
        self.torn = if sealed { None } else { scan.torn };
        self.read = Some((scan.blocks, scan.records, scan.lost_records));
        self.heads = scan.parts.iter().map(|p| PartHead::of(&p.part, &p.dedup)).collect();
        self.max_at = self.heads.iter().map(|h| h.max_at).max().unwrap_or_default();
        self.regions = scan.regions;
        self.parts = scan.parts;
    }
}
