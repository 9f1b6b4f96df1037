//! The options by name, their defaults and their contradictions.

use super::state::Status;

/// No time limit.
pub(crate) const FOREVER: i64 = i64::MAX;

/// What happens to a push that finds no room. BLOCK in manual mode answers as REJECT does.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum OnFull {
    Refuse,
    DiscardOldest,
}

/// The options as given (0: not given), then, after `resolve`, as they hold.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) owner: u32,
    pub(crate) max_batch_size: u64,
    pub(crate) max_batch_bytes: u64,
    pub(crate) queue_capacity: u64,
    pub(crate) queue_bytes: u64,
    pub(crate) result_capacity: u64,
    pub(crate) max_in_flight: u64,
    pub(crate) max_delay: i64,
    pub(crate) handler_timeout: i64,
    pub(crate) on_full: OnFull,
    pub(crate) ordered: bool,
    pub(crate) pull_results: bool,
}

impl Options {
    pub(crate) fn new() -> Options {
        Options {
            owner: 0,
            max_batch_size: 0,
            max_batch_bytes: 0,
            queue_capacity: 0,
            queue_bytes: 0,
            result_capacity: 0,
            max_in_flight: 0,
            max_delay: 0,
            handler_timeout: 0,
            on_full: OnFull::Refuse,
            ordered: false,
            pull_results: false,
        }
    }

    /// Sets one option from its text.
    pub(crate) fn set(&mut self, name: &str, text: &str) {
        match name {
            "max_batch_size" => self.max_batch_size = count(text),
            "max_batch_bytes" => self.max_batch_bytes = count(text),
            "queue_capacity" => self.queue_capacity = count(text),
            "queue_bytes" => self.queue_bytes = count(text),
            "result_capacity" => self.result_capacity = count(text),
            "max_in_flight" => self.max_in_flight = count(text),
            "max_delay" => self.max_delay = duration(text),
            "handler_timeout" => self.handler_timeout = duration(text),
            "on_full" => {
                self.on_full = if text == "discard_oldest" {
                    OnFull::DiscardOldest
                } else {
                    OnFull::Refuse
                };
            }
            "delivery" => self.ordered = text == "ordered",
            "results" => self.pull_results = text == "pull",
            _ => panic!("no option {name}"),
        }
    }

    /// Fills the defaults in and refuses limits that contradict each other.
    pub(crate) fn resolve(mut self, has_on_result: bool) -> Result<Options, Status> {
        let default = |field: &mut u64, value: u64| {
            if *field == 0 {
                *field = value;
            }
        };
        // A batch limit left alone shrinks to fit its queue.
        let fitted = |most: u64, queue: u64| if queue == 0 { most } else { most.min(queue) };
        default(&mut self.max_batch_size, fitted(256, self.queue_capacity));
        default(&mut self.max_batch_bytes, fitted(16 << 20, self.queue_bytes));
        default(&mut self.queue_capacity, (4 * self.max_batch_size).max(16_384));
        default(&mut self.queue_bytes, 4 * self.max_batch_bytes);
        default(&mut self.max_in_flight, 1);
        default(
            &mut self.result_capacity,
            2 * self.queue_capacity + self.max_in_flight * self.max_batch_size,
        );
        if self.handler_timeout == 0 {
            self.handler_timeout = FOREVER;
        }
        let contradiction = self.max_batch_size > self.queue_capacity
            || self.max_batch_bytes > self.queue_bytes
            || self.max_batch_bytes > i32::MAX as u64
            || (self.pull_results && has_on_result);
        if contradiction {
            Err("INVALID_OPTION")
        } else {
            Ok(self)
        }
    }
}

fn with_unit(text: &str, units: &[(&str, u64)]) -> u64 {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = &text[digits.len()..];
    let factor = units
        .iter()
        .find(|(name, _)| *name == unit)
        .expect("a known unit")
        .1;
    digits.parse::<u64>().expect("a number") * factor
}

fn count(text: &str) -> u64 {
    with_unit(
        text,
        &[
            ("", 1),
            ("B", 1),
            ("KiB", 1 << 10),
            ("MiB", 1 << 20),
            ("GiB", 1 << 30),
        ],
    )
}

/// A duration in nanoseconds, with or without a unit.
pub(crate) fn duration(text: &str) -> i64 {
    if text == "forever" {
        return FOREVER;
    }
    with_unit(
        text,
        &[
            ("", 1),
            ("ns", 1),
            ("us", 1_000),
            ("ms", 1_000_000),
            ("s", 1_000_000_000),
        ],
    ) as i64
}
