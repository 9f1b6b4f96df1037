//! Every option: one table with its type, unit, range, default and one line of doc. Checks, setting by name,
//! the README's table and the C header's are all made from it.

mod limits;
mod name;
mod shown;
#[cfg(test)]
mod tests;
pub(crate) mod text;

use std::fmt::Write as _;

use super::error::{Error, Status};
use super::value::coded;

pub(crate) use limits::Limits;

use shown::{Quoted, Range};

/// No time limit.
pub(crate) const FOREVER: i64 = i64::MAX;

const MIB: u64 = 1 << 20;
const SECOND: i64 = 1_000_000_000;

pub(crate) const DEFAULT_MAX_BATCH_SIZE: u64 = 256;
const DEFAULT_MAX_BATCH_BYTES: u64 = 16 * MIB;
const DEFAULT_QUEUE_CAPACITY: u64 = 16_384;
const DEFAULT_PUSH_TIMEOUT: i64 = 30 * SECOND;
const DEFAULT_CLOSE_TIMEOUT: i64 = 30 * SECOND;
const MANAGED_DRAIN_AT_EXIT: i64 = 5 * SECOND;

coded! {
    /// Who runs the handlers (P27).
    Mode: u32 {
        /// The engine's own threads.
        Threaded = 1, "threaded";
        /// The host, by calling in; no thread is started.
        Manual = 2, "manual";
    }
}

coded! {
    /// What a push does that finds no room (P22).
    OnFull: u32 {
        /// Waits up to `push_timeout`, then refuses.
        Block = 1, "block";
        /// Refuses at once.
        Reject = 2, "reject";
        /// Gives up the oldest waiting values.
        DiscardOldest = 3, "discard_oldest";
    }
}

coded! {
    /// In which order results are delivered (P19).
    Delivery: u32 {
        /// As batches finish.
        AsCompleted = 1, "as_completed";
        /// As batches were dispatched.
        Ordered = 2, "ordered";
    }
}

coded! {
    /// What tells the time (P28).
    Clock: u32 {
        /// The system's monotonic clock.
        Monotonic = 1, "monotonic";
        /// The caller, by `advance`; it starts at 0.
        Given = 2, "given";
    }
}

coded! {
    /// Where results go (P19).
    ResultsMode: u32 {
        /// To `on_result` if it is set; otherwise they are only counted.
        Auto = 1, "auto";
        /// To whoever calls `next_results`.
        Pull = 2, "pull";
    }
}

coded! {
    /// What an option's value is, hence how its text is read.
    OptionKind: u32 {
        /// Nanoseconds; as text a number with `ns`, `us`, `ms`, `s`, `m` or `h`, or `forever`.
        Duration = 1, "duration";
        /// A plain whole number.
        Count = 2, "count";
        /// Bytes; as text a number, alone or with `kB`, `KiB`, `MB`, `MiB` and so on.
        Bytes = 3, "bytes";
        /// One of the names in `choices`.
        Choice = 4, "choice";
    }
}

/// One name that a choice accepts.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The number in the C header.
    pub code: u32,
    /// The name as text.
    pub name: &'static str,
}

/// One row of [`Options::table`].
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct OptionInfo {
    /// The name, the same in every language.
    pub name: &'static str,
    /// What its value is.
    pub kind: OptionKind,
    /// What it counts, for example `ns` or `values`; empty if nothing.
    pub unit: &'static str,
    /// The smallest value accepted besides 0, which is the default in every option; for a choice, its first
    /// code.
    pub min: i64,
    /// The largest value accepted; for a choice, its last code.
    pub max: i64,
    /// What 0 means, as text.
    pub default: &'static str,
    /// What 0 means, as a number; 0 if other options decide, or if it is nothing.
    pub default_value: i64,
    /// What wrappers of managed languages set where their caller sets nothing; mostly the default.
    pub managed_default: i64,
    /// The names a choice accepts; empty for other kinds.
    pub choices: &'static [Choice],
    /// The size of its field in bytes, 4 or 8.
    pub width: usize,
    /// What it is for, in one line.
    pub doc: &'static str,
}

