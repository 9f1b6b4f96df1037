//! What callbacks of random histories do.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;

use super::value::{int64, tag, text, value};

fn set_of_row() -> impl Strategy<Value = String> + Clone {
    value().prop_map(|value| format!("set 0 {value}"))
}

/// One row, or all of them, failed; `type` stands for a type's name.
fn failing() -> impl Strategy<Value = String> + Clone {
    text(&[
        "fail 0 7 type why",
        "fail 0 9 type -",
        "fail_all 8 type because",
        "fail_all 3 type -",
    ])
}

fn setting() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        6 => text(&["echo", "double"]),
        2 => set_of_row(),
        1 => (0_u64..4, 0_u64..50).prop_map(|(count, first)| format!("set_int64s {count} {first}")),
        2 => failing(),
    ]
}

/// Steps of callbacks; where `quiet`, none that gives the callback something more to be called for.
fn nested(quiet: bool) -> BoxedStrategy<String> {
    let asking = text(&[
        "room",
        "seal",
        "stats",
        "now",
        "run",
        "flush",
        "flush_begin",
        "advance 1000000",
        "next_batch",
        "next_results",
    ]);
    let ending = prop_oneof![
        3 => (1_usize..5, select(vec!["complete", "complete_ok", "free", "set 0 int64:5"]))
            .prop_map(|(held, action)| format!("h{held} {action}")),
        1 => text(&["close 0", "close 5", "close forever"]),
        1 => Just("free".to_owned()),
    ];
    let step = if quiet {
        prop_oneof![4 => asking, 1 => ending].boxed()
    } else {
        let taking = prop_oneof![
            (value(), tag()).prop_map(|(value, tag)| format!("push {value} {tag}")),
            (vec(int64(), 1..4), tag()).prop_map(|(values, tag)| format!(
                "push_many int64s {} {}",
                tag % 6,
                values.join(" ")
            )),
            tag().prop_map(|tag| format!("cancel {tag}")),
        ];
        prop_oneof![2 => asking, 2 => taking, 1 => ending].boxed()
    };
    step.prop_map(|step| format!("do {step}")).boxed()
}

/// What one call of a handler does.
fn handling(quiet: bool) -> impl Strategy<Value = Vec<String>> {
    let returning = weighted(0.15, select(vec!["return 5", "return 6"]).prop_map(str::to_owned));
    (
        vec(prop_oneof![3 => setting(), 1 => nested(quiet)], 0..3),
        any::<bool>(),
        weighted(0.25, Just("keep".to_owned())),
        weighted(0.15, nested(quiet)),
        returning,
    )
        .prop_map(|(mut actions, echoes, keeps, after, returns)| {
            if echoes {
                actions.insert(0, "echo".to_owned());
            }
            actions.extend(keeps);
            actions.extend(after);
            actions.extend(returns);
            actions
        })
}

/// What the calls of a handler do; the last one, which stays, pushes nothing, or histories would grow without end.
pub(super) fn handling_calls() -> impl Strategy<Value = Vec<Vec<String>>> {
    (vec(handling(false), 0..3), handling(true)).prop_map(|(mut lines, last)| {
        lines.push(last);
        lines
    })
}

/// The same for on_result and on_release, which would call themselves for ever.
pub(super) fn calling_back() -> impl Strategy<Value = Vec<Vec<String>>> {
    (vec(vec(nested(false), 0..2), 0..3), weighted(0.3, nested(true))).prop_map(|(mut lines, last)| {
        lines.push(last.into_iter().collect());
        lines
    })
}
