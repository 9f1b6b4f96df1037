//! Every option: one table with its type, unit, range, default and one line of doc. Checks, setting by name,
//! the README's table and the C header's are all made from it.

use std::fmt::{self, Write as _};

use super::error::{Error, Status, Text};
use super::value::coded;

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
}

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
            return Err(unknown(name));
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

/// Why a text is no value of an option.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Fault<'a> {
    /// Not written the way the option's kind is.
    Unreadable,
    /// A number with a unit the option does not know.
    Unit(&'a str),
    /// A fraction finer than the base unit.
    Fraction,
    /// A number, and not one the option accepts.
    OutOfRange,
}

impl<'a> Fault<'a> {
    /// The fault and what would be accepted instead.
    fn about(self, info: &'static OptionInfo) -> impl fmt::Display + use<'a> {
        Told(move |f: &mut fmt::Formatter<'_>| {
            match self {
                Fault::Unreadable => {}
                Fault::Unit(unit) => write!(f, "unknown unit {}; ", Quoted(unit))?,
                Fault::Fraction => write!(f, "not a whole number of {}; ", info.unit)?,
                Fault::OutOfRange => return write!(f, "{}", Accepted(info)),
            }
            match info.kind {
                OptionKind::Duration => {
                    f.write_str("write a number with ns, us, ms, s, m or h, a plain number of ns, or forever")
                }
                OptionKind::Bytes => f.write_str(
                    "write a plain number of bytes or one with B, kB, MB, GB, TB, KiB, MiB, GiB or TiB",
                ),
                OptionKind::Count => write!(f, "write a plain whole number, {}", Range(info)),
                OptionKind::Choice => write!(f, "{}", Accepted(info)),
            }
        })
    }
}

/// Units from small to large, so that showing a value finds the largest that divides it last.
const DURATION_UNITS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

const BYTE_UNITS: &[(&str, u64)] = &[
    ("bytes", 1),
    ("B", 1),
    ("kB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];

impl OptionInfo {
    /// Whether the option accepts this number. 0, the default, is asked for separately.
    fn accepts(&self, value: i128) -> bool {
        (i128::from(self.min)..=i128::from(self.max)).contains(&value)
    }

    /// The value that a text means, in the base unit; 0 for the default.
    fn parse<'a>(&self, text: &'a str) -> Result<i64, Fault<'a>> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("default") {
            return Ok(0);
        }
        let value = match self.kind {
            OptionKind::Choice => {
                let named = self
                    .choices
                    .iter()
                    .find(|choice| choice.name.eq_ignore_ascii_case(text));
                return named
                    .map(|choice| i64::from(choice.code))
                    .ok_or(Fault::Unreadable);
            }
            OptionKind::Duration => scaled_duration(text)?,
            OptionKind::Bytes => parse_scaled(text, |unit| {
                BYTE_UNITS
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(unit))
                    .map(|(_, scale)| *scale)
            })?,
            OptionKind::Count if text.contains('.') => return Err(Fault::Unreadable),
            OptionKind::Count => parse_scaled(text, |_| None)?,
        };
        match i64::try_from(value) {
            Ok(value) if value == 0 || self.accepts(value.into()) => Ok(value),
            _ => Err(Fault::OutOfRange),
        }
    }
}

/// Nanoseconds, of any size.
fn scaled_duration(text: &str) -> Result<i128, Fault<'_>> {
    if text.eq_ignore_ascii_case("forever") {
        return Ok(i128::from(FOREVER));
    }
    parse_scaled(text, |unit| {
        let known = DURATION_UNITS.iter().find(|(name, _)| *name == unit);
        known.map(|(_, scale)| *scale)
    })
}

