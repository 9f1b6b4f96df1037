//! Nobody forks.

/// Always the same process.
pub(crate) fn epoch() -> u32 {
    0
}

/// Nothing to set up.
pub(crate) fn install() -> Result<(), i32> {
    Ok(())
}
