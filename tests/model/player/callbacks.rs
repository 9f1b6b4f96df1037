//! Acting as the handlers and callbacks of a scenario, and what is set in a batch, in a handler or held.

use super::super::payload::{Failure, Payload};
use super::super::state::{Batcher, Host, Release, ResultSet, Status};
use super::super::text::{Value, unescape_or_dash};
use super::Player;

impl Player {
    pub(super) fn act(
        &mut self,
        batcher: &mut Batcher,
        flight: usize,
        part: usize,
        action: &[String],
    ) -> Status {
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

    fn callback(&mut self, batcher: &mut Batcher, name: &str) {
        self.depth += 1;
        for action in self.next_actions(name) {
            self.step(batcher, &action[1..]);
        }
        self.depth -= 1;
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

fn failure(words: &[String]) -> Failure {
    let code = words[0].parse().expect("a code");
    Failure::new(code, unescape_or_dash(&words[1]), unescape_or_dash(&words[2]))
}
