//! Handlers that do not return until the test lets them.

use super::*;

/// Where handlers stop until the test lets them go on. Clones are one door.
#[derive(Clone, Default)]
pub(crate) struct Door(Arc<(Mutex<DoorState>, Condvar)>);

#[derive(Default)]
struct DoorState {
    came: u64,
    open: bool,
}

/// Opens its door when it goes.
pub(crate) struct Opener(Door);

impl Door {
    pub(crate) fn new() -> Door {
        Door::default()
    }

    /// Called by a handler: does not return before the door is open.
    pub(crate) fn stop(&self) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.came += 1;
        changed.notify_all();
        while !state.open {
            state = changed.wait(state).unwrap();
        }
    }

    /// Waits until `count` handlers came.
    pub(crate) fn wait_for(&self, count: u64) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        while state.came < count {
            state = changed.wait(state).unwrap();
        }
    }

    /// Lets everyone through, also those who come later.
    pub(crate) fn open(&self) {
        let (state, changed) = &*self.0;
        state.lock().unwrap().open = true;
        changed.notify_all();
    }

    /// As it was at first: nobody came, and it is shut.
    pub(crate) fn close(&self) {
        *self.0.0.lock().unwrap() = DoorState::default();
    }

    /// Made after the batcher, so that it goes first: a test that fails must not wait for a stuck handler.
    pub(crate) fn opens_at_the_end(&self) -> Opener {
        Opener(self.clone())
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        self.0.open();
    }
}
