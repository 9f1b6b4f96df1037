//! Plays a scenario on the model: makes the calls, acts as handlers and callbacks, writes the trace.
//!
//! `tests/conformance/README.md` describes both formats.

use std::collections::BTreeMap;

use super::options::{FOREVER, Options, duration};
use super::parts::{Code, Ending, Failure, Payload};
use super::rules::{Batcher, Host, Release, ResultSet, RowResult, Status};
use super::text::{KINDS, Value, escape_or_dash, unescape_or_dash};

/// An action or a step: its words.
type Words = Vec<String>;

/// What a callback does: call n follows line n, and the last line once they are used up.
#[derive(Default)]
struct Script {
    lines: Vec<Vec<Words>>,
    calls: usize,
}

/// Everything but the batcher itself.
#[derive(Default)]
struct Player {
    trace: String,
    depth: usize,
    scripts: BTreeMap<String, Script>,
    /// What the host that pulls has handlers for.
    pulls: Vec<String>,
    /// Batches kept or handed out: h1 is at 0. `None` once completed or freed.
    held: Vec<Option<(usize, usize)>>,
    /// Marks of flush_begin: m1 is at 0.
    marks: Vec<u64>,
}

/// The trace of a scenario.
pub(crate) fn play(scenario: &str) -> String {
    let mut session = Session::new();
    for line in scenario.lines() {
        session.line(line);
    }
    session.finish()
}

/// A scenario that is being played, a line at a time.
pub(crate) struct Session {
    player: Player,
    options: Options,
    batcher: Option<Batcher>,
    refused: bool,
}

impl Session {
    pub(crate) fn new() -> Session {
        Session {
            player: Player::default(),
            options: Options::new(),
            batcher: None,
            refused: false,
        }
    }

    /// Plays one line. After a refused `new` nothing happens any more.
    pub(crate) fn line(&mut self, line: &str) {
        let words: Words = line.split_whitespace().map(str::to_owned).collect();
        let (Some(first), rest) = (words.first(), words.get(1..).unwrap_or_default()) else {
            return;
        };
        match first.as_str() {
            comment if comment.starts_with('#') => {}
            "needs" => {}
            "owner" => self.options.owner = rest[0].parse().expect("an owner's number"),
            "option" => self.options.set(&rest[0], &rest[1]),
            "handler" => self.player.script(&rest[0], &rest[1..]),
            "pull" => self.player.pulls.push(rest[0].clone()),
            "on_result" | "on_release" => self.player.script(first, rest),
            "new" => match self
                .options
                .clone()
                .resolve(self.player.scripts.contains_key("on_result"))
            {
                Ok(options) => {
                    self.batcher = Some(self.player.create(options));
                    self.player.line("new -> OK");
                }
                Err(status) => {
                    self.refused = true;
                    self.player.line(&format!("new -> {status}"));
                }
            },
            _ if self.refused => {}
            _ => {
                let batcher = self.batcher.as_mut();
                self.player
                    .step(batcher.expect("new comes before the first step"), &words);
            }
        }
    }

    /// Frees what is left; the whole trace.
    pub(crate) fn finish(mut self) -> String {
        if self.refused {
            return self.player.trace;
        }
        let batcher = self.batcher.as_mut().expect("a scenario creates a batcher");
        if !batcher.freed {
            self.player.step(batcher, &["free".to_owned()]);
        }
        for held in 0..self.player.held.len() {
            if self.player.held[held].is_some() {
                self.player
                    .step(batcher, &[format!("h{}", held + 1), "free".to_owned()]);
            }
        }
        batcher.assert_settled();
        self.player.trace
    }
}

/// What a writer of random scenarios must know to write the next line.
impl Session {
    /// Whether the language has handles that can be used when what they name is gone: so callbacks call the batcher
    /// while `free` gives back what was never pulled, and a second completion is counted.
    pub(crate) fn stale_handles(&mut self, there: bool) {
        if let Some(batcher) = &mut self.batcher {
            batcher.stale_handles = there;
        }
    }

    pub(crate) fn batcher(&self) -> Option<&Batcher> {
        self.batcher.as_ref()
    }

