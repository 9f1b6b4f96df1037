//! Scenarios as they stand in files: the model and the runner read the same text, and must give the same trace.
//!
//! Of the input, lines that `tests/conformance/README.md` has no meaning for are left out, and so is what Rust has no form
//! for. Numbers stay small enough for a batcher that is made thousands of times.

use crate::history::canonical;
use crate::model::Session;
use crate::model::text::KINDS;
use crate::{model, runner};

/// The most lines of one scenario: callbacks multiply them.
const MOST_LINES: usize = 120;

pub fn run(data: &[u8]) {
    let Some((scenario, expected)) = read(data) else {
        return;
    };
    let got = runner::play(&scenario);
    if let Some(difference) = model::first_difference(&canonical(&expected), &canonical(&got)) {
        panic!("the engine differs from the model, {difference}\n{scenario}");
    }
}

/// The scenario that there is in a file, and its trace.
pub fn read(data: &[u8]) -> Option<(String, String)> {
    let mut file = File::default();
    for line in String::from_utf8_lossy(data).lines().take(MOST_LINES) {
        file.read(line);
    }
    file.finish()
}

/// A scenario, as far as it is read.
#[derive(Default)]
struct File {
    scenario: String,
    /// The model, which says what names there are.
    session: Option<Session>,
    /// Whether there are handlers, and whether the host pulls for its own.
    handles: bool,
    pulls: bool,
    /// Callbacks whose last line gives them something more to be called for.
    loud: Vec<String>,
    is_new: bool,
    is_freed: bool,
}

impl File {
    fn write(&mut self, line: &str) {
        self.scenario.push_str(line);
        self.scenario.push('\n');
        self.session.get_or_insert_with(Session::new).line(line);
    }

    fn read(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        if words.iter().any(|word| word.is_empty()) {
            return;
        }
        if !self.is_new && self.head(&words) {
            return;
        }
        if self.is_step(&words) {
            self.begin();
            let there = self.session.as_ref().and_then(Session::batcher).is_some();
            if there && self.names_are_there(&words) && (!self.is_freed || words[0].starts_with('h')) {
                self.is_freed |= words[0] == "free";
                self.write(&words.join(" "));
            }
        }
    }

    /// Makes the batcher, if that has not been done.
    fn begin(&mut self) {
        if self.is_new {
            return;
        }
        self.is_new = true;
        // What a callback does at last, and so for ever, must be quiet.
        for name in std::mem::take(&mut self.loud) {
            self.write(&name);
        }
        self.write("new");
        if let Some(session) = &mut self.session {
            session.stale_handles(false);
        }
    }

    /// The scenario and its trace, if there is any.
    fn finish(mut self) -> Option<(String, String)> {
        self.begin();
        Some((self.scenario, self.session?.finish()))
    }

    /// Reads a line of the head; false if it is none.
    fn head(&mut self, words: &[&str]) -> bool {
        match *words {
            ["new"] => self.begin(),
            ["owner", number @ ("1" | "2")] => self.write(&format!("owner {number}")),
            ["option", name, text] if is_option(name, text) => self.write(&words.join(" ")),
            ["pull", kind] if !self.handles && (kind == "default" || KINDS.contains(&kind)) => {
                self.pulls = true;
                self.write(&words.join(" "));
            }
            ["handler", kind, ref actions @ ..]
                if kind == "map" || kind == "default" || KINDS.contains(&kind) =>
            {
                if kind != "map" && self.pulls {
                    return true;
                }
                self.handles |= kind != "map";
                self.script(&format!("handler {kind}"), actions, |action| {
                    is_action(action, kind == "map")
                });
            }
            [name @ ("on_result" | "on_release"), ref actions @ ..] => {
                self.script(
                    name,
                    actions,
                    |action| matches!(action, ["do", step @ ..] if is_nested(step)),
                );
            }
            _ => return false,
        }
        true
    }

