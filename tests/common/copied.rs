//! Values that outlive their batch.

use super::*;

/// A copy of a value; floats are compared by their bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Copied {
    Null,
    Bool(bool),
    Int64(i64),
    Float64(u64),
    String(String),
    Bytes(Vec<u8>),
    Object(Object),
}

impl From<Value<'_>> for Copied {
    fn from(value: Value<'_>) -> Copied {
        match value {
            Value::Null => Copied::Null,
            Value::Bool(value) => Copied::Bool(value),
            Value::Int64(value) => Copied::Int64(value),
            Value::Float64(value) => Copied::Float64(value.to_bits()),
            Value::String(text) => Copied::String(text.to_owned()),
            Value::Bytes(bytes) => Copied::Bytes(bytes.to_vec()),
            Value::Object(object) => Copied::Object(object),
        }
    }
}

/// `int(5)`: what an int64 value is copied to.
pub(crate) fn int(value: i64) -> Copied {
    Copied::Int64(value)
}

/// `text("x")`: what a string value is copied to.
pub(crate) fn text(value: &str) -> Copied {
    Copied::String(value.to_owned())
}

/// Values and tags of a batch, to compare with: `ints(&[1, 2])`.
pub(crate) fn ints(values: &[i64]) -> Vec<Copied> {
    values.iter().copied().map(Copied::Int64).collect()
}
