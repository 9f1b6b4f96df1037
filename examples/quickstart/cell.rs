//! A cell of the CSV file as the value it is.

use microbatch::Value;

/// An integer, nothing (`NA` in this file), or text.
pub(crate) fn parse(cell: &str) -> Value<'_> {
    match cell.parse() {
        Ok(number) => Value::Int64(number),
        Err(_) if cell.is_empty() || cell == "NA" => Value::Null,
        Err(_) => Value::String(cell),
    }
}

/// A value as people read it.
pub(crate) fn show(value: Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Int64(number) => number.to_string(),
        Value::Float64(number) => format!("{number:?}"),
        Value::String(text) => format!("\"{text}\""),
        other => format!("{other:?}"),
    }
}
