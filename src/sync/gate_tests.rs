//! Tests of the gate on real threads. The exhaustive ones are in tests/loom.

use super::atomic::Ordering;
use super::gate::{Gate, ID_ALIGN, Meta, TAKERS, owns};
use super::{BIAS_AFTER, BIAS_AFTER_MAX, DENSE_NS, DENSE_RUN, GATE_SLOTS, PAID_RUN, TURN_NS};
use super::{barrier, current_id, fork, heavy_fence, register};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc;

/// A pair that is equal whenever the gate is free: whoever sees it unequal is not alone.
#[derive(Clone, Copy, Default)]
struct Twin {
    left: u64,
    right: u64,
}

impl Twin {
    fn step(&mut self) {
        assert_eq!(self.left, self.right);
        self.left = std::hint::black_box(self.left + 1);
        core::hint::spin_loop();
        self.right += 1;
    }
}

fn owner<T>(gate: &Gate<T>) -> usize {
    gate.line.bias.load(Ordering::Relaxed)
}

fn push_until_owner(gate: &Gate<Twin>) -> u64 {
    for count in 1..=u64::from(BIAS_AFTER_MAX) * 2 {
        gate.push(Twin::step);
        if owns(owner(gate), current_id()) {
            return count;
        }
    }
    0
}

/// Pushes and visits of several threads: no two inside at once, none lost.
fn storm(gate: Gate<Twin>, pushers: u64, visitors: u64, rounds: u64) -> Gate<Twin> {
    std::thread::scope(|scope| {
        for number in 0..pushers {
            let gate = &gate;
            scope.spawn(move || {
                for round in 0..rounds {
                    gate.push(Twin::step);
                    // Bursts of different lengths: the bias moves.
                    if round % (500 + 200 * number) == 0 {
                        std::thread::yield_now();
                    }
                }
            });
        }
        for _ in 0..visitors {
            scope.spawn(|| {
                for _ in 0..rounds / 50 {
                    gate.visit(Twin::step);
                    std::thread::yield_now();
                }
            });
        }
    });
    gate
}

#[test]
fn one_at_a_time_and_nothing_lost() {
    for (pushers, visitors) in [(1, 2), (2, 0), (2, 1), (4, 2)] {
        let gate = storm(
            Gate::new(Twin::default(), |twin| twin.left),
            pushers,
            visitors,
            20_000,
        );
        let (left, right) = gate.visit(|twin| (twin.left, twin.right));
        assert_eq!((left, right), (pushers * 20_000 + visitors * 400, left));
    }
}

#[test]
fn without_membarrier_the_gate_stays_shared_and_correct() {
    barrier::tests::REFUSE.set(true);
    let gate = Gate::new(Twin::default(), |twin| twin.left);
    barrier::tests::REFUSE.set(false);
    assert_eq!(push_until_owner(&gate), 0);
    let gate = storm(gate, 3, 1, 5_000);
    assert_eq!(owner(&gate), 0);
    assert_eq!(
        gate.visit(|twin| twin.left),
        u64::from(BIAS_AFTER_MAX) * 2 + 3 * 5_000 + 100
    );
}

#[test]
fn a_membarrier_lost_later_ends_the_bias_for_good() {
    if !register() {
        return;
    }
    for by_visit in [true, false] {
        let gate = Gate::new(Twin::default(), |twin| twin.left);
        std::thread::scope(|scope| {
            scope
                .spawn(|| push_until_owner(&gate))
                .join()
                .map(|_| ())
                .unwrap()
        });
        assert_ne!(owner(&gate), 0);
        barrier::tests::REFUSE.set(true);
        if by_visit {
            gate.visit(Twin::step);
        } else {
            gate.push(Twin::step);
        }
        barrier::tests::REFUSE.set(false);
        assert_eq!(owner(&gate), 0);
        assert_eq!(push_until_owner(&gate), 0);
    }
}

