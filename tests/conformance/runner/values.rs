//! Values of the API as tokens of a scenario, and back.

use microbatch::{Object, Status, Value};

use crate::model::text::Value as Token;

/// A value of the API as a token; an object keeps its real owner.
pub(super) fn token(value: Value<'_>) -> Token {
    match value {
        Value::Null => Token::Null,
        Value::Bool(value) => Token::Bool(value),
        Value::Int64(value) => Token::Int64(value),
        Value::Float64(value) => Token::Float64(value.to_bits()),
        Value::String(text) => Token::String(text.as_bytes().to_vec()),
        Value::Bytes(bytes) => Token::Bytes(bytes.to_vec()),
        Value::Object(object) => Token::Object {
            owner: object.owner,
            word: object.word,
            size: object.size,
        },
    }
}

/// A token as a value of the API, which has no form for a string that is not UTF-8.
pub(super) fn value(token: &Token) -> Result<Value<'_>, Status> {
    Ok(match token {
        Token::Null => Value::Null,
        Token::Bool(value) => Value::Bool(*value),
        Token::Int64(value) => Value::Int64(*value),
        Token::Float64(bits) => Value::Float64(f64::from_bits(*bits)),
        Token::String(data) => Value::String(std::str::from_utf8(data).map_err(|_| Status::INVALID_UTF8)?),
        Token::Bytes(data) => Value::Bytes(data),
        Token::Object { owner, word, size } => Value::Object(Object {
            owner: *owner,
            word: *word,
            size: *size,
        }),
    })
}
