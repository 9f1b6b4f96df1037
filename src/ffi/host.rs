//! The host's callbacks as the engine calls them.
//!
//! A function here is a frame between the engine and C. It holds nothing that has to be dropped while the host's
//! function runs: a thread may end in there, and its stack is unwound without Rust being asked.

use super::api::api;
use super::callback::{mb_handler, mb_log_fn, mb_object_release_fn, mb_release_fn, mb_result_fn};
use super::handle::{Handle, mb_batch, mb_results};
use super::lent::{HeldBatch, HeldResults, Pool};
use super::options::mb_options;
use super::value::MB_KINDS;
use crate::engine::batcher::{Callbacks, DEFAULT, Routes};
use crate::engine::delivery::ResultSet;
use crate::engine::error::{Error, Status};
use crate::engine::part::Part;
use crate::sync::Shared;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::ffi::c_void;

const _: () = assert!(DEFAULT == MB_KINDS);

/// What `mb_batcher_new` tells the callbacks once the batcher exists.
pub(crate) struct Birth {
    /// The user data is the batcher's: release it at the end.
    accepted: AtomicBool,
    /// The batcher's handle.
    batcher: AtomicU64,
}

impl Birth {
    pub(crate) const fn new() -> Birth {
        Birth {
            accepted: AtomicBool::new(false),
            batcher: AtomicU64::new(0),
        }
    }

    /// The batcher exists and has this handle.
    pub(crate) fn announce(&self, batcher: u64) {
        // SYNC: Relaxed; a hint for counting.
        self.batcher.store(batcher, Ordering::Relaxed);
        // SYNC: Release pairs with the load in Host::drop.
        self.accepted.store(true, Ordering::Release);
    }
}

/// The callbacks of one batcher.
pub(crate) struct Host {
    /// By kind, the default last.
    handlers: [mb_handler; MB_KINDS + 1],
    on_result: mb_result_fn,
    result_data: *mut c_void,
    result_release: mb_release_fn,
    object_release: mb_object_release_fn,
    object_data: *mut c_void,
    object_data_release: mb_release_fn,
    log: mb_log_fn,
    log_data: *mut c_void,
    log_release: mb_release_fn,
    birth: Shared<Birth>,
    batches: Pool<HeldBatch>,
    results: Pool<HeldResults>,
}

// SAFETY: whoever makes a batcher promises that its functions and user data may be used from any thread.
unsafe impl Send for Host {}
// SAFETY: as above; everything else in it is shareable.
unsafe impl Sync for Host {}

impl Host {
    /// None if memory ran out.
    pub(crate) fn new(options: &mb_options, birth: Shared<Birth>) -> Option<Host> {
        let mut handlers = [mb_handler {
            call: None,
            user_data: std::ptr::null_mut(),
            release: None,
        }; MB_KINDS + 1];
        handlers[..MB_KINDS].copy_from_slice(&options.by_kind);
        handlers[DEFAULT] = mb_handler {
            call: options.handler,
            user_data: options.handler_data,
            release: options.handler_release,
        };
        let host = Host {
            handlers,
            on_result: options.on_result,
            result_data: options.result_data,
            result_release: options.result_release,
            object_release: options.object_release,
            object_data: options.object_data,
            object_data_release: options.object_data_release,
            log: options.log,
            log_data: options.log_data,
            log_release: options.log_release,
            birth,
            batches: Pool::new(),
            results: Pool::new(),
        };
        // Results are delivered one set at a time: with an object in advance, delivery needs no memory.
        let ready = host.on_result.is_none() || host.results.prepare();
        ready.then_some(host)
    }

    /// Which callbacks there are, beside the handlers of a host that pulls.
    pub(crate) fn routes(&self, pull_handlers: u64) -> Result<Routes, Error> {
        let has = |handler: &mb_handler| u64::from(handler.call.is_some());
        let own = (self.handlers.iter().enumerate()).fold(0, |all, (at, handler)| all | has(handler) << at);
        Routes::new(own, pull_handlers, self.on_result.is_some())
    }

    fn batcher(&self) -> u64 {
        // SYNC: Relaxed; a hint for counting.
        self.birth.batcher.load(Ordering::Relaxed)
    }
}

impl Callbacks for Host {
    fn handle(&self, which: usize, part: &Part) -> Status {
        let Some(mb_handler {
            call: Some(call),
            user_data,
            ..
        }) = self.handlers.get(which)
        else {
            return Status::NO_HANDLER;
        };
        let Some(loan) = self.batches.lend(part, self.batcher()) else {
            return Status::NO_MEMORY;
        };
        // SAFETY: whoever made the batcher promised that the handler may be called with its user data, from any
        // thread; the handle is good until it returns.
        let status = unsafe { call(*user_data, mb_batch::from_word(loan.word), api()) };
        self.batches.end(loan);
        Status::from_code(status)
    }

    fn on_result(&self, results: &ResultSet) {
        let Some(call) = self.on_result else { return };
        // `new` made an object; only a thread that ended in on_result can have taken it along.
        let Some(loan) = self.results.lend(results, 0) else {
            return;
        };
        // SAFETY: as in `handle`.
        unsafe { call(self.result_data, mb_results::from_word(loan.word), api()) };
        self.results.end(loan);
    }

    fn release_object(&self, word: u64) {
        if let Some(call) = self.object_release {
            // SAFETY: as in `handle`; the engine releases each reference once.
            unsafe { call(self.object_data, word) };
        }
    }

    fn log(&self, level: i32, message: &str) {
        if let Some(call) = self.log {
            // SAFETY: as in `handle`; the text is good until it returns.
            unsafe { call(self.log_data, level, message.as_ptr().cast(), message.len()) };
        }
    }

    fn thread_left(&self) {
        self.batches.forget_thread();
        self.results.forget_thread();
    }
}

impl Drop for Host {
    /// The engine is gone, so no callback can run any more: the user data goes back.
    fn drop(&mut self) {
        // SYNC: Acquire pairs with `announce`.
        if !self.birth.accepted.load(Ordering::Acquire) {
            return;
        }
        let handlers = self
            .handlers
            .iter()
            .map(|handler| (handler.release, handler.user_data));
        let others = [
            (self.result_release, self.result_data),
            (self.object_data_release, self.object_data),
            (self.log_release, self.log_data),
        ];
        for (release, user_data) in handlers.chain(others) {
            if let Some(release) = release {
                // SAFETY: whoever made the batcher promised that each release may be called once, from any thread.
                unsafe { release(user_data) };
            }
        }
    }
}

/// The callback of `map`: one handler, on the calling thread.
pub(crate) struct MapHost {
    handler: mb_handler,
    batches: Pool<HeldBatch>,
}

impl MapHost {
    pub(crate) fn new(handler: mb_handler) -> MapHost {
        MapHost {
            handler,
            batches: Pool::new(),
        }
    }

    /// Runs the handler on a part.
    pub(crate) fn handle(&self, part: &Part) -> Status {
        let Some(call) = self.handler.call else {
            return Status::NO_HANDLER;
        };
        let Some(loan) = self.batches.lend(part, 0) else {
            return Status::NO_MEMORY;
        };
        // SAFETY: the caller of map promised that the handler may be called with its user data.
        let status = unsafe { call(self.handler.user_data, mb_batch::from_word(loan.word), api()) };
        self.batches.end(loan);
        Status::from_code(status)
    }
}