#[test]
fn the_bias_follows_whoever_pushes_and_costs_more_each_time() {
    if !register() {
        return;
    }
    let gate = Gate::new(Twin::default(), |twin| twin.left);
    assert_eq!(push_until_owner(&gate), u64::from(BIAS_AFTER));
    let first = owner(&gate);
    gate.push(Twin::step);
    gate.visit(Twin::step);
    assert_eq!(owner(&gate), first, "its own visit leaves the bias alone");

    let (to_other, orders) = mpsc::channel::<bool>();
    let (answers, from_other) = mpsc::channel();
    std::thread::scope(|scope| {
        let gate = &gate;
        scope.spawn(move || {
            for push in orders {
                let count = if push {
                    push_until_owner(gate)
                } else {
                    gate.visit(Twin::step);
                    0
                };
                answers.send((count, owner(gate))).unwrap();
            }
        });
        to_other.send(false).unwrap();
        assert_eq!(
            from_other.recv().unwrap(),
            (0, first),
            "a visit of another leaves the bias alone"
        );
        to_other.send(true).unwrap();
        let (count, second) = from_other.recv().unwrap();
        assert_eq!(count, 2 * u64::from(BIAS_AFTER));
        assert_ne!(second & !(ID_ALIGN - 1), first & !(ID_ALIGN - 1));
        assert_ne!(
            second % ID_ALIGN,
            first % ID_ALIGN,
            "the first owner was not seen since: its slot stays its own"
        );
        assert_eq!(push_until_owner(gate), 4 * u64::from(BIAS_AFTER));
        assert_eq!(owner(gate), first, "seen, its slot was free again");
        drop(to_other);
    });
}

#[test]
fn owners_that_never_come_back_use_up_the_slots() {
    if !register() {
        return;
    }
    let gate = Gate::new(Twin::default(), |twin| twin.left);
    let (done, held) = mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    std::thread::scope(|scope| {
        // All alive until the end, so that no two share a thread pointer.
        for number in 0..=GATE_SLOTS {
            // Straight to the decision: the run that earns the bias is tested above.
            let lock = gate.lock.lock(current_id());
            // SAFETY: the lock is held.
            gate.meta.with_mut(|meta| unsafe { (*meta).threshold = 1 });
            drop(lock);
            let (tell, told) = mpsc::channel();
            let (gate, held) = (&gate, &held);
            scope.spawn(move || {
                for _ in 0..3 {
                    gate.push(Twin::step);
                }
                tell.send(owns(owner(gate), current_id())).unwrap();
                drop(held.lock().map(|held| held.recv()));
            });
            assert_eq!(told.recv().unwrap(), number < GATE_SLOTS, "owner {number}");
        }
        drop(done);
    });
    assert_eq!(owner(&gate), 0);
}

#[test]
fn a_panic_inside_releases_the_gate() {
    let gate = Gate::new(Twin::default(), |twin| twin.left);
    let fail = |_: &mut Twin| resume_unwind(Box::new("on purpose"));
    let fails = |run: &dyn Fn()| assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
    fails(&|| gate.push(fail));
    fails(&|| gate.visit(fail));
    push_until_owner(&gate);
    let before = owner(&gate);
    fails(&|| gate.push(fail));
    fails(&|| gate.visit(fail));
    std::thread::scope(|scope| {
        scope.spawn(|| fails(&|| gate.visit(fail)));
    });
    assert_eq!(
        owner(&gate),
        before,
        "the bias is put back by the unwinding visit"
    );
    storm(gate, 2, 1, 1000).push(Twin::step);
}

#[test]
fn coming_back_inside_is_refused() {
    let gate = Gate::new(Twin::default(), |twin| twin.left);
    let refused = |run: &dyn Fn()| assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
    for _ in 0..2 {
        refused(&|| gate.push(|_| gate.push(|_| ())));
        refused(&|| gate.push(|_| gate.visit(|_| ())));
        refused(&|| gate.visit(|_| gate.push(|_| ())));
        refused(&|| gate.visit(|_| gate.visit(|_| ())));
        push_until_owner(&gate);
    }
    gate.push(Twin::step);
}

#[test]
fn a_new_gate_is_biased_in_a_forked_child_too() {
    if !register() {
        return;
    }
    assert_eq!(fork::install(), Ok(()));
    // SAFETY: the child uses a gate of its own, which allocates nothing, and ends by _exit.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let gate = Gate::new(Twin::default(), |twin| twin.left);
        push_until_owner(&gate);
        let fenced = heavy_fence();
        let code = if fenced && owns(owner(&gate), current_id()) {
            42
        } else {
            1
        };
        // SAFETY: ends the child and runs nothing.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: waits for the child above and writes one int.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(libc::WEXITSTATUS(status), 42);
}

thread_local! {
    static NOW: Cell<i64> = const { Cell::new(0) };
}

/// The rules of who owns a gate, without the gate: time and pushes are what the test says.
struct Rules {
    meta: Meta,
    word: usize,
    pushes: u64,
}

impl Rules {
    fn new() -> Rules {
        NOW.set(0);
        Rules {
            meta: Meta::new(true),
            word: 0,
            pushes: 0,
        }
    }

    fn now() -> i64 {
        NOW.get()
    }

