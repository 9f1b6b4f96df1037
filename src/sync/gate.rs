//! `Gate<T>`: a lock biased to the thread that keeps pushing.
//!
//! The *bias word* names the owner: its thread id, with the number of its *slot* in the low bits; 0 means
//! that the gate is shared and everybody takes the lock. The owner enters without a read-modify-write:
//!
//! ```text
//! owner                                   anyone else, holding the lock
//!   bias == me|slot ?                       bias = 0
//!   busy[slot] = 1                          heavy fence (membarrier)
//!   light fence (compiler only)             wait until busy[slot] == 0
//!   bias == me|slot still ? enter           exclusive now
//!   busy[slot] = 0
//! ```
//!
//! By the pair of fences either the owner's second look sees the 0 and it backs out, or the other sees busy
//! and waits. A `visit` puts the bias word back before it unlocks; a push by another thread leaves it 0. In
//! shared mode a thread that pushes `threshold` times in a row gets the bias; a revocation by a push that came
//! before the bias had paid for itself doubles the threshold. An owner that finds its bias gone takes the lock like
//! anyone, and holding it is exclusive, because nobody else can then revoke or own.
//!
//! Several threads that do little but push would fight for the lock. They take *turns* instead: a thread that was seen
//! to push densely while it owned the gate gets the bias at once when it revokes that of another such thread, and for
//! the time of a turn those threads do not revoke it but sleep. A thread that pushes now and then never waits for a
//! turn, and one that has become slow loses its right to them.
//!
//! The trap is a stale owner: between its first look and `busy = 1` it may be descheduled for as long as it
//! takes the bias to move on. It then stores 1 and 0 into its old slot, and if a later owner were inside with
//! that same slot, the 0 would hide it. So a slot is given to another thread only after its last owner was
//! seen under the lock since it lost the bias: a thread there is past any stale look, and its later looks see
//! the new word. Without a free slot the gate stays shared. Threads that own a gate and end without coming
//! back use their slots up, but the C library hands their thread pointers to later threads, which count as
//! the same. (A thread with the pointer of a dead one starts after the dead one's last access: the C library
//! passes the stack from one to the other under a lock.)

use super::atomic::{AtomicU32, AtomicUsize, Ordering};
use super::lock::{Held, ShortLock};
use super::{BIAS_AFTER, BIAS_AFTER_MAX, Backoff, GATE_SLOTS, UnsafeCell, rest_of_line};
use super::{DENSE_NS, DENSE_RUN, PAID_RUN, TURN_NS};
use super::{current_id, heavy_fence, light_fence, monotonic_ns, register, sleep_ns, try_box};

/// Thread ids are multiples of this; what they leave free holds the slot.
pub(super) const ID_ALIGN: usize = 16;
const _: () = assert!(
    GATE_SLOTS.is_power_of_two() && GATE_SLOTS <= ID_ALIGN,
    "a slot fits below a thread id"
);

/// What a busy flag holds while its owner is inside: no slot, so that `push` can look at both at once.
const INSIDE: u32 = ID_ALIGN as u32;

/// A value that one thread at a time reaches, cheapest for the thread that pushes again and again.
///
/// The functions given to `push` and `visit` must not come back to the same gate: that panics or hangs. They
/// must not run in a signal handler that may have interrupted either. If one panics, the gate is released and
/// stays usable.
///
/// Whoever keeps a gate has it begin a cache line; its parts begin lines of their own then.
#[repr(C)]
pub(crate) struct Gate<T> {
    pub(super) line: Line,
    _after_line: [u8; rest_of_line(size_of::<Line>())],
    pub(super) lock: ShortLock,
    /// Pushes the value has seen, by which the gate sees how dense they come.
    count: fn(&T) -> u64,
    pub(super) meta: UnsafeCell<Meta>,
    _after_meta: [u8; BEHIND_LOCK],
    data: UnsafeCell<T>,
}

/// Bytes between what is under the lock and the value.
const BEHIND_LOCK: usize = rest_of_line(size_of::<(ShortLock, fn(), UnsafeCell<Meta>)>());

/// What the owner looks at, on one cache line: in biased mode only the owner writes it, in shared mode
/// nobody.
pub(super) struct Line {
    /// Thread id | slot of the owner, or 0. Stored under the lock only.
    pub(super) bias: AtomicUsize,
    /// INSIDE while the owner that has this slot is inside, or about to find that it may not; else 0.
    busy: [AtomicU32; GATE_SLOTS],
}

/// Who pushed and who owned; under the lock.
pub(super) struct Meta {
    /// The last thread that pushed in shared mode or revoked the bias by a push.
    pusher: usize,
    /// How many times in a row it did.
    run: u32,
    /// The run that earns the bias.
    pub(super) threshold: u32,
    /// False once the heavy fence is known not to work: then the gate stays shared.
    may_bias: bool,
    /// Made when the bias is first given: few gates of many ever see so many pushes.
    biased: Option<Box<Biased>>,
}

