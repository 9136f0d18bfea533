//! The load generator as whole runs, against a server that can lie.

mod checked;
mod floor;
mod liar;
