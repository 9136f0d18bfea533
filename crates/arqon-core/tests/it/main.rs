//! What users rely on, at the level of the core: the real bus over the memory engine, on a clock the test owns.

mod delivery;
mod durable;
mod messages;
mod rights;
mod together;
mod world;
