#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ai_api_proxy_fuzz::properties::requests::check(data));
