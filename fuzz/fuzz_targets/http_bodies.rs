//! The fuzz target `http_bodies`: what it holds decoders to is in `src/http_bodies.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| arqon_fuzz::run("http_bodies", data));
