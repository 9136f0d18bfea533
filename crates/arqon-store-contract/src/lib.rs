//! The laws that every engine must keep, as a library: an engine's test file is one line per port.
//!
//! ```text
//! mod log { arqon_store_contract::log_contract!(MyLogFactory::new()); }
//! mod records { arqon_store_contract::records_contract!(MyRecordsFactory::new()); }
//! // Engines that outlive the process also:
//! mod log_again { arqon_store_contract::log_reopen_contract!(MyLogFactory::new()); }
//! mod records_again { arqon_store_contract::records_reopen_contract!(MyRecordsFactory::new()); }
//! ```
//!
//! Each macro expands to one test per law, named after it; the factory's expression is evaluated anew for each, so
//! laws share nothing and run in parallel. Invariant: a law asks only what the port's documents promise.

// A law's verdict is a panic, as in any test; this crate is only ever a development dependency.
#![allow(clippy::unwrap_used)]

pub mod log;
pub mod records;
mod world;

pub use log::LogFactory;
pub use records::RecordsFactory;
pub use world::{ManualClock, SeededRandom, TaskSpawner, World};

/// How long a law may take before it counts as hung, in seconds of the real clock: far above what any takes, since
/// the machine may be busy.
pub const LAW_TIMEOUT_SECS: u64 = 180;

/// One test for each of the named laws.
#[doc(hidden)]
#[macro_export]
macro_rules! laws {
    ($factory:expr, $($port:ident :: $group:ident: $($law:ident),+;)+) => { $($(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $law() {
            let factory = $factory;
            let limit = ::std::time::Duration::from_secs($crate::LAW_TIMEOUT_SECS);
            let law = $crate::$port::$group::$law(&factory);
            ::tokio::time::timeout(limit, law).await.expect("the law hung");
        }
    )+)+ };
}

/// The laws of `Log`, for a [`LogFactory`].
#[macro_export]
macro_rules! log_contract {
    ($factory:expr) => {
        $crate::laws! { $factory,
            log::order: calls_keep_their_order, a_dropped_append_is_not_undone, offsets_are_contiguous_per_room,
                parallel_writers_keep_their_own_order, the_observer_sees_each_record_once_before_the_confirm,
                nobody_is_answered_before_the_observer_returns, what_is_read_is_what_was_appended,
                an_empty_batch_is_answered;
            log::pages: pages_visit_each_record_once, a_page_obeys_its_limits, filters_equal_filtering_afterwards,
                last_n_are_the_last_that_match, after_the_end_is_empty_and_at_end, a_reader_follows_the_writer,
                a_room_without_a_log_is_empty;
            log::dedup: a_key_is_stored_once, a_key_is_forgotten_after_a_day, a_sequence_is_stored_once,
                the_window_of_a_producer_has_edges, a_missing_sequence_inside_the_window_is_accepted,
                a_refused_entry_does_not_touch_the_others, rooms_and_tenants_deduplicate_apart,
                parallel_duplicates_are_stored_once;
            log::refusals: what_was_refused_for_the_moment_is_not_overtaken,
                what_is_not_sent_again_holds_back_for_a_minute;
            log::gaps: trimmed_positions_yield_a_gap_then_the_rest, trimming_is_idempotent_and_bounded,
                a_room_trimmed_empty_goes_on, a_foreign_epoch_yields_a_gap, a_position_beyond_the_end_is_not_silent,
                a_position_in_a_room_without_a_log_yields_a_gap;
            log::retention: retention_by_count_keeps_the_newest, retention_by_age_keeps_the_young,
                retention_by_bytes_keeps_the_newest, the_first_rule_that_matches_decides,
                what_retention_removed_is_never_silent;
            log::listing: rooms_and_channels_are_listed_in_order, bounds_tell_the_extent,
                tenants_never_see_each_other, a_closed_log_refuses;
            log::model: random_operations_agree_with_a_model;
        }
    };
}

/// What a `Log` keeps over a restart, for a [`LogFactory`] whose `reopen` answers.
#[macro_export]
macro_rules! log_reopen_contract {
    ($factory:expr) => {
        $crate::laws! { $factory,
            log::reopen: what_was_confirmed_is_there_after_reopening, offsets_and_epochs_go_on_after_reopening,
                what_was_stored_is_not_stored_again_after_reopening, what_was_trimmed_stays_trimmed,
                reopening_many_times_loses_nothing;
        }
    };
}

/// The laws of `Records`, for a [`RecordsFactory`].
#[macro_export]
macro_rules! records_contract {
    ($factory:expr) => {
        $crate::laws! { $factory,
            records::versions: versions_rise_by_one, conditions_decide, a_deleted_document_begins_anew,
                a_batch_is_applied_whole_or_not_at_all, later_writes_of_a_batch_see_earlier_ones,
                one_of_many_wins, increments_in_parallel_are_all_counted;
            records::scans: a_prefix_selects, an_index_selects, an_index_follows_its_document,
                pages_visit_each_once, pages_visit_each_once_while_others_are_written, a_cursor_survives_its_document;
            records::expiry: an_expired_document_is_absent, an_expired_document_begins_anew,
                a_sweep_removes_what_expired, a_renewed_document_is_not_swept, a_scan_leaves_out_what_expired;
            records::shapes: tenants_and_spaces_are_walls, ids_may_hold_odd_bytes, content_may_be_large_or_empty,
                bounds_are_refused, closed_records_refuse;
            records::model: random_writes_agree_with_a_model;
        }
    };
}

/// What `Records` keep over a restart, for a [`RecordsFactory`] whose `reopen` answers.
#[macro_export]
macro_rules! records_reopen_contract {
    ($factory:expr) => {
        $crate::laws! { $factory,
            records::reopen: documents_are_there_after_reopening, indexes_and_expiry_are_there_after_reopening,
                random_writes_and_restarts_agree_with_a_model;
        }
    };
}