    /// Writes a line of a callback, with the actions that have a meaning.
    fn script(&mut self, name: &str, words: &[&str], has_meaning: impl Fn(&[&str]) -> bool) {
        let actions = || {
            words
                .split(|word| *word == ";")
                .filter(|action| has_meaning(action))
        };
        // The library's words are in no trace, and an error that a handler returns replaces those of fail_all.
        let said = actions().any(|action| ["set_int64s", "fail_all"].contains(&action[0]));
        let mut is_kept = false;
        let actions: Vec<String> = actions()
            .filter(|action| {
                let goes = is_kept && !["do", "return"].contains(&action[0]);
                is_kept |= action[0] == "keep";
                !(goes || said && action[0] == "return")
            })
            .map(|action| action.join(" "))
            .collect();
        let is_loud = |action: &String| {
            ["do push", "do cancel", "do map"]
                .iter()
                .any(|loud| action.starts_with(loud))
        };
        self.loud.retain(|loud| loud != name);
        if actions.iter().any(is_loud) {
            self.loud.push(name.to_owned());
        }
        self.write(format!("{name} {}", actions.join(" ; ")).trim_end());
    }

    /// Whether the batch or mark that a step names is known by now.
    fn names_are_there(&self, words: &[&str]) -> bool {
        let Some((session, batcher)) = self
            .session
            .as_ref()
            .and_then(|session| Some((session, session.batcher()?)))
        else {
            return false;
        };
        match *words {
            ["flush_end", mark] => place(mark, 'm').is_some_and(|at| at <= session.marks()),
            [held, ..] if held.starts_with('h') => {
                place(held, 'h').is_some_and(|at| at <= session.held(batcher).len())
            }
            _ => true,
        }
    }

    fn is_step(&self, words: &[&str]) -> bool {
        match *words {
            ["free"] => true,
            ["flush_end", mark] => place(mark, 'm').is_some(),
            ["map", form, "size" | "batches", number, ref values @ ..] => {
                is_decimal(number, 3)
                    && number.parse() != Ok(0)
                    && are_values(form, values)
                    && values
                        .iter()
                        .all(|value| !value.starts_with("object") && is_text(value))
            }
            [held, "keep" | "complete_next"] if place(held, 'h').is_some() => true,
            _ => is_nested(words),
        }
    }
}

/// The number of `h1` or `m1`.
fn place(word: &str, letter: char) -> Option<usize> {
    let digits = word.strip_prefix(letter)?;
    (is_decimal(digits, 2)
        && digits != "0"
        && digits != "00"
        && word == format!("{letter}{}", digits.parse::<usize>().ok()?))
    .then(|| digits.parse().ok())?
}

