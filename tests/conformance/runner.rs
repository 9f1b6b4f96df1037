//! Plays a scenario through the public Rust API and returns its trace, as `runner.c` does through the C API.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use microbatch::{
    Batch, Batcher, Failure, HeldBatch, Kind, Mark, Object, Outcome, Producer, PushOptions, Results, Split,
    Status, Tags, Timeout, Trigger, Value,
};

use crate::model::text::{KINDS, Value as Token, escape_or_dash, unescape_or_dash};

/// What the Rust API has no form for: a borrowed batcher cannot be freed in its own callback, owned pushes pass a
/// raw pointer, and a failure's type name is the error's own.
pub(crate) const LACKS: &[&str] = &["free_in_callback", "owned", "type_name"];

type Answer = Result<(), Status>;

#[derive(Default)]
struct Script {
    lines: Vec<String>,
    calls: usize,
}

#[derive(Default)]
struct State {
    trace: String,
    depth: usize,
    scripts: BTreeMap<String, Script>,
    held: Vec<Option<HeldBatch>>,
    marks: Vec<Mark>,
}

/// What steps and callbacks share. No lock is held while the batcher is called.
struct Session {
    state: Mutex<State>,
    batcher: Mutex<Option<Arc<Batcher>>>,
    /// What pushes go through, after the step `producer`. Held locked while it pushes: a push calls nothing back.
    producer: Mutex<Option<Producer>>,
    /// The real numbers of owners 0, 1 and 2 of the scenario.
    owners: [u32; 3],
}

/// The trace of a scenario.
pub(crate) fn play(scenario: &str) -> String {
    let owner = || microbatch::new_owner().expect("an owner's number");
    let session = Arc::new(Session {
        state: Mutex::default(),
        batcher: Mutex::default(),
        producer: Mutex::default(),
        owners: [0, owner(), owner()],
    });
    let mut options: Vec<(&str, &str)> = vec![("mode", "manual"), ("clock", "given")];
    let (mut has_owner, mut pulls) = (0, Vec::new());
    for line in scenario.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let rest = |from: usize| words[from.min(words.len())..].join(" ");
        match words[0] {
            "" | "#" | "needs" => {}
            "owner" => has_owner = words[1].parse().expect("an owner's number"),
            "option" => options.push((words[1], words[2])),
            "handler" => session.script(words[1], rest(2)),
            "pull" => pulls.push(words[1]),
            "on_result" | "on_release" => session.script(words[0], rest(1)),
            "new" => {
                let made = session.create(&options, &pulls, has_owner);
                session.line(&format!("new -> {}", made.err().unwrap_or(Status::OK).name()));
                if made.is_err() {
                    return session.take_trace();
                }
            }
            _ => session.step(line),
        }
    }
    if session.batcher.lock().unwrap().is_some() {
        session.step("free");
    }
    let held = session.state.lock().unwrap().held.len();
    for at in 0..held {
        if session.state.lock().unwrap().held[at].is_some() {
            session.step(&format!("h{} free", at + 1));
        }
    }
    *session.producer.lock().unwrap() = None;
    session.take_trace()
}

