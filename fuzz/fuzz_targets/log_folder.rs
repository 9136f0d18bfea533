//! The fuzz target `log_folder`: what it holds decoders to is in `src/log_folder.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| arqon_fuzz::run("log_folder", data));
