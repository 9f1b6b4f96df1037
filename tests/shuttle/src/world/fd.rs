//! Descriptors that models wait for.

use super::{FOREVER, Flag, Waiters, point, with};
use std::sync::Arc;

/// What a descriptor is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Armed {
    Never,
    At(i64),
    Closed,
}

pub(super) struct Descriptor {
    pub(super) armed: Armed,
    waiters: Arc<Waiters>,
}

/// Numbers of descriptors begin here.
const FIRST: i32 = 1000;

fn with_fd<R>(raw: i32, act: impl FnOnce(&mut Descriptor) -> R) -> Option<R> {
    with(|world| {
        world
            .descriptors
            .get_mut(usize::try_from(raw - FIRST).ok()?)
            .map(act)
    })
}

pub(crate) fn open_fd() -> i32 {
    with(|world| {
        world.descriptors.push(Descriptor {
            armed: Armed::Never,
            waiters: Arc::new(Waiters::new()),
        });
        FIRST + world.descriptors.len() as i32 - 1
    })
}

pub(crate) fn arm_fd(raw: i32, armed: Armed) {
    point();
    let waiters = with_fd(raw, |descriptor| {
        descriptor.armed = armed;
        descriptor.waiters.clone()
    });
    if let Some(waiters) = waiters {
        waiters.tell_all();
    }
}

/// Whether a descriptor is readable now.
pub fn is_readable(raw: i32) -> bool {
    let now = with(|world| world.now);
    matches!(with_fd(raw, |descriptor| descriptor.armed), Some(Armed::At(at)) if at <= now)
}

/// Waits until a descriptor is readable: what a host's poll does. False: `stop` came, or it was closed.
pub fn readable(raw: i32, stop: &Flag) -> bool {
    loop {
        point();
        if stop.is_set() {
            return false;
        }
        let now = with(|world| world.now);
        let Some((armed, waiters)) =
            with_fd(raw, |descriptor| (descriptor.armed, descriptor.waiters.clone()))
        else {
            return false;
        };
        match armed {
            Armed::Closed => return false,
            Armed::At(at) if at <= now => return true,
            Armed::At(at) => waiters.join().until(at),
            Armed::Never => waiters.join().until(FOREVER),
        }
    }
}

/// Sets `stop` and ends every [`readable`] that watches it.
pub fn stop_reading(raw: i32, stop: &Flag) {
    stop.set();
    if let Some(waiters) = with_fd(raw, |descriptor| descriptor.waiters.clone()) {
        waiters.tell_all();
    }
}
