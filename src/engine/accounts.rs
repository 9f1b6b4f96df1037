//! The accounts: what a batcher has counted and timed, batch by batch.
//!
//! They are large, and written only while a batch is about. An idle batcher keeps them packed, inside itself as long as they
//! fit: a small block of their own would hold on to a page of what was given back around it.

use super::histogram::Histogram;

/// What is counted with batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accounts {
    /// Sealed batches by trigger.
    pub(crate) triggers: [u64; 8],
    /// Values by outcome.
    pub(crate) outcomes: [u64; 5],
    pub(crate) batch_size: Histogram,
    pub(crate) queue_time: Histogram,
    pub(crate) handler_time: Histogram,
    pub(crate) delivery_time: Histogram,
}

impl Accounts {
    /// Nothing was counted.
    pub(crate) const fn new() -> Accounts {
        Accounts {
            triggers: [0; 8],
            outcomes: [0; 5],
            batch_size: Histogram::new(),
            queue_time: Histogram::new(),
            handler_time: Histogram::new(),
            delivery_time: Histogram::new(),
        }
    }

    fn histograms(&self) -> [&Histogram; 4] {
        [
            &self.batch_size,
            &self.queue_time,
            &self.handler_time,
            &self.delivery_time,
        ]
    }

    /// As few bytes as hold it all.
    fn packed(&self) -> impl Iterator<Item = u8> {
        let histograms = self.histograms().into_iter();
        let histograms = histograms.flat_map(|histogram| {
            [histogram.sum, histogram.max]
                .into_iter()
                .chain(sparse(&histogram.buckets))
        });
        sparse(&self.triggers)
            .chain(sparse(&self.outcomes))
            .chain(histograms)
            .flat_map(short)
    }

    /// What `packed` holds.
    fn unpacked(bytes: &[u8]) -> Accounts {
        let mut accounts = Accounts::new();
        let mut bytes = bytes.iter();
        let mut next = || {
            let mut word = 0;
            for shift in (0..u64::BITS).step_by(7) {
                let byte = bytes.next().copied().unwrap_or_default();
                word |= u64::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    break;
                }
            }
            word
        };
        spread(&mut accounts.triggers, &mut next);
        spread(&mut accounts.outcomes, &mut next);
        for histogram in [
            &mut accounts.batch_size,
            &mut accounts.queue_time,
            &mut accounts.handler_time,
            &mut accounts.delivery_time,
        ] {
            (histogram.sum, histogram.max) = (next(), next());
            spread(&mut histogram.buckets, &mut next);
            histogram.count = histogram.buckets.iter().sum();
        }
        accounts
    }
}

/// Where the first count is that is not 0, a bit for each that is not from there on, and those counts.
fn sparse(counts: &[u64]) -> impl Iterator<Item = u64> {
    let bits = counts
        .iter()
        .rev()
        .fold(0, |bits: u64, count| bits << 1 | u64::from(*count > 0));
    let first = bits.trailing_zeros() % u64::BITS;
    let counted = counts.iter().copied().filter(|count| *count > 0);
    [u64::from(first), bits >> first].into_iter().chain(counted)
}

fn spread(counts: &mut [u64], next: &mut impl FnMut() -> u64) {
    let first = next();
    let bits = next() << first;
    for (at, count) in counts.iter_mut().enumerate() {
        *count = if bits & 1 << at == 0 { 0 } else { next() };
    }
}

/// Seven bits a byte, the low ones first; the high bit says that more come.
fn short(word: u64) -> impl Iterator<Item = u8> {
    let bytes = (u64::BITS - (word | 1).leading_zeros()).div_ceil(7);
    (0..bytes).map(move |at| (word >> (7 * at)) as u8 & 0x7f | if at + 1 < bytes { 0x80 } else { 0 })
}

/// Packed accounts of so many bytes need no memory of their own: thousands of batches of a steady load.
const INSIDE: usize = 110;

/// The accounts of a batcher: open while there is a batch, else packed.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Recorded {
    open: Option<Box<Accounts>>,
    packed: Packed,
}