/// Who owned, and how dense it pushed.
struct Biased {
    /// By slot, the thread that owns or owned it and was not seen since; 0 = free.
    owners: [usize; GATE_SLOTS],
    /// Threads that take turns, the latest last; 0 = none.
    takers: [usize; TAKERS],
    /// When the bias was given, and how many pushes there had been.
    since: i64,
    pushes: u64,
    /// Until when the owner has its turn; 0: it has none.
    turn_ends: i64,
}

/// The clock, read only where a turn depends on it.
type Now = fn() -> i64;

/// Threads that take turns at most; beyond, those seen longest ago fight for the lock.
pub(super) const TAKERS: usize = 4;

// SAFETY: `push` and `visit` hand out `&mut T` to one thread at a time, so sharing the gate sends T around;
// `Meta` is reached under the lock only.
unsafe impl<T: Send> Sync for Gate<T> {}
// SAFETY: the gate owns its T and nothing in it is tied to a thread: ids in it are compared, never followed.
unsafe impl<T: Send> Send for Gate<T> {}

impl<T> Gate<T> {
    /// A shared gate around `value`, of which `count` tells how many pushes it has seen. Its first owner is the first
    /// thread to push often enough.
    pub(crate) fn new(value: T, count: fn(&T) -> u64) -> Gate<T> {
        Gate::with_bias(value, count, register())
    }

    fn with_bias(value: T, count: fn(&T) -> u64, may_bias: bool) -> Gate<T> {
        Gate {
            line: Line {
                bias: AtomicUsize::new(0),
                busy: core::array::from_fn(|_| AtomicU32::new(0)),
            },
            _after_line: [0; rest_of_line(size_of::<Line>())],
            lock: ShortLock::new(),
            count,
            meta: UnsafeCell::new(Meta::new(may_bias)),
            _after_meta: [0; BEHIND_LOCK],
            data: UnsafeCell::new(value),
        }
    }

    /// Runs `f` on the value, for a thread likely to come again: it may take the bias.
    #[inline(always)]
    pub(crate) fn push<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let me = current_id();
        match self.enter(me) {
            Some(inside) => self.run_inside(inside, f),
            None => self.push_locked(me, f),
        }
    }

    /// As `push` if the calling thread owns the gate and nobody takes it away; else None, and nothing happened. `f` is
    /// inlined here and nowhere else, so what it captures stays in registers: closures for it say `inline(always)`.
    #[inline(always)]
    pub(crate) fn push_if_owner<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        let inside = self.enter(current_id())?;
        Some(self.run_inside(inside, f))
    }

    /// Enters without the lock if `me` owns the gate.
    #[inline(always)]
    fn enter(&self, me: usize) -> Option<Inside<'_>> {
        // SYNC: Relaxed; a word with `me` in it was stored by this thread, or put back by `visit`, and is
        // looked at again below. Any other value only leads to the lock.
        let word = self.line.bias.load(Ordering::Relaxed);
        let slot = word ^ me;
        let busy = &self.line.busy[slot & (GATE_SLOTS - 1)];
        // SYNC: Relaxed; if `me` owns the gate, only this thread stores here, and it is inside already if the
        // load says so. Both questions in one comparison: the slot is small and the flag 0.
        if (slot | busy.load(Ordering::Relaxed) as usize) >= GATE_SLOTS {
            return None;
        }
        Inside::enter(&self.line, word, busy)
    }

    #[inline(always)]
    fn run_inside<R>(&self, inside: Inside<'_>, f: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: inside as the owner: whoever wants the value revokes the bias under the lock and then waits for
        // `inside` to be dropped, so this is the only reference.
        let result = self.data.with_mut(|data| f(unsafe { &mut *data }));
        drop(inside);
        result
    }

    #[cold]
    #[inline(never)]
    fn push_locked<R>(&self, me: usize, f: impl FnOnce(&mut T) -> R) -> R {
        loop {
            let held = self.lock.lock(me);
            // SYNC: Relaxed; the word is stored under the lock, which this thread has.
            let word = self.line.bias.load(Ordering::Relaxed);
            if owns(word, me) {
                return self.run_owner(&held, word, f);
            }
            // SAFETY: the lock is held, and Meta is reached under it only.
            let left = self
                .meta
                .with_mut(|meta| unsafe { &*meta }.turn_left(word, me, monotonic_ns));
            if left > 0 {
                drop(held);
                sleep_ns(left);
                continue;
            }
            let fenced = word == 0 || self.line.revoke(word);
            let pushes = || self.run_held(&held, |data| (self.count)(data));
            let grant = self.meta.with_mut(|meta| {
                // SAFETY: as above.
                let meta = unsafe { &mut *meta };
                if word == 0 {
                    meta.count(me, pushes, monotonic_ns)
                } else {
                    meta.revoked(word, me, fenced, pushes(), monotonic_ns)
                }
            });
            if grant == 0 {
                return self.run_held(&held, f);
            }
            // SYNC: Relaxed; the only thread that enters by this word is the one storing it. Everybody else
            // takes the lock after it.
            self.line.bias.store(grant, Ordering::Relaxed);
            return self.run_owner(&held, grant, f);
        }
    }

    /// Runs `f` on the value, for a thread that looks in now and then: whoever has the bias keeps it.
    pub(crate) fn visit<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let me = current_id();
        let held = self.lock.lock_first(me);
        // SYNC: Relaxed; the word is stored under the lock, which this thread has.
        let word = self.line.bias.load(Ordering::Relaxed);
        if word == 0 {
            self.run_held(&held, f)
        } else if owns(word, me) {
            self.run_owner(&held, word, f)
        } else if self.line.revoke(word) {
            let away = Away {
                line: &self.line,
                word,
            };
            let result = self.run_held(&held, f);
            // Before the lock is left: the word is stored under it only.
            drop(away);
            result
        } else {
            // The fence failed: leave the gate shared, for good.
            // SAFETY: the lock is held, and Meta is reached under it only.
            self.meta.with_mut(|meta| unsafe { &mut *meta }.may_bias = false);
            self.run_held(&held, f)
        }
    }

    /// As `run_held`, by the owner. It marks itself inside, so that `f` coming back by the fast path is told.
    #[inline]
    fn run_owner<R>(&self, held: &Held<'_>, word: usize, f: impl FnOnce(&mut T) -> R) -> R {
        let busy = &self.line.busy[word % ID_ALIGN];
        // SYNC: Relaxed; only the owner stores into its slot, and this thread is the owner.
        if busy.load(Ordering::Relaxed) != 0 {
            reentered();
        }
        let inside = Inside::mark(busy);
        let result = self.run_held(held, f);
        drop(inside);
        result
    }

    /// `held` is this gate's lock, and the bias is revoked or the caller's own.
    #[inline]
    fn run_held<R>(&self, _held: &Held<'_>, f: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: the caller has the lock; the bias is 0, or revoked and its owner seen outside, or the
        // caller's, who is here and not inside. So this is the only reference.
        self.data.with_mut(|data| f(unsafe { &mut *data }))
    }
}

