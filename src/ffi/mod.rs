//! The C boundary: the only functions with a C ABI, and nothing that decides anything.
//!
//! A function of this module makes three moves: it checks what came in, it converts it and calls the engine, and
//! it maps what comes back to a status and outputs. All of it happens inside a panic guard.
//!
//! | file | what it holds |
//! |---|---|
//! | `status` `version` `handle` `error` `value` `callback` `options` | what the rest of the header is made of |
//! | `batcher` `push` `bulk` `producer` `run` | the batcher: its life, values going in, a host that drives it |
//! | `batch` `set` `results` `map` `stats` `api` | batches and results, known data sets, numbers, the function table |
//! | `guard` | the panic guard and the panic hook |
//! | `caller` `sized` | what the caller promised: pointers, lengths, text, structs that know their size |
//! | `table` | slots and generations: what a handle is |
//! | `host` `lent` | the host's callbacks as the engine calls them, and the handles lent to them |
//! | `gather` `ctext` | columns made on request, text that ends with NUL |
//!
//! Files in the first three rows are the sections of `include/microbatch.h`, in this order; their module text is
//! the section's introduction. `tests/header` makes the header from them.
//!
//! # Safety
//! Every pointer is NULL or good for what its function does with it, for the whole call: readable or writable
//! for as many elements as the lengths beside it say. Handles are words, never followed: any value is allowed.
//! Functions and their user data in `mb_options` may be used from any thread until they are released.

#![allow(non_camel_case_types, reason = "these are the names of the C header")]

mod caller;
mod ctext;
mod gather;
mod guard;
mod host;
mod lent;
mod sized;
mod table;

pub mod status;
pub mod version;
pub mod handle;
pub mod error;
pub mod value;
pub mod callback;
pub mod options;
pub mod batcher;
pub mod push;
pub mod bulk;
pub mod producer;
pub mod run;
pub mod batch;
pub mod set;
pub mod results;
pub mod map;
pub mod stats;
pub mod api;

#[cfg(not(target_pointer_width = "64"))]
compile_error!("handles are 64-bit words typed as pointers: a 64-bit target is needed");

#[cfg(not(panic = "unwind"))]
compile_error!("a panic must not end the host's process: build with panic = \"unwind\"");