/// The parts of a row that a kind decides.
const fn shape(kind: OptionKind, unit: &'static str, min: i64, max: i64) -> OptionInfo {
    OptionInfo {
        name: "",
        kind,
        unit,
        min,
        max,
        default: "",
        default_value: 0,
        managed_default: 0,
        choices: &[],
        width: 0,
        doc: "",
    }
}

impl OptionInfo {
    /// The same with a number for 0.
    const fn or(self, default_value: i64) -> OptionInfo {
        OptionInfo {
            default_value,
            managed_default: default_value,
            ..self
        }
    }

    /// The same with another default in managed languages.
    const fn managed(self, managed_default: i64) -> OptionInfo {
        OptionInfo {
            managed_default,
            ..self
        }
    }
}

const fn duration(min: i64) -> OptionInfo {
    shape(OptionKind::Duration, "ns", min, FOREVER)
}

const fn count(unit: &'static str, max: i64) -> OptionInfo {
    shape(OptionKind::Count, unit, 1, max)
}

const fn bytes(max: i64) -> OptionInfo {
    shape(OptionKind::Bytes, "bytes", 8, max)
}

const fn choice(choices: &'static [Choice]) -> OptionInfo {
    OptionInfo {
        choices,
        ..shape(OptionKind::Choice, "", 1, choices.len() as i64).or(1)
    }
}

/// The names of an enum as choices.
macro_rules! choices {
    ($type:ident) => {{
        const CHOICES: [Choice; $type::ALL.len()] = {
            let mut choices = [Choice { code: 0, name: "" }; $type::ALL.len()];
            let mut row = 0;
            while row < choices.len() {
                choices[row] = Choice {
                    code: $type::ALL[row].code(),
                    name: $type::ALL[row].name(),
                };
                row += 1;
            }
            choices
        };
        choice(&CHOICES)
    }};
}

