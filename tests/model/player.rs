//! Plays a scenario on the model: reads it a line at a time, makes the calls, acts as handlers and callbacks, writes the
//! trace.
//!
//! `tests/conformance/README.md` describes both formats.

mod callbacks;
mod steps;
mod trace;

use std::collections::BTreeMap;

use super::options::Options;
use super::state::Batcher;
use super::text::KINDS;

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

impl Player {
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
}
