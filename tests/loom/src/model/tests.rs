//! The models. Every one is written once, as a macro over the module that holds the gate: the real gate must
//! pass, and each mutant must fail in the model made for it.

use super::{be, mutants};
use loom::sync::Arc;
use loom::thread;

/// Runs `model` with at most `preemptions` involuntary switches, in every order. `MICROBATCH_LOOM` is another number, or `all`.
fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = match std::env::var("MICROBATCH_LOOM").as_deref() {
        Err(_) => Some(preemptions),
        Ok("all") => None,
        Ok(number) => Some(number.parse().expect("MICROBATCH_LOOM is a number, or all")),
    };
    builder.check(model);
}

/// How often a thread does its part: less where nothing bounds the preemptions, or the search would not end.
fn times(bounded: u64, unbounded: u64) -> u64 {
    match std::env::var("MICROBATCH_LOOM").as_deref() {
        Ok("all") => unbounded,
        _ => bounded,
    }
}

/// Starts a visitor, or leaves that to another thread where nothing bounds the preemptions.
fn begin<V: FnOnce() -> thread::JoinHandle<()>>(visit: V) -> (Option<thread::JoinHandle<()>>, Option<V>) {
    if times(1, 0) == 1 {
        (Some(visit()), None)
    } else {
        (None, Some(visit))
    }
}

/// A thread of a model with an id of its own.
fn start<T: 'static>(number: usize, run: impl FnOnce() -> T + 'static) -> thread::JoinHandle<T> {
    thread::spawn(move || {
        be(number);
        run()
    })
}

/// The owner pushes while another thread visits, twice, and the bias stays.
macro_rules! owner_and_visitor {
    ($gate:path) => {{
        use $gate as gate;
        check(3, || {
            be(1);
            let gate = Arc::new(gate::Gate::new(0, |count| *count));
            gate.push(|count| *count += 1);
            let other = gate.clone();
            let visits = times(2, 1);
            let visitor = start(2, move || {
                for _ in 0..visits {
                    other.visit(|count| *count += 10);
                }
            });
            gate.push(|count| *count += 1);
            gate.push(|count| *count += 1);
            visitor.join().expect("no panic");
            assert_eq!(gate.push(|count| *count), 3 + 10 * visits);
        });
    }};
}

/// Two threads push: the bias goes to and fro.
macro_rules! two_pushers {
    ($gate:path) => {{
        use $gate as gate;
        check(3, || {
            be(1);
            let gate = Arc::new(gate::Gate::new(0, |count| *count));
            gate.push(|count| *count += 1);
            let other = gate.clone();
            let (theirs, ours) = (3, times(2, 1));
            let pusher = start(2, move || {
                for _ in 0..theirs {
                    other.push(|count| *count += 10);
                }
            });
            for _ in 0..ours {
                gate.push(|count| *count += 1);
            }
            pusher.join().expect("no panic");
            assert_eq!(gate.visit(|count| *count), 1 + ours + 10 * theirs);
        });
    }};
}

/// Two threads push and one visits. Where nothing bounds the preemptions, it comes once the bias has moved, and the first
/// owner tries the quick way in alone.
macro_rules! two_pushers_and_visitor {
    ($gate:path) => {{
        use $gate as gate;
        check(2, || {
            be(1);
            let gate = Arc::new(gate::Gate::new(0, |count| *count));
            gate.push(|count| *count += 1);
            let (other, another) = (gate.clone(), gate.clone());
            let visit = move || start(3, move || another.visit(|count| *count += 100));
            let (early, late) = begin(visit);
            let pusher = start(2, move || {
                let before = times(0, 2);
                for _ in 0..before {
                    other.push(|count| *count += 10);
                }
                let visitor = late.map(|visit| visit());
                for _ in before..3 {
                    other.push(|count| *count += 10);
                }
                if let Some(visitor) = visitor {
                    visitor.join().expect("no panic");
                }
            });
            let mut ours = times(1, 0);
            for _ in 0..ours {
                gate.push(|count| *count += 1);
            }
            if ours == 0 && gate.push_if_owner(|count| *count += 1).is_some() {
                ours = 1;
            }
            pusher.join().expect("no panic");
            if let Some(visitor) = early {
                visitor.join().expect("no panic");
            }
            assert_eq!(gate.visit(|count| *count), 131 + ours);
        });
    }};
}

