//! The rules of forming batches, and nothing else: no clock, no lock, no thread, no callback.
//!
//! Every question the engine asks about limits and times is a function here, of plain numbers, so that the rules
//! can be tested exhaustively in virtual time.

pub(crate) use super::options::FOREVER;
use super::options::Limits;
use super::value::Trigger;

/// `start + span` where FOREVER stays FOREVER.
pub(crate) fn after(start: i64, span: i64) -> i64 {
    start.saturating_add(span)
}

/// What a push must know of the open batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    /// Rows, removed ones included.
    pub(crate) rows: u64,
    /// Bytes, removed rows included.
    pub(crate) bytes: u64,
    pub(crate) opened_at: i64,
    /// A push found no room since it was opened.
    pub(crate) full: bool,
}

/// What waits in all, and which result places are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) waiting: u64,
    pub(crate) waiting_bytes: u64,
    pub(crate) held: u64,
}

/// Why a push finds no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    Count,
    Bytes,
    ResultPlace,
}

/// Whether a value of this weight can ever fit a batch.
pub(crate) fn fits_empty(limits: &Limits, weight: u64) -> bool {
    weight <= limits.max_batch_bytes
}

/// Whether there is room for one more value of `weight` bytes; the first bound that lacks it.
pub(crate) fn lack(limits: &Limits, load: Load, weight: u64) -> Option<Lack> {
    if load.waiting >= limits.queue_capacity {
        Some(Lack::Count)
    } else if weight > limits.queue_bytes.saturating_sub(load.waiting_bytes) {
        Some(Lack::Bytes)
    } else if load.held >= limits.result_capacity {
        Some(Lack::ResultPlace)
    } else {
        None
    }
}

/// Whether the open batch must be sealed before a value of `weight` joins.
pub(crate) fn seals_before(limits: &Limits, open: Open, weight: u64) -> bool {
    open.rows > 0 && weight > limits.max_batch_bytes.saturating_sub(open.bytes)
}

/// Whether the open batch is sealed by the value that just joined.
pub(crate) fn seals_after(limits: &Limits, rows: u64) -> bool {
    rows >= u64::from(limits.max_batch_size)
}

/// When the open batch becomes due by time, FOREVER if never.
pub(crate) fn due_at(limits: &Limits, opened_at: i64) -> i64 {
    if limits.max_delay == FOREVER {
        FOREVER
    } else {
        after(opened_at, limits.max_delay)
    }
}

/// Why the open batch is due now, if it is: asked when a slot is free.
pub(crate) fn due(limits: &Limits, open: Open, now: i64) -> Option<Trigger> {
    if limits.max_delay == 0 {
        Some(Trigger::Idle)
    } else if limits.max_delay != FOREVER && due_at(limits, open.opened_at) <= now {
        Some(Trigger::Delay)
    } else if open.full {
        Some(Trigger::Full)
    } else {
        None
    }
}

/// How many rows of 8 bytes may join the open batch (it has `rows`, and `extra` bytes beyond 8 a row) before
/// a push must ask again. `load` is what waits now, the open batch included.
pub(crate) fn row_limit(limits: &Limits, rows: u64, extra: u64, load: Load) -> (u64, u64) {
    let places = (limits.queue_capacity.saturating_sub(load.waiting))
        .min(limits.result_capacity.saturating_sub(load.held));
    let count = u64::from(limits.max_batch_size).min(rows.saturating_add(places));
    let bytes = limits
        .max_batch_bytes
        .min((rows * 8 + extra).saturating_add(limits.queue_bytes.saturating_sub(load.waiting_bytes)));
    (count, bytes)
}

