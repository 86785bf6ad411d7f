//! Bytes to frames. See the crate's `frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| autarky_fuzz::frames(data));
