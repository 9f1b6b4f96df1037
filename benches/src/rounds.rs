//! The rounds: what one side does between two readings of the clock.

use crate::side::{Config, Name, Side, now};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Values outstanding at most: the largest multiple of the batch size up to 10,000. With a remainder the last values
/// of every window would wait a whole max_delay.
pub const WINDOW: u64 = 39 * 256;

const MS: i64 = 1_000_000;

/// What a round cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Nanoseconds of the timed part.
    pub ns: f64,
    /// Processor time of all threads of the process, in nanoseconds.
    pub cpu_ns: f64,
    /// Times that a thread of the process went to sleep or was put aside.
    pub switches: f64,
}

/// A measurement that either side can run a round of.
#[derive(Clone, Copy, Debug)]
pub struct Measurement {
    /// What the table calls it.
    pub title: &'static str,
    /// What the filter of the command line calls it.
    pub id: &'static str,
    /// Threads that push.
    pub producers: u64,
    /// Values a round and producer.
    pub values: u64,
    /// Values that each producer pushes at once when only pushes are timed; 0: the whole job is timed, from the first
    /// push to the last result.
    pub burst: u64,
    /// Batches are taken while producers push.
    pub consumer: bool,
    /// How many times faster than the peer ours must be; 0: no bar.
    pub bar: f64,
}

/// All of them, in the order of the table.
pub const MEASUREMENTS: [Measurement; 6] = [
    Measurement {
        title: "push, 1 thread, no consumer",
        id: "push/1/alone",
        producers: 1,
        values: 20 * WINDOW,
        burst: WINDOW,
        consumer: false,
        bar: 2.0,
    },
    Measurement {
        title: "push, 1 thread, consumer keeps up",
        id: "push/1/consumer",
        producers: 1,
        values: 20 * WINDOW,
        burst: WINDOW,
        consumer: true,
        bar: 2.0,
    },
    Measurement {
        title: "push, 2 threads, no consumer",
        id: "push/2/alone",
        producers: 2,
        values: 10 * WINDOW,
        burst: WINDOW,
        consumer: false,
        bar: 0.0,
    },
    Measurement {
        title: "push, 2 threads, consumer keeps up",
        id: "push/2/consumer",
        producers: 2,
        values: 20 * WINDOW,
        burst: 10 * WINDOW,
        consumer: true,
        bar: 0.0,
    },
    Measurement {
        title: "whole job, 1 producer",
        id: "job/1",
        producers: 1,
        values: 2000 * 256,
        burst: 0,
        consumer: true,
        bar: 3.0,
    },
    Measurement {
        title: "whole job, 2 producers",
        id: "job/2",
        producers: 2,
        values: 1000 * 256,
        burst: 0,
        consumer: true,
        bar: 0.0,
    },
];

impl Measurement {
    /// A side as this measurement needs it.
    pub fn side(&self, name: Name) -> Runner {
        let outstanding = if self.burst == 0 {
            WINDOW
        } else {
            2 * self.producers * self.burst
        };
        let config = Config {
            max_batch_size: 256,
            outstanding,
            max_delay_ns: MS,
            consumer: i32::from(self.consumer),
        };
        Runner {
            measurement: *self,
            side: Side::new(name, config),
            pushed: 0,
        }
    }

    /// Values a round.
    pub fn total(&self) -> u64 {
        self.producers * self.values
    }
}

/// A side that runs rounds of one measurement.
pub struct Runner {
    measurement: Measurement,
    side: Side,
    pushed: u64,
}

