//! The binary as scripts see it, without a server; what needs one stands beside it.

mod exits;
mod help;
