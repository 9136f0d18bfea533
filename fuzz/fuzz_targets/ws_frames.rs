//! The fuzz target `ws_frames`: what it holds decoders to is in `src/ws_frames.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| arqon_fuzz::run("ws_frames", data));
