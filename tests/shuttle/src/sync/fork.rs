//! Nobody forks.

/// Always the same process.
pub(crate) fn epoch() -> u32 {
    0
}

/// Nothing to set up.
pub(crate) fn install() -> Result<(), i32> {
    Ok(())
}

/// There is one process.
pub(crate) struct PerProcess<T>(std::sync::OnceLock<T>);

impl<T> PerProcess<T> {
    pub(crate) const fn new() -> PerProcess<T> {
        PerProcess(std::sync::OnceLock::new())
    }

    /// Its value, if it was made.
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.get()
    }

    /// Its value, made if need be.
    pub(crate) fn get_or_make(&self, make: impl FnOnce() -> T) -> Option<&T> {
        Some(self.0.get_or_init(make))
    }
}