/// An owner that was about to go in while the bias moves on to another thread and its slot, if it could, with it; and then
/// somebody visits.
macro_rules! stale_owner {
    ($gate:path) => {{
        use $gate as gate;
        check(3, || {
            be(1);
            let gate = Arc::new(gate::Gate::new(0, |count| *count));
            gate.push(|count| *count += 1);
            let other = gate.clone();
            let heir = start(2, move || {
                other.push(|count| *count += 10);
                other.push(|count| *count += 10);
                let another = other.clone();
                let visitor = start(3, move || another.visit(|count| *count += 100));
                let inside = other.push_if_owner(|count| *count += 10);
                visitor.join().expect("no panic");
                inside.map_or(0, |()| 10)
            });
            let ours = gate.push_if_owner(|count| *count += 1).map_or(0, |()| 1);
            let theirs = heir.join().expect("no panic");
            assert_eq!(gate.visit(|count| *count), 121 + ours + theirs);
        });
    }};
}

/// Two visitors beside the owner: whoever seals, whoever asks for stats. Where nothing bounds the preemptions, one comes when
/// the other has been there.
macro_rules! owner_and_two_visitors {
    ($gate:path) => {{
        use $gate as gate;
        check(2, || {
            be(1);
            let gate = Arc::new(gate::Gate::new(0, |count| *count));
            gate.push(|count| *count += 1);
            let (one, two) = (gate.clone(), gate.clone());
            let visit = move || start(3, move || two.visit(|count| *count += 100));
            let (early, late) = begin(visit);
            let first = start(2, move || {
                one.visit(|count| *count += 10);
                if let Some(visit) = late {
                    visit().join().expect("no panic");
                }
            });
            gate.push(|count| *count += 1);
            first.join().expect("no panic");
            if let Some(second) = early {
                second.join().expect("no panic");
            }
            assert_eq!(gate.push(|count| *count), 112);
        });
    }};
}

/// Sealing: a visitor takes what the owner has put there, while it goes on. Nothing is lost, nothing comes twice.
macro_rules! sealing {
    ($gate:path) => {{
        use $gate as gate;
        check(3, || {
            be(1);
            let gate = Arc::new(gate::Gate::new((0, 0), |(open, sealed)| *open + *sealed));
            gate.push(|(open, _)| *open += 1);
            let other = gate.clone();
            let sealer = start(2, move || {
                for _ in 0..2 {
                    other.visit(|(open, sealed)| {
                        *sealed += *open;
                        *open = 0;
                    });
                }
            });
            let ours = times(2, 1);
            for _ in 0..ours {
                gate.push(|(open, _)| *open += 1);
            }
            sealer.join().expect("no panic");
            assert_eq!(gate.push(|(open, sealed)| *open + *sealed), 1 + ours);
        });
    }};
}

/// Close: what is accepted when close has returned is all that ever is, and every push knows whether it was.
macro_rules! closing {
    ($gate:path) => {{
        use $gate as gate;
        check(3, || {
            be(1);
            let gate = Arc::new(gate::Gate::new((false, 0), |(_, accepted)| u64::from(*accepted)));
            let push = |gate: &gate::Gate<(bool, u32)>| {
                gate.push(|(closed, accepted)| {
                    *accepted += u32::from(!*closed);
                    u32::from(!*closed)
                })
            };
            let mut taken = push(&gate);
            let other = gate.clone();
            let closer = start(2, move || {
                other.visit(|(closed, accepted)| {
                    *closed = true;
                    *accepted
                })
            });
            taken += push(&gate);
            taken += push(&gate);
            let at_close = closer.join().expect("no panic");
            assert_eq!(push(&gate), 0);
            assert_eq!(at_close, taken);
            assert_eq!(gate.visit(|(_, accepted)| *accepted), taken);
        });
    }};
}

/// The owner's quick way in, with the slow one where it is refused.
macro_rules! quick_push {
    ($gate:path) => {{
        use $gate as gate;
        check(3, || {
            be(1);
            let gate = Arc::new(gate::Gate::new(0, |count| *count));
            gate.push(|count| *count += 1);
            let other = gate.clone();
            let visitor = start(2, move || other.visit(|count| *count += 10));
            for _ in 0..2 {
                if gate.push_if_owner(|count| *count += 1).is_none() {
                    gate.push(|count| *count += 1);
                }
            }
            visitor.join().expect("no panic");
            assert_eq!(gate.push(|count| *count), 13);
        });
    }};
}

