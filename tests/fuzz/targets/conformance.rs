#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| microbatch_fuzz::targets::conformance::run(data));
