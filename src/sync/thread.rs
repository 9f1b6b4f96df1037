//! Threads of the engine, and knowing which thread this is.
//!
//! An engine thread blocks all signals from its first instruction, cannot be cancelled, wakes on time (timer
//! slack 1 ns) and gives itself its name before anything else runs in it: nobody waits for that, which would double
//! what a thread takes to make. It is a plain pthread: std's would abort when memory runs out.

use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;

use super::atomic::{AtomicU64, Ordering};
use super::try_box;

/// Stack size of an engine thread unless asked otherwise: 1 MiB, of which the kernel maps what is touched.
pub(crate) const STACK_BYTES: usize = 1 << 20;

/// What `spawn` answers where there is no memory for it.
pub(crate) const NO_MEMORY: i32 = libc::ENOMEM;

/// What runs on a thread. It may be left by `pthread_exit`, whose forced unwind passes through.
pub(crate) type Entry = extern "C-unwind" fn(*mut c_void) -> *mut c_void;

/// What runs when a thread ends with an exit hook set.
pub(crate) type ExitHook = extern "C-unwind" fn(*mut c_void);

/// Lets another thread have the core.
pub(crate) use std::thread::yield_now;

/// The processor this thread runs on, for now. None if the system does not say.
pub(crate) fn current_cpu() -> Option<u32> {
    // SAFETY: takes nothing and changes nothing.
    u32::try_from(unsafe { libc::sched_getcpu() }).ok()
}

/// Bytes of a thread name in the kernel, its final NUL included.
const NAME_BYTES: usize = 16;

const PTHREAD_CANCEL_DISABLE: c_int = 1;

// The libc crate has no pthread_setcancelstate for Linux, and its pthread_create takes no unwinding entry.
unsafe extern "C" {
    fn pthread_create(
        thread: *mut libc::pthread_t,
        attributes: *const libc::pthread_attr_t,
        entry: extern "C-unwind" fn(*mut c_void) -> *mut c_void,
        arg: *mut c_void,
    ) -> c_int;
    fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
}

/// A started thread. It is joined or detached, exactly once; dropping it does neither. A forked child, which
/// does not have the thread, does neither too.
#[must_use = "a thread is joined or detached"]
pub(crate) struct Thread {
    id: libc::pthread_t,
}

/// What `spawn` tells the new thread.
struct Start {
    entry: Entry,
    arg: *mut c_void,
    name: [u8; NAME_BYTES],
}

/// Starts a thread that runs `entry(arg)`. Its name is `name` up to the first NUL or 15 bytes. `Err` is an errno (EAGAIN,
/// ENOMEM, EINVAL).
pub(crate) fn spawn(name: &str, stack: usize, entry: Entry, arg: *mut c_void) -> Result<Thread, i32> {
    let attributes = Attributes::new(stack)?;
    let name = short_name(name);
    let start = try_box(Start { entry, arg, name }).ok_or(libc::ENOMEM)?;
    // The new thread inherits the mask.
    let signals = Blocked::new();
    let mut id = MaybeUninit::uninit();
    let start = Box::into_raw(start);
    // SAFETY: `attributes` is initialized, and the box is the new thread's from here on.
    let errno = unsafe { pthread_create(id.as_mut_ptr(), &raw const attributes.raw, run, start.cast()) };
    drop(signals);
    if errno != 0 {
        // SAFETY: leaked above, for a thread that was not made.
        drop(unsafe { Box::from_raw(start) });
        return Err(errno);
    }
    // SAFETY: pthread_create succeeded and wrote it.
    let id = unsafe { id.assume_init() };
    Ok(Thread { id })
}

extern "C-unwind" fn run(start: *mut c_void) -> *mut c_void {
    // SAFETY: takes an integer; a null `before` is allowed on Linux.
    unsafe { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, core::ptr::null_mut()) };
    // SAFETY: takes integers and changes this thread only.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_usize, 0_usize, 0_usize, 0_usize) };
    // SAFETY: `spawn` leaked this box for this thread alone.
    let start = unsafe { Box::from_raw(start.cast::<Start>()) };
    // SAFETY: reads a string that ends with NUL.
    unsafe { libc::prctl(libc::PR_SET_NAME, start.name.as_ptr(), 0_usize, 0_usize, 0_usize) };
    let (entry, arg) = (start.entry, start.arg);
    drop(start);
    // No destructor is alive here: a forced unwind passes this frame.
    entry(arg)
}

