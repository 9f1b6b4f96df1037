//! What the options of a batcher mean together: every default filled in and every rule checked.

use std::fmt;

use super::shown::{Accepted, Shown};
use super::{
    Clock, DEFAULT_CLOSE_TIMEOUT, DEFAULT_MAX_BATCH_BYTES, DEFAULT_MAX_BATCH_SIZE, DEFAULT_PUSH_TIMEOUT,
    DEFAULT_QUEUE_CAPACITY, Delivery, FOREVER, Mode, OnFull, Options, ResultsMode,
};
use crate::engine::error::{Error, Status, Text};

/// The options with every default filled in and every rule checked.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Who runs the handlers.
    pub mode: Mode,
    /// Handler threads to start: 0 in manual mode and for a batcher without handlers.
    pub threads: u32,
    /// Batches dispatched and not finished at most; at least 1.
    pub max_in_flight: u32,
    /// What a push does that finds no room.
    pub on_full: OnFull,
    /// Order of results.
    pub delivery: Delivery,
    /// What tells the time.
    pub clock: Clock,
    /// Where results go.
    pub results: ResultsMode,
    /// The only owner whose objects are taken; 0 for none.
    pub owner: u32,
    /// Values in a batch at most; never above `queue_capacity`.
    pub max_batch_size: u32,
    /// Bytes in a batch at most; never above `queue_bytes` or 2^31 - 1.
    pub max_batch_bytes: u64,
    /// Waiting values at most.
    pub queue_capacity: u64,
    /// Waiting bytes at most.
    pub queue_bytes: u64,
    /// Values accepted whose results are not delivered yet, at most.
    pub result_capacity: u64,
    /// Nanoseconds a batch's first value waits at most while a slot is free; 0 is at once.
    pub max_delay: i64,
    /// Nanoseconds a blocking push waits at most.
    pub push_timeout: i64,
    /// Nanoseconds from a batch's dispatch to its end at most.
    pub handler_timeout: i64,
    /// Nanoseconds that a scope or destructor lets close drain.
    pub close_timeout: i64,
    /// Nanoseconds to drain when the process exits; 0 is not at all.
    pub drain_at_exit: i64,
    /// Nanoseconds at the end of `max_delay` that whoever waits for it spins out; 0 is none.
    pub delay_spin: i64,
}

impl Options {
    /// Fills in the defaults and checks every range and contradiction. An error names all that is wrong; its
    /// subject is the first option at fault.
    pub fn resolve(&self, has_handlers: bool) -> Result<Limits, Error> {
        let mut problems = Problems::default();
        for (info, value) in self.rows() {
            if value != 0 && !info.accepts(value) {
                let shown = Shown(info, value);
                problems.add(
                    info.name,
                    format_args!("{} = {shown}: {}", info.name, Accepted(info)),
                );
            }
        }
        self.check_contradictions(&mut problems);
        match problems.into_error() {
            Some(error) => Err(error),
            None => Ok(self.filled_in(has_handlers)),
        }
    }

    /// Pairs of options that were both given and cannot both hold. What is out of its own range was named
    /// already.
    fn check_contradictions(&self, problems: &mut Problems) {
        let usable = |name: &str| {
            let row = self.rows().find(|(info, _)| info.name == name);
            row.filter(|(info, value)| *value != 0 && info.accepts(*value))
        };
        let manual = self.mode == Mode::Manual.code();
        if let Some((_, threads)) = usable("threads").filter(|_| manual) {
            let rule = "manual mode starts no threads; leave threads at 0 or choose mode = threaded";
            problems.add("threads", format_args!("threads = {threads}: {rule}"));
        }
        let mode_is_known = self.mode == 0 || Mode::from_code(self.mode).is_some();
        if self.clock == Clock::Given.code() && mode_is_known && !manual {
            let rule =
                "needs mode = manual, and the mode is threaded; choose mode = manual or clock = monotonic";
            problems.add("clock", format_args!("clock = given: {rule}"));
        }
        for (small, large) in [
            ("max_batch_size", "queue_capacity"),
            ("max_batch_bytes", "queue_bytes"),
        ] {
            let (Some((info, wanted)), Some((other, room))) = (usable(small), usable(large)) else {
                continue;
            };
            if wanted > room {
                let (wanted, room) = (Shown(info, wanted), Shown(other, room));
                let rule = format_args!("must not be above {large} = {room}");
                let cure = format_args!("lower {small} to {room} or raise {large} to {wanted}");
                problems.add(small, format_args!("{small} = {wanted}: {rule}; {cure}"));
            }
        }
    }

