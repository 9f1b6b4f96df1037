//! The tokens of a scenario: values and escaped strings.

/// Names of the kinds, by kind code.
pub(crate) const KINDS: [&str; 7] = ["null", "bool", "int64", "float64", "string", "bytes", "object"];

/// A value; a float is its bits, so that equality is exact.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int64(i64),
    Float64(u64),
    String(Vec<u8>),
    Bytes(Vec<u8>),
    Object { owner: u32, word: u64, size: u64 },
}

impl Value {
    /// Reads `kind:payload`.
    pub(crate) fn parse(token: &str) -> Value {
        let (kind, text) = token.split_once(':').unwrap_or((token, ""));
        match kind {
            "null" => Value::Null,
            "bool" => Value::Bool(text == "1"),
            "int64" => Value::Int64(text.parse().expect("a decimal int64")),
            "float64" => Value::Float64(u64::from_str_radix(text, 16).expect("16 hex digits")),
            "string" => Value::String(unescape(text)),
            "bytes" => Value::Bytes(unescape(text)),
            "object" => {
                let mut field = text
                    .split('/')
                    .map(|part| part.parse::<u64>().expect("owner/word/size"));
                let mut next = || field.next().expect("owner/word/size");
                Value::Object {
                    owner: next() as u32,
                    word: next(),
                    size: next(),
                }
            }
            _ => panic!("no kind {kind}"),
        }
    }

    /// Writes what `parse` reads; of an object only its word, which is all a reader sees of it.
    pub(crate) fn show(&self) -> String {
        match self {
            Value::Null => "null".to_owned(),
            Value::Bool(value) => format!("bool:{}", u8::from(*value)),
            Value::Int64(value) => format!("int64:{value}"),
            Value::Float64(bits) => format!("float64:{bits:016x}"),
            Value::String(data) => format!("string:{}", escape(data)),
            Value::Bytes(data) => format!("bytes:{}", escape(data)),
            Value::Object { word, .. } => format!("object:{word}"),
        }
    }

    pub(crate) fn kind(&self) -> usize {
        match self {
            Value::Null => 0,
            Value::Bool(_) => 1,
            Value::Int64(_) => 2,
            Value::Float64(_) => 3,
            Value::String(_) => 4,
            Value::Bytes(_) => 5,
            Value::Object { .. } => 6,
        }
    }

    /// What the value weighs in every limit.
    pub(crate) fn weight(&self) -> u64 {
        let size = match self {
            Value::String(data) | Value::Bytes(data) => data.len() as u64,
            Value::Object { size, .. } => *size,
            _ => 0,
        };
        size.saturating_add(8)
    }
}

/// Letters, digits, `_` and `.` stand for themselves; any other byte is `%` and two hex digits.
pub(crate) fn escape(data: &[u8]) -> String {
    let mut text = String::new();
    for &byte in data {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.' {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// The bytes of an escaped string.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut data = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let digits = std::str::from_utf8(&rest[..2]).expect("two hex digits");
            data.push(u8::from_str_radix(digits, 16).expect("two hex digits"));
            rest = &rest[2..];
        } else {
            data.push(byte);
        }
    }
    data
}

/// A message or type name in a trace: `-` stands for the empty one.
pub(crate) fn escape_or_dash(data: &[u8]) -> String {
    if data.is_empty() {
        "-".to_owned()
    } else {
        escape(data)
    }
}

/// A message or type name in a scenario.
pub(crate) fn unescape_or_dash(text: &str) -> Vec<u8> {
    if text == "-" { Vec::new() } else { unescape(text) }
}

/// The number after `key=`.
pub(crate) fn option(words: &[impl AsRef<str>], key: &str) -> Option<i64> {
    let found = words
        .iter()
        .find_map(|word| word.as_ref().strip_prefix(key)?.strip_prefix('='));
    found.map(|text| text.parse().expect("a number"))
}
