//! How a history becomes a scenario.

use super::step::{Step, Tags};
use super::{Can, History};
use crate::model::Session;

/// A scenario, and the trace that the model gives.
pub(crate) struct Written {
    pub(crate) scenario: String,
    pub(crate) trace: String,
}

/// A scenario, as far as it is written and played.
struct Writer {
    can: Can,
    session: Session,
    scenario: String,
    owned: u64,
    produces: bool,
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
            Step::Producer if self.produces => "producer".to_owned(),
            Step::Producer => return,
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
                // A producer takes values one by one.
                let own = *owned && form.ends_with("strings") && !values.is_empty() && !self.produces;
                let owned = self.next_owned(own);
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
        produces: history.produces,
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
    if history.produces && writer.session.batcher().is_some() {
        writer.line("producer");
    }
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
