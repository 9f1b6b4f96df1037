//! Random histories: what proptest draws, and how it becomes a scenario of `tests/conformance/`.
//!
//! A history is drawn without knowing what will happen in it. [`write`] plays it on the reference model line by line
//! and so turns "the second held batch" or "5 ns later" into the names and numbers that fit by then; what does not fit
//! is left out. So every part of a history can be taken away and what is left still makes sense: that is how a failure
//! is made shorter.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::model::Session;

/// A random scenario.
#[derive(Clone, Debug)]
pub(crate) struct History {
    options: Vec<(&'static str, &'static str)>,
    has_owner: bool,
    handlers: Vec<(&'static str, Vec<Vec<String>>)>,
    /// The host that pulls has handlers for these kinds.
    pulls: Vec<&'static str>,
    on_result: Option<Vec<Vec<String>>>,
    on_release: Vec<Vec<String>>,
    steps: Vec<Step>,
}

/// A scenario, and the trace that the model gives.
pub(crate) struct Written {
    pub(crate) scenario: String,
    pub(crate) trace: String,
}

/// What the runner can do that is not for every language.
#[derive(Clone, Copy)]
pub(crate) struct Can {
    pub(crate) own: bool,
    pub(crate) name_types: bool,
    pub(crate) free_in_callbacks: bool,
    /// Callbacks can still call the batcher that is being freed, and complete what was completed.
    pub(crate) use_stale_handles: bool,
}

#[derive(Clone, Debug)]
enum Step {
    /// As it stands.
    Plain(String),
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
enum Tags {
    From(u64),
    Each(Vec<u64>),
}

fn text(choices: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    select(choices).prop_map(str::to_owned)
}

// ---- values ----

fn int64() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        4 => (-3_i64..10).prop_map(|number| format!("int64:{number}")),
        1 => text(&["int64:9223372036854775807", "int64:-9223372036854775808"]),
    ]
}

fn float64() -> impl Strategy<Value = String> + Clone {
    text(&[
        "float64:3ff0000000000000",
        "float64:8000000000000000",
        "float64:7ff8000000000001",
        "float64:0000000000000001",
        "float64:fff0000000000000",
    ])
}

fn string() -> impl Strategy<Value = String> + Clone {
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

fn value() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        5 => int64(),
        2 => float64(),
        3 => string(),
        1 => text(&["null", "bool:0", "bool:1"]),
        1 => text(&["bytes:", "bytes:%FF%00", "bytes:abcdefghijklmnopqrstuvwx"]),
        2 => object(),
    ]
}

fn object() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        5 => (1_u64..5, select(vec![0_u64, 4, 20]))
            .prop_map(|(word, size)| format!("object:1/{word}/{size}")),
        1 => text(&["object:2/9/0", "object:0/9/0"]),
    ]
}

fn tag() -> impl Strategy<Value = u64> + Clone {
    prop_oneof![6 => 0_u64..6, 1 => Just(u64::MAX)]
}

// ---- callbacks ----

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
fn handling_calls() -> impl Strategy<Value = Vec<Vec<String>>> {
    (vec(handling(false), 0..3), handling(true)).prop_map(|(mut lines, last)| {
        lines.push(last);
        lines
    })
}

/// The same for on_result and on_release, which would call themselves for ever.
fn calling_back() -> impl Strategy<Value = Vec<Vec<String>>> {
    (vec(vec(nested(false), 0..2), 0..3), weighted(0.3, nested(true))).prop_map(|(mut lines, last)| {
        lines.push(last.into_iter().collect());
        lines
    })
}

// ---- options ----

fn options() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let option = |likely: f64, name: &'static str, texts: &'static [&'static str]| {
        weighted(likely, select(texts)).prop_map(move |text| text.map(|text| (name, text)))
    };
    (
        option(0.9, "max_batch_size", &["1", "2", "3", "4", "8"]),
        option(0.3, "max_batch_bytes", &["16", "24B", "40", "64"]),
        option(0.5, "queue_capacity", &["8", "9", "12", "4", "3"]),
        option(0.2, "queue_bytes", &["64", "100", "40"]),
        option(0.3, "result_capacity", &["1", "3", "6", "10"]),
        option(0.5, "max_in_flight", &["1", "2", "3"]),
        option(0.8, "max_delay", &["5", "10ns", "100", "forever"]),
        option(0.4, "handler_timeout", &["7", "20", "100"]),
        option(0.5, "on_full", &["reject", "discard_oldest", "block"]),
        option(0.3, "delivery", &["ordered", "as_completed"]),
        option(0.25, "results", &["pull"]),
    )
        .prop_map(|(a, b, c, d, e, f, g, h, i, j, k)| {
            [a, b, c, d, e, f, g, h, i, j, k].into_iter().flatten().collect()
        })
}

