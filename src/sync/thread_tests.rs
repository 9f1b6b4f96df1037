//! What the library's own threads are like: names, masks, stacks, and the hook at their end.

use super::*;
use crate::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicUsize;

unsafe extern "C-unwind" {
    fn pthread_exit(value: *mut c_void) -> !;
}

/// What a thread found out about itself.
#[derive(Default)]
struct Seen {
    name: String,
    blocked: u64,
    slack: c_int,
    cancel: c_int,
    stack: usize,
    id: usize,
}

extern "C-unwind" fn look(arg: *mut c_void) -> *mut c_void {
    // SAFETY: the test waits for this thread before it looks.
    let seen = unsafe { &mut *arg.cast::<Seen>() };
    let task = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let field = |key: &str| {
        task.lines()
            .find_map(|line| line.strip_prefix(key))
            .map(|rest| rest.trim().to_owned())
            .unwrap()
    };
    seen.name = field("Name:");
    seen.blocked = u64::from_str_radix(&field("SigBlk:"), 16).unwrap();
    // SAFETY: takes integers.
    seen.slack = unsafe { libc::prctl(libc::PR_GET_TIMERSLACK, 0, 0, 0, 0) };
    // SAFETY: writes one int.
    unsafe { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &raw mut seen.cancel) };
    let mut attributes = MaybeUninit::uninit();
    // SAFETY: takes nothing.
    let this = unsafe { libc::pthread_self() };
    // SAFETY: the calling thread; initializes the attributes.
    unsafe { libc::pthread_getattr_np(this, attributes.as_mut_ptr()) };
    // SAFETY: initialized above.
    unsafe { libc::pthread_attr_getstacksize(attributes.as_ptr(), &raw mut seen.stack) };
    // SAFETY: initialized above.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    seen.id = current_id();
    core::ptr::null_mut()
}

fn own_mask() -> u64 {
    let task = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = task
        .lines()
        .find_map(|line| line.strip_prefix("SigBlk:"))
        .unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap()
}

#[test]
fn a_thread_is_named_masked_and_sized() {
    let before = own_mask();
    let mut seen = Seen::default();
    let thread = spawn("mb-tests-äöüé", 3 << 20, look, (&raw mut seen).cast()).unwrap();
    thread.join();
    assert_eq!(own_mask(), before);
    assert_eq!(seen.name, "mb-tests-äöü", "cut at 15 bytes, on a whole character");
    // SIGKILL and SIGSTOP cannot be blocked; the C library keeps signals 32 and 33 to itself.
    let blockable = !(1 << (libc::SIGKILL - 1) | 1 << (libc::SIGSTOP - 1) | 1_u64 << 31 | 1 << 32);
    assert_eq!(seen.blocked & blockable, blockable);
    assert_eq!(seen.slack, 1);
    assert_eq!(seen.cancel, PTHREAD_CANCEL_DISABLE);
    assert!((3 << 20..4 << 20).contains(&seen.stack), "{}", seen.stack);
    assert_ne!(seen.id, 0);
    assert_ne!(seen.id, current_id());
    assert_eq!(current_id() % 16, 0);
    assert_eq!(current_id(), current_id());
}

#[test]
fn names_are_cut_where_the_kernel_needs_it() {
    assert_eq!(&short_name("mb-timer")[..9], b"mb-timer\0");
    assert_eq!(&short_name("a\0b"), b"a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(&short_name("0123456789abcdef"), b"0123456789abcde\0");
    assert_eq!(&short_name("0123456789abcdé"), b"0123456789abcd\0\0");
    assert_eq!(short_name(""), [0; 16]);
}

#[test]
fn a_stack_that_cannot_be_is_refused() {
    let refused = spawn("mb-huge", usize::MAX / 2, look, core::ptr::null_mut()).map(Thread::join);
    assert!(
        matches!(refused, Err(libc::EAGAIN | libc::ENOMEM | libc::EINVAL)),
        "{refused:?}"
    );
}

struct Ending {
    how: How,
    hooks: AtomicUsize,
    hook_failed: AtomicUsize,
}

#[derive(Clone, Copy, PartialEq)]
enum How {
    Return,
    Exit,
    Cleared,
}

extern "C-unwind" fn count(arg: *mut c_void) {
    // SAFETY: the test keeps the value until it has joined the thread.
    unsafe { &*arg.cast::<Ending>() }
        .hooks
        .fetch_add(1, Ordering::Relaxed);
}

extern "C-unwind" fn end(arg: *mut c_void) -> *mut c_void {
    // SAFETY: the test keeps the value until it has joined the thread.
    let ending = unsafe { &*arg.cast::<Ending>() };
    if on_exit(arg, count).is_err() {
        ending.hook_failed.fetch_add(1, Ordering::Relaxed);
    }
    match ending.how {
        How::Return => {}
        // SAFETY: no frame of this thread has a destructor.
        How::Exit => unsafe { pthread_exit(core::ptr::null_mut()) },
        How::Cleared => clear_exit_hook(),
    }
    core::ptr::null_mut()
}

#[test]
fn the_exit_hook_runs_once_however_the_thread_ends_unless_cleared() {
    for (how, hooks) in [(How::Return, 1), (How::Exit, 1), (How::Cleared, 0)] {
        let ending = Ending {
            how,
            hooks: AtomicUsize::new(0),
            hook_failed: AtomicUsize::new(0),
        };
        let arg = (&raw const ending).cast_mut().cast();
        spawn("mb-end", STACK_BYTES, end, arg).unwrap().join();
        assert_eq!(ending.hook_failed.load(Ordering::Relaxed), 0);
        assert_eq!(ending.hooks.load(Ordering::Relaxed), hooks);
    }
}

extern "C-unwind" fn store(arg: *mut c_void) -> *mut c_void {
    // SAFETY: the test gives a static.
    unsafe { &*arg.cast::<AtomicU32>() }.store(1, Ordering::Release);
    core::ptr::null_mut()
}

#[test]
fn a_detached_thread_runs() {
    static RAN: AtomicU32 = AtomicU32::new(0);
    spawn("mb-free", STACK_BYTES, store, (&raw const RAN).cast_mut().cast())
        .unwrap()
        .detach();
    while RAN.load(Ordering::Acquire) == 0 {
        std::thread::yield_now();
    }
}
