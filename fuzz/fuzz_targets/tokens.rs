//! The fuzz target `tokens`: what it holds decoders to is in `src/tokens.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| arqon_fuzz::run("tokens", data));
