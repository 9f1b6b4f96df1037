//! One value, one result.

use super::{Bug, Soak};
use microbatch::{Batch, Batcher, Failure, Outcome, Results, Status, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// A value without a result for so long is lost. Nothing waits for longer than milliseconds on purpose.
pub(crate) const LOST_AFTER: Duration = Duration::from_secs(300);

/// Values on their way, by the end of their tags.
pub(crate) struct Lane {
    pub(crate) soak: Arc<Soak>,
    pub(crate) pending: Vec<AtomicU8>,
    pub(crate) accepted: AtomicU64,
    pub(crate) came: AtomicU64,
}

pub(crate) const PLACES: u64 = 1 << 17;

impl Lane {
    pub(crate) fn new(soak: &Arc<Soak>) -> Arc<Lane> {
        Arc::new(Lane {
            soak: soak.clone(),
            pending: (0..PLACES).map(|_| AtomicU8::new(0)).collect(),
            accepted: AtomicU64::new(0),
            came: AtomicU64::new(0),
        })
    }

    pub(crate) fn place(&self, tag: u64) -> &AtomicU8 {
        &self.pending[(tag % PLACES) as usize]
    }

    /// A value with this tag is about to be pushed; false if the soak is over.
    pub(crate) fn begin(&self, tag: u64) -> bool {
        let since = Instant::now();
        while self.place(tag).swap(1, SeqCst) != 0 {
            if self.soak.is_over() {
                return false;
            }
            if since.elapsed() > LOST_AFTER {
                self.soak.fail(format!("value {} has no result", tag - PLACES));
                return false;
            }
            thread::sleep(Duration::from_micros(100));
        }
        if self.soak.is_over() {
            self.place(tag).store(0, SeqCst);
            return false;
        }
        true
    }

    /// It was pushed, or not.
    pub(crate) fn end(&self, tag: u64, accepted: bool) {
        if accepted {
            self.accepted.fetch_add(1, SeqCst);
            self.soak.pushed.fetch_add(1, SeqCst);
        } else if self.place(tag).swap(0, SeqCst) != 1 {
            self.soak
                .fail(format!("value {tag} was refused and has a result"));
        }
    }

    pub(crate) fn result(&self, tag: u64) {
        if self.place(tag).swap(0, SeqCst) != 1 {
            self.soak
                .fail(format!("value {tag} has another result, or was never pushed"));
        }
        self.came.fetch_add(1, SeqCst);
    }

    /// A set of results; the answer to an integer is its tag.
    pub(crate) fn results(&self, results: &Results<'_>) {
        let bug = self.soak.bug;
        for (row, tag) in results.tags().iter().enumerate() {
            let bites = tag % 100_000 == 99_999;
            if bug == Bug::Lost && bites {
                continue;
            }
            self.result(*tag);
            if bug == Bug::Twice && bites {
                self.result(*tag);
            }
            match (results.outcome(row), results.value(row)) {
                (Outcome::Ok, Some(Value::Int64(answer))) => {
                    let expected = *tag as i64 + i64::from(bug == Bug::Mixed && bites);
                    if answer != expected {
                        self.soak.fail(format!("value {tag} has the result of {answer}"));
                    }
                }
                (Outcome::Ok, Some(_)) => {}
                (Outcome::Ok, None) => self.soak.fail(format!("value {tag} is OK without a value")),
                (_, Some(_)) => self.soak.fail(format!("value {tag} is not OK and has a value")),
                (_, None) => {}
            }
        }
    }

    /// After the end nothing is on its way.
    pub(crate) fn settle(&self, batcher: &Batcher) {
        let stats = batcher.stats().unwrap();
        let (accepted, came) = (self.accepted.load(SeqCst), self.came.load(SeqCst));
        let open = self
            .pending
            .iter()
            .filter(|place| place.load(SeqCst) != 0)
            .count();
        if stats.accepted != accepted || came != accepted || open != 0 || stats.outstanding != 0 {
            self.soak.fail(format!(
                "{accepted} accepted, {came} results, {open} without one at the end: {stats:?}"
            ));
        }
    }
}

/// Pushes one value after another until the soak is over: the push answers by its status.
pub(crate) fn push_all(lane: &Lane, mut push: impl FnMut(u64) -> Result<(), Status>) {
    let mut tag = 0;
    while lane.begin(tag) {
        let pushed = push(tag);
        lane.end(tag, pushed.is_ok());
        match pushed {
            Ok(()) => tag += 1,
            Err(Status::QUEUE_FULL | Status::RESULTS_FULL) => thread::yield_now(),
            Err(status) => lane.soak.fail(format!("a push answers {status}")),
        }
    }
}

pub(crate) fn tags_as_answers(batch: &mut Batch<'_>) -> Result<(), Failure> {
    let answers: Vec<i64> = batch.tags().iter().map(|tag| *tag as i64).collect();
    batch.set_int64s(&answers)?;
    Ok(())
}
