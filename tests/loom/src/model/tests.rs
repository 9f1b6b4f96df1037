//! The models. Every one is written once, as a macro over the module that holds the gate: the real gate must
//! pass, and each mutant must fail in the model made for it.

use super::{be, mutants};
use loom::sync::Arc;
use loom::thread;

/// Runs `model` with at most `preemptions` involuntary switches, in every order.
fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// A thread of a model with an id of its own.
fn start(number: usize, run: impl FnOnce() + 'static) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        be(number);
        run();
    })
}

/// The owner pushes while another thread visits, twice, and the bias stays.
macro_rules! owner_and_visitor {
    ($gate:path) => {{
        use $gate as gate;
        check(3, || {
            be(1);
            let gate = Arc::new(gate::Gate::new(0));
            gate.push(|count| *count += 1);
            let other = gate.clone();
            let visitor = start(2, move || {
                other.visit(|count| *count += 10);
                other.visit(|count| *count += 10);
            });
            gate.push(|count| *count += 1);
            gate.push(|count| *count += 1);
            visitor.join().expect("no panic");
            assert_eq!(gate.push(|count| *count), 23);
        });
    }};
}

/// Two threads push: the bias goes to and fro.
macro_rules! two_pushers {
    ($gate:path) => {{
        use $gate as gate;
        check(3, || {
            be(1);
            let gate = Arc::new(gate::Gate::new(0));
            gate.push(|count| *count += 1);
            let other = gate.clone();
            let pusher = start(2, move || {
                for _ in 0..3 {
                    other.push(|count| *count += 10);
                }
            });
            gate.push(|count| *count += 1);
            gate.push(|count| *count += 1);
            pusher.join().expect("no panic");
            assert_eq!(gate.visit(|count| *count), 33);
        });
    }};
}

/// Two threads push and one visits.
macro_rules! two_pushers_and_visitor {
    ($gate:path) => {{
        use $gate as gate;
        check(2, || {
            be(1);
            let gate = Arc::new(gate::Gate::new(0));
            gate.push(|count| *count += 1);
            let other = gate.clone();
            let pusher = start(2, move || {
                for _ in 0..3 {
                    other.push(|count| *count += 10);
                }
            });
            let other = gate.clone();
            let visitor = start(3, move || other.visit(|count| *count += 100));
            gate.push(|count| *count += 1);
            pusher.join().expect("no panic");
            visitor.join().expect("no panic");
            assert_eq!(gate.visit(|count| *count), 132);
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
fn control_slot_unseen() {
    two_pushers_and_visitor!(mutants::slot_unseen);
}
