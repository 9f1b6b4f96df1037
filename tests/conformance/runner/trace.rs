//! Writing the trace: batches, results and stats as its lines.

use microbatch::{Batcher, Kind, Outcome, Results, Status, Trigger};

use super::Session;
use super::batches::Rows;
use super::values::token;
use crate::model::text::{KINDS, escape_or_dash};

impl Session {
    pub(super) fn show_batch(&self, batch: &impl Rows, name: &str) {
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

    pub(super) fn show_results(&self, results: &Results<'_>) {
        let (batch, count) = (results.batch(), results.len());
        self.line(&format!(
            "results batch {batch} count {count} {}",
            kind_name(results.kind())
        ));
        self.show_result_rows(results);
    }

    pub(super) fn show_result_rows(&self, results: &Results<'_>) {
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

    pub(super) fn show_stats(&self, batcher: &Batcher) {
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

fn kind_name(kind: Option<Kind>) -> &'static str {
    kind.map_or("mixed", |kind| KINDS[kind as usize])
}

fn trigger_name(trigger: Trigger) -> String {
    format!("{trigger:?}").to_uppercase()
}
