//! What a result carries: a value, or why there is none.

use super::state::Status;
use super::text::Value;

/// The library's codes that a handler may return or set, by number.
const CODES: [(i32, Status); 32] = [
    (-1, "INVALID_ARGUMENT"),
    (-2, "INVALID_OPTION"),
    (-3, "INVALID_HANDLE"),
    (-4, "INVALID_UTF8"),
    (-5, "OUT_OF_RANGE"),
    (-6, "WRONG_OWNER"),
    (-7, "TOO_LARGE"),
    (-8, "NO_HANDLER"),
    (-9, "QUEUE_FULL"),
    (-10, "QUEUE_FULL_BYTES"),
    (-11, "RESULTS_FULL"),
    (-12, "NO_MEMORY"),
    (-13, "CLOSED"),
    (-14, "TIMEOUT"),
    (-15, "IN_PROGRESS"),
    (-16, "REENTRANT"),
    (-17, "FORKED"),
    (-18, "NOT_FOUND"),
    (-19, "TOO_LATE"),
    (-20, "WRONG_MODE"),
    (-21, "UNSUPPORTED"),
    (-22, "SYSTEM"),
    (-23, "INTERNAL"),
    (-24, "WOULD_WAIT"),
    (-30, "HANDLER_FAILED"),
    (-31, "NO_RESULT"),
    (-32, "RESULT_COUNT"),
    (-33, "HANDLER_TIMEOUT"),
    (-34, "DEADLINE"),
    (-35, "CANCELLED"),
    (-36, "DISCARDED"),
    (-37, "THREAD_ENDED"),
];

/// Why a value failed: the library's code by name, or the user's with its words.
#[derive(Clone)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) type_name: Vec<u8>,
    pub(crate) message: Vec<u8>,
}

#[derive(Clone, Copy)]
pub(crate) enum Code {
    Library(Status),
    User(i32),
}

impl Code {
    fn from_number(number: i32) -> Code {
        if number > 0 {
            return Code::User(number);
        }
        let known = CODES.iter().find(|(code, _)| *code == number);
        Code::Library(known.map_or("HANDLER_FAILED", |(_, name)| name))
    }
}

impl Failure {
    pub(crate) fn new(code: i32, type_name: Vec<u8>, message: Vec<u8>) -> Failure {
        Failure {
            code: Code::from_number(code),
            type_name,
            message,
        }
    }

    pub(super) fn library(code: Status) -> Failure {
        Failure {
            code: Code::Library(code),
            type_name: Vec::new(),
            message: Vec::new(),
        }
    }
}

/// What a result carries.
#[derive(Clone)]
pub(crate) enum Payload {
    Value(Value),
    Failure(Failure),
}

impl Payload {
    pub(crate) fn library(code: Status) -> Payload {
        Payload::Failure(Failure::library(code))
    }
}
