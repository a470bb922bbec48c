//! See `proxies` in `tests/it/properties/parsers.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pktcat_fuzz::proxies(bytes));
