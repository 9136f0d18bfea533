//! The fuzz target `log_parts`: what it holds decoders to is in `src/log_parts.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| arqon_fuzz::run("log_parts", data));
