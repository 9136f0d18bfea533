//! Deterministic simulation: the real bus, the real log, the real WebSocket door and the real client library, on a
//! simulated disk, network and clock, all from one seed, judged by an independent model.
//!
//! `run` runs one seed. `world` is time and order; `disk`, `net` and `records` are what can fail; `server` is the
//! machine with an Arqon on it; `actors` are the clients; `director` makes things go wrong and lets them calm down;
//! `judge` knows the promises.
//!
//! Invariant: the same seed gives the same run, to the byte.

pub mod actors;
mod bounds;
pub mod dice;
mod director;
pub mod disk;
pub mod faults;
pub mod judge;
pub mod net;
pub mod plan;
pub mod records;
pub mod regressions;
pub mod run;
pub mod server;
pub mod shrink;
pub mod world;
