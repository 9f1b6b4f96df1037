//! Waiting, and what models wait for.

use super::{FOREVER, point, random, with};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

/// Threads that wait to be told.
pub(crate) struct Waiters(Mutex<Vec<Arc<Waiter>>>);

struct Waiter {
    told: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// One wait; it began when it was made.
pub(crate) struct Waiting<'a> {
    waiters: &'a Waiters,
    waiter: Arc<Waiter>,
}

impl Waiters {
    pub(crate) const fn new() -> Waiters {
        Waiters(Mutex::new(Vec::new()))
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Waiter>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to wait: whoever tells from now on may tell the caller.
    pub(crate) fn join(&self) -> Waiting<'_> {
        let waiter = Arc::new(Waiter {
            told: AtomicBool::new(false),
            waker: Mutex::new(None),
        });
        self.list().push(waiter.clone());
        Waiting {
            waiters: self,
            waiter,
        }
    }

    /// Tells one that waits, any.
    pub(crate) fn tell_one(&self) {
        let mut list = self.list();
        if !list.is_empty() {
            let at = random(list.len() as u64) as usize;
            let waiter = list.swap_remove(at);
            drop(list);
            waiter.tell();
        }
    }

    /// Tells all that wait.
    pub(crate) fn tell_all(&self) {
        let list = std::mem::take(&mut *self.list());
        for waiter in list {
            waiter.tell();
        }
    }
}

impl Waiter {
    fn tell(&self) {
        self.told.store(true, Ordering::SeqCst);
        if let Some(waker) = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    }

    fn is_told(&self) -> bool {
        self.told.load(Ordering::SeqCst)
    }
}

impl Waiting<'_> {
    /// Waits until told, until the deadline, or, rarely, for no reason.
    pub(crate) fn until(self, deadline: i64) {
        if random(32) == 0 {
            shuttle::thread::yield_now();
        } else if deadline == FOREVER {
            shuttle::future::block_on(std::future::poll_fn(|context| {
                if self.waiter.is_told() {
                    return Poll::Ready(());
                }
                *self.waiter.waker.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(context.waker().clone());
                Poll::Pending
            }));
        } else {
            self.until_late(deadline);
        }
        self.waiters
            .list()
            .retain(|waiter| !Arc::ptr_eq(waiter, &self.waiter));
    }

    /// A wait with a deadline looks again and again, and at some look the deadline has come: sooner or later by the
    /// patience drawn for it, and mostly not before earlier deadlines of others.
    fn until_late(&self, deadline: i64) {
        with(|world| world.deadlines.push(deadline));
        let patience = 1 << (2 * random(4));
        while !self.waiter.is_told() {
            let first = with(|world| world.deadlines.iter().all(|other| deadline <= *other));
            if random(patience) == 0 && (first || random(8) == 0) {
                with(|world| world.now = world.now.max(deadline));
                break;
            }
            shuttle::thread::yield_now();
        }
        with(|world| {
            if let Some(at) = world.deadlines.iter().position(|other| *other == deadline) {
                world.deadlines.swap_remove(at);
            }
        });
    }
}

/// Something that happens once, and can be waited for.
pub struct Flag {
    happened: AtomicBool,
    waiters: Waiters,
}

impl Default for Flag {
    fn default() -> Flag {
        Flag {
            happened: AtomicBool::new(false),
            waiters: Waiters::new(),
        }
    }
}

impl Flag {
    /// It happens.
    pub fn set(&self) {
        self.happened.store(true, Ordering::SeqCst);
        self.waiters.tell_all();
    }

    /// Whether it has happened.
    pub fn is_set(&self) -> bool {
        self.happened.load(Ordering::SeqCst)
    }

    /// Waits until it has happened.
    pub fn wait(&self) {
        point();
        while !self.is_set() {
            self.waiters.join().until(FOREVER);
        }
    }
}

/// Things on their way from thread to thread.
pub struct Parcels<T> {
    list: Mutex<VecDeque<T>>,
    closed: Flag,
}

impl<T> Default for Parcels<T> {
    fn default() -> Parcels<T> {
        Parcels {
            list: Mutex::default(),
            closed: Flag::default(),
        }
    }
}

impl<T> Parcels<T> {
    fn list(&self) -> std::sync::MutexGuard<'_, VecDeque<T>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends one; drops it if nobody receives any more.
    pub fn send(&self, parcel: T) {
        point();
        if self.closed.is_set() {
            return drop(parcel);
        }
        self.list().push_back(parcel);
        self.closed.waiters.tell_one();
    }

    /// Takes the next, waiting for it; None when there is none and nobody will send more.
    pub fn receive(&self) -> Option<T> {
        loop {
            point();
            if let Some(parcel) = self.list().pop_front() {
                return Some(parcel);
            }
            if self.closed.is_set() {
                return None;
            }
            self.closed.waiters.join().until(FOREVER);
        }
    }

    /// Nobody will send more.
    pub fn close(&self) {
        self.closed.set();
    }
}