// ---- steps ----

fn later() -> impl Strategy<Value = i64> + Clone {
    select(vec![-3_i64, 0, 1, 3, 5, 10, 40, 120])
}

fn step() -> impl Strategy<Value = Step> {
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
        1 => weighted(0.3, select(vec!["close 0", "close 4", "close 30", "close forever", "free"]))
            .prop_map(|ending| Step::Plain(ending.unwrap_or("run").to_owned())),
    ]
}

/// Any history of at most so many steps.
pub(crate) fn histories(most_steps: usize) -> impl Strategy<Value = History> {
    let kinds = ["default", "int64", "string", "float64", "object", "bytes", "null"];
    let handler = |name: &'static str, likely: f64| {
        weighted(likely, handling_calls()).prop_map(move |lines| lines.map(|lines| (name, lines)))
    };
    let [default, int64, string, float64, object, bytes, null] = kinds;
    let handlers = (
        prop::bool::weighted(0.85),
        handler(default, 0.9),
        handler(int64, 0.3),
        handler(string, 0.3),
        handler(float64, 0.15),
        handler(object, 0.15),
        handler(bytes, 0.1),
        handler(null, 0.1),
    )
        .prop_map(|(has, a, b, c, d, e, f, g)| {
            let found = [a, b, c, d, e, f, g].into_iter().flatten();
            let found: Vec<(&'static str, Vec<Vec<String>>)> = found.collect();
            if has { found } else { Vec::new() }
        });
    let map = handler("map", 0.95);
    let pulls = weighted(
        0.2,
        subsequence(vec!["default", "int64", "string", "object", "float64"], 1..5),
    );
    (
        options(),
        prop::bool::weighted(0.7),
        (handlers, map, pulls),
        weighted(0.8, calling_back()),
        calling_back(),
        vec(step(), 1..most_steps),
    )
        .prop_map(
            |(options, has_owner, (mut handlers, map, pulls), on_result, on_release, steps)| {
                let pulls = pulls.unwrap_or_default();
                if !pulls.is_empty() {
                    // A host that pulls has no handlers that are called.
                    handlers.clear();
                }
                handlers.extend(map);
                History {
                    options,
                    has_owner,
                    handlers,
                    pulls,
                    on_result,
                    on_release,
                    steps,
                }
            },
        )
}

/// A history of which these numbers choose each part.
#[allow(dead_code, reason = "fuzzing draws histories so")]
pub(crate) fn drawn(head: u64, steps: impl Iterator<Item = u64>) -> History {
    fn draw<T: std::fmt::Debug>(from: &impl Strategy<Value = T>, number: u64) -> T {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let tree = from.new_tree(&mut runner);
        tree.expect("no strategy here refuses what it draws").current()
    }
    let step = step();
    let mut history = draw(&histories(2), head);
    history.steps = steps.map(|number| draw(&step, number)).collect();
    history
}

// ---- writing ----

/// A scenario, as far as it is written and played.
struct Writer {
    can: Can,
    session: Session,
    scenario: String,
    owned: u64,
}

impl Writer {
    fn line(&mut self, line: &str) {
        self.scenario.push_str(line);
        self.scenario.push('\n');
        self.session.line(line);
    }

    fn script(&mut self, name: &str, lines: &[Vec<String>]) {
        for line in lines {
            // Where a handler returns an error, that error's words replace those of fail_all. The library's own
            // words, for a wrong number of results, are in no trace.
            let said = line.iter().any(|action| {
                action.starts_with("set_int64s") || !self.can.name_types && action.starts_with("fail_all")
            });
            let actions: Vec<String> = line
                .iter()
                .filter(|action| self.can.free_in_callbacks || *action != "do free")
                .filter(|action| !(said && action.starts_with("return")))
                .filter(|action| {
                    // A known data set is not kept, has no owner, and what its handler calls is no business of the
                    // batcher's.
                    let strange =
                        *action == "keep" || action.starts_with("do ") || action.contains("object:");
                    name != "map" || !strange
                })
                .map(|action| self.typed(action))
                .collect();
            let line = if actions.is_empty() {
                name.to_owned()
            } else {
                format!("{name} {}", actions.join(" ; "))
            };
            let is_handler = !name.starts_with("on_");
            self.line(&if is_handler {
                format!("handler {line}")
            } else {
                line
            });
        }
    }

    /// `type` stands for a type's name, or for none where the language has no place for it.
    fn typed(&self, action: &str) -> String {
        let name = if self.can.name_types { " Type " } else { " - " };
        action.replace(" type ", name)
    }

    fn next_owned(&mut self, owned: bool) -> String {
        if !(owned && self.can.own) {
            return String::new();
        }
        self.owned += 1;
        format!(" owned={}", self.owned)
    }