/// The nanoseconds that a text such as `"2ms"` or `"forever"` means: how durations of options are read, for
/// time-outs in calls. A plain number is nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Result<i64, Error> {
    const ANY: OptionInfo = duration(0);
    let read = scaled_duration(text.trim()).and_then(|value| match i64::try_from(value) {
        Ok(value) if value >= 0 => Ok(value),
        _ => Err(Fault::OutOfRange),
    });
    read.map_err(|fault| {
        let (status, quoted) = (Status::INVALID_ARGUMENT, Quoted(text));
        let told = Told(move |f: &mut fmt::Formatter<'_>| match fault {
            Fault::OutOfRange => write!(f, "must be {}", Range(&ANY)),
            other => write!(f, "{}", other.about(&ANY)),
        });
        Error::new(status, text, format_args!("{quoted}: {told}"))
    })
}

/// Reads `digits[.digits][unit]`, exactly: what is not a whole number of the base unit is refused, not
/// rounded.
fn parse_scaled(text: &str, scale_of: impl Fn(&str) -> Option<u64>) -> Result<i128, Fault<'_>> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim_start());
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction.trim_end_matches('0')),
        Some(_) => return Err(Fault::Unreadable),
        None => (number, ""),
    };
    if whole.is_empty() || fraction.contains('.') {
        return Err(Fault::Unreadable);
    }
    let scale = match unit {
        "" => 1,
        unit => scale_of(unit).ok_or(Fault::Unit(unit))?,
    };
    let mut value: u128 = 0;
    let mut parts: u128 = 1;
    for (digit, is_fraction) in whole
        .bytes()
        .map(|digit| (digit, false))
        .chain(fraction.bytes().map(|digit| (digit, true)))
    {
        let grown = value
            .checked_mul(10)
            .and_then(|value| value.checked_add(u128::from(digit - b'0')));
        value = grown.ok_or(Fault::OutOfRange)?;
        if is_fraction {
            // No scale has that many factors of ten.
            parts = parts.checked_mul(10).ok_or(Fault::Fraction)?;
        }
    }
    let scaled = value.checked_mul(u128::from(scale)).ok_or(Fault::OutOfRange)?;
    if scaled % parts != 0 {
        return Err(Fault::Fraction);
    }
    let value = i128::try_from(scaled / parts).map_err(|_| Fault::OutOfRange)?;
    Ok(if negative { -value } else { value })
}

/// A value as a text that [`Options::set`] would read.
struct Shown(&'static OptionInfo, i128);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shown(info, value) = *self;
        let units = match info.kind {
            OptionKind::Choice => {
                return match info
                    .choices
                    .iter()
                    .find(|choice| i128::from(choice.code) == value)
                {
                    Some(choice) => f.write_str(choice.name),
                    None => write!(f, "{value}"),
                };
            }
            OptionKind::Duration if value == i128::from(FOREVER) => return f.write_str("forever"),
            OptionKind::Duration => DURATION_UNITS,
            OptionKind::Bytes => BYTE_UNITS,
            OptionKind::Count => &[],
        };
        let divides = |scale: u64| value != 0 && value % i128::from(scale) == 0;
        match units.iter().rfind(|(_, scale)| *scale > 1 && divides(*scale)) {
            Some((unit, scale)) => write!(f, "{} {unit}", value / i128::from(*scale)),
            None if info.unit.is_empty() => write!(f, "{value}"),
            None => write!(f, "{value} {}", info.unit),
        }
    }
}

/// What an option accepts besides its default: `1 to 1024 threads`, `threaded or manual`.
struct Range(&'static OptionInfo);

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = self.0;
        match info.kind {
            OptionKind::Choice => write_list(f, info.choices.iter().map(|choice| choice.name), "or"),
            OptionKind::Count => write!(f, "{} to {}", info.min, Shown(info, info.max.into())),
            OptionKind::Duration | OptionKind::Bytes => {
                write!(
                    f,
                    "{} to {}",
                    Shown(info, info.min.into()),
                    Shown(info, info.max.into())
                )
            }
        }
    }
}

