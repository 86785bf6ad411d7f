//! Everything that reads `cohere-v2`. See the crate's `wire`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| autarky_fuzz::wire("cohere-v2", data));