    /// How many rows each held batch has, and whether it is still held.
    pub(crate) fn held(&self, batcher: &Batcher) -> Vec<Option<usize>> {
        let rows = |(flight, part): (usize, usize)| batcher.flights[flight].parts[part].rows.len();
        self.player.held.iter().map(|held| held.map(rows)).collect()
    }

    pub(crate) fn marks(&self) -> usize {
        self.player.marks.len()
    }
}

/// The place in its list of `h1` or `m1`.
fn index(name: &str) -> usize {
    name[1..].parse::<usize>().expect("a name such as h1") - 1
}

/// The number after `key=`.
fn option(words: &[String], key: &str) -> Option<i64> {
    let found = words
        .iter()
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    found.map(|text| text.parse().expect("a number"))
}

/// The words that are values: all that are not `key=number`.
fn values(words: &[String]) -> Vec<Value> {
    words
        .iter()
        .filter(|word| !word.contains('='))
        .map(|word| Value::parse(word))
        .collect()
}

fn show_rows(rows: &[(Value, u64)]) -> String {
    rows.iter()
        .map(|(value, tag)| format!(" {}@{tag}", value.show()))
        .collect()
}

/// The name of the kind that all have, or `mixed`.
fn common_kind<'a>(mut kinds: impl Iterator<Item = Option<&'a Value>>) -> &'static str {
    let mut name = "mixed";
    if let Some(Some(first)) = kinds.next()
        && kinds.all(|value| value.is_some_and(|value| value.kind() == first.kind()))
    {
        name = KINDS[first.kind()];
    }
    name
}

fn failure(words: &[String]) -> Failure {
    let code = words[0].parse().expect("a code");
    Failure::new(code, unescape_or_dash(&words[1]), unescape_or_dash(&words[2]))
}

impl Player {
    // ---- reading ----

    fn script(&mut self, name: &str, words: &[String]) {
        let actions = words.split(|word| word == ";").map(<[String]>::to_vec);
        let line = actions.filter(|action| !action.is_empty()).collect();
        self.scripts.entry(name.to_owned()).or_default().lines.push(line);
    }

    fn next_actions(&mut self, name: &str) -> Vec<Words> {
        let Some(script) = self.scripts.get_mut(name) else {
            return Vec::new();
        };
        let line = script.calls.min(script.lines.len() - 1);
        script.calls += 1;
        script.lines[line].clone()
    }

    fn create(&self, options: Options) -> Batcher {
        let has = |name: &str| self.scripts.contains_key(name) || self.pulls.iter().any(|pull| pull == name);
        let on_result = self.scripts.contains_key("on_result");
        let mut batcher = Batcher::new(options, KINDS.map(has), has("default"), on_result);
        batcher.pulled_parts = !self.pulls.is_empty();
        batcher
    }

    // ---- writing ----

    fn line(&mut self, text: &str) {
        self.trace.push_str(&"  ".repeat(self.depth));
        self.trace.push_str(text);
        self.trace.push('\n');
    }

    fn show_batch(&mut self, batcher: &Batcher, flight: usize, part: usize, name: &str) {
        let rows = batcher.part_rows(flight, part);
        let kind = common_kind(rows.iter().map(|(value, _)| Some(value)));
        let flight = &batcher.flights[flight];
        let (number, trigger, age) = (flight.number, flight.trigger, flight.age());
        let rows = show_rows(&rows);
        self.line(&format!(
            "batch {number} {name} {trigger} {kind} age {age}:{rows}"
        ));
    }

    fn show_results(&mut self, results: &ResultSet) {
        let values = results.rows.iter().map(|result| match &result.payload {
            Payload::Value(value) => Some(value),
            Payload::Failure(_) => None,
        });
        let (count, kind) = (results.rows.len(), common_kind(values));
        self.line(&format!("results batch {} count {count} {kind}", results.batch));
        self.show_result_rows(&results.rows);
    }

