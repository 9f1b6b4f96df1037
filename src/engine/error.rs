//! Status codes, and the error that explains one.
//!
//! [`Status`] is one number and is what the calls on the hot path answer. [`Error`] adds which option or
//! value was wrong and what would be accepted; creation, `check` and option parsing answer it. Making either
//! never aborts when memory is short: an [`Error`] loses text instead.

use std::fmt;

/// What a call that can fail on the hot path answers.
pub type Result<T = ()> = core::result::Result<T, Status>;

/// The outcome of a call, or of one value, as a number.
///
/// 0 is success, negative numbers are the library's and listed in [`Status::table`], positive numbers are the
/// handler's own and pass through unchanged.
#[repr(transparent)]
#[derive(Copy, Clone, PartialEq, Eq, Hash)]
pub struct Status(i32);

/// One row of [`Status::table`].
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct StatusInfo {
    /// The number; never reused for something else.
    pub code: i32,
    /// The name in capitals, for example `QUEUE_FULL`.
    pub name: &'static str,
    /// The cause in one sentence.
    pub text: &'static str,
    /// Whether the same call, repeated unchanged later, may succeed without doing anything twice.
    pub retriable: bool,
}

macro_rules! statuses {
    ($($name:ident = $code:literal, $retriable:literal, $text:literal;)+) => {
        impl Status {
            $(
                #[doc = $text]
                pub const $name: Status = Status($code);
            )+

            /// Every code the library knows, with its name, its text and whether it is worth a retry.
            pub const fn table() -> &'static [StatusInfo] {
                &[$(StatusInfo { code: $code, name: stringify!($name), text: $text, retriable: $retriable }),+]
            }
        }
    };
}

// The one table of codes: name, number, retriable, cause. Numbers are never reused.
// -1 to -29 are answered by calls, -30 and below are carried by results only.
statuses! {
    OK = 0, false, "The call succeeded.";
    INVALID_ARGUMENT = -1, false, "An argument is missing, NULL or outside what the call accepts.";
    INVALID_OPTION = -2, false, "An option is unknown, unreadable, out of range or contradicts another one.";
    INVALID_HANDLE = -3, false, "The handle is NULL, freed, of another type or was never given out.";
    INVALID_UTF8 = -4, false, "The string is not valid UTF-8; what is not text can be pushed as bytes.";
    OUT_OF_RANGE = -5, false, "A number does not fit 64 bits, or a row lies outside its batch.";
    WRONG_OWNER = -6, false, "The object belongs to another owner than the batcher's, or the batcher has none.";
    TOO_LARGE = -7, false, "The value weighs more than max_batch_bytes, so it fits in no batch.";
    NO_HANDLER = -8, false, "No handler is registered for this kind of value and there is no default handler.";
    QUEUE_FULL = -9, true, "As many values wait as queue_capacity allows.";
    QUEUE_FULL_BYTES = -10, true, "The waiting values leave less of queue_bytes than this value weighs.";
    RESULTS_FULL = -11, true, "Every place of result_capacity is held by a value whose result was not taken yet.";
    NO_MEMORY = -12, true, "Memory for the call could not be had; nothing was changed.";
    CLOSED = -13, false, "The batcher is closed: it takes no more values, or has none left to hand out.";
    TIMEOUT = -14, true, "The time-out passed before what was asked for had happened.";
    IN_PROGRESS = -15, true, "What was asked for has begun and is not finished yet.";
    REENTRANT = -16, false, "The call is not allowed inside a callback of the same batcher.";
    FORKED = -17, false, "The handle was made before a fork and can only be freed in the child process.";
    NOT_FOUND = -18, false, "No value with that tag is waiting or in flight.";
    TOO_LATE = -19, false, "The value or batch was already dispatched, completed or given up.";
    WRONG_MODE = -20, false, "The batcher's mode, clock, handlers or results option does not allow the call.";
    UNSUPPORTED = -21, false, "This version of the library or this platform lacks what was asked for.";
    SYSTEM = -22, true, "The operating system refused a thread or a descriptor; the message has its errno.";
    INTERNAL = -23, false, "A fault inside the library was caught; this is a bug to report.";
    WOULD_WAIT = -24, true, "There is no room now, and the host waits for it by itself.";
    HANDLER_FAILED = -30, false, "The handler failed the value or the whole part it belonged to.";
    NO_RESULT = -31, false, "The handler finished without setting a result for the value.";
    RESULT_COUNT = -32, false, "The handler returned another number of results than the part has values.";
    HANDLER_TIMEOUT = -33, false, "The handler did not finish the batch within handler_timeout.";
    DEADLINE = -34, false, "The value's deadline passed before it was dispatched.";
    CANCELLED = -35, false, "The value was cancelled while it waited.";
    DISCARDED = -36, false, "The value was given up to make room, or at the end of close.";
    THREAD_ENDED = -37, false, "The thread that ran the handler ended inside it.";
}

impl Status {
    /// The number that crosses the C boundary.
    pub const fn code(self) -> i32 {
        self.0
    }

    /// The status with this number; every number is one, known or not.
    pub const fn from_code(code: i32) -> Status {
        Status(code)
    }

    /// Whether this is [`Status::OK`].
    pub const fn is_ok(self) -> bool {
        self.0 == 0
    }

    /// Whether the number is a handler's own (positive) and not the library's.
    pub const fn is_user(self) -> bool {
        self.0 > 0
    }

    /// Whether [`Status::table`] lists the number.
    pub const fn is_known(self) -> bool {
        self.info().is_some()
    }

