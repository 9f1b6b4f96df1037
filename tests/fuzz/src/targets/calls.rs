//! Calls of the C API in any order, with handles that are live, freed, of another type, or made up. Nothing crashes, every
//! snapshot of the stats is balanced, and at the end every object was given back as often as it was taken.

mod call;
mod world;

use std::ffi::c_void;
use std::ptr::{null_mut, without_provenance_mut};

use arbitrary::Unstructured;
use microbatch::ffi::api::mb_api;
use microbatch::ffi::batch::mb_batch_free;
use microbatch::ffi::batcher::{mb_batcher_free, mb_batcher_new};
use microbatch::ffi::error::mb_error_free;
use microbatch::ffi::handle::{mb_batch, mb_batcher, mb_error, mb_results};
use microbatch::ffi::options::{mb_options, mb_options_init};
use microbatch::ffi::producer::mb_producer_free;
use microbatch::ffi::results::mb_results_free;

use call::call;
use world::{OWNER, World};

unsafe extern "C-unwind" fn handle_batch(
    world: *mut c_void,
    batch: *mut mb_batch,
    _api: *const mb_api,
) -> i32 {
    call_back(world, batch.addr());
    // SAFETY: as in `call_back`.
    let world = unsafe { &mut *world.cast::<World<'_>>() };
    [0, 0, 5, -13, -99][world.choose(5)]
}

unsafe extern "C-unwind" fn on_result(world: *mut c_void, results: *const mb_results, _api: *const mb_api) {
    call_back(world, results.addr());
}

unsafe extern "C-unwind" fn released(world: *mut c_void, _word: u64) {
    // SAFETY: as in `call_back`.
    unsafe { &mut *world.cast::<World<'_>>() }.references -= 1;
    call_back(world, 0);
}

/// A few calls from inside a callback, with what was lent among the handles.
fn call_back(world: *mut c_void, lent: usize) {
    let world = world.cast::<World<'_>>();
    // SAFETY: everything is on one thread, and no other reference to the world is used while a call of the library runs.
    let this = unsafe { &mut *world };
    if lent != 0 {
        this.words.push(lent);
    }
    if this.depth > 3 {
        return;
    }
    this.depth += 1;
    for _ in 0..this.choose(4) {
        // SAFETY: as above.
        call(world);
    }
    // SAFETY: as above.
    unsafe { &mut *world }.depth -= 1;
}

pub fn run(data: &[u8]) {
    let mut world = World {
        bytes: Unstructured::new(data),
        words: Vec::new(),
        marks: Vec::new(),
        now: 0,
        depth: 0,
        references: 0,
        calls: 0,
    };
    let world = &raw mut world;
    new_batcher(world);
    // SAFETY: as in `call_back`.
    while !unsafe { &*world }.is_over() {
        call(world);
    }
    // What is left goes, in the order in which it came; the books balance then.
    // SAFETY: as above.
    let this = unsafe { &mut *world };
    this.depth = u32::MAX / 2;
    let words = this.words.clone();
    for word in words {
        // SAFETY: words, whatever they are worth.
        unsafe {
            mb_producer_free(without_provenance_mut(word));
            mb_results_free(without_provenance_mut(word));
            mb_batch_free(without_provenance_mut(word));
            mb_batcher_free(without_provenance_mut(word));
            mb_error_free(without_provenance_mut(word));
        }
    }
    // SAFETY: as above.
    let references = unsafe { &*world }.references;
    assert_eq!(references, 0, "every reference is given back once");
}

fn new_batcher(world: *mut World<'_>) {
    // SAFETY: as in `call_back`.
    let this = unsafe { &mut *world };
    // SAFETY: plain data, for which zeros are fine.
    let mut options: mb_options = unsafe { std::mem::zeroed() };
    // SAFETY: a struct of this size.
    unsafe { mb_options_init(&raw mut options, size_of::<mb_options>()) };
    options.mode = 2;
    options.clock = 2;
    options.owner = OWNER;
    options.on_full = [0, 2, 3][this.choose(3)];
    options.delivery = this.choose(3) as u32;
    options.results = this.choose(3) as u32;
    options.max_in_flight = this.choose(4) as u32;
    options.max_batch_size = this.choose(5) as u64;
    options.max_batch_bytes = [0, 16, 40, 64][this.choose(4)];
    options.queue_capacity = [0, 4, 8][this.choose(3)];
    options.result_capacity = [0, 3, 9][this.choose(3)];
    options.max_delay = [0, 5, i64::MAX][this.choose(3)];
    options.handler_timeout = [0, 7][this.choose(2)];
    match this.choose(4) {
        0 => {}
        1 => options.pull_handlers = this.choose(256) as u64,
        _ => {
            options.handler = Some(handle_batch);
            options.handler_data = world.cast();
        }
    }
    if options.results != 2 && this.choose(4) > 0 {
        options.on_result = Some(on_result);
        options.result_data = world.cast();
    }
    options.object_release = Some(released);
    options.object_data = world.cast();
    let (mut batcher, mut error): (*mut mb_batcher, *mut mb_error) = (null_mut(), null_mut());
    // SAFETY: options of this size, and places to write to.
    let status = unsafe { mb_batcher_new(&raw const options, &raw mut batcher, &raw mut error) };
    assert_eq!(status == 0, !batcher.is_null());
    assert_eq!(status == 0, error.is_null());
    this.keep(batcher);
    this.keep(error);
}
