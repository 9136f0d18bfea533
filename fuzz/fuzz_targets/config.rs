//! The fuzz target `config`: what it holds decoders to is in `src/config.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| arqon_fuzz::run("config", data));
