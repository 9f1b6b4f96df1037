//! Flights: dispatched batches, and how far their parts are.

use super::batch::Batch;
use super::core::Core;
use super::forming::FOREVER;
use super::value::Kind;
use crate::sync::Shared;

/// Parts a batch can have: one per kind with a handler of its own, and the default's.
pub(super) const MAX_PARTS: usize = Kind::COUNT + 1;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PartState {
    /// Its handler was not called yet.
    Waiting,
    /// Its handler is inside.
    Running,
    /// Its holder completes it: kept, or pulled as a whole batch.
    Kept,
    /// A host's handler has it: the next part waits until it is done, or kept.
    Pulled,
    /// Its outcomes were fixed from outside while its handler was inside.
    Cut,
    /// Its outcomes are fixed.
    Done,
}

pub(crate) struct FlightPart {
    /// Kind code of the handler, DEFAULT or PULLED.
    pub(super) which: u8,
    pub(super) state: PartState,
    /// The rows gathered for it; None if it has the whole batch.
    pub(super) gathered: Option<Shared<Batch>>,
}

impl FlightPart {
    /// Its rows; `whole` is its flight's batch.
    pub(super) fn batch<'a>(&'a self, whole: &'a Shared<Batch>) -> &'a Shared<Batch> {
        self.gathered.as_ref().unwrap_or(whole)
    }
}

/// A dispatched batch.
pub(crate) struct Flight {
    pub(crate) number: u64,
    pub(crate) batch: Shared<Batch>,
    pub(super) parts: [Option<FlightPart>; MAX_PARTS],
    pub(super) count: u8,
    pub(super) next: u8,
    /// A handler is inside.
    pub(super) running: bool,
    /// A host pulls its parts.
    pub(super) pulled: bool,
    /// Outcomes stand.
    pub(crate) fixed: bool,
    pub(crate) expires_at: i64,
}

impl Flight {
    pub(super) fn part(&mut self, index: u8) -> Option<&mut FlightPart> {
        self.parts.get_mut(usize::from(index))?.as_mut()
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = &FlightPart> {
        self.parts.iter().flatten()
    }

    /// Bytes of its batch, and of the parts gathered from it.
    pub(crate) fn memory(&self) -> u64 {
        let gathered = self.parts().filter_map(|part| part.gathered.as_ref());
        self.batch.memory() + gathered.map(|batch| batch.memory()).sum::<u64>()
    }

    pub(super) fn is_mixed(&self) -> bool {
        self.count > 1
    }

    /// Parts are left that no host has pulled yet.
    pub(crate) fn has_more(&self) -> bool {
        self.pulled && !self.fixed && self.next < self.count
    }

    /// The next of them may be pulled: the handler of the one before has returned.
    fn is_due(&self) -> bool {
        let before = self.parts.get(usize::from(self.next).wrapping_sub(1));
        let returned = before
            .and_then(Option::as_ref)
            .is_some_and(|part| part.state != PartState::Pulled);
        returned && self.has_more()
    }

    /// A handler is inside although the outcomes stand.
    pub(crate) fn is_stuck(&self) -> bool {
        self.running && self.fixed
    }
}

impl Core {
    pub(crate) fn flight(&mut self, number: u64) -> Option<&mut Flight> {
        // Few batches fly at once, and in number order.
        let at = self
            .flights
            .binary_search_by_key(&number, |flight| flight.number)
            .ok()?;
        self.flights.get_mut(at)
    }

    /// Changes a flight, and keeps count of those whose next part may be pulled.
    pub(super) fn change<T>(&mut self, number: u64, change: impl FnOnce(&mut Flight) -> T) -> Option<T> {
        let flight = self.flight(number)?;
        let before = flight.is_due();
        let answer = change(flight);
        let after = flight.is_due();
        self.parts_due = self.parts_due + u32::from(after) - u32::from(before);
        Some(answer)
    }

    /// The first flight whose next part may be pulled.
    pub(crate) fn next_due_flight(&self) -> Option<u64> {
        if self.parts_due == 0 {
            return None;
        }
        self.flights
            .iter()
            .find(|flight| flight.is_due())
            .map(|flight| flight.number)
    }

    /// When the earliest handler time-out comes.
    pub(crate) fn next_expiry(&self) -> i64 {
        self.flights
            .iter()
            .find(|flight| !flight.fixed)
            .map_or(FOREVER, |flight| flight.expires_at)
    }
}

impl Core {
    /// Values in flight whose outcome is not fixed.
    pub(crate) fn flying(&self) -> u64 {
        self.flights
            .iter()
            .filter(|flight| !flight.fixed)
            .map(|flight| flight.batch.len as u64)
            .sum()
    }

    pub(crate) fn in_flight_has(&self, tag: u64) -> bool {
        self.flights
            .iter()
            .any(|flight| !flight.fixed && flight.batch.tags().contains(&tag))
    }
}
