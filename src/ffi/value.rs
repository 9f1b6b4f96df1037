//! Values
//!
//! A value is null, a bool, a 64-bit integer, a 64-bit floating-point number, a string, bytes or an object. Its kind is
//! what you say it is and never depends on the number. Strings are UTF-8, counted, and may hold NULs.
//!
//! An object is a 64-bit word that means something to its owner only: an index, or a pointer to something of your own.
//! A batcher takes objects of one owner, the one in its options; that number comes from `mb_owner_new`. It holds one
//! reference from acceptance until the result is delivered and every batch that shows it is completed, and then calls
//! `object_release` once. A refused push keeps nothing.

use super::caller::Caller;
use super::ctext::c_names;
use super::guard;
use super::status::mb_status;
use crate::engine::error::Status;
use crate::engine::value::{Kind, Object, Value, new_owner};
use std::ffi::{c_char, c_void};

/// No value.
pub const MB_KIND_NULL: u32 = 0;
/// `as.int64` is 0 or 1.
pub const MB_KIND_BOOL: u32 = 1;
/// `as.int64`.
pub const MB_KIND_INT64: u32 = 2;
/// `as.float64`.
pub const MB_KIND_FLOAT64: u32 = 3;
/// `as.string`: UTF-8.
pub const MB_KIND_STRING: u32 = 4;
/// `as.string`: bytes of any content.
pub const MB_KIND_BYTES: u32 = 5;
/// `as.object`, and `owner`.
pub const MB_KIND_OBJECT: u32 = 6;
/// Only in views of results: a row that has no value.
pub const MB_KIND_NONE: u32 = 254;
/// Only in views: rows of several kinds.
pub const MB_KIND_MIXED: u32 = 255;
/// How many kinds there are.
pub const MB_KINDS: usize = 7;

/// The bytes of a string.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct mb_string {
    /// The first byte; may be NULL if there are none. Not ended by a NUL.
    pub data: *const c_void,
    /// How many.
    pub length: usize,
}

/// An object.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct mb_object {
    /// The word.
    pub word: u64,
    /// Its size in bytes for the byte limits, as you declare it.
    pub size: u64,
}

/// What a value is, by its kind.
#[repr(C)]
#[derive(Clone, Copy)]
pub union mb_value_as {
    /// Integers and bools.
    pub int64: i64,
    /// Floating-point numbers.
    pub float64: f64,
    /// Strings and bytes.
    pub string: mb_string,
    /// Objects.
    pub object: mb_object,
}

/// Any value: 24 bytes, which never change.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct mb_value {
    /// `MB_KIND_*`.
    pub kind: u32,
    /// The owner of an object; of other kinds it is not looked at.
    pub owner: u32,
    /// The value itself.
    pub r#as: mb_value_as,
}

const _: () = assert!(size_of::<mb_value>() == 24 && align_of::<mb_value>() == 8);
const _: () = assert!(std::mem::offset_of!(mb_value, r#as) == 8);
const _: () = assert!(MB_KINDS == Kind::COUNT && MB_KIND_MIXED == Kind::MIXED as u32);

/// The kind of a number from outside.
pub(crate) fn kind(code: u32) -> Result<Kind, Status> {
    u8::try_from(code)
        .ok()
        .and_then(Kind::from_code)
        .ok_or(Status::INVALID_ARGUMENT)
}

/// A bool of a number from outside.
pub(crate) fn truth(number: i64) -> Result<bool, Status> {
    match number {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Status::INVALID_ARGUMENT),
    }
}

impl Caller {
    /// What an `mb_value` says, checked.
    pub(crate) fn value(&self, given: &mb_value) -> Result<Value<'_>, Status> {
        let kind = kind(given.kind)?;
        Ok(match kind {
            Kind::Null => Value::Null,
            Kind::Bool => Value::Bool(truth(given.int64())?),
            Kind::Int64 => Value::Int64(given.int64()),
            Kind::Float64 => Value::Float64(f64::from_bits(given.int64() as u64)),
            Kind::String => {
                let string = given.string();
                Value::String(self.text(string.data, string.length)?)
            }
            Kind::Bytes => {
                let string = given.string();
                Value::Bytes(self.bytes(string.data, string.length)?)
            }
            Kind::Object => {
                let mb_object { word, size } = given.object();
                Value::Object(Object {
                    owner: given.owner,
                    word,
                    size,
                })
            }
        })
    }

    /// The `mb_value` behind a pointer.
    pub(crate) fn value_at(&self, given: *const mb_value) -> Result<Value<'_>, Status> {
        self.value(&self.read(given)?)
    }
}

impl mb_value {
    fn int64(&self) -> i64 {
        // SAFETY: whatever C stored, eight bytes of it are an integer.
        unsafe { self.r#as.int64 }
    }

    fn string(&self) -> mb_string {
        // SAFETY: a pointer and a number may be anything; they are checked before use.
        unsafe { self.r#as.string }
    }

    fn object(&self) -> mb_object {
        // SAFETY: two numbers may be anything.
        unsafe { self.r#as.object }
    }
}

impl From<Value<'_>> for mb_value {
    fn from(value: Value<'_>) -> mb_value {
        let bytes = |bytes: &[u8]| mb_value_as {
            string: mb_string {
                data: bytes.as_ptr().cast(),
                length: bytes.len(),
            },
        };
        // Every byte is written, so that none of this library's memory shows through.
        let number = |int64: i64| {
            let mut all = mb_value_as {
                object: mb_object { word: 0, size: 0 },
            };
            all.int64 = int64;
            all
        };
        let (owner, r#as) = match value {
            Value::Null => (0, number(0)),
            Value::Bool(value) => (0, number(i64::from(value))),
            Value::Int64(value) => (0, number(value)),
            Value::Float64(value) => (0, number(value.to_bits() as i64)),
            Value::String(value) => (0, bytes(value.as_bytes())),
            Value::Bytes(value) => (0, bytes(value)),
            Value::Object(object) => (
                object.owner,
                mb_value_as {
                    object: mb_object {
                        word: object.word,
                        size: object.size,
                    },
                },
            ),
        };
        mb_value {
            kind: u32::from(value.kind().code()),
            owner,
            r#as,
        }
    }
}

c_names!(kind_name: Kind, MB_KIND_NONE = c"none", MB_KIND_MIXED = c"mixed");

/// The name of a kind, for example "int64"; "unknown" for a number that this version does not list. Never NULL.
///
/// Ownership: the text is static. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// Always safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_kind_name(kind: u32) -> *const c_char {
    kind_name(kind)
}

/// A new owner number, which no other owner has in this copy of the library.
///
/// Returns: `MB_OK`; `MB_ERR_INVALID_ARGUMENT` if `owner` is NULL; `MB_ERR_NO_MEMORY` once 2^32 - 1 numbers were given out.
/// Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_owner_new(owner: *mut u32) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let owner = caller.output(owner)?;
            owner.set(new_owner()?);
            Ok(())
        })
    }
}
