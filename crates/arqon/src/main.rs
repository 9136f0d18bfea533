//! `arqon`: the server and everything that a terminal can do with it.
//!
//! Boundary: commands speak to a server through `arqon-client` only; `serve` and `config` alone know the server's crate,
//! and `log` reads a data folder without one.
//! Invariant: exit codes are 0 done, 1 failed, 2 used wrongly, 3 refused, 4 not reachable, 5 a promise found broken (by
//! `torture` alone); standard output carries results and nothing else.

mod commands;
mod connect;
mod failure;
mod options;
mod progress;
mod show;
mod terminal;
mod usage;

use std::process::ExitCode;

/// Many small allocations that live briefly, on several threads: what this allocator is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match usage::read() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    match commands::run(&cli) {
        Ok(code) => code,
        Err(failure) => failure.report(cli.global.json),
    }
}