    fn deadline(&self, deadline: Option<i64>) -> String {
        let now = self.session.batcher().map_or(0, |batcher| batcher.now);
        match deadline {
            Some(after) if now + after > 0 => format!(" deadline={}", now + after),
            _ => String::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        let Some(batcher) = self.session.batcher() else {
            return;
        };
        let held = self.session.held(batcher);
        if batcher.freed && !matches!(step, Step::Held(..)) {
            return;
        }
        let now = batcher.now;
        let line = match step {
            Step::Plain(line) => line.clone(),
            Step::Push {
                value,
                tag,
                deadline,
                owned,
            } => {
                let has_bytes = value.starts_with("string") || value.starts_with("bytes");
                let owned = self.next_owned(*owned && has_bytes);
                format!("push {value} {tag}{}{owned}", self.deadline(*deadline))
            }
            Step::PushMany {
                form,
                tags,
                values,
                deadline,
                owned,
            } => {
                let tags = match tags {
                    Tags::Each(tags) if values.len() > 1 => {
                        let tags: Vec<String> = tags[..values.len()].iter().map(u64::to_string).collect();
                        tags.join(",")
                    }
                    Tags::Each(_) => "0".to_owned(),
                    Tags::From(first) => first.to_string(),
                };
                let owned = self.next_owned(*owned && form.ends_with("strings") && !values.is_empty());
                let values = values.join(" ");
                let deadline = self.deadline(*deadline);
                format!("push_many {form} {tags}{deadline}{owned} {values}")
            }
            Step::Advance(by) => format!("advance {}", now + by),
            Step::FlushEnd(which) => match self.session.marks() {
                0 => return,
                marks => format!("flush_end m{}", which.index(marks) + 1),
            },
            Step::Held(which, row, action, rest) => {
                let there: Vec<(usize, usize)> = held
                    .iter()
                    .enumerate()
                    .filter_map(|(at, rows)| Some((at + 1, (*rows)?)))
                    .collect();
                if there.is_empty() {
                    return;
                }
                let (name, rows) = there[which.index(there.len())];
                let rest = self.typed(rest);
                match *action {
                    "set" | "fail" => format!("h{name} {action} {} {rest}", row.index(rows)),
                    _ if rest.is_empty() => format!("h{name} {action}"),
                    _ => format!("h{name} {action} {rest}"),
                }
            }
        };
        self.line(line.trim_end());
    }
}

/// Writes a history as a scenario, for a runner that can do so much, and what the model makes of it.
pub(crate) fn write(history: &History, can: Can) -> Written {
    let pulls_results = history.options.contains(&("results", "pull"));
    let mut writer = Writer {
        can: Can {
            // What a flush answers whose batcher is given up in it, with results that nobody can pull any more, is
            // said nowhere.
            free_in_callbacks: can.free_in_callbacks && !pulls_results,
            ..can
        },
        session: Session::new(),
        scenario: String::new(),
        owned: 0,
    };
    if history.has_owner {
        writer.line("owner 1");
    }
    for (name, text) in &history.options {
        writer.line(&format!("option {name} {text}"));
    }
    for (name, lines) in &history.handlers {
        writer.script(name, lines);
    }
    for kind in &history.pulls {
        writer.line(&format!("pull {kind}"));
    }
    if let Some(lines) = history.on_result.as_ref().filter(|_| !pulls_results) {
        writer.script("on_result", lines);
    }
    writer.script("on_release", &history.on_release);
    writer.line("new");
    writer.session.stale_handles(can.use_stale_handles);
    for step in &history.steps {
        writer.step(step);
    }
    Written {
        scenario: writer.scenario,
        trace: writer.session.finish(),
    }
}

/// A trace with the objects that are given back in a row sorted: in which order result objects go that became no results
/// is said nowhere. What callbacks do in between stays where it is.
pub(crate) fn canonical(trace: &str) -> String {
    let mut lines: Vec<&str> = trace.lines().collect();
    let depth = |line: &str| line.len() - line.trim_start().len();
    let is_release = |line: &str| line.trim_start().starts_with("release object");
    let mut done = vec![false; lines.len()];
    for first in 0..lines.len() {
        if done[first] || !is_release(lines[first]) {
            continue;
        }
        let inside = lines[first..].iter().take_while(|line| {
            depth(line) > depth(lines[first]) || is_release(line) && depth(line) == depth(lines[first])
        });
        let row: Vec<usize> = (first..first + inside.count())
            .filter(|at| depth(lines[*at]) == depth(lines[first]))
            .collect();
        let mut sorted: Vec<&str> = row.iter().map(|at| lines[*at]).collect();
        sorted.sort_unstable();
        for (at, line) in row.into_iter().zip(sorted) {
            lines[at] = line;
            done[at] = true;
        }
    }
    lines.join("\n")
}