    fn show_result_rows(&mut self, rows: &[RowResult]) {
        self.depth += 1;
        for result in rows {
            let outcome = ["OK", "FAILED", "EXPIRED", "CANCELLED", "DISCARDED"][result.outcome as usize];
            let payload = match &result.payload {
                Payload::Value(value) => value.show(),
                Payload::Failure(Failure {
                    code: Code::Library(name),
                    ..
                }) => (*name).to_owned(),
                Payload::Failure(Failure {
                    code: Code::User(code),
                    type_name,
                    message,
                }) => {
                    format!("{code} {} {}", escape_or_dash(type_name), escape_or_dash(message))
                }
            };
            self.line(&format!(
                "{} {outcome} {} {payload}",
                result.row.tag, result.handled
            ));
        }
        self.depth -= 1;
    }

    fn show_stats(&mut self, batcher: &Batcher) {
        let counters = &batcher.counters;
        let [ok, failed, expired, cancelled, discarded] = counters.outcomes;
        let accepted = batcher.accepted;
        let outstanding = batcher.outstanding();
        assert_eq!(
            accepted,
            counters.outcomes.iter().sum::<u64>() + outstanding,
            "the law of P16"
        );
        let triggers: String = ["SIZE", "BYTES", "DELAY", "IDLE", "FULL", "FLUSH", "CLOSE"]
            .iter()
            .filter_map(|name| Some(format!(" {name}={}", counters.triggers.get(name)?)))
            .collect();
        let refusals = [
            "WRONG_OWNER",
            "TOO_LARGE",
            "NO_HANDLER",
            "QUEUE_FULL",
            "QUEUE_FULL_BYTES",
            "RESULTS_FULL",
            "CLOSED",
        ];
        let refusals: String = refusals
            .iter()
            .filter_map(|name| Some(format!(" {name}={}", counters.refusals.get(name)?)))
            .collect();
        let [size, queued] =
            [counters.batch_size, counters.queue_time].map(|n| n.map(|n| n.to_string()).join("/"));
        let (undelivered, waiting, bytes) =
            (batcher.undelivered(), batcher.waiting(), batcher.waiting_bytes());
        let (flying, oldest, late) = (batcher.in_flight(), batcher.oldest_in_flight_age(), counters.late);
        let batches = batcher.flights.len();
        self.line(&format!(
            "stats -> accepted {accepted} ok {ok} failed {failed} expired {expired} cancelled {cancelled} \
             discarded {discarded} outstanding {outstanding} undelivered {undelivered} waiting {waiting} \
             waiting_bytes {bytes} in_flight {flying} oldest {oldest} batches {batches} late {late} \
             batch_size {size} queue_time {queued} triggers{triggers} refusals{refusals}"
        ));
    }

    // ---- steps ----

    fn step(&mut self, batcher: &mut Batcher, words: &[String]) {
        let step = words.join(" ");
        let answer = self.answer(batcher, words);
        if let Some(answer) = answer {
            self.line(&format!("{step} -> {answer}"));
        }
    }

