//! The models, a file for each structure. Every one is written once, as a macro over the module that holds the
//! structure: the real one must pass, and each mutant must fail in the model made for it.

/// Tests that must fail: a mutant in the model made for it.
macro_rules! controls {
    ($($name:ident: $model:ident!($($with:tt)*);)*) => {
        $(
            #[test]
            #[should_panic(expected = "Causality violation")]
            fn $name() {
                $model!($($with)*);
            }
        )*
    };
}

mod gate;
mod lock;
mod shared;

use super::be;
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
