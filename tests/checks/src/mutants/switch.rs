//! Which mutant this process runs, and which it comes by.

use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering::Relaxed};

static CHOSEN: AtomicU32 = AtomicU32::new(0);
/// A byte for each mutant, shared with whoever asked.
static REACHED: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());

pub(crate) fn is(id: u32) -> bool {
    let reached = REACHED.load(Relaxed);
    if !reached.is_null() {
        unsafe { reached.add(id as usize).write_volatile(1) };
    }
    CHOSEN.load(Relaxed) == id
}

extern "C" fn choose() {
    unsafe {
        let chosen = libc::getenv(c"MICROBATCH_MUTANT".as_ptr());
        if !chosen.is_null() {
            CHOSEN.store(libc::atoi(chosen) as u32, Relaxed);
        }
        let path = libc::getenv(c"MICROBATCH_REACHED".as_ptr());
        if path.is_null() {
            return;
        }
        let file = libc::open(path, libc::O_RDWR | libc::O_CLOEXEC);
        let length = libc::lseek(file, 0, libc::SEEK_END);
        let both = libc::PROT_READ | libc::PROT_WRITE;
        let memory = libc::mmap(std::ptr::null_mut(), length as usize, both, libc::MAP_SHARED, file, 0);
        libc::close(file);
        if memory != libc::MAP_FAILED {
            REACHED.store(memory.cast(), Relaxed);
        }
    }
}

/// Before `main`, or when the library is loaded.
#[used]
#[unsafe(link_section = ".init_array")]
static CHOOSE: extern "C" fn() = choose;
