//! Making a batcher: options and callbacks.

use super::batch::{Batch, Failure};
use super::batcher::{Batcher, Timeout};
use super::results::Results;
use crate::engine::batcher::{Callbacks, DEFAULT, Inner, Routes};
use crate::engine::delivery::ResultSet;
use crate::engine::error::{Error, Status};
use crate::engine::options::{Clock, Delivery, Mode, OnFull, Options, ResultsMode};
use crate::engine::part::Part;
use crate::engine::results::Reason;
use crate::engine::value::Kind;
use crate::sync::try_box;
use std::panic::{AssertUnwindSafe, catch_unwind};

type Handler = Box<dyn Fn(&mut Batch<'_>) -> Result<(), Failure> + Send + Sync>;
type OnResult = Box<dyn Fn(&Results<'_>) + Send + Sync>;
type ObjectRelease = Box<dyn Fn(u64) + Send + Sync>;
type Log = Box<dyn Fn(i32, &str) + Send + Sync>;

/// Options and callbacks of a batcher to be.
///
/// Every option left alone has its default; [`Builder::build`] checks them together.
#[derive(Default)]
#[must_use]
pub struct Builder {
    options: Options,
    handlers: Closures,
    pull_handlers: u64,
}

#[derive(Default)]
struct Closures {
    handler: Option<Handler>,
    on_result: Option<OnResult>,
    rare: Option<Box<Rare>>,
}

/// What few batchers have.
#[derive(Default)]
struct Rare {
    by_kind: [Option<Handler>; Kind::COUNT],
    object_release: Option<ObjectRelease>,
    log: Option<Log>,
}

impl Closures {
    /// The handler of a kind's code, or the default.
    fn handler(&self, which: usize) -> Option<&Handler> {
        match &self.rare {
            _ if which == DEFAULT => self.handler.as_ref(),
            Some(rare) => rare.by_kind.get(which)?.as_ref(),
            None => None,
        }
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

impl Builder {
    /// No handler, every option at its default.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Threads of the engine's own (the default), or none: the host calls [`Batcher::run`].
    pub fn mode(mut self, mode: Mode) -> Builder {
        self.options.mode = mode.code();
        self
    }

    /// How many handler threads.
    pub fn threads(mut self, threads: u32) -> Builder {
        self.options.threads = threads;
        self
    }

    /// How many batches may be in flight.
    pub fn max_in_flight(mut self, batches: u32) -> Builder {
        self.options.max_in_flight = batches;
        self
    }

    /// Values in a batch at most.
    pub fn max_batch_size(mut self, values: u64) -> Builder {
        self.options.max_batch_size = values;
        self
    }

    /// Bytes in a batch at most: 8 a value, plus the length of strings and bytes.
    pub fn max_batch_bytes(mut self, bytes: u64) -> Builder {
        self.options.max_batch_bytes = bytes;
        self
    }

    /// The longest wait of a batch's oldest value (Kafka: linger); zero is "at once".
    pub fn max_delay(mut self, delay: impl Into<Timeout>) -> Builder {
        self.options.max_delay = delay.into().ns();
        self
    }

    /// Values that may wait.
    pub fn queue_capacity(mut self, values: u64) -> Builder {
        self.options.queue_capacity = values;
        self
    }

    /// Bytes that may wait.
    pub fn queue_bytes(mut self, bytes: u64) -> Builder {
        self.options.queue_bytes = bytes;
        self
    }

    /// Values accepted and not delivered at most.
    pub fn result_capacity(mut self, values: u64) -> Builder {
        self.options.result_capacity = values;
        self
    }

    /// What a push does that finds no room.
    pub fn on_full(mut self, policy: OnFull) -> Builder {
        self.options.on_full = policy.code();
        self
    }

    /// How long a push waits for room under [`OnFull::Block`].
    pub fn push_timeout(mut self, timeout: impl Into<Timeout>) -> Builder {
        self.options.push_timeout = timeout.into().ns();
        self
    }

    /// The last stretch of `max_delay` that whoever waits for it spins out instead of sleeping: less late, for a core.
    pub fn delay_spin(mut self, span: impl Into<Timeout>) -> Builder {
        self.options.delay_spin = span.into().ns();
        self
    }

    /// The order of results.
    pub fn delivery(mut self, delivery: Delivery) -> Builder {
        self.options.delivery = delivery.code();
        self
    }

    /// How long a batch may be in flight before its values expire.
    pub fn handler_timeout(mut self, timeout: impl Into<Timeout>) -> Builder {
        self.options.handler_timeout = timeout.into().ns();
        self
    }

    /// How long dropping the batcher drains before it discards.
    pub fn close_timeout(mut self, timeout: impl Into<Timeout>) -> Builder {
        self.options.close_timeout = timeout.into().ns();
        self
    }

    /// The monotonic clock, or one that [`Batcher::advance`] moves.
    pub fn clock(mut self, clock: Clock) -> Builder {
        self.options.clock = clock.code();
        self
    }

    /// Results are pulled with [`Batcher::next_results`].
    pub fn pull_results(mut self) -> Builder {
        self.options.results = ResultsMode::Pull.code();
        self
    }

    /// Sets an option by name and text, with a unit: `("max_delay", "2ms")`.
    ///
    /// # Errors
    /// [`Status::INVALID_OPTION`] names the option or the text, and what would be accepted.
    pub fn option(mut self, name: &str, text: &str) -> Result<Builder, Error> {
        self.options.set(name, text)?;
        Ok(self)
    }

    /// The handler of every kind that has none of its own.
    pub fn handler<F>(mut self, handler: F) -> Builder
    where
        F: Fn(&mut Batch<'_>) -> Result<(), Failure> + Send + Sync + 'static,
    {
        self.handlers.handler = Some(Box::new(handler));
        self
    }

    /// The handler of one kind.
    pub fn handler_for<F>(mut self, kind: Kind, handler: F) -> Builder
    where
        F: Fn(&mut Batch<'_>) -> Result<(), Failure> + Send + Sync + 'static,
    {
        self.handlers.rare().by_kind[kind as usize] = Some(Box::new(handler));
        self
    }

    /// For a host that pulls: it has a handler for this kind. Then values of kinds without one are refused, and
    /// [`Batcher::next_batch`] hands out the parts of a batch one after another.
    pub fn pull_handler_for(mut self, kind: Kind) -> Builder {
        self.pull_handlers |= 1 << kind as u64;
        self
    }

    /// For a host that pulls: it has a handler for every kind that has none of its own.
    pub fn pull_handler(mut self) -> Builder {
        self.pull_handlers |= 1 << DEFAULT;
        self
    }

    /// Takes every set of results, one at a time.
    pub fn on_result<F>(mut self, on_result: F) -> Builder
    where
        F: Fn(&Results<'_>) + Send + Sync + 'static,
    {
        self.handlers.on_result = Some(Box::new(on_result));
        self
    }

    /// The number of the one owner whose objects the batcher takes, and how they are given back.
    pub fn on_object_release<F>(mut self, owner: u32, release: F) -> Builder
    where
        F: Fn(u64) + Send + Sync + 'static,
    {
        self.options.owner = owner;
        self.handlers.rare().object_release = Some(Box::new(release));
        self
    }

    /// Takes lines of log: level (3 error, 2 warning, 1 information) and text. Silent without.
    pub fn log<F>(mut self, log: F) -> Builder
    where
        F: Fn(i32, &str) + Send + Sync + 'static,
    {
        self.handlers.rare().log = Some(Box::new(log));
        self
    }

    /// Checks the options together and makes the batcher. Without any handler it is pulled with
    /// [`Batcher::next_batch`].
    ///
    /// # Errors
    /// [`Status::INVALID_OPTION`] names the option, its value and what would be accepted; [`Status::SYSTEM`] if a
    /// thread could not be made; [`Status::NO_MEMORY`].
    pub fn build(self) -> Result<Batcher, Error> {
        let closures = self.handlers;
        let own = (0..=DEFAULT)
            .filter(|kind| closures.handler(*kind).is_some())
            .fold(0, |own, kind| own | 1 << kind);
        let routes = Routes::new(own, self.pull_handlers, closures.on_result.is_some())?;
        let closures = try_box(closures).ok_or(Error::bare(Status::NO_MEMORY))?;
        let engine = Inner::start(&self.options, routes, closures)?;
        Ok(Batcher::new(engine))
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// The text of a panic.
pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "the handler panicked",
    }
}

/// Runs a handler on its part: what it returns or panics with becomes the part's end.
pub(super) fn call_handler(handler: &dyn Fn(&mut Batch<'_>) -> Result<(), Failure>, part: &Part) -> Status {
    let mut batch = Batch::new(part);
    let outcome = catch_unwind(AssertUnwindSafe(|| handler(&mut batch)));
    if batch.kept {
        return Status::OK;
    }
    let reason = match &outcome {
        Ok(Ok(())) => return Status::OK,
        Ok(Err(failure)) => Reason {
            code: failure.code,
            type_name: failure.type_name,
            message: &failure.message,
        },
        Err(panic) => Reason {
            code: Status::HANDLER_FAILED.code(),
            type_name: "panic",
            message: panic_text(&**panic),
        },
    };
    // TOO_LATE if the part expired meanwhile: its outcomes stand, and there is nobody to tell.
    let _ = part.batch().fail_all(reason);
    Status::OK
}

impl Callbacks for Closures {
    fn handle(&self, which: usize, part: &Part) -> Status {
        match self.handler(which) {
            Some(handler) => call_handler(handler, part),
            None => Status::NO_HANDLER,
        }
    }

    fn on_result(&self, results: &ResultSet) {
        if let Some(on_result) = &self.on_result
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| on_result(&Results::lent(results))))
        {
            self.log(crate::engine::batcher::LOG_ERROR, panic_text(&*panic));
        }
    }

    fn release_object(&self, word: u64) {
        if let Some(release) = self.rare.as_ref().and_then(|rare| rare.object_release.as_ref())
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| release(word)))
        {
            self.log(crate::engine::batcher::LOG_ERROR, panic_text(&*panic));
        }
    }

    fn log(&self, level: i32, message: &str) {
        if let Some(log) = self.rare.as_ref().and_then(|rare| rare.log.as_ref()) {
            // A log callback that panics has nobody left to tell.
            let _ = catch_unwind(AssertUnwindSafe(|| log(level, message)));
        }
    }
}