/// The kernel refuses the fence from some time on: the gate stays shared, and still lets one in at a time.
macro_rules! refused_fence {
    ($gate:path) => {{
        use $gate as gate;
        check(3, || {
            super::REFUSES.set(false);
            be(1);
            let gate = Arc::new(gate::Gate::new(0, |count| *count));
            gate.push(|count| *count += 1);
            let other = gate.clone();
            let visitor = start(2, move || {
                super::REFUSES.set(true);
                other.visit(|count| *count += 10);
            });
            gate.push(|count| *count += 1);
            gate.push(|count| *count += 1);
            visitor.join().expect("no panic");
            assert_eq!(gate.push(|count| *count), 13);
            super::REFUSES.set(false);
        });
    }};
}

/// What a lock guards, for models.
struct Guarded<L> {
    lock: L,
    value: loom::cell::UnsafeCell<u32>,
}

/// Threads take the lock in turn; one of them comes first.
macro_rules! locking {
    ($lock:path, $first:expr) => {{
        use $lock as lock;
        check(3, || {
            be(1);
            let guarded = Arc::new(Guarded {
                lock: lock::ShortLock::new(),
                value: loom::cell::UnsafeCell::new(0),
            });
            let add = |guarded: &Guarded<lock::ShortLock>, me: usize, first: bool, by: u32| {
                let held = if first {
                    guarded.lock.lock_first(me)
                } else {
                    guarded.lock.lock(me)
                };
                // SAFETY: the lock is held; loom tells if it is not.
                guarded.value.with_mut(|value| unsafe { *value += by });
                drop(held);
            };
            let other = guarded.clone();
            let thread = start(2, move || {
                add(&other, 32, $first, 10);
                add(&other, 32, $first, 10);
            });
            add(&guarded, 16, false, 1);
            add(&guarded, 16, false, 1);
            thread.join().expect("no panic");
            // SAFETY: the other thread has ended.
            assert_eq!(guarded.value.with(|value| unsafe { *value }), 22);
        });
    }};
}

/// A counted value that loom watches.
struct Counted {
    value: loom::cell::UnsafeCell<u32>,
    drops: Arc<loom::sync::atomic::AtomicUsize>,
}

impl Counted {
    fn new(drops: &Arc<loom::sync::atomic::AtomicUsize>) -> Counted {
        Counted {
            value: loom::cell::UnsafeCell::new(0),
            drops: drops.clone(),
        }
    }

    fn read(&self) -> u32 {
        // SAFETY: nobody writes while it is shared.
        self.value.with(|value| unsafe { *value })
    }
}

// SAFETY: loom tells of every access that is not ordered.
unsafe impl Sync for Counted {}
// SAFETY: as above.
unsafe impl Send for Counted {}

impl Drop for Counted {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        // SAFETY: the last reference; loom tells if others are not seen to be gone.
        self.value.with_mut(|value| unsafe { *value += 1 });
        self.drops.fetch_add(1, loom::sync::atomic::Ordering::Relaxed);
    }
}

/// References are cloned, read and dropped by two threads: the value goes once, after all were done with it.
macro_rules! counting {
    ($shared:path) => {{
        use $shared as shared;
        check(3, || {
            be(1);
            let drops = Arc::new(loom::sync::atomic::AtomicUsize::new(0));
            let one = shared::Shared::try_new(Counted::new(&drops)).expect("memory");
            let two = one.clone();
            let thread = start(2, move || {
                let three = two.clone();
                drop(two);
                three.read();
            });
            one.read();
            drop(one);
            thread.join().expect("no panic");
            assert_eq!(drops.load(loom::sync::atomic::Ordering::Relaxed), 1);
        });
    }};
}

