//! Everything that reads `bedrock-converse`. See the crate's `wire`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| autarky_fuzz::wire("bedrock-converse", data));
