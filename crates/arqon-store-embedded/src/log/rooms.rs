//! Makes the readers' views of all rooms from what was found, with what retention removed left out.

use super::merge::Merged;
use super::part::ChannelPart;
use super::room::{Room, RoomView, Run, Segment};
use super::shared::Shared;
use super::sidecar::{DedupSource, PartHead};
use super::survey::{Found, Survey};
use arqon_core::RoomKey;
use arqon_core::port::StoreError;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};

/// A room, and where its deduplication data is.
pub(crate) struct AssembledRoom {
    pub room: Arc<Room>,
    pub dedup: Vec<(Arc<Segment>, DedupSource)>,
}

/// All rooms and segments.
pub(crate) struct Assembly {
    pub segments: BTreeMap<u64, Arc<Segment>>,
    pub rooms: Vec<AssembledRoom>,
}

fn segment(found: &Found) -> Arc<Segment> {
    let damaged = !found.regions.is_empty()
        || !found.faults.is_empty()
        || found.heads.iter().any(|h| !h.damaged.is_empty());
    Arc::new(Segment {
        id: found.id,
        generation: found.generation,
        seed: found.seed,
        created_at: found.created_at,
        used: AtomicU64::new(found.tail.end),
        disk_bytes: AtomicU64::new(found.disk_bytes),
        live_records: AtomicU64::new(0),
        live_bytes: AtomicU64::new(0),
        damaged: AtomicBool::new(damaged),
        max_at: AtomicU64::new(found.max_at.0),
    })
}

impl Assembly {
    /// Builds the views and adds them to `shared`. The parts of the segment `resumed` are counted, but not among the
    /// runs: the engine goes on with them.
    pub fn build(
        shared: &Arc<Shared>,
        survey: &Survey,
        merged: BTreeMap<RoomKey, Merged>,
        resumed: Option<usize>,
    ) -> Result<Assembly, StoreError> {
        let all: Vec<Arc<Segment>> = survey.segments.iter().map(segment).collect();
        let mut ghosts = ghost_dedup(shared, survey);
        let mut rooms = Vec::with_capacity(merged.len());
        for (key, merged) in merged {
            let mut view = RoomView::new(merged.lineage);
            view.end = merged.end;
            let mut news = 0;
            for (from, to) in merged.damaged {
                news += u64::from(view.add_damage(from, to));
            }
            shared.counters.damaged.fetch_add(news, Relaxed);
            if let Some(trim) = survey.trims.rooms.get(&key) {
                view.floor = trim.floor;
                view.channel_floors = trim.channels.clone();
            }
            let mut dedup = ghosts.remove(&key).unwrap_or_default();
            for (i, j) in merged.heads {
                let head = &survey.segments[i].heads[j];
                count(shared, &mut view, &all[i], head)?;
                if resumed == Some(i) {
                    continue;
                }
                view.add_run(&all[i], head);
                dedup.extend(head.dedup.clone().map(|source| (all[i].clone(), source)));
            }
            let room = Arc::new(Room::new(merged.key, view));
            shared.add_room(room.clone());
            rooms.push(AssembledRoom { room, dedup });
        }
        super::engine::count_disk(shared, survey);
        let present = survey.segments.iter().zip(all).filter(|(found, _)| found.present);
        Ok(Assembly { segments: present.map(|(found, segment)| (found.id, segment)).collect(), rooms })
    }
}

/// Deduplication data of segments that are removed, by room.
fn ghost_dedup(shared: &Shared, survey: &Survey) -> BTreeMap<RoomKey, Vec<(Arc<Segment>, DedupSource)>> {
    let mut ghosts: BTreeMap<RoomKey, Vec<(Arc<Segment>, DedupSource)>> = BTreeMap::new();
    for (id, generation, directory) in &survey.ghosts {
        let segment = Arc::new(Segment {
            id: *id,
            generation: *generation,
            seed: super::format::seed(shared.log_id, *id),
            created_at: directory.created_at,
            used: AtomicU64::new(directory.tail.end),
            disk_bytes: AtomicU64::new(directory.bytes),
            live_records: AtomicU64::new(0),
            live_bytes: AtomicU64::new(0),
            damaged: AtomicBool::new(false),
            max_at: AtomicU64::new(directory.max_at.0),
        });
        for head in &directory.parts {
            if let Some(source) = &head.dedup {
                ghosts.entry((*head.key).clone()).or_default().push((segment.clone(), source.clone()));
            }
        }
    }
    ghosts
}

/// Counts what is kept of a part.
fn count(
    shared: &Shared,
    view: &mut RoomView,
    segment: &Arc<Segment>,
    head: &PartHead,
) -> Result<(), StoreError> {
    let mut kept: Vec<ChannelPart> = Vec::with_capacity(head.channels.len());
    let mut partly = false;
    for channel in &head.channels {
        let floor = view.floor_of(&channel.name);
        partly |= channel.first <= floor && floor < channel.last;
        let none = ChannelPart { records: 0, bytes: 0, ..channel.clone() };
        kept.push(if floor < channel.first { channel.clone() } else { none });
    }
    if partly {
        let run =
            Run { segment: segment.clone(), source: head.source.clone(), first: head.first, last: head.last };
        let section = shared.section(&run, &head.key)?;
        if section.damaged {
            // The room cannot be found by its key yet, so the damage is noted here.
            let news = view.add_damage(head.first, head.last);
            shared.counters.damaged.fetch_add(u64::from(news), Relaxed);
        }
        let floors: Vec<u64> = section.channels.iter().map(|name| view.floor_of(name)).collect();
        let was_whole: Vec<bool> = kept.iter().map(|c| c.records > 0).collect();
        for (offset, slot) in section.slots.from(0) {
            let c = slot.channel as usize;
            if was_whole.get(c).copied().unwrap_or(true) || offset <= floors[c] {
                continue;
            }
            if kept[c].records == 0 {
                kept[c].first = offset;
            }
            kept[c].records += 1;
            kept[c].bytes += slot.bytes();
        }
    }
    for part in kept.iter().filter(|part| part.records > 0) {
        let place = view.totals.place(&part.name);
        view.totals.add(place, part);
        segment.live_records.fetch_add(part.records, Relaxed);
        segment.live_bytes.fetch_add(part.bytes, Relaxed);
        shared.counters.records.fetch_add(part.records, Relaxed);
    }
    Ok(())
}
