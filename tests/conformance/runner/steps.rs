//! The steps of a scenario: each is a call of the batcher, or of a held batch.

use std::time::Duration;

use microbatch::{Batch, Batcher, PushOptions, Split, Status, Tags, Timeout, Value};

use super::values::value;
use super::{Answer, Session, name_of};
use crate::model::text::option;

impl Session {
    pub(super) fn step(&self, step: &str) {
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
}