/// What an option accepts, as the end of a message.
struct Accepted(&'static OptionInfo);

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = self.0;
        match info.kind {
            OptionKind::Choice => write!(f, "must be {} (default: {})", Range(info), info.default),
            _ if info.min == 0 => write!(f, "must be {}; the default is {}", Range(info), info.default),
            _ => write!(f, "must be 0 (default: {}) or {}", info.default, Range(info)),
        }
    }
}

/// A caller's text in quotes, escaped, and cut where it would drown the message.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 60;
        match self.0.char_indices().nth(LONGEST) {
            Some((end, _)) => write!(f, "\"{}...\"", self.0[..end].escape_debug()),
            None => write!(f, "\"{}\"", self.0.escape_debug()),
        }
    }
}

/// A closure that writes.
struct Told<F>(F);

impl<F: Fn(&mut fmt::Formatter<'_>) -> fmt::Result> fmt::Display for Told<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)(f)
    }
}

/// `a, b or c`.
fn write_list<'a>(
    w: &mut impl fmt::Write,
    names: impl Iterator<Item = &'a str> + Clone,
    last: &str,
) -> fmt::Result {
    let count = names.clone().count();
    for (place, name) in names.enumerate() {
        match place {
            0 => {}
            _ if place + 1 == count => write!(w, " {last} ")?,
            _ => w.write_str(", ")?,
        }
        w.write_str(name)?;
    }
    Ok(())
}

/// The error for a name that is no option's, with the names that come nearest.
fn unknown(name: &str) -> Error {
    let distances = TABLE.iter().map(|info| distance(name, info.name));
    let nearest = distances.flatten().min();
    let near = TABLE
        .iter()
        .filter(|info| nearest.is_none() || distance(name, info.name) == nearest);
    let mut text = Text::default();
    let lead = if nearest.is_some() {
        "did you mean"
    } else {
        "the options are"
    };
    text.add(format_args!("{} is not an option; {lead} ", Quoted(name)));
    let (last, end) = if nearest.is_some() {
        ("or", "?")
    } else {
        ("and", "")
    };
    // The only failure is a lack of memory.
    let _ = write_list(&mut text, near.map(|info| info.name), last);
    text.add(format_args!("{end}"));
    Error::from_text(Status::INVALID_OPTION, name, text)
}