    /// So many pushes by a thread that pushes every `every` ns. Answers how long it waited for turns.
    fn push(&mut self, number: usize, count: u64, every: i64) -> i64 {
        let me = number * ID_ALIGN;
        let mut waited = 0;
        for _ in 0..count {
            if !owns(self.word, me) {
                let left = self.meta.turn_left(self.word, me, Rules::now).max(0);
                NOW.set(Rules::now() + left);
                waited += left;
                let pushes = self.pushes;
                self.word = if self.word == 0 {
                    self.meta.count(me, || pushes, Rules::now)
                } else {
                    self.meta.revoked(self.word, me, true, pushes, Rules::now)
                };
            }
            self.pushes += 1;
            NOW.set(Rules::now() + every);
        }
        waited
    }

    fn is_owned_by(&self, number: usize) -> bool {
        self.word != 0 && owns(self.word, number * ID_ALIGN)
    }
}

const DENSE: i64 = DENSE_NS as i64;
const RUN: u64 = BIAS_AFTER as u64 + DENSE_RUN;

/// Twice as dense as need be.
const DENSER: i64 = DENSE / 2;

/// What that is in a turn, less a few that the others wait for.
const MOST_OF_A_TURN: u64 = (TURN_NS / DENSER) as u64 - 200;

#[test]
fn dense_pushers_take_turns() {
    let mut rules = Rules::new();
    assert_eq!(rules.push(1, RUN, DENSE), 0);
    assert_eq!(rules.push(2, 1, DENSE), 0);
    assert!(rules.word == 0, "whether the second is dense nobody knows yet");
    assert_eq!(rules.push(2, 2 * RUN, DENSE), 0);
    assert!(rules.is_owned_by(2));
    for _ in 0..10 {
        for number in [1, 2] {
            rules.push(3 - number, MOST_OF_A_TURN, DENSER);
            let waited = rules.push(number, 1, DENSE);
            assert!(waited > 0 && waited < TURN_NS, "{waited}");
            assert!(rules.is_owned_by(number), "its turn begins at once");
        }
    }
}

#[test]
fn whoever_pushes_now_and_then_waits_for_no_turn() {
    let mut rules = Rules::new();
    for _ in 0..50 {
        assert_eq!(rules.push(1, PAID_RUN + 2 * RUN, DENSE), 0);
        assert!(rules.is_owned_by(1), "the bias came back");
        assert_eq!(rules.push(2, 1, DENSE), 0);
    }
    // Nor does it where others take turns.
    rules.push(3, 2 * RUN, DENSE);
    rules.push(1, 2 * RUN, DENSE);
    rules.push(3, 2 * RUN, DENSE);
    assert_eq!(rules.push(2, 1, DENSE), 0);
}

#[test]
fn a_pusher_that_became_slow_takes_no_turns() {
    let mut rules = Rules::new();
    rules.push(1, RUN, DENSE);
    rules.push(2, 2 * RUN + MOST_OF_A_TURN, DENSER);
    rules.push(1, MOST_OF_A_TURN, DENSER);
    rules.push(2, 1, DENSE);
    assert!(rules.is_owned_by(2));
    // It stops in the midst of its turn; the other comes when that is long over.
    NOW.set(Rules::now() + 10 * TURN_NS);
    assert_eq!(rules.push(1, 1, DENSE), 0);
    assert!(!rules.is_owned_by(1), "nobody else takes turns");
    rules.push(1, PAID_RUN, DENSE);
    assert!(rules.is_owned_by(1));
    assert_eq!(rules.push(2, 1, DENSE), 0);
    assert_eq!(rules.word, 0);
}

#[test]
fn threads_that_push_in_turn_leave_the_gate_shared() {
    let mut rules = Rules::new();
    for _ in 0..10_000 {
        assert_eq!(rules.push(1, 1, DENSE) + rules.push(2, 1, DENSE), 0);
        assert_eq!(rules.word, 0);
    }
}

#[test]
fn of_many_that_take_turns_the_latest_are_known() {
    let mut rules = Rules::new();
    let many = 2 * TAKERS;
    for number in 1..=many {
        rules.push(number, PAID_RUN + RUN, DENSE);
    }
    // The last one owns it, the few before take turns.
    rules.push(many + 1, 1, DENSE);
    let takes = |rules: &mut Rules, number: usize| {
        rules.meta.turn_left(ID_ALIGN, number * ID_ALIGN, || i64::MIN / 2) > 0
    };
    let known = (1..=many).filter(|number| takes(&mut rules, *number)).count();
    assert_eq!(known, TAKERS);
    assert!(takes(&mut rules, many) && !takes(&mut rules, many - TAKERS));
}
