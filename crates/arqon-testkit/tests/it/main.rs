//! Scenarios over the whole server in this process, each written once and run over every door.

mod channels;
mod commands;
mod doors;
mod inspection;
mod limits;
mod operators;
mod reasons;
mod restart;
mod telemetry;
mod webhooks;
