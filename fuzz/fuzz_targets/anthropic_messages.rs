//! Everything that reads `anthropic-messages`. See the crate's `wire`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| autarky_fuzz::wire("anthropic-messages", data));
