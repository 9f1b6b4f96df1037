//! The steps of a scenario: each is a call of the batcher, or of a held batch.

use super::super::options::{FOREVER, Options, duration};
use super::super::parts::Ending;
use super::super::state::{Batcher, Host, Status};
use super::super::text::{Value, option};
use super::Player;

impl Player {
    pub(super) fn step(&mut self, batcher: &mut Batcher, words: &[String]) {
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
}

/// The place in its list of `h1` or `m1`.
fn index(name: &str) -> usize {
    name[1..].parse::<usize>().expect("a name such as h1") - 1
}

/// The words that are values: all that are not `key=number`.
fn values(words: &[String]) -> Vec<Value> {
    words
        .iter()
        .filter(|word| !word.contains('='))
        .map(|word| Value::parse(word))
        .collect()
}