impl Thread {
    /// Waits until the thread has ended. Not a cancellation point of the caller. Never called by the thread
    /// itself.
    pub(crate) fn join(self) {
        let mut before = 0;
        // SAFETY: writes one int.
        unsafe { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &raw mut before) };
        // SAFETY: the thread was started by `spawn` and is neither joined nor detached yet; its result is not
        // wanted.
        let errno = unsafe { libc::pthread_join(self.id, core::ptr::null_mut()) };
        debug_assert_eq!(errno, 0, "a thread joined itself");
        // SAFETY: restores what was; a null `before` is allowed on Linux.
        unsafe { pthread_setcancelstate(before, core::ptr::null_mut()) };
    }

    /// Lets the thread end on its own.
    pub(crate) fn detach(self) {
        // SAFETY: the thread was started by `spawn` and is neither joined nor detached yet.
        unsafe { libc::pthread_detach(self.id) };
    }
}

/// A number that no other living thread has; not 0, a multiple of 16. It is the thread pointer: a later
/// thread may get it again after this one has ended.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn current_id() -> usize {
    let id: usize;
    // SAFETY: the first word of the thread control block is its own address, by the x86-64 ABI for
    // thread-local storage; it never changes.
    unsafe {
        core::arch::asm!("mov {}, fs:[0]", out(reg) id, options(pure, nomem, nostack, preserves_flags))
    };
    id
}

/// A number that no other living thread has; not 0, a multiple of 16. A later thread may get it again after
/// this one has ended.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(crate) fn current_id() -> usize {
    #[repr(align(16))]
    struct Place(#[allow(dead_code, reason = "only its address is used")] u8);
    thread_local! {
        static PLACE: Place = const { Place(0) };
    }
    PLACE.with(|place| core::ptr::from_ref(place) as usize)
}

/// Has `hook(arg)` called when the calling thread ends, by return, `pthread_exit` or forced unwind, unless
/// `clear_exit_hook` comes first. `arg` is not null. One hook per thread: a second call replaces the first.
/// `Err` is an errno (EAGAIN, ENOMEM).
///
/// The hook runs among the destructors of pthread keys: the stack is unwound, thread-locals of Rust may be
/// gone.
pub(crate) fn on_exit(arg: *mut c_void, hook: ExitHook) -> Result<(), i32> {
    debug_assert!(!arg.is_null(), "pthread runs no destructor for a null value");
    let keys = Keys::get()?;
    // SAFETY: a live key; the value is a function pointer that only `ended` reads.
    check(unsafe { libc::pthread_setspecific(keys.hook, hook as *const c_void) })?;
    // SAFETY: a live key; the value goes to `ended` of this thread only.
    check(unsafe { libc::pthread_setspecific(keys.arg, arg) })
}

/// Forgets the hook of the calling thread: it ends as it should.
pub(crate) fn clear_exit_hook() {
    if let Some(keys) = Keys::made() {
        // SAFETY: a live key; null runs no destructor. Setting null needs no memory, so it cannot fail.
        unsafe { libc::pthread_setspecific(keys.arg, core::ptr::null()) };
    }
}

/// Two pthread keys: `arg` has the destructor; `hook` has none, so its value is still there when that one
/// runs. They live as long as the process. pthread keys, because a thread-local of a library loaded late may
/// need memory at its first use, and aborts without.
#[derive(Clone, Copy)]
struct Keys {
    arg: libc::pthread_key_t,
    hook: libc::pthread_key_t,
}

/// `Keys`, packed; 0 = not made. An atomic and no lock: a lock could be held by a thread that a fork leaves behind.
static KEYS: AtomicU64 = AtomicU64::new(0);

impl Keys {
    fn made() -> Option<Keys> {
        // SYNC: Relaxed; the word is all there is, the keys themselves live in the C library.
        Keys::unpack(KEYS.load(Ordering::Relaxed))
    }

