//! What is done with a batch: actions on one in a handler or held, and how held ones end.

use std::time::Duration;

use microbatch::{Batch, HeldBatch, Kind, Status, Trigger, Value};

use super::values::{token, value};
use super::{Answer, Session};
use crate::model::text::{Value as Token, unescape_or_dash};

/// What a batch in a handler and a held one have in common.
pub(super) trait Rows {
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

impl Session {
    pub(super) fn on_held(&self, at: usize, action: &[&str]) -> Answer {
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

    pub(super) fn act(&self, batch: &mut impl Rows, action: &[&str]) -> Answer {
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
}

fn text(word: &str) -> String {
    String::from_utf8(unescape_or_dash(word)).expect("a message is UTF-8")
}
