//! Models of the gate: owners, pushers and visitors, sealing, close, and a fence that is refused.

use super::{begin, check, start, times};
use crate::model::{self, be, mutants};
use loom::sync::Arc;

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
            model::REFUSES.set(false);
            be(1);
            let gate = Arc::new(gate::Gate::new(0, |count| *count));
            gate.push(|count| *count += 1);
            let other = gate.clone();
            let visitor = start(2, move || {
                model::REFUSES.set(true);
                other.visit(|count| *count += 10);
            });
            gate.push(|count| *count += 1);
            gate.push(|count| *count += 1);
            visitor.join().expect("no panic");
            assert_eq!(gate.push(|count| *count), 13);
            model::REFUSES.set(false);
        });
    }};
}

#[test]
fn an_owner_and_a_visitor_are_never_inside_together() {
    owner_and_visitor!(model::gate);
}

#[test]
fn two_pushers_are_never_inside_together() {
    two_pushers!(model::gate);
}

#[test]
fn two_pushers_and_a_visitor_are_never_inside_together() {
    two_pushers_and_visitor!(model::gate);
}

#[test]
fn a_stale_owner_hides_nobody() {
    stale_owner!(model::gate);
}

#[test]
fn an_owner_and_two_visitors_are_never_inside_together() {
    owner_and_two_visitors!(model::gate);
}

#[test]
fn sealing_loses_nothing_and_takes_nothing_twice() {
    sealing!(model::gate);
}

#[test]
fn nothing_is_accepted_after_close() {
    closing!(model::gate);
}

#[test]
fn the_quick_way_in_is_as_exclusive() {
    quick_push!(model::gate);
}

#[test]
fn a_refused_fence_leaves_the_gate_shared() {
    refused_fence!(model::gate);
}

controls! {
    control_no_light_fence: owner_and_visitor!(mutants::no_light_fence);
    control_no_heavy_fence: owner_and_visitor!(mutants::no_heavy_fence);
    control_no_second_look: owner_and_visitor!(mutants::no_second_look);
    control_relaxed_revoke: owner_and_visitor!(mutants::relaxed_revoke);
    control_relaxed_return: owner_and_visitor!(mutants::relaxed_return);
    control_turn_at_once: two_pushers!(mutants::turn_at_once);
    control_slot_unseen: stale_owner!(mutants::slot_unseen);
    control_two_pushers_and_visitor: two_pushers_and_visitor!(mutants::no_heavy_fence);
    control_two_visitors: owner_and_two_visitors!(mutants::no_light_fence);
    control_sealing: sealing!(mutants::no_second_look);
    control_closing: closing!(mutants::no_heavy_fence);
    control_quick_push: quick_push!(mutants::relaxed_revoke);
    control_refused_fence: refused_fence!(mutants::no_second_look);
}
