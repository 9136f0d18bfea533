//! The server from outside: one binary for all integration tests.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that fails shall end at once, and owns its tasks"
)]

mod access;
mod cloudevents;
mod config;
mod documents;
mod http;
mod keys;
mod lifecycle;
mod metrics;
mod monitor;
mod rest;
mod site;
mod storage;
mod streams;
mod telemetry;
mod tls;
mod ws;
