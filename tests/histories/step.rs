//! The steps of random histories.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::value::{float64, int64, string, tag, text, value};

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// As it stands.
    Plain(String),
    /// Another producer, where there is one.
    Producer,
    Push {
        value: String,
        tag: u64,
        deadline: Option<i64>,
        owned: bool,
    },
    PushMany {
        form: &'static str,
        tags: Tags,
        values: Vec<String>,
        deadline: Option<i64>,
        owned: bool,
    },
    Advance(i64),
    FlushEnd(Index),
    /// What is done with one of the held batches, and the row it is for.
    Held(Index, Index, &'static str, String),
}

#[derive(Clone, Debug)]
pub(super) enum Tags {
    From(u64),
    Each(Vec<u64>),
}

fn later() -> impl Strategy<Value = i64> + Clone {
    select(vec![-3_i64, 0, 1, 3, 5, 10, 40, 120])
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let plain = |choices: &'static [&'static str]| text(choices).prop_map(Step::Plain);
    let push = (value(), tag(), weighted(0.15, later()), prop::bool::weighted(0.2)).prop_map(
        |(value, tag, deadline, owned)| Step::Push {
            value,
            tag,
            deadline,
            owned,
        },
    );
    let column = prop_oneof![
        3 => vec(prop_oneof![5 => int64(), 1 => Just("null".to_owned())], 0..7)
            .prop_map(|values| ("int64s", values)),
        2 => vec(prop_oneof![5 => float64(), 1 => Just("null".to_owned())], 0..6)
            .prop_map(|values| ("float64s", values)),
        2 => (any::<bool>(), vec(prop_oneof![5 => string(), 1 => Just("null".to_owned())], 0..6))
            .prop_map(|(large, values)| (if large { "large_strings" } else { "strings" }, values)),
        2 => vec(value(), 0..6).prop_map(|values| ("values", values)),
    ];
    let tags = prop_oneof![
        (0_u64..6).prop_map(Tags::From),
        vec(tag(), 7).prop_map(Tags::Each)
    ];
    let push_many = (column, tags, weighted(0.1, later()), prop::bool::weighted(0.2)).prop_map(
        |((form, values), tags, deadline, owned)| Step::PushMany {
            form,
            tags,
            values,
            deadline,
            owned,
        },
    );
    let held = (
        any::<Index>(),
        any::<Index>(),
        prop_oneof![
            4 => Just(("complete", String::new())),
            1 => Just(("complete_ok", String::new())),
            2 => Just(("free", String::new())),
            2 => Just(("keep", String::new())),
            2 => Just(("complete_next", String::new())),
            2 => Just(("echo", String::new())),
            2 => value().prop_map(|value| ("set", value)),
            1 => Just(("fail", "4 type words".to_owned())),
            1 => Just(("fail_all", "5 type words".to_owned())),
            1 => (0_u64..4).prop_map(|count| ("set_int64s", format!("{count} 1"))),
        ],
    )
        .prop_map(|(held, row, (action, rest))| Step::Held(held, row, action, rest));
    let asked = prop_oneof![
        (value()).prop_map(|value| Step::Plain(format!("check {value}"))),
        plain(&["stats", "now", "next_due", "room"]),
    ];
    let map = (
        prop_oneof![
            vec(int64(), 0..6).prop_map(|values| ("int64s", values)),
            vec(
                prop_oneof![int64(), float64(), text(&["null", "string:x", "bytes:%FE"])],
                0..6
            )
            .prop_map(|values| ("values", values)),
        ],
        select(vec!["size", "batches"]),
        1_u64..5,
    )
        .prop_map(|((form, values), rule, number)| {
            Step::Plain(format!("map {form} {rule} {number} {}", values.join(" ")))
        });
    prop_oneof![
        12 => push,
        5 => push_many,
        7 => plain(&["run"]),
        5 => later().prop_map(Step::Advance),
        4 => held,
        3 => asked,
        2 => plain(&["seal", "flush", "flush_begin"]),
        1 => any::<Index>().prop_map(Step::FlushEnd),
        2 => tag().prop_map(|tag| Step::Plain(format!("cancel {tag}"))),
        2 => plain(&["next_batch"]),
        2 => plain(&["next_results"]),
        1 => map,
        1 => Just(Step::Producer),
        1 => weighted(0.3, select(vec!["close 0", "close 4", "close 30", "close forever", "free"]))
            .prop_map(|ending| Step::Plain(ending.unwrap_or("run").to_owned())),
    ]
}
