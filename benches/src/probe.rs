//! The core-to-core probe: how long a cache line takes to another core and back. It says which regime the machine
//! was in while a round was measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

const TRIPS: u64 = 200;

/// Two threads on two cores, asleep except inside `measure`.
pub struct Probe {
    start: Option<[Sender<()>; 2]>,
    answers: Receiver<f64>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
#[repr(align(128))]
struct Ball(AtomicU64);

impl Probe {
    /// None on a machine (or an allowance) of one core.
    pub fn new() -> Option<Probe> {
        let cores = allowed_cores();
        let (first, second) = (*cores.first()?, *cores.get(1)?);
        let ball = Arc::new(Ball::default());
        let ready = Arc::new(AtomicBool::new(false));
        let (answer, answers) = channel();
        let (start_server, serve) = channel();
        let (start_returner, back) = channel();
        let server = {
            let (ball, ready) = (ball.clone(), ready.clone());
            std::thread::spawn(move || {
                pin(first);
                while serve.recv().is_ok() {
                    // The other thread is woken too: the clock starts when both run.
                    while !ready.load(Ordering::Acquire) {
                        std::hint::spin_loop();
                    }
                    ready.store(false, Ordering::Relaxed);
                    let started = Instant::now();
                    for trip in 0..TRIPS {
                        ball.0.store(2 * trip + 1, Ordering::Release);
                        while ball.0.load(Ordering::Acquire) != 2 * trip + 2 {}
                    }
                    let ns = started.elapsed().as_nanos() as f64 / TRIPS as f64;
                    ball.0.store(0, Ordering::Release);
                    if answer.send(ns).is_err() {
                        return;
                    }
                }
            })
        };
        let returner = std::thread::spawn(move || {
            pin(second);
            while back.recv().is_ok() {
                ready.store(true, Ordering::Release);
                for trip in 0..TRIPS {
                    while ball.0.load(Ordering::Acquire) != 2 * trip + 1 {}
                    ball.0.store(2 * trip + 2, Ordering::Release);
                }
            }
        });
        Some(Probe {
            start: Some([start_server, start_returner]),
            answers,
            threads: vec![server, returner],
        })
    }

    /// Nanoseconds of one round trip, averaged over some.
    pub fn measure(&self) -> f64 {
        for start in self.start.iter().flatten() {
            if start.send(()).is_err() {
                return f64::NAN;
            }
        }
        self.answers.recv().unwrap_or(f64::NAN)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.start = None;
        for thread in self.threads.drain(..) {
            // A probe that failed has nothing to say any more.
            let _ = thread.join();
        }
    }
}

fn allowed_cores() -> Vec<usize> {
    // SAFETY: cpu_set_t is plain bits.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is writable and as long as said.
    unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
    // SAFETY: the number is below the size of the set.
    (0..libc::CPU_SETSIZE as usize)
        .filter(|core| unsafe { libc::CPU_ISSET(*core, &set) })
        .collect()
}

fn pin(core: usize) {
    // SAFETY: cpu_set_t is plain bits.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the number came from allowed_cores.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: the set is readable and as long as said; a refusal leaves the thread where it was.
    unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
}
