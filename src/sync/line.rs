//! Cache lines: what one core writes does not slow down another that reads beside it, if it is on another line.

/// Bytes of a line.
pub(crate) const LINE: usize = 64;

/// Bytes from the end of a part of so many to the next line, where the part begins one.
pub(crate) const fn rest_of_line(bytes: usize) -> usize {
    bytes.next_multiple_of(LINE) - bytes
}
