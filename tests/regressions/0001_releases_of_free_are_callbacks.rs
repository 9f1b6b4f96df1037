//! What a release callback calls while `free` gives back results that nobody pulled answered as outside of callbacks: `run`
//! went to work, where P25 says REENTRANT.

use std::ffi::c_void;
use std::ptr::{null_mut, without_provenance_mut};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering::SeqCst};

use microbatch::Status;
use microbatch::ffi::batcher::{mb_batcher_free, mb_batcher_new};
use microbatch::ffi::handle::mb_batcher;
use microbatch::ffi::options::{mb_options, mb_options_init};
use microbatch::ffi::push::mb_batcher_push_object;
use microbatch::ffi::run::mb_batcher_run;

static BATCHER: AtomicUsize = AtomicUsize::new(0);
static ANSWER: AtomicI32 = AtomicI32::new(1);

unsafe extern "C-unwind" fn released(_data: *mut c_void, _word: u64) {
    // SAFETY: a handle, whatever it is worth.
    let status = unsafe { mb_batcher_run(without_provenance_mut(BATCHER.load(SeqCst))) };
    ANSWER.store(status, SeqCst);
}

#[test]
fn p25_run_in_a_release_of_free_is_reentrant() {
    let mut batcher: *mut mb_batcher = null_mut();
    // SAFETY: the options are plain data, for which zeros are fine.
    let mut options: mb_options = unsafe { std::mem::zeroed() };
    // SAFETY: a struct of this size.
    unsafe { mb_options_init(&raw mut options, size_of::<mb_options>()) };
    options.mode = 2;
    options.clock = 2;
    options.results = 2;
    options.owner = 7;
    options.object_release = Some(released);
    // SAFETY: options and a place.
    let made = unsafe { mb_batcher_new(&raw const options, &raw mut batcher, null_mut()) };
    assert_eq!(made, 0);
    BATCHER.store(batcher.addr(), SeqCst);
    // SAFETY: a batcher.
    assert_eq!(unsafe { mb_batcher_push_object(batcher, 7, 1, 0, 0) }, 0);
    // SAFETY: as above.
    assert_eq!(unsafe { mb_batcher_free(batcher) }, 0);
    assert_eq!(ANSWER.load(SeqCst), Status::REENTRANT.code());
}