/// Whoever is left alone may write: it sees what the other did.
macro_rules! left_alone {
    ($shared:path) => {{
        use $shared as shared;
        check(3, || {
            be(1);
            let drops = Arc::new(loom::sync::atomic::AtomicUsize::new(0));
            let mut one = shared::Shared::try_new(Counted::new(&drops)).expect("memory");
            let two = one.clone();
            let thread = start(2, move || {
                two.read();
            });
            if let Some(counted) = one.get_mut() {
                // SAFETY: the only reference; loom tells if it is not.
                counted.value.with_mut(|value| unsafe { *value += 1 });
            }
            thread.join().expect("no panic");
        });
    }};
}

/// A reference goes to another thread as a pointer, as a handle's does.
macro_rules! raw {
    ($shared:path) => {{
        use $shared as shared;
        check(3, || {
            be(1);
            let drops = Arc::new(loom::sync::atomic::AtomicUsize::new(0));
            let one = shared::Shared::try_new(Counted::new(&drops)).expect("memory");
            let address = shared::Shared::into_raw(one.clone()).as_ptr() as usize;
            let thread = start(2, move || {
                let value = std::ptr::NonNull::new(address as *mut Counted).expect("an address");
                // SAFETY: from into_raw above, taken back once.
                drop(unsafe { shared::Shared::from_raw(value) });
            });
            one.read();
            drop(one);
            thread.join().expect("no panic");
            assert_eq!(drops.load(loom::sync::atomic::Ordering::Relaxed), 1);
        });
    }};
}

#[test]
fn an_owner_and_a_visitor_are_never_inside_together() {
    owner_and_visitor!(super::gate);
}

#[test]
fn two_pushers_are_never_inside_together() {
    two_pushers!(super::gate);
}

#[test]
fn two_pushers_and_a_visitor_are_never_inside_together() {
    two_pushers_and_visitor!(super::gate);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn control_no_light_fence() {
    owner_and_visitor!(mutants::no_light_fence);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn control_no_heavy_fence() {
    owner_and_visitor!(mutants::no_heavy_fence);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn control_no_second_look() {
    owner_and_visitor!(mutants::no_second_look);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn control_relaxed_revoke() {
    owner_and_visitor!(mutants::relaxed_revoke);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn control_relaxed_return() {
    owner_and_visitor!(mutants::relaxed_return);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn control_turn_at_once() {
    two_pushers!(mutants::turn_at_once);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn control_slot_unseen() {
    stale_owner!(mutants::slot_unseen);
}

#[test]
fn a_stale_owner_hides_nobody() {
    stale_owner!(super::gate);
}

#[test]
fn an_owner_and_two_visitors_are_never_inside_together() {
    owner_and_two_visitors!(super::gate);
}

#[test]
fn sealing_loses_nothing_and_takes_nothing_twice() {
    sealing!(super::gate);
}

#[test]
fn nothing_is_accepted_after_close() {
    closing!(super::gate);
}

#[test]
fn the_quick_way_in_is_as_exclusive() {
    quick_push!(super::gate);
}

#[test]
fn a_refused_fence_leaves_the_gate_shared() {
    refused_fence!(super::gate);
}

#[test]
fn a_lock_is_held_by_one() {
    locking!(super::lock, false);
}

#[test]
fn a_lock_is_held_by_one_that_comes_first() {
    locking!(super::lock, true);
}

#[test]
fn a_shared_value_goes_once_and_last() {
    counting!(super::shared);
}

#[test]
fn a_shared_value_is_written_by_who_is_left_alone() {
    left_alone!(super::shared);
}

#[test]
fn a_shared_value_crosses_as_a_pointer() {
    raw!(super::shared);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn control_two_pushers_and_visitor() {
    two_pushers_and_visitor!(mutants::no_heavy_fence);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn control_two_visitors() {
    owner_and_two_visitors!(mutants::no_light_fence);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn control_sealing() {
    sealing!(mutants::no_second_look);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn control_closing() {
    closing!(mutants::no_heavy_fence);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn control_quick_push() {
    quick_push!(mutants::relaxed_revoke);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn control_refused_fence() {
    refused_fence!(mutants::no_second_look);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn control_relaxed_take() {
    locking!(mutants::relaxed_take, false);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn control_relaxed_leave() {
    locking!(mutants::relaxed_leave, true);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn control_relaxed_drop() {
    counting!(mutants::relaxed_drop);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn control_no_drop_load() {
    raw!(mutants::no_drop_load);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn control_relaxed_get_mut() {
    left_alone!(mutants::relaxed_get_mut);
}
