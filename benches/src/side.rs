//! A side: microbatch, or a peer that does the same work, behind one trait.

use crate::{channel, native, tasks};

/// `struct side_log`: a batch of results.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Logged {
    /// How many results came.
    pub count: u64,
    /// When, on CLOCK_MONOTONIC.
    pub at: i64,
}

/// What the values are; the numbers of `side.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// An integer, doubled by the handler.
    Int64,
    /// A double, doubled by the handler.
    Float64,
    /// A string of so many bytes, measured by the handler.
    Text(u64),
}

/// `struct side_config`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Values a batch at most.
    pub max_batch_size: u64,
    /// Values accepted and not delivered at most; a push that finds no room waits.
    pub outstanding: u64,
    /// The longest a value waits for its batch to fill.
    pub max_delay_ns: i64,
    /// The last stretch of that wait that is spun out; ours alone.
    pub delay_spin_ns: i64,
    /// 0: nothing is taken from the queue before `drain`.
    pub consumer: i32,
    pub(crate) payload: i32,
    pub(crate) bytes: u64,
    /// Threads that push.
    pub producers: u64,
    /// Values a call of push hands over at once; 0: one by one.
    pub bulk: u64,
    /// How long the handler takes for a batch, besides its loop.
    pub handler_ns: i64,
    pub(crate) log: *mut Logged,
    pub(crate) log_room: u64,
}

/// Values outstanding where a case says nothing else: the largest multiple of the batch size up to 10,000. With a
/// remainder the last values of every window would wait a whole max_delay.
pub const WINDOW: u64 = 39 * 256;

const MS: i64 = 1_000_000;

impl Default for Config {
    fn default() -> Config {
        Config {
            max_batch_size: 256,
            outstanding: WINDOW,
            max_delay_ns: MS,
            delay_spin_ns: 0,
            consumer: 1,
            payload: 0,
            bytes: 0,
            producers: 1,
            bulk: 0,
            handler_ns: 0,
            log: std::ptr::null_mut(),
            log_room: 0,
        }
    }
}

impl Config {
    /// The same with other values.
    pub fn of(mut self, payload: Payload) -> Config {
        (self.payload, self.bytes) = match payload {
            Payload::Int64 => (0, 0),
            Payload::Float64 => (1, 0),
            Payload::Text(bytes) => (2, bytes),
        };
        self
    }

    /// The same, and batches of results are written down in `log` while the side lives.
    pub fn logging(mut self, log: &mut [Logged]) -> Config {
        (self.log, self.log_room) = (log.as_mut_ptr(), log.len() as u64);
        self
    }
}

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// microbatch, pushes to the batcher.
    Batcher,
    /// microbatch, a producer handle for each thread.
    Producer,
    /// microbatch for C++, a future for each value.
    Future,
    /// C++: mutex, vector and condition variable, written by hand.
    Mutex,
    /// The same with a std::promise for each value.
    Promise,
    /// C++: moodycamel::ConcurrentQueue, polled.
    Moodycamel,
    /// C++: moodycamel::BlockingConcurrentQueue, which sleeps.
    MoodycamelBlocking,
    /// C: librdkafka with its mock broker.
    Rdkafka,
    /// Rust: a tokio channel and a oneshot for each value, written by hand.
    Tokio,
    /// Rust: tower-batch, and a oneshot for each value.
    TowerBatch,
    /// Rust: batch-aint-one.
    BatchAintOne,
    /// Rust: a crossbeam channel and a thread, written by hand.
    Crossbeam,
}

impl Name {
    /// What tables call it.
    pub fn label(self) -> &'static str {
        match self {
            Name::Batcher => "microbatch",
            Name::Producer => "microbatch, producer handles",
            Name::Future => "microbatch, C++ future each",
            Name::Mutex => "mutex + vector + condvar",
            Name::Promise => "mutex + std::promise each",
            Name::Moodycamel => "moodycamel, polled",
            Name::MoodycamelBlocking => "moodycamel, blocking",
            Name::Rdkafka => "librdkafka, mock broker",
            Name::Tokio => "tokio + oneshot each",
            Name::TowerBatch => "tower-batch",
            Name::BatchAintOne => "batch-aint-one",
            Name::Crossbeam => "crossbeam-channel",
        }
    }

    /// Ours.
    pub fn is_ours(self) -> bool {
        matches!(self, Name::Batcher | Name::Producer | Name::Future)
    }

    /// None if it can take part, else how to get it.
    pub fn missing(self) -> Option<&'static str> {
        match self {
            Name::Moodycamel | Name::MoodycamelBlocking if !cfg!(has_moodycamel) => {
                Some("Debian: apt install libconcurrentqueue-dev, then build again")
            }
            Name::Rdkafka if !cfg!(has_rdkafka) => {
                Some("Debian: apt install librdkafka-dev, then build again")
            }
            _ => None,
        }
    }

    /// A round of a slow side has this fraction of the values, so that rounds of all take about as long.
    pub fn share(self) -> u64 {
        match self {
            Name::Batcher | Name::Producer | Name::Mutex | Name::Moodycamel | Name::MoodycamelBlocking => 1,
            Name::Future | Name::Crossbeam => 2,
            Name::Rdkafka | Name::Tokio | Name::Promise => 8,
            Name::TowerBatch | Name::BatchAintOne => 32,
        }
    }
}

/// A batcher that is measured.
pub trait Side: Send + Sync {
    /// Pushes `count` values one by one (or as `Config::bulk` says) as this producer; tags count up from `first`.
    fn push(&self, producer: u64, first: u64, count: u64);

    /// Waits until everything pushed is delivered.
    fn drain(&self);

    /// Results delivered so far.
    fn delivered(&self) -> u64;

    /// When the last batch of results came, on CLOCK_MONOTONIC.
    fn last_at(&self) -> i64;

    /// Batches of results so far.
    fn batches(&self) -> u64;

    /// Sum of the results so far, and of what they should be by their tags.
    fn sums(&self) -> (u64, u64);

    /// Bytes that the side says it holds; 0 if it does not say.
    fn bytes_in_use(&self) -> u64 {
        0
    }

    /// Pushes as `producers` producers and waits for all results, where threads that call `push` would be wrong: answers
    /// the nanoseconds.
    fn job(&self, _first: u64, _producers: u64, _values: u64) -> Option<f64> {
        None
    }
}

/// Makes a batcher. The bench cannot go on without one.
pub fn new(name: Name, config: Config) -> Box<dyn Side> {
    match name {
        Name::Crossbeam => Box::new(channel::Crossbeam::new(config)),
        Name::Tokio => Box::new(tasks::Tasks::<tasks::ByHand>::new(config)),
        Name::TowerBatch => Box::new(tasks::Tasks::<tasks::Tower>::new(config)),
        Name::BatchAintOne => Box::new(tasks::Tasks::<tasks::AintOne>::new(config)),
        _ => Box::new(native::Native::new(name, config)),
    }
}

/// Waits for everything and checks it: `pushed` results, each what its tag says.
pub fn check(side: &dyn Side, pushed: u64) {
    side.drain();
    assert_eq!(side.delivered(), pushed, "every value has one result");
    let (sum, expected) = side.sums();
    assert_eq!(sum, expected, "every result belongs to its tag");
}

/// Nanoseconds of CLOCK_MONOTONIC.
pub fn now() -> i64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is writable.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