    fn answer(&mut self, batcher: &mut Batcher, words: &[String]) -> Option<String> {
        let word = |at: usize| words[at].as_str();
        let time = |at: usize| word(at).parse::<i64>().expect("a time in ns");
        let needs_batcher = !word(0).starts_with('h') && word(0) != "map";
        if batcher.gone && needs_batcher {
            let counts = if word(0) == "push_many" { " accepted 0" } else { "" };
            return Some(format!("INVALID_HANDLE{counts}"));
        }
        let status = match word(0) {
            "push" => {
                let tag = word(2).parse().expect("a tag");
                let owned = option(words, "owned").map(|id| id as u64);
                batcher.push(
                    Value::parse(word(1)),
                    tag,
                    option(words, "deadline").unwrap_or(0),
                    owned,
                )
            }
            "push_many" => return Some(self.push_many(batcher, words)),
            "check" => batcher.check(&Value::parse(word(1))),
            "room" => batcher.room(),
            "cancel" => {
                let (status, count) = batcher.cancel(word(1).parse().expect("a tag"));
                return Some(if status == "OK" {
                    format!("OK {count}")
                } else {
                    status.to_owned()
                });
            }
            // What it pushes keeps its order; the trace can't tell it from a push.
            "producer" => "OK",
            "seal" => batcher.seal(),
            "advance" => batcher.advance(time(1)),
            "now" => return Some(batcher.now.to_string()),
            "next_due" => {
                let due = batcher.next_due();
                return Some(if due == FOREVER {
                    "FOREVER".to_owned()
                } else {
                    due.to_string()
                });
            }
            "run" => batcher.run(self),
            "flush" => batcher.flush(self),
            "flush_begin" => match batcher.flush_begin() {
                Ok(mark) => {
                    self.marks.push(mark);
                    return Some(format!("OK m{}", self.marks.len()));
                }
                Err(status) => status,
            },
            "flush_end" => batcher.flush_end(self.marks[index(word(1))], self),
            "close" => {
                let (status, left) = batcher.close(duration(word(1)), self);
                return Some(if status == "TIMEOUT" {
                    format!("TIMEOUT left {left}")
                } else {
                    status.to_owned()
                });
            }
            "free" => batcher.free(self),
            "next_batch" => match batcher.next_batch() {
                Ok((flight, part)) => {
                    self.depth += 1;
                    self.show_batch(batcher, flight, part, "pulled");
                    self.depth -= 1;
                    self.held.push(Some((flight, part)));
                    return Some(format!("OK h{}", self.held.len()));
                }
                Err(status) => status,
            },
            "next_results" => match batcher.next_results() {
                Ok(results) => {
                    self.depth += 1;
                    self.show_results(&results);
                    self.depth -= 1;
                    batcher.free_results(&results, self);
                    "OK"
                }
                Err(status) => status,
            },
            "stats" => {
                self.show_stats(batcher);
                return None;
            }
            "map" => return Some(self.map(words)),
            name if name.starts_with('h') => self.on_held(batcher, index(name), &words[1..]),
            unknown => panic!("no step {unknown}"),
        };
        Some(status.to_owned())
    }

    fn push_many(&mut self, batcher: &mut Batcher, words: &[String]) -> String {
        let tags: Vec<u64> = words[2]
            .split(',')
            .map(|tag| tag.parse().expect("a tag"))
            .collect();
        let (deadline, owned) = (option(words, "deadline").unwrap_or(0), option(words, "owned"));
        let values = values(&words[3..]);
        let counts_up = !words[2].contains(',');
        for (at, value) in values.iter().enumerate() {
            let tag = if counts_up {
                tags[0].wrapping_add(at as u64)
            } else {
                tags[at]
            };
            let status = batcher.push_of_array(value.clone(), tag, deadline, owned.map(|id| id as u64));
            if status != "OK" {
                return format!("{status} accepted {at}");
            }
        }
        format!("OK accepted {}", values.len())
    }

    /// Splits as numpy's array_split does, or into batches of at most so many.
    fn map(&mut self, words: &[String]) -> String {
        let (rule, number) = (words[2].as_str(), words[3].parse::<usize>().expect("a count"));
        let values = values(&words[4..]);
        let mut batcher = Batcher::new(
            Options::new().resolve(false).expect("defaults"),
            [false; 7],
            false,
            false,
        );
        batcher.has_on_result = true; // keeps the results where they are
        let mut rest = values.as_slice();
        let mut rows = Vec::new();
        let mut parts = 0;
        while !rest.is_empty() {
            let size = match rule {
                "batches" => values.len() / number + usize::from(parts < values.len() % number),
                _ => number.min(rest.len()),
            };
            let (part, tail) = rest.split_at(size);
            rest = tail;
            parts += 1;
            let first_tag = rows.len() as u64;
            let flight = batcher.launch_part(part, first_tag);
            let code = self.handler(&mut batcher, flight, 0);
            batcher.returned(flight, 0, code);
            rows.extend(batcher.take_results());
        }
        self.depth += 1;
        self.line(&format!("results map count {}", rows.len()));
        self.show_result_rows(&rows);
        self.depth -= 1;
        "OK".to_owned()
    }