/// What a batch in a handler and a held one have in common.
trait Rows {
    fn count(&self) -> usize;
    fn row(&self, row: usize) -> Token;
    fn title(&self) -> (u64, Trigger, Duration, Option<Kind>);
    fn tag(&self, row: usize) -> u64;
    fn put(&mut self, row: usize, value: Value<'_>) -> Answer;
    fn put_int64s(&mut self, values: &[i64]) -> Answer;
    fn fail_row(&mut self, row: usize, code: i32, message: &str) -> Answer;
    fn fail_rows(&mut self, code: i32, message: &str) -> Answer;
}

macro_rules! rows {
    ($($batch:ty),*) => {$(
        impl Rows for $batch {
            fn count(&self) -> usize {
                self.len()
            }
            fn row(&self, row: usize) -> Token {
                token(self.value(row))
            }
            fn title(&self) -> (u64, Trigger, Duration, Option<Kind>) {
                (self.number(), self.trigger(), self.age(), self.kind())
            }
            fn tag(&self, row: usize) -> u64 {
                self.tags()[row]
            }
            fn put(&mut self, row: usize, value: Value<'_>) -> Answer {
                self.set(row, value)
            }
            fn put_int64s(&mut self, values: &[i64]) -> Answer {
                self.set_int64s(values)
            }
            fn fail_row(&mut self, row: usize, code: i32, message: &str) -> Answer {
                self.fail(row, code, message)
            }
            fn fail_rows(&mut self, code: i32, message: &str) -> Answer {
                self.fail_all(code, message)
            }
        }
    )*};
}
rows!(Batch<'_>, HeldBatch);

/// A value of the API as a token; an object keeps its real owner.
fn token(value: Value<'_>) -> Token {
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
fn value(token: &Token) -> Result<Value<'_>, Status> {
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

fn name_of(answer: Answer) -> &'static str {
    answer.err().unwrap_or(Status::OK).name()
}

fn kind_name(kind: Option<Kind>) -> &'static str {
    kind.map_or("mixed", |kind| KINDS[kind as usize])
}

fn trigger_name(trigger: Trigger) -> String {
    format!("{trigger:?}").to_uppercase()
}

/// The number after `key=`.
fn option(words: &[&str], key: &str) -> Option<i64> {
    let found = words
        .iter()
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    found.map(|text| text.parse().expect("a number"))
}

fn text(word: &str) -> String {
    String::from_utf8(unescape_or_dash(word)).expect("a message is UTF-8")
}

impl Session {
    // ---- reading and writing ----

    fn script(&self, name: &str, line: String) {
        self.state
            .lock()
            .unwrap()
            .scripts
            .entry(name.to_owned())
            .or_default()
            .lines
            .push(line);
    }

    fn next_actions(&self, name: &str) -> Vec<String> {
        let mut state = self.state.lock().unwrap();
        let Some(script) = state.scripts.get_mut(name) else {
            return Vec::new();
        };
        let line = script.calls.min(script.lines.len() - 1);
        script.calls += 1;
        script.lines[line]
            .split(" ; ")
            .filter(|action| !action.is_empty())
            .map(str::to_owned)
            .collect()
    }

    fn line(&self, text: &str) {
        let mut state = self.state.lock().unwrap();
        let indent = "  ".repeat(state.depth);
        state.trace.push_str(&format!("{indent}{text}\n"));
    }

    fn indented(&self, by: usize, work: impl FnOnce()) {
        self.state.lock().unwrap().depth += by;
        work();
        self.state.lock().unwrap().depth -= by;
    }

    fn take_trace(&self) -> String {
        std::mem::take(&mut self.state.lock().unwrap().trace)
    }

    /// Reads a value and puts the real owner in.
    fn parse(&self, word: &str) -> Token {
        match Token::parse(word) {
            Token::Object { owner, word, size } => Token::Object {
                owner: self.owners[owner as usize],
                word,
                size,
            },
            other => other,
        }
    }

    fn values(&self, words: &[&str]) -> Vec<Token> {
        words
            .iter()
            .filter(|word| !word.contains('='))
            .map(|word| self.parse(word))
            .collect()
    }

