//! Virtual time.

/// The time; reading it takes some.
pub(crate) fn monotonic_ns() -> i64 {
    crate::world::read_clock()
}
