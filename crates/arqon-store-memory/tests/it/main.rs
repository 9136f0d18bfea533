//! The memory engine under the laws of its ports, and what is its own.

// What a test cannot go on without, it may fail on, also in the functions that tests share.
#![allow(clippy::unwrap_used)]

mod bounds;

use arqon_core::port::{Log, Records};
use arqon_store_contract::World;
use arqon_store_memory::{MemoryLog, MemoryRecords};
use std::sync::Arc;

fn open_log(world: &World) -> Arc<dyn Log> {
    Arc::new(MemoryLog::new(world.clock.clone(), world.random.clone()))
}

fn open_records(_: &World) -> Arc<dyn Records> {
    Arc::new(MemoryRecords::new())
}

mod log {
    arqon_store_contract::log_contract!(super::open_log);
}

mod records {
    arqon_store_contract::records_contract!(super::open_records);
}
