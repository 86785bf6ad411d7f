//! Everything that reads `openai-chat`. See the crate's `wire`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| autarky_fuzz::wire("openai-chat", data));
