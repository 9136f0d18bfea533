//! The fuzz target `json_envelope`: what it holds decoders to is in `src/json_envelope.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| arqon_fuzz::run("json_envelope", data));