    /// The limits that options without a fault mean.
    fn filled_in(&self, has_handlers: bool) -> Limits {
        let mode = Mode::from_code(self.mode).unwrap_or(Mode::Threaded);
        let threads = match mode {
            Mode::Threaded => or(self.threads, 1),
            Mode::Manual => 0,
        };
        let max_in_flight = or(self.max_in_flight, threads.max(1));
        let max_batch_size = or(
            self.max_batch_size,
            DEFAULT_MAX_BATCH_SIZE.min(or(self.queue_capacity, u64::MAX)),
        );
        let max_batch_bytes = or(
            self.max_batch_bytes,
            DEFAULT_MAX_BATCH_BYTES.min(or(self.queue_bytes, u64::MAX)),
        );
        let queue_capacity = or(
            self.queue_capacity,
            DEFAULT_QUEUE_CAPACITY.max(max_batch_size.saturating_mul(4)),
        );
        let in_flight_values = u64::from(max_in_flight).saturating_mul(max_batch_size);
        let result_places = queue_capacity.saturating_mul(2).saturating_add(in_flight_values);
        let most_result_places =
            Options::info("result_capacity").map_or(result_places, |info| info.max as u64);
        Limits {
            mode,
            threads: if has_handlers { threads } else { 0 },
            max_in_flight,
            on_full: OnFull::from_code(self.on_full).unwrap_or(OnFull::Block),
            delivery: Delivery::from_code(self.delivery).unwrap_or(Delivery::AsCompleted),
            clock: Clock::from_code(self.clock).unwrap_or(Clock::Monotonic),
            results: ResultsMode::from_code(self.results).unwrap_or(ResultsMode::Auto),
            owner: self.owner,
            // The range ends far below u32::MAX.
            max_batch_size: u32::try_from(max_batch_size).unwrap_or(u32::MAX),
            max_batch_bytes,
            queue_capacity,
            queue_bytes: or(self.queue_bytes, max_batch_bytes.saturating_mul(4)),
            result_capacity: or(self.result_capacity, result_places.min(most_result_places)),
            max_delay: self.max_delay,
            push_timeout: or(self.push_timeout, DEFAULT_PUSH_TIMEOUT),
            handler_timeout: or(self.handler_timeout, FOREVER),
            close_timeout: or(self.close_timeout, DEFAULT_CLOSE_TIMEOUT),
            drain_at_exit: self.drain_at_exit,
            delay_spin: self.delay_spin,
        }
    }
}

/// `value`, or `default` if it is 0.
fn or<T: Default + PartialEq>(value: T, default: T) -> T {
    if value == T::default() { default } else { value }
}

/// Everything that is wrong, in one message.
#[derive(Default)]
struct Problems {
    subject: Option<&'static str>,
    text: Text,
}

impl Problems {
    fn add(&mut self, subject: &'static str, message: fmt::Arguments<'_>) {
        self.subject.get_or_insert(subject);
        if !self.text.is_empty() {
            self.text.add(format_args!("\n"));
        }
        self.text.add(message);
    }

    fn into_error(self) -> Option<Error> {
        let subject = self.subject?;
        Some(Error::from_text(Status::INVALID_OPTION, subject, self.text))
    }
}
