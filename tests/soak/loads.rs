//! The five loads.

use super::{Bug, Soak};
use crate::common::{Chance, FOREVER};
use crate::lane::{Lane, push_all, tags_as_answers};
use microbatch::{Batcher, Delivery, Failure, HeldBatch, OnFull, PushOptions, Tags, Timeout, Value};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fs, thread};

/// A batcher that the law is checked on, and the threads that keep it busy.
pub(crate) struct Load {
    pub(crate) lane: Arc<Lane>,
    pub(crate) batcher: Arc<Batcher>,
    pub(crate) threads: Vec<thread::JoinHandle<()>>,
}

/// One value at a time from two threads, some of them cancelled.
pub(crate) fn singles(soak: &Arc<Soak>) -> Load {
    let lane = Lane::new(soak);
    let (noted, bug) = (lane.clone(), soak.bug);
    let batcher = Batcher::builder()
        .max_delay(Duration::from_micros(200))
        .handler(move |batch| {
            if bug == Bug::Memory {
                std::mem::forget(vec![1_u8; 32 << 10]);
            }
            tags_as_answers(batch)
        })
        .on_result(move |results| noted.results(results))
        .build();
    let batcher = Arc::new(batcher.unwrap());
    let (pushes, pushed) = (batcher.clone(), lane.clone());
    let pusher = thread::spawn(move || {
        push_all(&pushed, |tag| {
            pushes.push_int64(7, tag)?;
            if tag % 1000 == 0 {
                let _ = pushes.cancel(tag);
            }
            Ok(())
        });
    });
    Load {
        lane,
        batcher,
        threads: vec![pusher],
    }
}

/// Every kind, through a producer; deadlines, handlers that fail, panic and keep, time-outs, results in order.
pub(crate) fn mixed(soak: &Arc<Soak>) -> Load {
    let lane = Lane::new(soak);
    let noted = lane.clone();
    let (keep, kept): (Sender<HeldBatch>, Receiver<HeldBatch>) = mpsc::channel();
    let keep = Mutex::new(keep);
    let batcher = Batcher::builder()
        .threads(2)
        .max_in_flight(6)
        .max_batch_size(64)
        // A pool has what was ever in use at once, so that is to be reached early: results are few.
        .queue_capacity(512)
        .result_capacity(1024)
        .on_full(OnFull::Reject)
        .delivery(Delivery::Ordered)
        .handler_timeout(Duration::from_millis(20))
        .handler(move |batch| {
            let mut chance = Chance::new(batch.number());
            match chance.below(40) {
                0 => return Err(Failure::new(5, "this part fails")),
                // A panic, without the message that the test's own hook would print.
                1 => std::panic::resume_unwind(Box::new("on purpose")),
                2..8 => {
                    let held = batch.keep()?;
                    let _ = keep.lock().unwrap().send(held);
                    return Ok(());
                }
                _ => {}
            }
            for (row, tag) in batch.tags().to_vec().into_iter().enumerate() {
                match chance.below(8) {
                    0 => batch.fail(row, 6, "this value fails")?,
                    1 => batch.set(row, "a text for an answer")?,
                    _ => batch.set(row, tag as i64)?,
                }
            }
            Ok(())
        })
        .on_result(move |results| noted.results(results))
        .build();
    let batcher = Arc::new(batcher.unwrap());
    let (pushes, pushed) = (batcher.clone(), lane.clone());
    let pusher = thread::spawn(move || {
        let producer = pushes.producer().unwrap();
        let mut chance = Chance::new(1);
        push_all(&pushed, |tag| match chance.below(8) {
            0 => producer.push(Value::Null, tag),
            1 => producer.push(true, tag),
            2 => producer.push("a string", tag),
            3 => producer.push(&[1_u8, 2, 3][..], tag),
            4 => producer.push(0.5, tag),
            5 => {
                let soon = pushes.now().unwrap() + chance.below(200_000) as i64;
                pushes.push_with(1, tag, PushOptions::new().deadline(soon))
            }
            _ => producer.push_int64(1, tag),
        });
    });
    // Ends when the handlers' end of the channel does, with the batcher.
    let completer = thread::spawn(move || {
        let mut chance = Chance::new(2);
        for held in kept {
            if chance.one_in(500) {
                // Past its time-out.
                thread::sleep(Duration::from_millis(25));
            }
            match chance.below(4) {
                0 => drop(held),
                1 => drop(held.complete()),
                _ => drop(held.complete_ok()),
            }
        }
    });
    Load {
        lane,
        batcher,
        threads: vec![pusher, completer],
    }
}

