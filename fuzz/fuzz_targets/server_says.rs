//! The fuzz target `server_says`: what it holds decoders to is in `src/server_says.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| arqon_fuzz::run("server_says", data));