macro_rules! options {
    ($($name:ident: $type:ty, $shape:expr, $default:literal, $doc:literal;)+) => {
        /// The options of a batcher as a caller gives them: raw numbers, 0 for the default.
        ///
        /// Choices are codes, durations nanoseconds, sizes bytes. Nothing is checked before
        /// [`Options::resolve`].
        #[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
        pub struct Options {
            $(#[doc = $doc] pub $name: $type,)+
        }

        const TABLE: &[OptionInfo] = &[$(OptionInfo {
            name: stringify!($name),
            default: $default,
            width: size_of::<$type>(),
            doc: $doc,
            ..$shape
        }),+];

        impl Options {
            /// Every value with its row of the table.
            fn rows(&self) -> impl Iterator<Item = (&'static OptionInfo, i128)> {
                TABLE.iter().zip([$(i128::from(self.$name)),+])
            }

            /// Stores a value that its row accepts.
            fn store(&mut self, name: &str, value: i64) {
                $(if name == stringify!($name) {
                    self.$name = <$type>::try_from(value).unwrap_or_default();
                })+
            }
        }
    };
}

// The one table. In the order of the fields in C: name, field type, shape (unit, range), what 0 means, doc.
options! {
    mode: u32, choices!(Mode), "threaded",
        "Who runs the handlers: the engine's own threads, or the host by calling in; then no thread is started.";
    threads: u32, count("threads", 1024).or(1), "1",
        "Handler threads; none start in manual mode (leave it 0) or without handlers (sets `max_in_flight` only).";
    max_in_flight: u32, count("batches", 65_536), "threads (manual: 1)",
        "Batches dispatched and not finished at any time, kept and pulled ones included.";
    on_full: u32, choices!(OnFull), "block",
        "What a push does that finds no room: wait, refuse, or give up the oldest waiting values.";
    delivery: u32, choices!(Delivery), "as_completed",
        "Order of results: as batches finish, or as they were dispatched.";
    clock: u32, choices!(Clock), "monotonic",
        "What tells the time: the system, or the host by calling `advance` (manual mode only).";
    results: u32, choices!(ResultsMode), "auto",
        "Where results go: to `on_result` if set and else only counted, or to whoever calls `next_results`.";
    owner: u32, count("", u32::MAX as i64), "none",
        "Number of the only owner whose objects are taken; without one, objects are refused.";
    max_batch_size: u64, count("values", 16_777_216).or(DEFAULT_MAX_BATCH_SIZE as i64), "256",
        "Values in a batch at most; left alone it shrinks to fit a smaller `queue_capacity`.";
    max_batch_bytes: u64, bytes(i32::MAX as i64).or(DEFAULT_MAX_BATCH_BYTES as i64), "16 MiB",
        "Bytes in a batch at most, 8 a value plus content; left alone it shrinks to fit a smaller `queue_bytes`.";
    queue_capacity: u64, count("values", 1 << 32), "max(16384, 4 x max_batch_size)",
        "Values that wait for dispatch at most.";
    queue_bytes: u64, bytes(1 << 48), "4 x max_batch_bytes",
        "Bytes that wait for dispatch at most.";
    result_capacity: u64, count("values", 1 << 40), "2 x queue_capacity + max_in_flight x max_batch_size",
        "Values accepted whose results are not delivered yet, at most.";
    max_delay: i64, duration(0), "0 (at once)",
        "Longest wait of a batch's first value for company (Kafka: linger); 1 to 5 ms suit costly handlers.";
    push_timeout: i64, duration(1).or(DEFAULT_PUSH_TIMEOUT), "30 s",
        "Longest wait of a push that blocks; for no wait at all choose `on_full = reject`.";
    handler_timeout: i64, duration(1).or(FOREVER), "forever",
        "Longest time from a batch's dispatch to its end; what is not answered by then expires.";
    close_timeout: i64, duration(1).or(DEFAULT_CLOSE_TIMEOUT), "30 s",
        "Longest drain when a scope or destructor closes the batcher; what is left is discarded and counted.";
    drain_at_exit: i64, duration(0).managed(MANAGED_DRAIN_AT_EXIT), "0 (off)",
        "Longest drain when the process exits; off in C and C++, 5 s in managed wrappers, by their host's hook.";
    delay_spin: i64, duration(0), "0 (off)",
        "Last stretch of `max_delay` that a thread spins out, not sleeps: 100 us of a core a batch save most of the lateness.";
}

impl Options {
    /// Every option, in the order of the fields.
    pub const fn table() -> &'static [OptionInfo] {
        TABLE
    }

    /// The row of the option with this name.
    pub fn info(name: &str) -> Option<&'static OptionInfo> {
        TABLE.iter().find(|info| info.name == name)
    }

    /// Sets an option from text: `"2ms"`, `"16MiB"`, `"forever"`, `"reject"`, a plain number in the base unit
    /// (ns or bytes), or `"default"`. Checks the option's own range at once. On failure nothing is changed.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), Error> {
        let Some(info) = Options::info(name) else {
            return Err(name::unknown(name));
        };
        match info.parse(text) {
            Ok(value) => {
                self.store(info.name, value);
                Ok(())
            }
            Err(fault) => {
                let (status, quoted) = (Status::INVALID_OPTION, Quoted(text));
                Err(Error::new(
                    status,
                    info.name,
                    format_args!("{name} = {quoted}: {}", fault.about(info)),
                ))
            }
        }
    }

    /// The table as Markdown, for the README.
    pub fn markdown_table() -> String {
        let mut page = String::from("| option | type | range | default | meaning |\n|---|---|---|---|---|\n");
        for info in TABLE {
            let (name, kind, range) = (info.name, info.kind, Range(info));
            // Writing to a String cannot fail.
            let _ = writeln!(
                page,
                "| `{name}` | {kind} | {range} | {} | {} |",
                info.default, info.doc
            );
        }
        page
    }
}
