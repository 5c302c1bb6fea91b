//! What must not compile, each for its reason: `ui/*.stderr` is what the compiler says.
//!
//! `TRYBUILD=overwrite cargo test -p annona-tests --test ui` writes the reasons anew after a change of toolchain: read them.

#[test]
fn does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