/// What was packed last.
enum Packed {
    /// In the first bytes.
    Inside(u8, [u8; INSIDE]),
    Outside(Box<[u8]>),
}

impl Default for Packed {
    fn default() -> Packed {
        Packed::Inside(0, [0; INSIDE])
    }
}

impl Recorded {
    /// Where records go. While there is a batch there is such a place.
    pub(crate) fn open(&mut self) -> Option<&mut Accounts> {
        self.open.as_deref_mut()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// What was recorded so far.
    pub(crate) fn read(&self) -> Accounts {
        match (&self.open, &self.packed) {
            (Some(open), _) => **open,
            (None, Packed::Inside(len, bytes)) => Accounts::unpacked(&bytes[..usize::from(*len)]),
            (None, Packed::Outside(bytes)) => Accounts::unpacked(bytes),
        }
    }

    /// Makes room for records. False if memory ran out.
    pub(crate) fn unpack(&mut self) -> bool {
        if self.open.is_none() {
            self.open = crate::sync::try_box(self.read());
        }
        self.open.is_some()
    }

    /// Keeps what was recorded in less memory, if there is that much.
    pub(crate) fn pack(&mut self) {
        let Some(open) = &self.open else { return };
        let len = open.packed().count();
        if len <= INSIDE {
            let mut bytes = [0; INSIDE];
            bytes
                .iter_mut()
                .zip(open.packed())
                .for_each(|(to, byte)| *to = byte);
            self.packed = Packed::Inside(len as u8, bytes);
        } else {
            let mut bytes = Vec::new();
            if bytes.try_reserve_exact(len).is_err() {
                return;
            }
            bytes.extend(open.packed());
            self.packed = Packed::Outside(bytes.into_boxed_slice());
        }
        self.open = None;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn record(recorded: &mut Recorded, round: u64) {
        let open = recorded.open().unwrap();
        for value in [0, 1, 5 + round, 1 << 40, u64::MAX >> round] {
            open.batch_size.record(value);
            open.handler_time.record(value / 3);
        }
        open.delivery_time.record(round);
        open.triggers[round as usize % 8] += 1 << (9 * round);
        open.outcomes[4] = u64::MAX - round;
    }

    #[test]
    fn p38_what_was_recorded_is_the_same_packed() {
        let mut recorded = Recorded::default();
        assert_eq!(recorded.read(), Accounts::new());
        recorded.pack();
        assert!(recorded.open().is_none());
        assert!(recorded.unpack() && recorded.is_open());
        for round in 0..7 {
            record(&mut recorded, round);
            let before = recorded.read();
            recorded.pack();
            assert!(recorded.open().is_none(), "packed");
            assert_eq!(recorded.read(), before);
            assert!(recorded.unpack());
            assert_eq!(recorded.read(), before);
        }
    }

    #[test]
    fn p38_packed_accounts_need_memory_only_beyond_what_is_usual() {
        let mut recorded = Recorded::default();
        assert!(recorded.unpack());
        recorded.pack();
        assert!(
            matches!(recorded.packed, Packed::Inside(..)),
            "nothing was counted"
        );
        assert!(recorded.unpack());
        let open = recorded.open().unwrap();
        for batch in 0..10_000_u64 {
            open.triggers[usize::from(batch % 5 > 0)] += 1;
            open.outcomes[0] += 250 + batch % 7;
            open.batch_size.record(250 + batch % 7);
            for time in [
                &mut open.queue_time,
                &mut open.handler_time,
                &mut open.delivery_time,
            ] {
                time.record(40_000 + batch * batch % 400_000);
            }
        }
        recorded.pack();
        assert!(matches!(recorded.packed, Packed::Inside(..)), "a steady load");
        assert!(recorded.unpack());
        let before = {
            let open = recorded.open().unwrap();
            (0..64).for_each(|at| open.queue_time.record(u64::MAX >> at));
            *open
        };
        recorded.pack();
        assert!(matches!(recorded.packed, Packed::Outside(_)), "every bucket");
        assert_eq!(recorded.read(), before);
    }
}
