//! The laws of `Log`, on segments of the usual size and on segments so small that every law rolls.

use crate::log_disk::{Faults, FaultyDisk};
use arqon_core::port::Log;
use arqon_store_contract::{LogFactory, World};
use arqon_store_embedded::disk::RealDisk;
use arqon_store_embedded::{EmbeddedLog, LogConfig};
use std::sync::Arc;
use tempfile::TempDir;

struct Embedded {
    dir: TempDir,
    config: LogConfig,
}

impl Embedded {
    fn usual() -> Self {
        Self::with(LogConfig { segment_bytes: 1 << 20, ..LogConfig::default() })
    }

    fn tiny() -> Self {
        Self::with(LogConfig { segment_bytes: 16 << 10, block_records: 16, ..LogConfig::default() })
    }

    fn with(config: LogConfig) -> Self {
        Embedded { dir: tempfile::tempdir().unwrap(), config }
    }
}

impl LogFactory for Embedded {
    fn open(&self, world: &World) -> Arc<dyn Log> {
        let opened =
            EmbeddedLog::open(self.dir.path(), self.config, world.clock.clone(), world.random.clone());
        let (log, report) = opened.unwrap();
        assert_eq!(report.faults, []);
        Arc::new(log)
    }

    fn outlives_process(&self) -> bool {
        true
    }

    fn reopen(&self, world: &World) -> Option<Arc<dyn Log>> {
        Some(self.open(world))
    }
}

mod usual {
    use super::Embedded;
    arqon_store_contract::log_contract!(Embedded::usual());
    arqon_store_contract::log_reopen_contract!(Embedded::usual());
}

/// All but the law whose message does not fit into such a segment.
mod tiny {
    use super::Embedded;
    arqon_store_contract::laws! { Embedded::tiny(),
        log::order: calls_keep_their_order, offsets_are_contiguous_per_room, parallel_writers_keep_their_own_order,
            the_observer_sees_each_record_once_before_the_confirm;
        log::pages: pages_visit_each_record_once, filters_equal_filtering_afterwards,
            last_n_are_the_last_that_match, after_the_end_is_empty_and_at_end, a_reader_follows_the_writer;
        log::dedup: a_key_is_stored_once, a_key_is_forgotten_after_a_day, a_sequence_is_stored_once,
            the_window_of_a_producer_has_edges, parallel_duplicates_are_stored_once;
        log::gaps: trimmed_positions_yield_a_gap_then_the_rest, a_room_trimmed_empty_goes_on,
            a_foreign_epoch_yields_a_gap;
        log::retention: retention_by_count_keeps_the_newest, retention_by_age_keeps_the_young,
            the_first_rule_that_matches_decides, what_retention_removed_is_never_silent;
        log::listing: bounds_tell_the_extent, tenants_never_see_each_other;
        log::model: random_operations_agree_with_a_model;
    }
    arqon_store_contract::log_reopen_contract!(Embedded::tiny());
}

/// The same log on a disk that can refuse.
#[derive(Default)]
struct Troubled {
    embedded: Embedded,
    faults: Arc<Faults>,
}

impl Default for Embedded {
    fn default() -> Self {
        Self::usual()
    }
}

impl LogFactory for Troubled {
    fn open(&self, world: &World) -> Arc<dyn Log> {
        let inner = RealDisk::new(self.embedded.dir.path()).unwrap();
        let disk = Arc::new(FaultyDisk { inner, faults: self.faults.clone() });
        let (clock, random) = (world.clock.clone(), world.random.clone());
        Arc::new(EmbeddedLog::open_on(disk, self.embedded.config, clock, random).unwrap().0)
    }

    fn trouble(&self, on: bool) -> bool {
        self.faults.refuse(on);
        true
    }
}

mod troubled {
    use super::Troubled;
    arqon_store_contract::laws! { Troubled::default(),
        log::refusals: what_was_refused_for_the_moment_is_not_overtaken,
            what_is_not_sent_again_holds_back_for_a_minute;
    }
}
