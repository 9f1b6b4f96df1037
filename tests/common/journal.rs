//! All that handlers and `on_result` were given.

use super::*;

/// A batch, or a part of one, as a handler saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) number: u64,
    pub(crate) trigger: Trigger,
    pub(crate) kind: Option<Kind>,
    pub(crate) age: u64,
    pub(crate) tags: Vec<u64>,
    pub(crate) values: Vec<Copied>,
}

/// One value's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) tag: u64,
    pub(crate) outcome: Outcome,
    pub(crate) handled: Handled,
    /// `Status::OK` for a value that is OK.
    pub(crate) code: Status,
    pub(crate) type_name: String,
    pub(crate) message: String,
    /// `Null` for a value that is not OK.
    pub(crate) value: Copied,
}

/// What one call of `on_result`, or of `next_results`, gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) batch: u64,
    pub(crate) rows: Vec<Row>,
}

impl Set {
    pub(crate) fn of(results: &Results<'_>) -> Set {
        let rows = (0..results.len()).map(|row| {
            let error = results.error(row);
            Row {
                tag: results.tags()[row],
                outcome: results.outcome(row),
                handled: results.handled(row),
                code: error.map_or(Status::OK, |error| error.code),
                type_name: error.map_or("", |error| error.type_name).to_owned(),
                message: error.map_or("", |error| error.message).to_owned(),
                value: results.value(row).map_or(Copied::Null, Copied::from),
            }
        });
        Set {
            batch: results.batch(),
            rows: rows.collect(),
        }
    }

    pub(crate) fn tags(&self) -> Vec<u64> {
        self.rows.iter().map(|row| row.tag).collect()
    }
}

impl Seen {
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }
}

/// The readers that `Batch` and `HeldBatch` have in common.
macro_rules! seen_in {
    ($batch:expr) => {
        Seen {
            number: $batch.number(),
            trigger: $batch.trigger(),
            kind: $batch.kind(),
            age: u64::try_from($batch.age().as_nanos()).unwrap(),
            tags: $batch.tags().to_vec(),
            values: $batch.values().map(Copied::from).collect(),
        }
    };
}

impl From<&Batch<'_>> for Seen {
    fn from(batch: &Batch<'_>) -> Seen {
        seen_in!(batch)
    }
}

impl From<&HeldBatch> for Seen {
    fn from(batch: &HeldBatch) -> Seen {
        seen_in!(batch)
    }
}

/// Writes down what handlers and `on_result` are given. Clones write into the same journal.
#[derive(Clone, Default)]
pub(crate) struct Journal {
    pages: Arc<Mutex<Pages>>,
}

#[derive(Default)]
struct Pages {
    batches: Vec<Seen>,
    sets: Vec<Set>,
}

impl Journal {
    pub(crate) fn new() -> Journal {
        Journal::default()
    }

    /// Notes a batch, from inside a handler.
    pub(crate) fn saw(&self, batch: &Batch<'_>) {
        self.pages.lock().unwrap().batches.push(Seen::from(batch));
    }

    /// A handler that notes its batch and answers every value with itself.
    pub(crate) fn echo(
        &self,
    ) -> impl Fn(&mut Batch<'_>) -> Result<(), Failure> + Send + Sync + 'static + use<> {
        let journal = self.clone();
        move |batch| {
            journal.saw(batch);
            echo(batch)
        }
    }

    /// An `on_result` that notes its results.
    pub(crate) fn on_result(&self) -> impl Fn(&Results<'_>) + Send + Sync + 'static + use<> {
        let journal = self.clone();
        move |results| journal.pages.lock().unwrap().sets.push(Set::of(results))
    }

    /// Begins a new page.
    pub(crate) fn clear(&self) {
        *self.pages.lock().unwrap() = Pages::default();
    }

    /// The batches so far, in the order in which handlers saw them.
    pub(crate) fn batches(&self) -> Vec<Seen> {
        self.pages.lock().unwrap().batches.clone()
    }

    /// The sizes of the batches so far.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        self.pages.lock().unwrap().batches.iter().map(Seen::len).collect()
    }

    /// The triggers of the batches so far.
    pub(crate) fn triggers(&self) -> Vec<Trigger> {
        self.pages
            .lock()
            .unwrap()
            .batches
            .iter()
            .map(|batch| batch.trigger)
            .collect()
    }

    /// What `on_result` was given, one set a call.
    pub(crate) fn sets(&self) -> Vec<Set> {
        self.pages.lock().unwrap().sets.clone()
    }

    /// All results so far, in order of delivery.
    pub(crate) fn rows(&self) -> Vec<Row> {
        self.pages
            .lock()
            .unwrap()
            .sets
            .iter()
            .flat_map(|set| set.rows.clone())
            .collect()
    }

    /// The one result of the value with this tag.
    pub(crate) fn row(&self, tag: u64) -> Row {
        let rows: Vec<_> = self.rows().into_iter().filter(|row| row.tag == tag).collect();
        assert_eq!(rows.len(), 1, "results with tag {tag}: {rows:?}");
        rows.into_iter().next().unwrap()
    }

    /// How the value with this tag ended, if it did.
    pub(crate) fn ended(&self, tag: u64) -> Option<(Outcome, Status, Handled)> {
        if self.rows().iter().all(|row| row.tag != tag) {
            return None;
        }
        let row = self.row(tag);
        Some((row.outcome, row.code, row.handled))
    }
}

/// Builds a batcher whose default handler echoes, and the journal of it.
pub(crate) fn journaled(builder: Builder) -> (Batcher, Journal) {
    let journal = Journal::new();
    let batcher = builder
        .handler(journal.echo())
        .on_result(journal.on_result())
        .build()
        .unwrap();
    (batcher, journal)
}

/// Answers every value with itself.
pub(crate) fn echo(batch: &mut Batch<'_>) -> Result<(), Failure> {
    for (row, value) in batch.values().enumerate() {
        batch.set(row, value)?;
    }
    Ok(())
}
