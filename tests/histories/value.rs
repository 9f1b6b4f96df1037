//! Values and tags of random histories, as the words of a scenario.

use proptest::prelude::*;
use proptest::sample::select;

pub(super) fn text(choices: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    select(choices).prop_map(str::to_owned)
}

pub(super) fn int64() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        4 => (-3_i64..10).prop_map(|number| format!("int64:{number}")),
        1 => text(&["int64:9223372036854775807", "int64:-9223372036854775808"]),
    ]
}

pub(super) fn float64() -> impl Strategy<Value = String> + Clone {
    text(&[
        "float64:3ff0000000000000",
        "float64:8000000000000000",
        "float64:7ff8000000000001",
        "float64:0000000000000001",
        "float64:fff0000000000000",
    ])
}

pub(super) fn string() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        6 => text(&[
            "string:",
            "string:a",
            "string:text",
            "string:%00",
            "string:%C3%A9",
            "string:sixteen_bytes_it",
            "string:%F0%9F%98%80",
        ]),
        1 => text(&["string:%FF", "string:ok%C3"]),
    ]
}

pub(super) fn value() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        5 => int64(),
        2 => float64(),
        3 => string(),
        1 => text(&["null", "bool:0", "bool:1"]),
        1 => text(&["bytes:", "bytes:%FF%00", "bytes:abcdefghijklmnopqrstuvwx"]),
        2 => object(),
    ]
}

pub(super) fn object() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        5 => (1_u64..5, select(vec![0_u64, 4, 20]))
            .prop_map(|(word, size)| format!("object:1/{word}/{size}")),
        1 => text(&["object:2/9/0", "object:0/9/0"]),
    ]
}

pub(super) fn tag() -> impl Strategy<Value = u64> + Clone {
    prop_oneof![6 => 0_u64..6, 1 => Just(u64::MAX)]
}
