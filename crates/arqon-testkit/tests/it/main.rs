//! Scenarios over the whole server in this process, each written once and run over every door.

mod doors;
mod limits;
mod operators;
mod restart;