    fn get() -> Result<Keys, i32> {
        if let Some(keys) = Keys::made() {
            return Ok(keys);
        }
        let mut keys = Keys { arg: 0, hook: 0 };
        // SAFETY: writes one key; `ended` stays mapped, the library is never unloaded.
        check(unsafe { libc::pthread_key_create(&raw mut keys.arg, Some(ended)) })?;
        // SAFETY: writes one key.
        if let Err(errno) = check(unsafe { libc::pthread_key_create(&raw mut keys.hook, None) }) {
            delete_key(keys.arg);
            return Err(errno);
        }
        // SYNC: Relaxed, as `made`: whoever comes first wins.
        match KEYS.compare_exchange(0, keys.pack(), Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Ok(keys),
            Err(theirs) => {
                delete_key(keys.arg);
                delete_key(keys.hook);
                Ok(Keys::unpack(theirs).unwrap_or(keys))
            }
        }
    }

    /// Never 0: key numbers are small, so one more fits.
    fn pack(self) -> u64 {
        (u64::from(self.arg) + 1) << 32 | u64::from(self.hook)
    }

    fn unpack(word: u64) -> Option<Keys> {
        let arg = (word >> 32).checked_sub(1)? as libc::pthread_key_t;
        Some(Keys {
            arg,
            hook: word as libc::pthread_key_t,
        })
    }
}

/// The destructor of the `arg` key: this thread ended without `clear_exit_hook`.
unsafe extern "C" fn ended(arg: *mut c_void) {
    let Some(keys) = Keys::made() else { return };
    // SAFETY: a live key.
    let hook = unsafe { libc::pthread_getspecific(keys.hook) };
    if !hook.is_null() {
        // SAFETY: only `on_exit` sets this key, to an ExitHook.
        let hook = unsafe { core::mem::transmute::<*mut c_void, ExitHook>(hook) };
        hook(arg);
    }
}

fn delete_key(key: libc::pthread_key_t) {
    // SAFETY: a key just created, with no value set.
    unsafe { libc::pthread_key_delete(key) };
}

fn check(errno: c_int) -> Result<(), i32> {
    if errno == 0 { Ok(()) } else { Err(errno) }
}

/// `name` as the kernel takes it: whole characters, at most 15 bytes, no NUL inside, NULs after.
fn short_name(name: &str) -> [u8; NAME_BYTES] {
    let name = name.split('\0').next().unwrap_or_default();
    let mut end = name.len().min(NAME_BYTES - 1);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    let mut bytes = [0; NAME_BYTES];
    bytes[..end].copy_from_slice(&name.as_bytes()[..end]);
    bytes
}

/// Initialized thread attributes; destroyed on drop.
struct Attributes {
    raw: libc::pthread_attr_t,
}

impl Attributes {
    fn new(stack: usize) -> Result<Attributes, i32> {
        let mut raw = MaybeUninit::uninit();
        // SAFETY: initializes the attributes in place.
        check(unsafe { libc::pthread_attr_init(raw.as_mut_ptr()) })?;
        // SAFETY: initialized above. Linux's are plain data, so moving them is fine.
        let raw = unsafe { raw.assume_init() };
        let mut attributes = Attributes { raw };
        // SAFETY: initialized attributes.
        check(unsafe {
            libc::pthread_attr_setstacksize(&raw mut attributes.raw, stack.max(libc::PTHREAD_STACK_MIN))
        })?;
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialized by `new`, destroyed once.
        unsafe { libc::pthread_attr_destroy(&raw mut self.raw) };
    }
}

/// All signals blocked for the calling thread; as before on drop.
struct Blocked {
    before: libc::sigset_t,
}

impl Blocked {
    fn new() -> Blocked {
        let mut all = MaybeUninit::uninit();
        // SAFETY: initializes the set in place.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        let mut before = MaybeUninit::uninit();
        // SAFETY: reads one set and writes the other; with valid arguments it cannot fail.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
        // SAFETY: written by the call above.
        let before = unsafe { before.assume_init() };
        Blocked { before }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: reads one set; null asks for nothing.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, core::ptr::null_mut()) };
    }
}

/// Has `hook` called when the process exits; false if there is no room for it.
pub(crate) fn at_exit(hook: extern "C" fn()) -> bool {
    // SAFETY: the hook is a plain function that lives as long as the library, which is never unloaded.
    unsafe { libc::atexit(hook) == 0 }
}

#[cfg(test)]
#[path = "thread_tests.rs"]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
