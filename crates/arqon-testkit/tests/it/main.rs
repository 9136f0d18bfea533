//! Scenarios over the whole server in this process, each written once and run over every door.

mod channels;
mod doors;
mod inspection;
mod limits;
mod operators;
mod restart;
mod telemetry;
mod webhooks;
