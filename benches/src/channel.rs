//! A batcher by hand of crossbeam's bounded channel and a thread; results in a callback, a batch at a time.

use crate::side::{Config, Side, now};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What the callback saw.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) delivered: AtomicU64,
    pub(crate) sum: AtomicU64,
    pub(crate) expected: AtomicU64,
    pub(crate) last_at: AtomicI64,
    pub(crate) batches: AtomicU64,
}

impl Tally {
    /// A batch of results with these sums. One thread at a time calls it.
    pub(crate) fn add(&self, count: u64, sum: u64, expected: u64) {
        self.sum.fetch_add(sum, Ordering::Relaxed);
        self.expected.fetch_add(expected, Ordering::Relaxed);
        self.last_at.store(now(), Ordering::Relaxed);
        self.batches.fetch_add(1, Ordering::Relaxed);
        // SYNC: Release pairs with the Acquire of `delivered` - the sums.
        self.delivered.fetch_add(count, Ordering::Release);
    }
}

/// The value of a tag, as in `side.h`.
pub(crate) fn value(tag: u64) -> i64 {
    (tag % 65536) as i64
}

/// The side.
pub struct Crossbeam {
    sender: Option<Sender<(u64, i64)>>,
    tally: Arc<Tally>,
    flushing: Arc<AtomicBool>,
    pushed: AtomicU64,
    worker: Option<JoinHandle<()>>,
}

impl Crossbeam {
    /// Makes one.
    pub fn new(config: Config) -> Crossbeam {
        let (sender, receiver) = bounded(config.outstanding as usize);
        let (tally, flushing) = (Arc::new(Tally::default()), Arc::new(AtomicBool::new(false)));
        let worker = {
            let (tally, flushing) = (tally.clone(), flushing.clone());
            let (size, delay) = (
                config.max_batch_size as usize,
                Duration::from_nanos(config.max_delay_ns as u64),
            );
            std::thread::spawn(move || work(size, delay, &receiver, &tally, &flushing))
        };
        Crossbeam {
            sender: Some(sender),
            tally,
            flushing,
            pushed: AtomicU64::new(0),
            worker: Some(worker),
        }
    }
}

fn work(size: usize, delay: Duration, receiver: &Receiver<(u64, i64)>, tally: &Tally, flushing: &AtomicBool) {
    let mut batch = Vec::with_capacity(size);
    loop {
        let Ok(first) = receiver.recv() else { return };
        batch.push(first);
        let mut until = None;
        while batch.len() < size {
            batch.extend(receiver.try_iter().take(size - batch.len()));
            if batch.len() == size || delay.is_zero() || flushing.load(Ordering::Relaxed) {
                break;
            }
            // The clock is read when values are lacking, not for each of them.
            let until = *until.get_or_insert_with(|| Instant::now() + delay);
            match receiver.recv_deadline(until) {
                Ok(item) => batch.push(item),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        for (_, value) in &mut batch {
            *value *= 2;
        }
        let sum = batch.iter().map(|(_, value)| *value as u64).sum();
        let expected = batch.iter().map(|(tag, _)| 2 * value(*tag) as u64).sum();
        tally.add(batch.len() as u64, sum, expected);
        batch.clear();
    }
}

impl Side for Crossbeam {
    fn push(&self, _producer: u64, first: u64, count: u64) {
        let Some(sender) = &self.sender else { return };
        for tag in first..first + count {
            assert!(sender.send((tag, value(tag))).is_ok(), "the worker is there");
        }
        self.pushed.fetch_add(count, Ordering::Release);
    }

    fn drain(&self) {
        self.flushing.store(true, Ordering::Relaxed);
        while self.delivered() < self.pushed.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        self.flushing.store(false, Ordering::Relaxed);
    }

    fn delivered(&self) -> u64 {
        self.tally.delivered.load(Ordering::Acquire)
    }

    fn last_at(&self) -> i64 {
        self.tally.last_at.load(Ordering::Relaxed)
    }

    fn batches(&self) -> u64 {
        self.tally.batches.load(Ordering::Relaxed)
    }

    fn sums(&self) -> (u64, u64) {
        (
            self.tally.sum.load(Ordering::Relaxed),
            self.tally.expected.load(Ordering::Relaxed),
        )
    }
}

impl Drop for Crossbeam {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(worker) = self.worker.take() {
            // A worker that failed has failed the check already.
            let _ = worker.join();
        }
    }
}