/// How far a misspelt name is from an option's: 0 if only case and separators differ, 1 if one contains the
/// other, else the number of edits; none if that is too many to be a slip.
fn distance(given: &str, option: &str) -> Option<usize> {
    const LONGEST: usize = 32;
    let letters = |name: &str| {
        let mut kept = [0u8; LONGEST];
        let mut count = 0;
        for byte in name.bytes().filter(u8::is_ascii_alphanumeric) {
            *kept.get_mut(count)? = byte.to_ascii_lowercase();
            count += 1;
        }
        Some((kept, count))
    };
    let ((given, given_count), (option, option_count)) = (letters(given)?, letters(option)?);
    let (given, option) = (&given[..given_count], &option[..option_count]);
    if given == option {
        return Some(0);
    }
    let contains =
        |long: &[u8], short: &[u8]| short.len() >= 4 && long.windows(short.len()).any(|w| w == short);
    if contains(option, given) || contains(given, option) {
        return Some(1);
    }
    // Row by row: edits[j] is the distance of the letters seen so far to the first j letters of the option.
    let mut edits: [usize; LONGEST + 1] = std::array::from_fn(|j| j);
    for (i, from) in given.iter().enumerate() {
        let mut diagonal = edits[0];
        edits[0] = i + 1;
        for (j, to) in option.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = edits[j + 1];
            edits[j + 1] = replaced.min(edits[j] + 1).min(diagonal + 1);
        }
    }
    let found = edits[option.len()];
    (found <= 1 + option.len() / 5).then_some(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use super::*;

    fn set(name: &str, text: &str) -> Result<Options, Error> {
        let mut options = Options::default();
        options.set(name, text).map(|()| options)
    }

    fn refusal(name: &str, text: &str) -> String {
        let error = set(name, text).unwrap_err();
        assert_eq!(error.status(), Status::INVALID_OPTION);
        assert_eq!(error.subject(), name);
        error.message().to_owned()
    }

    #[test]
    fn p36_the_table_is_well_formed() {
        for info in Options::table() {
            assert!(info.width == 4 || info.width == 8);
            assert!(!info.doc.is_empty() && info.doc.ends_with('.') && !info.doc.contains(['\n', '|']));
            assert!(info.min <= info.max && !info.default.is_empty());
            assert_eq!(info.choices.is_empty(), info.kind != OptionKind::Choice);
            for (code, choice) in (info.min..).zip(info.choices) {
                assert_eq!(i64::from(choice.code), code, "codes are dense");
            }
            // Both ends of each range survive being stored and checked.
            for value in [info.min, info.max] {
                let mut options = Options::default();
                options.store(info.name, value);
                let (_, stored) = options.rows().find(|(row, _)| row.name == info.name).unwrap();
                assert_eq!(stored, i128::from(value), "{}", info.name);
            }
        }
        assert_eq!(Options::table().len(), 18);
        let bytes: usize = Options::table().iter().map(|info| info.width).sum();
        assert_eq!(bytes, size_of::<Options>(), "no padding between the fields");
    }

    #[test]
    fn p36_the_default_texts_are_true() {
        let defaults = Options::default().resolve(true).unwrap();
        for info in Options::table() {
            let Ok(value) = info.parse(info.default) else {
                let told = [
                    "max_in_flight",
                    "queue_capacity",
                    "queue_bytes",
                    "result_capacity",
                    "owner",
                ];
                assert!(
                    told.contains(&info.name) || info.default.starts_with("0 ("),
                    "{}",
                    info.name
                );
                continue;
            };
            let mut options = Options::default();
            options.store(info.name, value);
            assert_eq!(options.resolve(true).unwrap(), defaults, "{}", info.name);
        }
    }

    #[test]
    fn p36_the_default_numbers_are_what_the_texts_say() {
        for info in Options::table() {
            let told = info.parse(info.default).unwrap_or(0);
            assert_eq!(info.default_value, told, "{}", info.name);
            let managed = if info.name == "drain_at_exit" {
                parse_duration("5s").unwrap()
            } else {
                told
            };
            assert_eq!(info.managed_default, managed, "{}", info.name);
        }
    }

    #[test]
    fn p36_a_duration_alone_is_read_as_in_options() {
        for (text, length) in [
            ("2ms", 2_000_000),
            (" 1.5 s", 1_500_000_000),
            ("0", 0),
            ("Forever", FOREVER),
        ] {
            assert_eq!(parse_duration(text), Ok(length), "{text}");
        }
        for (text, told) in [
            (
                "2 parsecs",
                "\"2 parsecs\": unknown unit \"parsecs\"; write a number with ns, us, ms, s, m or h, a plain number of ns, or forever",
            ),
            ("-1s", "\"-1s\": must be 0 ns to forever"),
            (
                "default",
                "\"default\": write a number with ns, us, ms, s, m or h, a plain number of ns, or forever",
            ),
        ] {
            let error = parse_duration(text).unwrap_err();
            assert_eq!(
                (error.status(), error.subject(), error.message()),
                (Status::INVALID_ARGUMENT, text, told)
            );
        }
    }

    #[test]
    fn p36_defaults_follow_the_contract() {
        let limits = Options::default().resolve(true).unwrap();
        assert_eq!(
            (limits.mode, limits.threads, limits.max_in_flight),
            (Mode::Threaded, 1, 1)
        );
        assert_eq!((limits.max_batch_size, limits.max_batch_bytes), (256, 16 << 20));
        assert_eq!((limits.queue_capacity, limits.queue_bytes), (16_384, 64 << 20));
        assert_eq!(limits.result_capacity, 2 * 16_384 + 256);
        assert_eq!((limits.max_delay, limits.drain_at_exit), (0, 0));
        assert_eq!(
            (limits.push_timeout, limits.close_timeout),
            (30 * SECOND, 30 * SECOND)
        );
        assert_eq!(limits.handler_timeout, FOREVER);
        assert_eq!(limits.on_full, OnFull::Block);

        let wide = Options {
            threads: 8,
            max_batch_size: 10_000,
            ..Options::default()
        };
        let limits = wide.resolve(true).unwrap();
        assert_eq!((limits.max_in_flight, limits.queue_capacity), (8, 40_000));
        assert_eq!(limits.result_capacity, 2 * 40_000 + 8 * 10_000);

        let pulled = wide.resolve(false).unwrap();
        assert_eq!(
            (pulled.threads, pulled.max_in_flight),
            (0, 8),
            "no handler, no handler thread"
        );
        let manual = Options {
            mode: 2,
            clock: 2,
            ..Options::default()
        }
        .resolve(true)
        .unwrap();
        assert_eq!((manual.mode, manual.clock), (Mode::Manual, Clock::Given));
        assert_eq!((manual.threads, manual.max_in_flight), (0, 1));
    }

    #[test]
    fn p08_a_batch_limit_left_alone_shrinks_to_fit() {
        let small = Options {
            queue_capacity: 10,
            queue_bytes: 100,
            ..Options::default()
        };
        let limits = small.resolve(true).unwrap();
        assert_eq!((limits.max_batch_size, limits.max_batch_bytes), (10, 100));
        assert_eq!((limits.queue_capacity, limits.queue_bytes), (10, 100));
        assert_eq!(limits.result_capacity, 2 * 10 + 10);
    }

    #[test]
    fn p08_limits_that_contradict_each_other_are_refused() {
        let error = Options {
            max_batch_size: 500,
            queue_capacity: 100,
            ..Options::default()
        }
        .resolve(true)
        .unwrap_err();
        assert_eq!(
            (error.status(), error.subject()),
            (Status::INVALID_OPTION, "max_batch_size")
        );
        assert_eq!(
            error.to_string(),
            "max_batch_size = 500 values: must not be above queue_capacity = 100 values; \
             lower max_batch_size to 100 values or raise queue_capacity to 500 values"
        );
        for options in [
            Options {
                max_batch_bytes: 1000,
                queue_bytes: 999,
                ..Options::default()
            },
            Options {
                max_batch_bytes: 1 << 31,
                ..Options::default()
            },
            Options {
                max_batch_bytes: 7,
                ..Options::default()
            },
        ] {
            assert_eq!(options.resolve(true).unwrap_err().subject(), "max_batch_bytes");
        }
        let fits = Options {
            max_batch_bytes: 1000,
            queue_bytes: 1000,
            ..Options::default()
        };
        assert!(fits.resolve(true).is_ok());
        let fits = Options {
            max_batch_bytes: (1 << 31) - 1,
            ..Options::default()
        };
        assert_eq!(fits.resolve(true).unwrap().queue_bytes, 4 * ((1 << 31) - 1));
    }

    #[test]
    fn p28_a_given_clock_and_threads_depend_on_the_mode() {
        for mode in [0, 1] {
            let error = Options {
                mode,
                clock: 2,
                ..Options::default()
            }
            .resolve(true)
            .unwrap_err();
            assert_eq!(error.subject(), "clock");
        }
        let error = Options {
            mode: 2,
            threads: 2,
            ..Options::default()
        }
        .resolve(true)
        .unwrap_err();
        assert_eq!(error.subject(), "threads");
        assert!(error.message().contains("mode = threaded"));
    }

    #[test]
    fn p36_all_problems_come_in_one_message() {
        let options = Options {
            mode: 9,
            clock: 2,
            threads: 5000,
            max_delay: -5,
            queue_bytes: 1,
            ..Options::default()
        };
        let error = options.resolve(true).unwrap_err();
        assert_eq!(error.subject(), "mode");
        let lines: Vec<_> = error.message().lines().collect();
        assert_eq!(
            lines,
            [
                "mode = 9: must be threaded or manual (default: threaded)",
                "threads = 5000 threads: must be 0 (default: 1) or 1 to 1024 threads",
                "queue_bytes = 1 bytes: must be 0 (default: 4 x max_batch_bytes) or 8 bytes to 256 TiB",
                "max_delay = -5 ns: must be 0 ns to forever; the default is 0 (at once)",
            ]
        );
    }

    #[test]
    fn p36_nothing_overflows() {
        let most = Options {
            mode: u32::MAX,
            threads: u32::MAX,
            max_batch_size: u64::MAX,
            queue_capacity: u64::MAX,
            result_capacity: u64::MAX,
            max_delay: i64::MIN,
            ..Options::default()
        };
        assert_eq!(most.resolve(true).unwrap_err().message().lines().count(), 6);
        let widest = Options {
            threads: 1024,
            max_in_flight: 65_536,
            owner: u32::MAX,
            max_batch_size: 16_777_216,
            max_batch_bytes: (1 << 31) - 1,
            queue_capacity: 1 << 32,
            queue_bytes: 1 << 48,
            max_delay: FOREVER,
            push_timeout: FOREVER,
            ..Options::default()
        };
        assert_eq!(
            widest.resolve(true).unwrap().result_capacity,
            1 << 40,
            "the default keeps to the range"
        );
    }

    #[test]
    fn p36_durations_are_read_exactly() {
        for (text, ns) in [
            ("2ms", 2_000_000),
            ("1.5s", 1_500_000_000),
            ("50us", 50_000),
            ("10ns", 10),
            ("1m", 60 * SECOND),
            ("2h", 7200 * SECOND),
            (" 30 s ", 30 * SECOND),
            ("7", 7),
            ("0", 0),
            ("0.5us", 500),
            ("1.50ms", 1_500_000),
            ("default", 0),
            ("forever", FOREVER),
            ("FOREVER", FOREVER),
            ("9223372036854775807", FOREVER),
        ] {
            assert_eq!(set("max_delay", text).unwrap().max_delay, ns, "{text:?}");
        }
        for text in [
            "", " ", "ms", ".5s", "5.s", "1.2.3s", "1e3", "+5", "fast", "1_000", "\u{661}s", "--1",
        ] {
            assert!(
                refusal("max_delay", text).contains("write a number with ns, us, ms"),
                "{text:?}"
            );
        }
        assert_eq!(
            refusal("max_delay", "5 parsecs"),
            "max_delay = \"5 parsecs\": unknown unit \"parsecs\"; \
             write a number with ns, us, ms, s, m or h, a plain number of ns, or forever"
        );
        assert!(refusal("max_delay", "1.5ns").contains("not a whole number of ns"));
        assert!(refusal("max_delay", &format!("0.{}1s", "0".repeat(60))).contains("not a whole number"));
        for text in [
            "-5ms",
            "-1",
            "9223372036854775808",
            "99999999999h",
            &"9".repeat(50),
        ] {
            assert!(
                refusal("max_delay", text).contains("must be 0 ns to forever"),
                "{text:?}"
            );
        }
    }

    #[test]
    fn p36_sizes_counts_and_choices_are_read() {
        for (text, bytes) in [
            ("16MiB", 16 << 20),
            ("64KiB", 64 << 10),
            ("1GiB", 1 << 30),
            ("1kB", 1_000),
            ("1MB", 1_000_000),
            ("1.5 kb", 1_500),
            ("0.5KiB", 512),
            ("4096", 4096),
            ("256TiB", 1 << 48),
            ("100 bytes", 100),
        ] {
            assert_eq!(set("queue_bytes", text).unwrap().queue_bytes, bytes, "{text:?}");
        }
        assert!(refusal("queue_bytes", "5").contains("8 bytes to 256 TiB"));
        assert!(refusal("queue_bytes", "257TiB").contains("8 bytes to 256 TiB"));
        assert!(refusal("queue_bytes", "1M").contains("unknown unit \"M\""));
        assert!(refusal("queue_bytes", "forever").contains("MiB"));
        assert!(refusal("queue_bytes", "1.3").contains("not a whole number of bytes"));

        assert_eq!(set("max_batch_size", "64").unwrap().max_batch_size, 64);
        for text in ["10_000", "1k", "1.0", "64 values", ""] {
            assert!(
                refusal("max_batch_size", text).contains("write a plain whole number, 1 to 16777216"),
                "{text:?}"
            );
        }
        assert!(refusal("max_batch_size", "16777217").contains("1 to 16777216 values"));

        assert_eq!(
            set("on_full", "Discard_Oldest").unwrap().on_full,
            OnFull::DiscardOldest.code()
        );
        assert_eq!(set("results", "pull").unwrap().results, ResultsMode::Pull.code());
        assert_eq!(
            refusal("on_full", "drop"),
            "on_full = \"drop\": must be block, reject or discard_oldest (default: block)"
        );
        assert!(refusal("mode", "1").contains("threaded or manual"));
    }

    #[test]
    fn p36_a_refused_text_changes_nothing() {
        let mut options = Options {
            max_delay: 5,
            ..Options::default()
        };
        assert!(options.set("max_delay", "-1").is_err());
        assert!(options.set("max_dely", "1").is_err());
        assert_eq!(
            options,
            Options {
                max_delay: 5,
                ..Options::default()
            }
        );
    }

    #[test]
    fn p36_an_unknown_name_is_answered_with_the_nearest() {
        for (name, near) in [
            ("max_dely", "did you mean max_delay?"),
            ("maxDelay", "did you mean max_delay?"),
            ("max-delay", "did you mean max_delay?"),
            ("batch_size", "did you mean max_batch_size?"),
            (
                "timeout",
                "did you mean push_timeout, handler_timeout or close_timeout?",
            ),
            ("thread", "did you mean threads?"),
            ("linger", "the options are mode, threads,"),
            ("", "the options are mode, threads,"),
        ] {
            let message = refusal(name, "1");
            assert!(message.contains(near), "{name}: {message}");
        }
        let long = refusal(&"x".repeat(10_000), "1");
        assert!(
            long.len() < 600 && long.contains("xxx...\" is not an option"),
            "{long}"
        );
        assert!(refusal("max_delay", &"1".repeat(10_000)).len() < 200);
    }

    #[test]
    fn p36_what_is_shown_can_be_read_back() {
        for info in Options::table() {
            for value in [
                info.min.max(1),
                info.max,
                (info.min.max(1)).saturating_mul(1000).min(info.max),
            ] {
                if matches!(
                    info.kind,
                    OptionKind::Duration | OptionKind::Bytes | OptionKind::Choice
                ) {
                    let text = Shown(info, value.into()).to_string();
                    assert_eq!(info.parse(&text), Ok(value), "{} = {text}", info.name);
                }
            }
        }
    }

    #[test]
    fn p36_the_markdown_table_has_every_option() {
        let page = Options::markdown_table();
        assert_eq!(page.lines().count(), 2 + Options::table().len());
        assert!(page.lines().all(|line| line.matches('|').count() == 6));
        assert!(page.contains("| `mode` | choice | threaded or manual | threaded | Who runs the handlers"));
        assert!(page.contains("| `max_batch_bytes` | bytes | 8 bytes to 2147483647 bytes | 16 MiB |"));
        assert!(page.contains("| `push_timeout` | duration | 1 ns to forever | 30 s |"));
    }
}
