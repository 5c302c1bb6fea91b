#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    annona_tests::fuzzing::run("slot_bucket", data);
});