impl Runner {
    /// Runs a round; the costs are for all its values.
    pub fn round(&mut self) -> Cost {
        let Measurement {
            producers,
            values,
            burst,
            ..
        } = self.measurement;
        let first = self.pushed;
        self.pushed += producers * values;
        if burst > 0 {
            return Cost {
                ns: self.bursts(first),
                ..Cost::default()
            };
        }
        let before = Usage::now();
        let gate = Turnstile::new(producers);
        let side = &self.side;
        let started = std::thread::scope(|scope| {
            for producer in 1..producers {
                let gate = &gate;
                scope.spawn(move || {
                    gate.pass(1);
                    side.push(first + producer * values, values);
                });
            }
            gate.pass(1);
            let started = now();
            side.push(first, values);
            started
        });
        side.drain();
        let ns = (now() - started) as f64;
        let after = Usage::now();
        Cost {
            ns,
            cpu_ns: after.cpu_ns - before.cpu_ns,
            switches: after.switches - before.switches,
        }
    }

    /// Pushes in bursts; only the pushes are timed, from the first producer's start to the last one's end.
    fn bursts(&self, first: u64) -> f64 {
        let Measurement {
            producers,
            values,
            burst,
            ..
        } = self.measurement;
        let side = &self.side;
        let gate = Turnstile::new(producers);
        let rounds = values / burst;
        let starts: Vec<_> = (0..rounds).map(|_| AtomicI64::new(i64::MAX)).collect();
        let ends: Vec<_> = (0..rounds).map(|_| AtomicI64::new(0)).collect();
        let push = |producer: u64| {
            for round in 0..rounds {
                gate.pass(2 * round + 1);
                let start = now();
                side.push(first + (round * producers + producer) * burst, burst);
                let end = now();
                starts[round as usize].fetch_min(start, Ordering::Relaxed);
                ends[round as usize].fetch_max(end, Ordering::Relaxed);
                gate.pass(2 * round + 2);
                if producer == 0 {
                    side.drain();
                }
            }
        };
        std::thread::scope(|scope| {
            for producer in 1..producers {
                scope.spawn(move || push(producer));
            }
            push(0);
        });
        starts
            .iter()
            .zip(&ends)
            .map(|(start, end)| end.load(Ordering::Relaxed) - start.load(Ordering::Relaxed))
            .sum::<i64>() as f64
    }

    /// Pushes one value and waits for its result: nanoseconds from before the push to inside the result callback.
    pub fn lone(&mut self) -> f64 {
        let value = self.pushed;
        self.pushed += 1;
        let started = now();
        self.side.push(value, 1);
        while self.side.delivered() < self.pushed {
            std::hint::spin_loop();
        }
        (self.side.tally().last_at.load(Ordering::Relaxed) - started) as f64
    }

    /// Checks every result so far.
    pub fn check(&self) {
        self.side.check(self.pushed);
    }

    /// A runner for lone values.
    pub fn for_lone(name: Name, max_delay_ns: i64) -> Runner {
        let config = Config {
            max_batch_size: 256,
            outstanding: WINDOW,
            max_delay_ns,
            consumer: 1,
        };
        Runner {
            measurement: MEASUREMENTS[0],
            side: Side::new(name, config),
            pushed: 0,
        }
    }
}

/// Lets threads on when all have come; they spin, so that they start together.
struct Turnstile {
    come: AtomicU64,
    threads: u64,
}

impl Turnstile {
    fn new(threads: u64) -> Turnstile {
        Turnstile {
            come: AtomicU64::new(0),
            threads,
        }
    }

    /// Waits until all threads have come for the `times`th time.
    fn pass(&self, times: u64) {
        self.come.fetch_add(1, Ordering::AcqRel);
        let mut looks = 0u32;
        while self.come.load(Ordering::Acquire) < times * self.threads {
            looks += 1;
            if looks % 1024 == 0 {
                std::thread::yield_now();
            }
            std::hint::spin_loop();
        }
    }
}

struct Usage {
    cpu_ns: f64,
    switches: f64,
}

impl Usage {
    fn now() -> Usage {
        // SAFETY: rusage is plain numbers.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: `usage` is writable.
        unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
        let ns = |time: libc::timeval| time.tv_sec as f64 * 1e9 + time.tv_usec as f64 * 1e3;
        Usage {
            cpu_ns: ns(usage.ru_utime) + ns(usage.ru_stime),
            switches: (usage.ru_nvcsw + usage.ru_nivcsw) as f64,
        }
    }
}