    /// The row of [`Status::table`] with this number.
    pub const fn info(self) -> Option<&'static StatusInfo> {
        let table = Status::table();
        let mut row = 0;
        while row < table.len() {
            if table[row].code == self.0 {
                return Some(&table[row]);
            }
            row += 1;
        }
        None
    }

    /// The name in capitals; `USER_CODE` for positive numbers, `UNKNOWN_CODE` for negative ones that are not
    /// listed.
    pub const fn name(self) -> &'static str {
        match self.info() {
            Some(info) => info.name,
            None if self.0 > 0 => "USER_CODE",
            None => "UNKNOWN_CODE",
        }
    }

    /// The cause in one sentence.
    pub const fn text(self) -> &'static str {
        match self.info() {
            Some(info) => info.text,
            None if self.0 > 0 => "The handler failed with a code of its own.",
            None => "This version of the library does not know the code.",
        }
    }

    /// Whether the same call, repeated unchanged later, may succeed without doing anything twice. For values
    /// that were accepted and failed, the result's `handled` says whether trying again can duplicate.
    pub const fn is_retriable(self) -> bool {
        match self.info() {
            Some(info) => info.retriable,
            None => false,
        }
    }

    /// `Ok(())` for [`Status::OK`], `Err(self)` for everything else.
    pub const fn into_result(self) -> Result {
        if self.is_ok() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.info() {
            Some(info) => f.write_str(info.name),
            None => write!(f, "{}({})", self.name(), self.0),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}: {}", self.text())
    }
}

impl std::error::Error for Status {}

/// A status with its explanation: which option or value was wrong, and what would be accepted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.message())]
pub struct Error {
    status: Status,
    subject: String,
    message: String,
}

impl Error {
    /// An explained status. `subject` is the option or value at fault, `message` a complete sentence without
    /// it having to be prefixed. Text that finds no memory is cut off.
    pub fn new(status: Status, subject: &str, message: fmt::Arguments<'_>) -> Error {
        let mut text = Text::default();
        text.add(message);
        Error::from_text(status, subject, text)
    }

    /// An explained status from a message written piece by piece.
    pub(crate) fn from_text(status: Status, subject: &str, message: Text) -> Error {
        let mut name = Text::default();
        name.add(format_args!("{subject}"));
        Error {
            status,
            subject: name.0,
            message: message.0,
        }
    }

    /// A status that explains itself. Allocates nothing.
    pub const fn bare(status: Status) -> Error {
        Error {
            status,
            subject: String::new(),
            message: String::new(),
        }
    }

    /// The code.
    pub const fn status(&self) -> Status {
        self.status
    }

    /// The option or value at fault; empty if there is none to name.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What was wrong and what would be accepted; the status's own text if nothing more is known.
    pub fn message(&self) -> &str {
        if self.message.is_empty() {
            self.status.text()
        } else {
            &self.message
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Error {
        Error::bare(status)
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Status {
        error.status
    }
}

/// Text that grows as long as there is memory and is cut off where there is none.
#[derive(Debug, Default)]
pub(crate) struct Text(String);

impl Text {
    /// The text alone, as far as there is memory for it.
    pub(crate) fn of(text: fmt::Arguments<'_>) -> String {
        let mut written = Text::default();
        written.add(text);
        written.0
    }

    /// Appends what fits.
    pub(crate) fn add(&mut self, piece: fmt::Arguments<'_>) {
        // The only failure is a lack of memory, and half a message beats an abort.
        let _ = fmt::Write::write_fmt(self, piece);
    }

    /// Whether nothing was written yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        self.0.try_reserve(piece.len()).map_err(|_| fmt::Error)?;
        self.0.push_str(piece);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p35_codes_and_names_are_unique_and_round_trip() {
        for (row, info) in Status::table().iter().enumerate() {
            let status = Status::from_code(info.code);
            assert_eq!(status.code(), info.code);
            assert_eq!(status.name(), info.name);
            assert_eq!(status.text(), info.text);
            assert_eq!(status.is_retriable(), info.retriable);
            assert_eq!(format!("{status:?}"), info.name);
            assert!(info.text.ends_with('.') && info.text.is_ascii(), "{}", info.name);
            for other in &Status::table()[..row] {
                assert!(info.code < other.code, "{} is out of order", info.name);
                assert_ne!(info.name, other.name);
            }
        }
        assert_eq!(Status::QUEUE_FULL.code(), -9);
        assert_eq!(Status::INTERNAL.code(), -23);
        assert_eq!(Status::THREAD_ENDED.code(), -37);
        assert!(Status::QUEUE_FULL.is_retriable() && !Status::CLOSED.is_retriable());
    }

    #[test]
    fn p17_unlisted_codes_pass_through() {
        let user = Status::from_code(7);
        assert!(user.is_user() && !user.is_known() && !user.is_ok());
        assert_eq!(format!("{user:?}"), "USER_CODE(7)");
        assert_eq!(Status::from_code(-999).name(), "UNKNOWN_CODE");
        assert_eq!(user.into_result(), Err(user));
        assert_eq!(Status::OK.into_result(), Ok(()));
    }

    #[test]
    fn p35_an_error_names_its_subject_and_explains() {
        let error = Error::new(
            Status::INVALID_OPTION,
            "max_delay",
            format_args!("max_delay = {} ns: no", -5),
        );
        assert_eq!(error.status(), Status::INVALID_OPTION);
        assert_eq!(error.subject(), "max_delay");
        assert_eq!(error.to_string(), "max_delay = -5 ns: no");

        let bare = Error::from(Status::NO_MEMORY);
        assert_eq!((bare.subject(), bare.message()), ("", Status::NO_MEMORY.text()));
        assert_eq!(bare.to_string(), Status::NO_MEMORY.text());
        assert_eq!(Status::from(bare), Status::NO_MEMORY);
    }
}