    fn on_held(&mut self, batcher: &mut Batcher, at: usize, action: &[String]) -> Status {
        let Some(held) = self.held.get(at) else {
            return "INVALID_HANDLE";
        };
        let Some((flight, part)) = *held else {
            return batcher.used_again(action[0].starts_with("complete"));
        };
        let ending = match action[0].as_str() {
            "keep" => return batcher.keep_pulled(flight, part),
            "complete_next" => {
                self.held[at] = None;
                let status = batcher.give_up_hold(flight, part, Ending::Completed, self);
                if status == "OK"
                    && let Some(results) = batcher.next_ready_results()
                {
                    self.depth += 1;
                    self.show_results(&results);
                    self.depth -= 1;
                    batcher.free_results(&results, self);
                }
                return status;
            }
            "complete" => Ending::Completed,
            "complete_ok" => Ending::CompletedOk,
            "free" => Ending::Freed,
            _ => return self.act(batcher, flight, part, action),
        };
        self.held[at] = None;
        batcher.give_up_hold(flight, part, ending, self)
    }

    // ---- actions on a batch ----

    fn act(&mut self, batcher: &mut Batcher, flight: usize, part: usize, action: &[String]) -> Status {
        let number = |at: usize| action[at].parse::<usize>().expect("a number");
        match action[0].as_str() {
            "echo" | "double" => {
                let mut status = "OK";
                for (row, (value, _)) in batcher.part_rows(flight, part).into_iter().enumerate() {
                    let value = match value {
                        Value::Int64(number) if action[0] == "double" => Value::Int64(number.wrapping_mul(2)),
                        other => other,
                    };
                    let answer = batcher.set(flight, part, row, Payload::Value(value));
                    status = if answer == "OK" { status } else { answer };
                }
                status
            }
            "set" => batcher.set(flight, part, number(1), Payload::Value(Value::parse(&action[2]))),
            "set_int64s" => {
                let values = (0..number(1))
                    .map(|at| Value::Int64((number(2) + at) as i64))
                    .collect();
                batcher.set_all(flight, part, values)
            }
            "fail" => batcher.set(flight, part, number(1), Payload::Failure(failure(&action[2..]))),
            "fail_all" => batcher.fail_all(flight, part, failure(&action[1..])),
            unknown => panic!("no action {unknown}"),
        }
    }
}

impl Host for Player {
    fn handler(&mut self, batcher: &mut Batcher, flight: usize, part: usize) -> i32 {
        let name = batcher.flights[flight].parts[part].handler;
        self.depth += 1;
        self.show_batch(batcher, flight, part, name);
        self.depth += 1;
        let mut returned = 0;
        for action in self.next_actions(name) {
            match action[0].as_str() {
                "do" => self.step(batcher, &action[1..]),
                "return" => returned = action[1].parse().expect("a code"),
                "keep" if batcher.flights[flight].fixed => self.line("keep -> TOO_LATE"),
                "keep" => {
                    batcher.keep(flight, part);
                    self.held.push(Some((flight, part)));
                    self.line(&format!("keep -> OK h{}", self.held.len()));
                }
                _ => {
                    let status = self.act(batcher, flight, part, &action);
                    if status != "OK" {
                        self.line(&format!("{} -> {status}", action.join(" ")));
                    }
                }
            }
        }
        self.depth -= 2;
        returned
    }

    fn on_result(&mut self, batcher: &mut Batcher, results: &ResultSet) {
        self.depth += 1;
        self.show_results(results);
        self.callback(batcher, "on_result");
        self.depth -= 1;
    }

    fn released(&mut self, batcher: &mut Batcher, release: Release) {
        self.depth += 1;
        match release {
            Release::Object(word) => self.line(&format!("release object {word}")),
            Release::Owned(id) => self.line(&format!("release owned {id}")),
        }
        self.callback(batcher, "on_release");
        self.depth -= 1;
    }
}

impl Player {
    fn callback(&mut self, batcher: &mut Batcher, name: &str) {
        self.depth += 1;
        for action in self.next_actions(name) {
            self.step(batcher, &action[1..]);
        }
        self.depth -= 1;
    }
}
