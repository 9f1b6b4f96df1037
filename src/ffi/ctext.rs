//! Text for C, ending with NUL: packed at compile time from the tables of the engine, or made when asked for.

use std::ffi::c_char;

/// A byte buffer that is filled at compile time.
pub(crate) struct Packed<const N: usize> {
    bytes: [u8; N],
    used: usize,
}

impl<const N: usize> Packed<N> {
    /// An empty one.
    pub(crate) const fn new() -> Packed<N> {
        Packed {
            bytes: [0; N],
            used: 0,
        }
    }

    /// Adds text and a NUL.
    pub(crate) const fn text(self, text: &str) -> Packed<N> {
        self.piece(text).end()
    }

    /// Adds text that goes on.
    pub(crate) const fn piece(mut self, text: &str) -> Packed<N> {
        let text = text.as_bytes();
        let mut at = 0;
        while at < text.len() {
            assert!(text[at] != 0, "the text would end early");
            self.bytes[self.used] = text[at];
            self.used += 1;
            at += 1;
        }
        self
    }

    /// Ends the text.
    pub(crate) const fn end(mut self) -> Packed<N> {
        // The buffer began as zeros.
        self.used += 1;
        self
    }

    /// The bytes, all of which must be used.
    pub(crate) const fn finish(self) -> [u8; N] {
        assert!(self.used == N, "the buffer has another size than the text");
        self.bytes
    }
}

/// Hands out the texts of a packed buffer one after another, as pointers.
pub(crate) struct Unpacking {
    rest: &'static [u8],
}

impl Unpacking {
    /// From the first text on.
    pub(crate) const fn of(bytes: &'static [u8]) -> Unpacking {
        Unpacking { rest: bytes }
    }

    /// The next text.
    pub(crate) const fn next(&mut self) -> *const c_char {
        let text = self.rest.as_ptr().cast::<c_char>();
        let mut end = 0;
        while self.rest[end] != 0 {
            end += 1;
        }
        (_, self.rest) = self.rest.split_at(end + 1);
        text
    }
}

/// A function from the codes of a type of the engine to their names, as text for C; "unknown" for any other code.
macro_rules! c_names {
    ($function:ident: $type:ident $(, $code:ident = $name:literal)*) => {
        fn $function(code: u32) -> *const std::ffi::c_char {
            const BYTES: usize = {
                let (mut bytes, mut at) = (0, 0);
                while at < $type::ALL.len() {
                    bytes += $type::ALL[at].name().len() + 1;
                    at += 1;
                }
                bytes
            };
            static TEXT: [u8; BYTES] = {
                let mut text = crate::ffi::ctext::Packed::<BYTES>::new();
                let mut at = 0;
                while at < $type::ALL.len() {
                    text = text.text($type::ALL[at].name());
                    at += 1;
                }
                text.finish()
            };
            $(if code == $code {
                return $name.as_ptr();
            })*
            let mut texts = crate::ffi::ctext::Unpacking::of(&TEXT);
            for one in $type::ALL {
                let name = texts.next();
                if u32::from(one.code()) == code {
                    return name;
                }
            }
            c"unknown".as_ptr()
        }
    };
}
pub(crate) use c_names;

/// A copy of text that ends with NUL; NULs inside it stay.
pub(crate) struct CText(Vec<u8>);

impl CText {
    /// None if memory ran out.
    pub(crate) fn copy(text: &str) -> Option<CText> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(text.len() + 1).ok()?;
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
        Some(CText(bytes))
    }

    /// The text; valid as long as this lives.
    pub(crate) fn as_ptr(&self) -> *const c_char {
        self.0.as_ptr().cast()
    }

    /// Its length without the NUL.
    pub(crate) fn len(&self) -> usize {
        self.0.len() - 1
    }
}