impl Line {
    /// Takes the bias from another thread; false if the heavy fence failed. The caller has the lock.
    fn revoke(&self, word: usize) -> bool {
        // SYNC: Relaxed, then the fence: pairs with the busy store, light fence and second look of
        // Inside::enter - the owner sees 0 here, or this thread sees it busy below.
        self.bias.store(0, Ordering::Relaxed);
        let fenced = heavy_fence();
        let busy = &self.busy[word % ID_ALIGN];
        let mut backoff = Backoff::new();
        // SYNC: Acquire pairs with the Release store of Inside::drop - what the owner wrote to the value.
        while busy.load(Ordering::Acquire) != 0 {
            backoff.wait();
        }
        fenced
    }
}

/// The owner inside the gate; dropped on every way out, also by a panic.
struct Inside<'a> {
    busy: &'a AtomicU32,
}

impl<'a> Inside<'a> {
    /// Enters by the word the owner has just read; None if it was revoked meanwhile.
    #[inline(always)]
    fn enter(line: &'a Line, word: usize, busy: &'a AtomicU32) -> Option<Inside<'a>> {
        let inside = Inside::mark(busy);
        light_fence();
        // SYNC: Acquire pairs with the Release store of Away::drop - what a visitor wrote to the value.
        if line.bias.load(Ordering::Acquire) == word {
            Some(inside)
        } else {
            None
        }
    }

    /// Says that the thread that has the slot of `busy` is inside. It has not said so already.
    #[inline(always)]
    fn mark(busy: &'a AtomicU32) -> Inside<'a> {
        // SYNC: Relaxed, then the light fence of `enter`: pairs with the bias store, heavy fence and busy
        // load of Line::revoke - this thread sees the bias revoked at its second look, or the other sees it
        // busy. Under the lock nobody else looks.
        busy.store(INSIDE, Ordering::Relaxed);
        Inside { busy }
    }
}

impl Drop for Inside<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // SYNC: Release pairs with the Acquire load of Line::revoke - what the owner wrote to the value.
        self.busy.store(0, Ordering::Release);
    }
}

/// The bias is away from its owner for one visit; dropped before the lock is left, also by a panic.
struct Away<'a> {
    line: &'a Line,
    word: usize,
}

