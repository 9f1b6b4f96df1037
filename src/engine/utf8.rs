//! Telling whether bytes are UTF-8, quickly for the short strings that are pushed most and for long ones.

/// Bytes that are looked at and copied without a call.
const SHORT: usize = 32;

/// The bytes as text, if they are UTF-8.
#[inline]
pub(crate) fn utf8(bytes: &[u8]) -> Option<&str> {
    if Short::new(bytes).is_some_and(Short::is_ascii) {
        // SAFETY: ASCII is UTF-8.
        return Some(unsafe { std::str::from_utf8_unchecked(bytes) });
    }
    simdutf8::basic::from_utf8(bytes).ok()
}

/// At most `SHORT` bytes in registers, so that a push needs no call to look at them and to copy them.
#[derive(Clone, Copy)]
pub(crate) struct Short {
    /// The first 16 bytes, zeros behind the end.
    first: u128,
    /// The last 16 bytes; of fewer, all.
    last: u128,
    len: usize,
}

impl Short {
    /// None if they are too many.
    #[inline(always)]
    pub(crate) fn new(bytes: &[u8]) -> Option<Short> {
        let len = bytes.len();
        if len > SHORT {
            return None;
        }
        if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
            let (first, last) = (u128::from_le_bytes(*first), u128::from_le_bytes(*last));
            return Some(Short { first, last, len });
        }
        // Two pieces that may overlap make any length between one and two of them.
        let all = if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
            u128::from(u64::from_le_bytes(*first)) | u128::from(u64::from_le_bytes(*last)) << (8 * len - 64)
        } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
            u128::from(u32::from_le_bytes(*first)) | u128::from(u32::from_le_bytes(*last)) << (8 * len - 32)
        } else {
            bytes.iter().rfold(0, |all, byte| all << 8 | u128::from(*byte))
        };
        Some(Short {
            first: all,
            last: all,
            len,
        })
    }

    #[inline(always)]
    pub(crate) fn is_ascii(self) -> bool {
        const HIGH: u64 = 0x8080_8080_8080_8080;
        let all = self.first | self.last;
        (all as u64 | (all >> 64) as u64) & HIGH == 0
    }

    #[inline(always)]
    pub(crate) fn len(self) -> usize {
        self.len
    }

    /// Bytes of the room that `write` needs.
    #[inline(always)]
    pub(crate) fn room(self) -> usize {
        self.len.max(16)
    }

    /// Writes the bytes to `to`, and zeros behind them up to the 16th.
    ///
    /// # Safety
    /// `room` bytes can be written there.
    #[inline(always)]
    pub(crate) unsafe fn write(self, to: *mut u8) {
        let last = to.wrapping_add(self.room() - 16);
        // SAFETY: there is room for at least 16 bytes.
        unsafe { to.cast::<[u8; 16]>().write_unaligned(self.first.to_le_bytes()) };
        // SAFETY: these are the last 16 of the room.
        unsafe { last.cast::<[u8; 16]>().write_unaligned(self.last.to_le_bytes()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_bytes_are_written_as_they_were() {
        let bytes: Vec<u8> = (1..=SHORT as u8 + 1).collect();
        assert!(Short::new(&bytes).is_none());
        for len in 0..=SHORT {
            let Some(short) = Short::new(&bytes[..len]) else {
                unreachable!("{len} bytes are short");
            };
            let mut place = [0xee; SHORT + 16];
            // SAFETY: the place is longer than any room.
            unsafe { short.write(place.as_mut_ptr()) };
            assert_eq!(place[..len], bytes[..len]);
            assert!(place[len.max(16)..].iter().all(|byte| *byte == 0xee), "{len}");
        }
    }

    #[test]
    fn p03_text_of_any_length_with_one_wrong_byte_anywhere() {
        for len in 0..200 {
            let plain = vec![b'x'; len];
            assert!(utf8(&plain).is_some());
            assert_eq!(Short::new(&plain).is_some_and(Short::is_ascii), len <= SHORT);
            for at in 0..len {
                for byte in [0x80, 0xc3, 0xed, 0xff] {
                    let mut wrong = plain.clone();
                    wrong[at] = byte;
                    assert!(
                        utf8(&wrong).is_none() && !Short::new(&wrong).is_some_and(Short::is_ascii),
                        "{len} {at} {byte:x}"
                    );
                }
                let mut words = plain.clone();
                words.splice(at..at, "\u{e9}\u{20ac}\u{10ffff}\0".bytes());
                assert_eq!(utf8(&words), std::str::from_utf8(&words).ok(), "{len} {at}");
                assert!(utf8(&words).is_some() && !Short::new(&words).is_some_and(Short::is_ascii));
            }
        }
    }
}
