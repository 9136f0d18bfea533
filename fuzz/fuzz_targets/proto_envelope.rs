//! The fuzz target `proto_envelope`: what it holds decoders to is in `src/proto_envelope.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| arqon_fuzz::run("proto_envelope", data));
