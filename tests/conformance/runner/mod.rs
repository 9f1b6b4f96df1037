//! Plays a scenario through the public Rust API and returns its trace, as `c_runner/` does through the C API.

mod values;
mod batches;
mod callbacks;
mod steps;
mod trace;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use microbatch::{Batch, Batcher, HeldBatch, Kind, Mark, Producer, Results, Status};

use crate::model::text::{KINDS, Value as Token};

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

fn name_of(answer: Answer) -> &'static str {
    answer.err().unwrap_or(Status::OK).name()
}

impl Session {
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
}