impl Drop for Away<'_> {
    fn drop(&mut self) {
        // SYNC: Release pairs with the second look of Inside::enter - what the visitor wrote to the value.
        self.line.bias.store(self.word, Ordering::Release);
    }
}

impl Meta {
    pub(super) fn new(may_bias: bool) -> Meta {
        Meta {
            pusher: 0,
            run: 0,
            threshold: BIAS_AFTER,
            may_bias,
            biased: None,
        }
    }

    /// Counts a push in shared mode, `pushes` before it; the new bias word if `me` has earned it, else 0.
    pub(super) fn count(&mut self, me: usize, pushes: impl FnOnce() -> u64, now: Now) -> usize {
        if self.pusher != me {
            self.begin_run(me);
        }
        self.run += 1;
        if self.run < self.threshold {
            return 0;
        }
        self.run = 0;
        self.grant(me, pushes(), now())
    }

    /// The new bias word for `me`, 0 if it can't have one. `me` has no slot of its own: begin_run gave it back, and the
    /// bias is 0.
    fn grant(&mut self, me: usize, pushes: u64, now: i64) -> usize {
        if !self.may_bias || !me.is_multiple_of(ID_ALIGN) {
            return 0;
        }
        if self.biased.is_none() {
            self.biased = try_box(Biased::new());
        }
        // Without memory for it the gate stays shared.
        let Some(biased) = &mut self.biased else {
            return 0;
        };
        let Some(slot) = biased.owners.iter().position(|&owner| owner == 0) else {
            return 0;
        };
        biased.owners[slot] = me;
        biased.pushes = pushes;
        biased.since = now;
        let others = biased.takers.iter().any(|&taker| taker != 0 && taker != me);
        biased.turn_ends = if others { now + TURN_NS } else { 0 };
        me | slot
    }

    /// How long a push by `me` leaves the owner its turn.
    pub(super) fn turn_left(&self, word: usize, me: usize, now: Now) -> i64 {
        match &self.biased {
            Some(biased) if word != 0 && biased.turn_ends != 0 && biased.takers.contains(&me) => {
                biased.turn_ends - now()
            }
            _ => 0,
        }
    }

    /// Notes that a push by `me` took the bias from the thread of `word`, whose slot stays its own until seen. The new
    /// bias word if it is the turn of `me`, else 0.
    pub(super) fn revoked(&mut self, word: usize, me: usize, fenced: bool, pushes: u64, now: Now) -> usize {
        let owner = word & !(ID_ALIGN - 1);
        let now = now();
        // Whoever had the bias was given it, so there is one.
        let biased = self.biased.as_mut();
        let (run, dense, takes) = biased.map_or((0, false, false), |biased| {
            let run = pushes - biased.pushes;
            let took = now - biased.since;
            let dense = took <= run.saturating_mul(DENSE_NS) as i64;
            if !dense || run >= DENSE_RUN {
                biased.set_taker(owner, dense);
            }
            (run, dense, biased.takers.contains(&me))
        });
        self.threshold = if run < PAID_RUN {
            self.threshold.saturating_mul(2).min(BIAS_AFTER_MAX)
        } else {
            (self.threshold / 2).max(BIAS_AFTER)
        };
        self.may_bias &= fenced;
        self.begin_run(me);
        self.run = 1;
        if dense && takes {
            return self.grant(me, pushes, now);
        }
        0
    }

    /// Another thread than the last pushes. It is under the lock and does not own the gate, so any slot that
    /// it had is free: it cannot be on its way in by an old word, and will not read that word again.
    fn begin_run(&mut self, me: usize) {
        self.pusher = me;
        self.run = 0;
        if let Some(biased) = &mut self.biased {
            for owner in &mut biased.owners {
                if *owner == me {
                    *owner = 0;
                }
            }
        }
    }
}

impl Biased {
    fn new() -> Biased {
        Biased {
            owners: [0; GATE_SLOTS],
            takers: [0; TAKERS],
            since: 0,
            pushes: 0,
            turn_ends: 0,
        }
    }

    fn set_taker(&mut self, thread: usize, takes: bool) {
        if let Some(at) = self.takers.iter().position(|&taker| taker == thread) {
            self.takers[at..].rotate_left(1);
            self.takers[TAKERS - 1] = 0;
        }
        if takes {
            self.takers.rotate_left(1);
            self.takers[TAKERS - 1] = thread;
        }
    }
}

/// Whether the bias word names thread `me`.
pub(super) fn owns(word: usize, me: usize) -> bool {
    (word ^ me) < GATE_SLOTS
}

#[cold]
#[inline(never)]
#[allow(
    clippy::panic,
    reason = "a second reference to the value would be undefined behaviour"
)]
fn reentered() -> ! {
    panic!("the function given to a gate called the same gate");
}
