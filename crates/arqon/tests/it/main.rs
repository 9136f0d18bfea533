//! The binary as scripts see it: without a server, and end to end with one that is killed and damaged.

mod bench;
mod e2e;
mod exits;
mod help;
mod inspect;
