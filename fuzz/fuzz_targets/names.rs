//! The fuzz target `names`: what it holds decoders to is in `src/names.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| arqon_fuzz::run("names", data));