/// Arrays of integers, and results that are pulled.
pub(crate) fn bulk(soak: &Arc<Soak>) -> Load {
    let lane = Lane::new(soak);
    let batcher = Batcher::builder()
        .max_batch_size(64)
        .queue_capacity(1024)
        .result_capacity(2048)
        .pull_results()
        .handler(tags_as_answers)
        .build();
    let batcher = Arc::new(batcher.unwrap());
    let (pushes, pushed) = (batcher.clone(), lane.clone());
    let pusher = thread::spawn(move || {
        let values = [1_i64; 512];
        let mut first = 0;
        loop {
            let begun = (first..first + 512).take_while(|tag| pushed.begin(*tag)).count() as u64;
            let accepted = if begun == 512 {
                let (accepted, status) = pushes.push_int64s(&values, Tags::From(first));
                if let Err(status) = status {
                    pushed.soak.fail(format!("a bulk push answers {status}"));
                }
                accepted as u64
            } else {
                0
            };
            (first..first + begun).for_each(|tag| pushed.end(tag, tag < first + accepted));
            if begun < 512 {
                return;
            }
            first += 512;
        }
    });
    let (pulls, pulled) = (batcher.clone(), lane.clone());
    let puller = thread::spawn(move || {
        while let Ok(results) = pulls.next_results(FOREVER) {
            pulled.results(&results);
        }
    });
    Load {
        lane,
        batcher,
        threads: vec![pusher, puller],
    }
}

/// A host that takes whole batches, too slowly: the oldest values are discarded for room.
pub(crate) fn pulled(soak: &Arc<Soak>) -> Load {
    let lane = Lane::new(soak);
    let noted = lane.clone();
    let batcher = Batcher::builder()
        .max_batch_size(32)
        .max_in_flight(2)
        .queue_capacity(128)
        .on_full(OnFull::DiscardOldest)
        .on_result(move |results| noted.results(results))
        .build();
    let batcher = Arc::new(batcher.unwrap());
    let (pushes, pushed) = (batcher.clone(), lane.clone());
    let pusher = thread::spawn(move || push_all(&pushed, |tag| pushes.push("some text to copy", tag)));
    let pulls = batcher.clone();
    let puller = thread::spawn(move || {
        while let Ok(held) = pulls.next_batch(FOREVER) {
            for (row, tag) in held.tags().to_vec().into_iter().enumerate() {
                let _ = held.set(row, tag as i64);
            }
            let _ = held.complete();
        }
    });
    Load {
        lane,
        batcher,
        threads: vec![pusher, puller],
    }
}

/// Batchers that live for a moment.
pub(crate) fn churn(soak: &Arc<Soak>) -> thread::JoinHandle<()> {
    let soak = soak.clone();
    thread::spawn(move || {
        let mut chance = Chance::new(3);
        while !soak.is_over() {
            let came = Arc::new(AtomicU64::new(0));
            let counted = came.clone();
            let batcher = Batcher::builder()
                .handler(tags_as_answers)
                .on_result(move |results| {
                    counted.fetch_add(results.len() as u64, SeqCst);
                })
                .build();
            let batcher = batcher.unwrap();
            let _ = batcher.fd();
            let pushed = 1 + chance.below(400);
            (0..pushed).for_each(|tag| batcher.push_int64(1, tag).unwrap());
            soak.pushed.fetch_add(pushed, SeqCst);
            match chance.below(3) {
                0 => drop(batcher.close(FOREVER)),
                1 => drop(batcher.close(Timeout::ZERO)),
                _ => {}
            }
            if soak.bug == Bug::Threads && chance.one_in(20) {
                std::mem::forget(batcher);
                continue;
            }
            if soak.bug == Bug::Descriptors && chance.one_in(20) {
                std::mem::forget(fs::File::open("/dev/null").unwrap());
            }
            drop(batcher);
            if came.load(SeqCst) != pushed {
                soak.fail(format!("{pushed} pushed, {} results", came.load(SeqCst)));
            }
        }
    })
}
