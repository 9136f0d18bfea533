//! What users rely on, at the level of the core: the real bus over the memory engine, on a clock the test owns.

// A test's verdict is a panic, and its tasks end with its runtime.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

mod channels;
mod cron;
mod delivery;
mod durable;
mod events;
mod faults;
mod faulty;
mod groups;
mod history;
mod inspected;
mod inspection;
mod messages;
mod omega;
mod questions;
mod reloads;
mod rights;
mod store;
mod together;
mod webhook;
mod world;