    fn create(self: &Arc<Self>, options: &[(&str, &str)], pulls: &[&str], owner: usize) -> Answer {
        let mut builder = Batcher::builder();
        for name in pulls {
            builder = match KINDS.iter().position(|kind| kind == name) {
                Some(kind) => builder.pull_handler_for(Kind::ALL[kind]),
                None => builder.pull_handler(),
            };
        }
        for (name, text) in options {
            builder = builder.option(name, text).map_err(|error| error.status())?;
        }
        let scripted = |name: &str| self.state.lock().unwrap().scripts.contains_key(name);
        for kind in Kind::ALL {
            let name = KINDS[*kind as usize];
            if scripted(name) {
                let session = Arc::clone(self);
                builder =
                    builder.handler_for(*kind, move |batch: &mut Batch<'_>| session.handle(name, batch));
            }
        }
        if scripted("default") {
            let session = Arc::clone(self);
            builder = builder.handler(move |batch: &mut Batch<'_>| session.handle("default", batch));
        }
        if scripted("on_result") {
            let session = Arc::clone(self);
            builder = builder.on_result(move |results: &Results<'_>| {
                session.indented(1, || {
                    session.show_results(results);
                    session.callback("on_result");
                });
            });
        }
        if owner > 0 {
            let session = Arc::clone(self);
            builder = builder.on_object_release(self.owners[owner], move |word: u64| {
                session.indented(1, || {
                    session.line(&format!("release object {word}"));
                    session.callback("on_release");
                });
            });
        }
        let batcher = builder.build().map_err(|error| error.status())?;
        *self.batcher.lock().unwrap() = Some(Arc::new(batcher));
        Ok(())
    }

    // ---- callbacks ----

    fn callback(&self, name: &str) {
        self.indented(1, || {
            for action in self.next_actions(name) {
                self.step(action.strip_prefix("do ").expect("a step"));
            }
        });
    }

    fn handle(&self, name: &str, batch: &mut Batch<'_>) -> Result<(), Failure> {
        let mut returned = Ok(());
        self.indented(1, || {
            self.show_batch(batch, name);
            self.indented(1, || {
                for action in self.next_actions(name) {
                    let words: Vec<&str> = action.split(' ').collect();
                    match words[0] {
                        "do" => self.step(&action[3..]),
                        "return" => {
                            let code = words[1].parse().expect("a code");
                            returned = if code == 0 {
                                Ok(())
                            } else {
                                Err(Failure::new(code, ""))
                            };
                        }
                        "keep" => match batch.keep() {
                            Ok(kept) => {
                                let mut state = self.state.lock().unwrap();
                                state.held.push(Some(kept));
                                let at = state.held.len();
                                drop(state);
                                self.line(&format!("keep -> OK h{at}"));
                            }
                            Err(status) => self.line(&format!("keep -> {}", status.name())),
                        },
                        _ => {
                            let answer = self.act(batch, &words);
                            if answer.is_err() {
                                self.line(&format!("{action} -> {}", name_of(answer)));
                            }
                        }
                    }
                }
            });
        });
        returned
    }

    fn show_batch(&self, batch: &impl Rows, name: &str) {
        let (number, trigger, age, kind) = batch.title();
        let (trigger, age) = match name {
            "map" => ("-".to_owned(), 0),
            _ => (trigger_name(trigger), age.as_nanos()),
        };
        let rows = (0..batch.count()).map(|row| format!(" {}@{}", batch.row(row).show(), batch.tag(row)));
        let rows: String = rows.collect();
        self.line(&format!(
            "batch {number} {name} {trigger} {} age {age}:{rows}",
            kind_name(kind)
        ));
    }

    fn show_results(&self, results: &Results<'_>) {
        let (batch, count) = (results.batch(), results.len());
        self.line(&format!(
            "results batch {batch} count {count} {}",
            kind_name(results.kind())
        ));
        self.show_result_rows(results);
    }

    fn show_result_rows(&self, results: &Results<'_>) {
        self.indented(1, || {
            for row in 0..results.len() {
                let outcome = results.outcome(row);
                let payload = match outcome {
                    Outcome::Ok => token(results.value(row).expect("an OK row has a value")).show(),
                    _ => {
                        let error = results.error(row).expect("any other row has an error");
                        if error.code.is_user() {
                            let type_name = escape_or_dash(error.type_name.as_bytes());
                            let message = escape_or_dash(error.message.as_bytes());
                            format!("{} {type_name} {message}", error.code.code())
                        } else {
                            error.code.name().to_owned()
                        }
                    }
                };
                let ends = format!("{outcome:?} {:?}", results.handled(row)).to_uppercase();
                self.line(&format!("{} {ends} {payload}", results.tags()[row]));
            }
        });
    }

    // ---- steps ----

    fn step(&self, step: &str) {
        let words: Vec<&str> = step.split(' ').collect();
        if let Some(answer) = self.answer(&words) {
            self.line(&format!("{step} -> {answer}"));
        }
    }

    fn answer(&self, words: &[&str]) -> Option<String> {
        let word = words[0];
        if let Some(at) = word.strip_prefix('h').and_then(|at| at.parse::<usize>().ok()) {
            return Some(name_of(self.on_held(at - 1, &words[1..])).to_owned());
        }
        if word == "map" {
            return Some(self.map(words));
        }
        let shared = self.batcher.lock().unwrap().clone();
        let Some(batcher) = shared else {
            let counts = if word == "push_many" { " accepted 0" } else { "" };
            return Some(format!("INVALID_HANDLE{counts}"));
        };
        let number = |at: usize| words[at].parse::<u64>().expect("a number");
        let answer = match word {
            "push" => {
                let token = self.parse(words[1]);
                let deadline = option(words, "deadline");
                value(&token).and_then(|value| self.push(&batcher, value, number(2), deadline))
            }
            "push_many" => return Some(self.push_many(&batcher, words)),
            "check" => {
                let token = self.parse(words[1]);
                value(&token).and_then(|value| batcher.check(value).map_err(|error| error.status()))
            }
            "room" => batcher.room(Duration::ZERO),
            "cancel" => match batcher.cancel(number(1)) {
                Ok(count) => return Some(format!("OK {count}")),
                Err(status) => Err(status),
            },
            "producer" => {
                self.renew_producer(&batcher);
                Ok(())
            }
            "seal" => batcher.seal(),
            "advance" => batcher.advance(words[1].parse().expect("a time in ns")),
            "now" => return Some(batcher.now().expect("no fork").to_string()),
            "next_due" => {
                let due = batcher.next_due().expect("no fork");
                return Some(if due == i64::MAX {
                    "FOREVER".to_owned()
                } else {
                    due.to_string()
                });
            }
            "run" => batcher.run(),
            "flush" => batcher.flush(Duration::ZERO),
            "flush_begin" => match batcher.flush_begin() {
                Ok(mark) => {
                    let mut state = self.state.lock().unwrap();
                    state.marks.push(mark);
                    return Some(format!("OK m{}", state.marks.len()));
                }
                Err(status) => Err(status),
            },
            "flush_end" => {
                let at = words[1][1..].parse::<usize>().expect("a name such as m1");
                let mark = self.state.lock().unwrap().marks[at - 1];
                batcher.flush_end(mark, Duration::ZERO)
            }
            "close" => {
                let timeout = match words[1] {
                    "forever" => Timeout::FOREVER,
                    _ => Timeout::from(Duration::from_nanos(number(1))),
                };
                match batcher.close(timeout) {
                    Ok(closed) if closed.left > 0 => return Some(format!("TIMEOUT left {}", closed.left)),
                    other => other.map(|_| ()),
                }
            }
            "free" => {
                // dropping closes with close_timeout; free closes with 0
                let _ = batcher.close(Duration::ZERO);
                drop(batcher);
                let last = self.batcher.lock().unwrap().take();
                drop(last);
                Ok(())
            }
            "next_batch" => match batcher.next_batch(Duration::ZERO) {
                Ok(held) => {
                    self.indented(1, || self.show_batch(&held, "pulled"));
                    let mut state = self.state.lock().unwrap();
                    state.held.push(Some(held));
                    return Some(format!("OK h{}", state.held.len()));
                }
                Err(status) => Err(status),
            },
            "next_results" => match batcher.next_results(Duration::ZERO) {
                Ok(results) => {
                    self.indented(1, || self.show_results(&results));
                    Ok(())
                }
                Err(status) => Err(status),
            },
            "stats" => {
                self.show_stats(&batcher);
                return None;
            }
            unknown => panic!("no step {unknown}"),
        };
        Some(name_of(answer).to_owned())
    }

    /// Another producer in the place of the one there was: what that staged joins the open batch.
    fn renew_producer(&self, batcher: &Batcher) {
        let mut producer = self.producer.lock().unwrap();
        *producer = None;
        *producer = Some(batcher.producer().expect("memory"));
    }

    /// Through the producer if there is one. It takes no deadlines: those go past it, once it has joined.
    fn push(&self, batcher: &Batcher, value: Value<'_>, tag: u64, deadline: Option<i64>) -> Answer {
        if self.producer.lock().unwrap().is_some() && deadline.is_some() {
            self.renew_producer(batcher);
        }
        match (deadline, &*self.producer.lock().unwrap()) {
            (Some(deadline), _) => batcher.push_with(value, tag, PushOptions::new().deadline(deadline)),
            (None, Some(producer)) => producer.push(value, tag),
            (None, None) => batcher.push(value, tag),
        }
    }

    fn push_many(&self, batcher: &Batcher, words: &[&str]) -> String {
        let tokens = self.values(&words[3..]);
        let list: Vec<u64> = words[2]
            .split(',')
            .map(|tag| tag.parse().expect("a tag"))
            .collect();
        let counts_up = !words[2].contains(',');
        let deadline = option(words, "deadline");
        let one_by_one = deadline.is_some() || self.producer.lock().unwrap().is_some();
        let (accepted, answer) = if one_by_one {
            // a bulk push acts as its values pushed one by one
            let mut accepted = 0;
            let mut answer = Ok(());
            for (at, token) in tokens.iter().enumerate() {
                let tag = if counts_up {
                    list[0].wrapping_add(at as u64)
                } else {
                    list[at]
                };
                answer = value(token).and_then(|value| self.push(batcher, value, tag, deadline));
                if answer.is_err() {
                    break;
                }
                accepted += 1;
            }
            (accepted, answer)
        } else {
            // the API takes what is a string only: what is before the first that is none, then the refusal
            let valid: Vec<Value<'_>> = tokens.iter().map_while(|token| value(token).ok()).collect();
            let tags = if counts_up {
                Tags::From(list[0])
            } else {
                Tags::Each(&list[..valid.len()])
            };
            let int64s: Option<Vec<i64>> = valid.iter().map(Value::as_int64).collect();
            let (accepted, answer) = match int64s {
                Some(int64s) if words[1] == "int64s" => batcher.push_int64s(&int64s, tags),
                _ => batcher.push_values(&valid, tags),
            };
            let cut = valid.len() < tokens.len() && answer.is_ok();
            (accepted, if cut { Err(Status::INVALID_UTF8) } else { answer })
        };
        format!("{} accepted {accepted}", name_of(answer))
    }

    fn map(&self, words: &[&str]) -> String {
        let tokens = self.values(&words[4..]);
        let values: Vec<Value<'_>> = tokens.iter().map(|token| value(token).expect("UTF-8")).collect();
        let number = words[3].parse().expect("a count");
        let split = if words[2] == "size" {
            Split::Size(number)
        } else {
            Split::Batches(number)
        };
        let mapped = microbatch::map(&values, split, |batch: &mut Batch<'_>| self.handle("map", batch));
        match mapped {
            Ok(results) => {
                self.indented(1, || {
                    self.line(&format!("results map count {}", results.len()));
                    self.show_result_rows(&results);
                });
                "OK".to_owned()
            }
            Err(error) => error.status().name().to_owned(),
        }
    }

    // ---- batches ----

    fn on_held(&self, at: usize, action: &[&str]) -> Answer {
        let mut state = self.state.lock().unwrap();
        let Some(held) = state.held.get_mut(at) else {
            return Err(Status::INVALID_HANDLE);
        };
        let taken = held.take();
        drop(state);
        // a completed batch is gone in Rust: the compiler refuses what C answers TOO_LATE to
        let Some(mut held) = taken else {
            return Err(Status::TOO_LATE);
        };
        match action[0] {
            "complete" => held.complete(),
            "complete_next" => {
                let results = held.complete_next()?;
                if let Some(results) = results {
                    self.indented(1, || self.show_results(&results));
                }
                Ok(())
            }
            "keep" => {
                let answer = held.keep();
                self.state.lock().unwrap().held[at] = Some(held);
                answer
            }
            "complete_ok" => held.complete_ok(),
            "free" => {
                drop(held);
                Ok(())
            }
            _ => {
                let answer = self.act(&mut held, action);
                self.state.lock().unwrap().held[at] = Some(held);
                answer
            }
        }
    }

    fn act(&self, batch: &mut impl Rows, action: &[&str]) -> Answer {
        let number = |at: usize| action[at].parse::<i64>().expect("a number");
        match action[0] {
            "echo" | "double" => {
                let mut last = Ok(());
                for row in 0..batch.count() {
                    let result = match batch.row(row) {
                        Token::Int64(number) if action[0] == "double" => Token::Int64(number.wrapping_mul(2)),
                        other => other,
                    };
                    let answer = batch.put(row, value(&result).expect("what was pushed is UTF-8"));
                    last = last.and(answer);
                }
                last
            }
            "set" => {
                let token = self.parse(action[2]);
                value(&token).and_then(|value| batch.put(number(1) as usize, value))
            }
            "set_int64s" => {
                let values: Vec<i64> = (0..number(1)).map(|at| number(2) + at).collect();
                batch.put_int64s(&values)
            }
            "fail" => batch.fail_row(number(1) as usize, number(2) as i32, &text(action[4])),
            "fail_all" => batch.fail_rows(number(1) as i32, &text(action[3])),
            unknown => panic!("no action {unknown}"),
        }
    }

    fn show_stats(&self, batcher: &Batcher) {
        let s = batcher.stats().expect("stats");
        let triggers = ["SIZE", "BYTES", "DELAY", "IDLE", "FULL", "FLUSH", "CLOSE"]
            .iter()
            .enumerate();
        let triggers: String = triggers
            .filter(|(at, _)| s.triggers[at + 1] > 0)
            .map(|(at, name)| format!(" {name}={}", s.triggers[at + 1]))
            .collect();
        let counted = -Status::WRONG_OWNER.code()..=-Status::CLOSED.code();
        let refusals: String = counted
            .filter(|code| s.refusals[*code as usize] > 0)
            .map(|code| {
                format!(
                    " {}={}",
                    Status::from_code(-code).name(),
                    s.refusals[code as usize]
                )
            })
            .collect();
        let [size, queued] = [&s.batch_size, &s.queue_time]
            .map(|numbers| format!("{}/{}/{}", numbers.count, numbers.sum, numbers.max));
        self.line(&format!(
            "stats -> accepted {} ok {} failed {} expired {} cancelled {} discarded {} outstanding {} \
             undelivered {} waiting {} waiting_bytes {} in_flight {} oldest {} batches {} late {} \
             batch_size {size} queue_time {queued} triggers{triggers} refusals{refusals}",
            s.accepted,
            s.ok,
            s.failed,
            s.expired,
            s.cancelled,
            s.discarded,
            s.outstanding,
            s.undelivered,
            s.waiting,
            s.waiting_bytes,
            s.in_flight,
            s.oldest_in_flight_age,
            s.batches,
            s.late
        ));
    }
}