/// Splits `count` values into parts of at most `max_batch_size`, or into `batches` parts as numpy's array_split
/// does: the first `count mod batches` parts have one more, empty parts are skipped.
pub(crate) fn split(count: u64, max_batch_size: u64, batches: u64) -> impl Iterator<Item = (u64, u64)> {
    let parts = if batches > 0 {
        batches
    } else {
        count.div_ceil(max_batch_size.max(1))
    };
    let mut at = 0;
    (0..parts)
        .map(move |part| {
            let len = match count.checked_div(batches) {
                Some(len) => len + u64::from(part < count % batches),
                None => max_batch_size.min(count - at),
            };
            let start = at;
            at += len;
            (start, len)
        })
        .take_while(|(_, len)| *len > 0)
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::engine::options::Options;

    fn limits(change: impl FnOnce(&mut Options)) -> Limits {
        let mut options = Options {
            mode: 2,
            max_batch_size: 4,
            queue_capacity: 16,
            ..Options::default()
        };
        change(&mut options);
        options.resolve(true).expect("options")
    }

    #[test]
    fn p07_due_is_asked_in_the_order_idle_delay_full() {
        let delayed = limits(|o| o.max_delay = 10);
        let open = Open {
            rows: 1,
            bytes: 8,
            opened_at: 100,
            full: true,
        };
        assert_eq!(due(&delayed, open, 110), Some(Trigger::Delay));
        assert_eq!(due(&delayed, open, 109), Some(Trigger::Full));
        assert_eq!(due(&delayed, Open { full: false, ..open }, 109), None);
        assert_eq!(due(&limits(|_| ()), open, 0), Some(Trigger::Idle));
        let never = limits(|o| o.max_delay = FOREVER);
        assert_eq!(due(&never, Open { full: false, ..open }, i64::MAX), None);
    }

    #[test]
    fn p08_exhaustive_small_limits() {
        // Every combination of small limits and loads: whatever `row_limit` allows, one by one, `lack` and the
        // batch limits allow too, and the next row is the first they refuse.
        for size in 1..4u64 {
            for batch_rows in 1..4u64 {
                for capacity in size..6 {
                    for places in 1..6 {
                        let limits = limits(|o| {
                            o.max_batch_size = size;
                            o.max_batch_bytes = batch_rows * 8;
                            o.queue_capacity = capacity;
                            o.queue_bytes = capacity.max(batch_rows) * 8;
                            o.result_capacity = places;
                        });
                        for waiting in 0..=capacity {
                            let load = Load {
                                waiting,
                                waiting_bytes: waiting * 8,
                                held: waiting,
                            };
                            // Of those that wait, so many are in the open batch.
                            for rows in 0..=waiting.min(size).min(batch_rows) {
                                let (count, bytes) = row_limit(&limits, rows, 0, load);
                                let allowed = count.min(bytes / 8);
                                let mut one_by_one = rows;
                                while one_by_one < size
                                    && one_by_one < batch_rows
                                    && lack(
                                        &limits,
                                        Load {
                                            waiting: waiting + one_by_one - rows,
                                            waiting_bytes: (waiting + one_by_one - rows) * 8,
                                            held: waiting + one_by_one - rows,
                                        },
                                        8,
                                    )
                                    .is_none()
                                {
                                    one_by_one += 1;
                                }
                                assert_eq!(allowed, one_by_one, "{limits:?} {rows} of {load:?}");
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn p07_an_empty_batch_is_not_sealed() {
        let limits = limits(|o| o.max_batch_bytes = 8);
        let mut open = Open {
            rows: 0,
            bytes: 0,
            opened_at: 0,
            full: false,
        };
        assert!(!seals_before(&limits, open, 9), "however much comes");
        (open.rows, open.bytes) = (1, 8);
        assert!(seals_before(&limits, open, 1));
        assert!(!seals_before(&limits, open, 0));
    }

    #[test]
    fn p14_splits_as_array_split_does() {
        let parts = |count, size, batches| split(count, size, batches).map(|p| p.1).collect::<Vec<_>>();
        assert_eq!(parts(15, 0, 2), [8, 7]);
        assert_eq!(parts(10, 0, 4), [3, 3, 2, 2]);
        assert_eq!(parts(2, 0, 4), [1, 1]);
        assert_eq!(parts(0, 0, 4), []);
        assert_eq!(parts(10, 4, 0), [4, 4, 2]);
        assert_eq!(parts(8, 4, 0), [4, 4]);
        assert_eq!(parts(0, 4, 0), []);
        assert_eq!(split(7, 3, 0).collect::<Vec<_>>(), [(0, 3), (3, 3), (6, 1)]);
    }
}
