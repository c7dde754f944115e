//! What the tests share: real servers, real data, comparison.

pub(crate) mod compare;
pub(crate) mod fixture;

/// Whether a missing server is a failure, as in CI.
#[expect(clippy::disallowed_methods, reason = "the tests' own switch")]
pub(crate) fn require_all() -> bool {
    std::env::var("REQUIRE_ALL").is_ok_and(|value| value == "1")
}

/// Prints that a test is skipped for want of something, or fails when everything must be there.
#[expect(clippy::print_stdout, reason = "a skip must be seen")]
pub(crate) fn skip(test: &str, what: &str) {
    assert!(!require_all(), "{test} needs {what}");
    println!("SKIPPED {test}: needs {what}");
}