/// A number of at most so many digits.
fn is_decimal(word: &str, digits: usize) -> bool {
    (1..=digits).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_tag(word: &str) -> bool {
    is_decimal(word, 20) && word.parse::<u64>().is_ok()
}

fn is_time(word: &str) -> bool {
    is_decimal(word.strip_prefix('-').unwrap_or(word), 19) && word.parse::<i64>().is_ok()
}

fn is_option(name: &str, text: &str) -> bool {
    let number = text.trim_end_matches(|byte: char| byte.is_ascii_alphabetic());
    let unit = &text[number.len()..];
    // What is below an option's range is refused by the engine's own table, which the model has not.
    let least = match name {
        "max_batch_bytes" | "queue_bytes" if unit != "KiB" && unit != "MiB" && unit != "GiB" => 8,
        "max_delay" => 0,
        _ => 1,
    };
    if number.parse::<u64>().is_ok_and(|number| number < least) {
        return false;
    }
    match name {
        "max_batch_size" | "queue_capacity" | "result_capacity" | "max_in_flight" => is_decimal(text, 3),
        "queue_bytes" if ["MiB", "GiB"].contains(&unit) => is_decimal(number, 3),
        "max_batch_bytes" | "queue_bytes" => is_decimal(number, 4) && ["", "B", "KiB"].contains(&unit),
        "max_delay" | "handler_timeout" => {
            text == "forever" || is_decimal(number, 6) && ["", "ns", "us", "ms", "s"].contains(&unit)
        }
        "on_full" => ["reject", "block", "discard_oldest"].contains(&text),
        "delivery" => ["as_completed", "ordered"].contains(&text),
        "results" => text == "pull",
        _ => false,
    }
}

fn is_escaped(text: &str) -> bool {
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut is_digit = || {
            rest.next()
                .is_some_and(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F'))
        };
        if byte == b'%' && !(is_digit() && is_digit()) {
            return false;
        }
        if byte != b'%' && !(byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.') {
            return false;
        }
    }
    true
}

fn is_value(word: &str) -> bool {
    let (kind, text) = word.split_once(':').unwrap_or((word, ""));
    match kind {
        "null" => word == "null",
        "bool" => ["0", "1"].contains(&text),
        "int64" => text.parse::<i64>().is_ok(),
        "float64" => text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
        "string" | "bytes" => word.contains(':') && is_escaped(text),
        "object" => {
            let fields: Vec<&str> = text.split('/').collect();
            matches!(fields[..], ["0" | "1" | "2", object, size] if is_tag(object) && is_tag(size))
        }
        _ => false,
    }
}

/// Whether a string is UTF-8, as any other value is.
fn is_text(word: &str) -> bool {
    let text = word.strip_prefix("string:").unwrap_or_default();
    std::str::from_utf8(&model::text::unescape_or_dash(text)).is_ok()
}

fn are_values(form: &str, values: &[&str]) -> bool {
    let kind = match form {
        "int64s" => "int64:",
        "float64s" => "float64:",
        "strings" | "large_strings" => "string:",
        "values" => "",
        _ => return false,
    };
    values
        .iter()
        .all(|value| is_value(value) && (value.starts_with(kind) || *value == "null"))
}

/// What becomes of a held batch.
fn is_end(action: &[&str]) -> bool {
    matches!(*action, ["complete" | "complete_ok" | "free"])
}

/// What sets rows of a batch, without naming one.
fn is_setting(action: &[&str]) -> bool {
    let is_failure = |code: &str, message: &str| {
        code.parse::<i32>().is_ok_and(|code| code > 0)
            && (message == "-" || is_escaped(message))
            && std::str::from_utf8(&model::text::unescape_or_dash(message)).is_ok()
    };
    match *action {
        ["echo" | "double"] => true,
        ["set", row, value] => is_decimal(row, 3) && is_value(value),
        ["set_int64s", count, first] => is_decimal(count, 3) && is_decimal(first, 9),
        ["fail", row, code, "-", message] => is_decimal(row, 3) && is_failure(code, message),
        ["fail_all", code, "-", message] => is_failure(code, message),
        _ => false,
    }
}

/// An action of a handler. A known data set is not kept, has no owner, and
/// what its handler calls is no business of the batcher's.
fn is_action(action: &[&str], maps: bool) -> bool {
    match *action {
        ["keep"] => !maps,
        ["do", ref step @ ..] => !maps && is_nested(step),
        ["return", code] => is_decimal(code.strip_prefix('-').unwrap_or(code), 5),
        ["set", _, value] => is_setting(action) && !(maps && value.starts_with("object")),
        _ => is_setting(action),
    }
}

/// A step that callbacks make too.
fn is_nested(step: &[&str]) -> bool {
    match *step {
        ["push", value, tag, ref options @ ..] => {
            is_value(value) && is_tag(tag) && without_options(options).is_empty()
        }
        ["push_many", form, tags, ref rest @ ..] => {
            let values = without_options(rest);
            let list: Vec<&str> = tags.split(',').collect();
            are_values(form, values)
                && list.iter().all(|tag| is_tag(tag))
                && (list.len() == 1 || list.len() == values.len())
        }
        [
            "room" | "seal" | "stats" | "now" | "next_due" | "run" | "flush" | "flush_begin" | "next_batch"
            | "next_results",
        ] => true,
        ["cancel", tag] => is_tag(tag),
        ["check", value] => is_value(value),
        ["advance", time] => is_time(time),
        ["close", time] => time == "forever" || is_time(time) && !time.starts_with('-'),
        [held, ref action @ ..] if place(held, 'h').is_some() => is_end(action) || is_setting(action),
        _ => false,
    }
}

/// The words without a deadline at their beginning.
fn without_options<'a, 'b>(words: &'a [&'b str]) -> &'a [&'b str] {
    match *words {
        [deadline, ref rest @ ..] if deadline.strip_prefix("deadline=").is_some_and(is_time) => rest,
        _ => words,
    }
}
