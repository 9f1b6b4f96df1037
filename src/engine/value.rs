//! Values, their kinds and weights, and the small coded words that travel with them.

use super::error::Status;

/// Defines an enum from its one table of variants, codes and names.
///
/// Codes are the numbers of the C header: hand-given and never reused.
macro_rules! coded {
    (
        $(#[$meta:meta])*
        $type:ident: $repr:ident {
            $($(#[$variant_meta:meta])* $variant:ident = $code:literal, $name:literal;)+
        }
    ) => {
        $(#[$meta])*
        #[repr($repr)]
        #[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $type {
            $($(#[$variant_meta])* $variant = $code,)+
        }

        impl $type {
            /// Every variant, in order of code.
            pub const ALL: &'static [$type] = &[$($type::$variant),+];

            /// The number in the C header.
            pub const fn code(self) -> $repr {
                self as $repr
            }

            /// The variant with this number.
            pub const fn from_code(code: $repr) -> Option<$type> {
                match code {
                    $($code => Some($type::$variant),)+
                    _ => None,
                }
            }

            /// The name in lower case.
            pub const fn name(self) -> &'static str {
                match self {
                    $($type::$variant => $name,)+
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}
pub(crate) use coded;

coded! {
    /// What sort of thing a value is. It never depends on the number a value holds (P2).
    Kind: u8 {
        /// No value.
        Null = 0, "null";
        /// True or false.
        Bool = 1, "bool";
        /// A signed 64-bit integer.
        Int64 = 2, "int64";
        /// A 64-bit floating-point number.
        Float64 = 3, "float64";
        /// UTF-8 text, NULs allowed.
        String = 4, "string";
        /// Bytes of any content.
        Bytes = 5, "bytes";
        /// A word that only its owner can read.
        Object = 6, "object";
    }
}

impl Kind {
    /// How many kinds there are; codes run from 0 to one less.
    pub const COUNT: usize = 7;

    /// The code a view shows when its rows are of several kinds. No single value has it.
    pub const MIXED: u8 = 255;
}

coded! {
    /// Why a batch sealed (P7).
    Trigger: u8 {
        /// It held `max_batch_size` values.
        Size = 1, "size";
        /// The next value would have passed `max_batch_bytes`.
        Bytes = 2, "bytes";
        /// Its first value was `max_delay` old.
        Delay = 3, "delay";
        /// `max_delay` is 0 and a slot was free.
        Idle = 4, "idle";
        /// A push had found no room.
        Full = 5, "full";
        /// Somebody called seal or flush.
        Flush = 6, "flush";
        /// The batcher was closed.
        Close = 7, "close";
    }
}

coded! {
    /// How a value ended (P15).
    Outcome: u8 {
        /// The handler answered with a value.
        Ok = 0, "ok";
        /// The handler failed it, with a code and a message.
        Failed = 1, "failed";
        /// Its deadline or the handler's time-out passed.
        Expired = 2, "expired";
        /// It was cancelled while it waited.
        Cancelled = 3, "cancelled";
        /// It was given up, for room or at the end of close.
        Discarded = 4, "discarded";
    }
}

coded! {
    /// Whether a handler ever saw the value, hence whether pushing it again can do something twice (P15).
    Handled: u8 {
        /// No handler saw it.
        No = 0, "no";
        /// A handler had it and did not answer.
        Maybe = 1, "maybe";
        /// A handler had it and answered.
        Yes = 2, "yes";
    }
}

/// A 64-bit word that only its owner, one language side of one batcher, can read.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    /// The owner's number; a batcher takes only objects of its own owner.
    pub owner: u32,
    /// The word; the engine never looks into it.
    pub word: u64,
    /// The declared size in bytes, counted by the byte limits.
    pub size: u64,
}

/// One value, borrowed from whoever holds its bytes.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// No value.
    Null,
    /// True or false.
    Bool(bool),
    /// A signed 64-bit integer.
    Int64(i64),
    /// A 64-bit floating-point number.
    Float64(f64),
    /// UTF-8 text, NULs allowed.
    String(&'a str),
    /// Bytes of any content.
    Bytes(&'a [u8]),
    /// A word that only its owner can read.
    Object(Object),
}

impl<'a> Value<'a> {
    /// What every value weighs before its string, bytes or declared size: its 8-byte cell.
    pub const CELL_WEIGHT: u64 = 8;

    /// The value's kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Value::Null => Kind::Null,
            Value::Bool(_) => Kind::Bool,
            Value::Int64(_) => Kind::Int64,
            Value::Float64(_) => Kind::Float64,
            Value::String(_) => Kind::String,
            Value::Bytes(_) => Kind::Bytes,
            Value::Object(_) => Kind::Object,
        }
    }

    /// What the value counts in every byte limit, in bytes (P8): 8, plus the length of its string or bytes,
    /// or its object's declared size.
    pub const fn weight(&self) -> u64 {
        let extra = match self {
            Value::String(text) => text.len() as u64,
            Value::Bytes(bytes) => bytes.len() as u64,
            Value::Object(object) => object.size,
            Value::Null | Value::Bool(_) | Value::Int64(_) | Value::Float64(_) => 0,
        };
        Value::CELL_WEIGHT.saturating_add(extra)
    }

    /// Whether this is null.
    pub const fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The bool, if it is one.
    pub const fn as_bool(&self) -> Option<bool> {
        match *self {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The integer, if it is one.
    pub const fn as_int64(&self) -> Option<i64> {
        match *self {
            Value::Int64(value) => Some(value),
            _ => None,
        }
    }

    /// The floating-point number, if it is one. Integers are not converted.
    pub const fn as_float64(&self) -> Option<f64> {
        match *self {
            Value::Float64(value) => Some(value),
            _ => None,
        }
    }

    /// The text, if it is a string.
    pub const fn as_str(&self) -> Option<&'a str> {
        match *self {
            Value::String(value) => Some(value),
            _ => None,
        }
    }

    /// The bytes, if it is bytes. Strings are not converted.
    pub const fn as_bytes(&self) -> Option<&'a [u8]> {
        match *self {
            Value::Bytes(value) => Some(value),
            _ => None,
        }
    }

    /// The object, if it is one.
    pub const fn as_object(&self) -> Option<Object> {
        match *self {
            Value::Object(value) => Some(value),
            _ => None,
        }
    }

    /// The integer as an int64, or OUT_OF_RANGE if it does not fit; never rounded, never wrapped.
    pub fn from_integer(integer: impl TryInto<i64>) -> Result<Value<'a>, Status> {
        integer
            .try_into()
            .map(Value::Int64)
            .map_err(|_| Status::OUT_OF_RANGE)
    }
}

impl From<()> for Value<'_> {
    fn from((): ()) -> Self {
        Value::Null
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

/// Number types that always fit.
macro_rules! from_numbers {
    ($($type:ty => $variant:ident),+) => {
        $(impl From<$type> for Value<'_> {
            fn from(value: $type) -> Self {
                Value::$variant(value.into())
            }
        })+
    };
}
from_numbers!(i8 => Int64, i16 => Int64, i32 => Int64, i64 => Int64, u8 => Int64, u16 => Int64, u32 => Int64);
from_numbers!(f32 => Float64, f64 => Float64);

/// Integer types that may not fit.
macro_rules! try_from_integers {
    ($($type:ty),+) => {
        $(impl TryFrom<$type> for Value<'_> {
            type Error = Status;

            fn try_from(value: $type) -> Result<Self, Status> {
                Value::from_integer(value)
            }
        })+
    };
}
try_from_integers!(u64, usize, isize, i128, u128);

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Value::String(value)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(value: &'a String) -> Self {
        Value::String(value)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(value: &'a [u8]) -> Self {
        Value::Bytes(value)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Value<'a> {
    fn from(value: &'a [u8; N]) -> Self {
        Value::Bytes(value)
    }
}

impl<'a> From<&'a Vec<u8>> for Value<'a> {
    fn from(value: &'a Vec<u8>) -> Self {
        Value::Bytes(value)
    }
}

impl From<Object> for Value<'_> {
    fn from(value: Object) -> Self {
        Value::Object(value)
    }
}

/// `None` is null.
impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// The next owner number of this copy of the library.
pub(crate) fn new_owner() -> Result<u32, Status> {
    use crate::sync::atomic::{AtomicU32, Ordering};
    static LAST: AtomicU32 = AtomicU32::new(0);
    // SYNC: Relaxed; the numbers order nothing, they only differ.
    LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| last.checked_add(1))
        .map(|last| last + 1)
        .map_err(|_| Status::NO_MEMORY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p01_codes_are_fixed_and_round_trip() {
        let names: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(
            names,
            ["null", "bool", "int64", "float64", "string", "bytes", "object"]
        );
        for (code, kind) in (0..).zip(Kind::ALL) {
            assert_eq!(kind.code(), code);
            assert_eq!(Kind::from_code(code), Some(*kind));
        }
        assert_eq!(Kind::ALL.len(), Kind::COUNT);
        assert_eq!(Kind::from_code(7), None);
        assert_eq!(Kind::from_code(Kind::MIXED), None);

        assert_eq!(Trigger::from_code(0), None);
        assert_eq!(
            (Trigger::Size.code(), Trigger::Close.code(), Trigger::ALL.len()),
            (1, 7, 7)
        );
        assert_eq!((Outcome::Ok.code(), Outcome::Discarded.code()), (0, 4));
        assert_eq!(
            (Handled::No.code(), Handled::Maybe.code(), Handled::Yes.code()),
            (0, 1, 2)
        );
        assert_eq!(Trigger::Delay.to_string(), "delay");
    }

    #[test]
    fn p08_a_value_weighs_its_cell_and_its_content() {
        for value in [
            Value::Null,
            true.into(),
            i64::MIN.into(),
            f64::NAN.into(),
            "".into(),
            b"".into(),
        ] {
            assert_eq!(value.weight(), 8);
        }
        assert_eq!(Value::from("h\u{e9}\0").weight(), 12);
        assert_eq!(Value::from(&[1u8, 2, 3]).weight(), 11);
        let object = |size| {
            Value::Object(Object {
                owner: 1,
                word: 2,
                size,
            })
            .weight()
        };
        assert_eq!(object(0), 8);
        assert_eq!(object(100), 108);
        assert_eq!(object(u64::MAX), u64::MAX);
    }

    #[test]
    fn p02_the_kind_follows_the_type_and_never_the_number() {
        assert_eq!(Value::from(1i32), Value::Int64(1));
        assert_eq!(Value::from(u32::MAX), Value::Int64(4_294_967_295));
        assert_eq!(Value::from(1f32), Value::Float64(1.0));
        assert_eq!(Value::from(()).kind(), Kind::Null);
        assert_eq!(Value::from(None::<i64>), Value::Null);
        assert_eq!(Value::from(Some("x")), Value::String("x"));
        assert_eq!(
            Value::try_from(9_223_372_036_854_775_807u64),
            Ok(Value::Int64(i64::MAX))
        );
        assert_eq!(
            Value::try_from(9_223_372_036_854_775_808u64),
            Err(Status::OUT_OF_RANGE)
        );
        assert_eq!(
            Value::try_from(i128::from(i64::MIN) - 1),
            Err(Status::OUT_OF_RANGE)
        );
        assert_eq!(Value::try_from(u128::MAX), Err(Status::OUT_OF_RANGE));
        assert_eq!(Value::from_integer(5usize), Ok(Value::Int64(5)));
    }

    #[test]
    fn p03_extremes_keep_every_bit() {
        for bits in [
            0,
            1,
            1 << 63,
            0x7ff0_0000_0000_0000,
            0x7ff8_0000_0000_0001,
            0x000f_ffff_ffff_ffff,
        ] {
            let back = Value::from(f64::from_bits(bits)).as_float64().map(f64::to_bits);
            assert_eq!(back, Some(bits));
        }
        assert_eq!(Value::from(i64::MIN).as_int64(), Some(i64::MIN));
        assert_eq!(Value::from("\0\u{1f600}").as_str(), Some("\0\u{1f600}"));
        assert_eq!(Value::from("x").as_bytes(), None);
        assert_eq!(Value::from(1).as_float64(), None);
    }
}
