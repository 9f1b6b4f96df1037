//! A value on its way in: pushing one of any kind, and saying why it would be refused.

use super::batcher::Inner;
use super::error::{Error, Status};
use super::forming::{self};
use super::options::OnFull;
use super::release::Release;
use super::value::{Kind, Value};

/// A value on its way in.
pub(crate) struct Push<'a> {
    pub(crate) kind: Kind,
    pub(crate) cell: u64,
    pub(crate) text: &'a [u8],
    /// Declared size, of objects.
    pub(crate) size: u64,
    pub(crate) tag: u64,
    /// 0: none.
    pub(crate) deadline: i64,
    /// Keep the pointer instead of a copy; taken when the value is accepted.
    pub(crate) owned: Option<Release>,
    pub(crate) if_full: IfFull,
}

/// What a push does where it would wait for room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum IfFull {
    /// It waits.
    #[default]
    Wait,
    /// The host waits: the push answers WOULD_WAIT, and nobody was refused yet.
    Ask,
    /// The host has waited long enough: the push is refused.
    Refuse,
}

impl Push<'_> {
    pub(crate) fn cell(kind: Kind, cell: u64, tag: u64) -> Push<'static> {
        Push {
            kind,
            cell,
            text: &[],
            size: 0,
            tag,
            deadline: 0,
            owned: None,
            if_full: IfFull::Wait,
        }
    }

    pub(crate) fn weight(&self) -> u64 {
        8u64.saturating_add(self.text.len() as u64)
            .saturating_add(self.size)
    }
}

impl Inner {
    // ---- pushing a whole value -------------------------------------------------------------------------------

    /// Pushes any value. `owned` keeps the pointer of a string instead of a copy.
    pub(crate) fn push_value(
        &self,
        value: Value<'_>,
        tag: u64,
        deadline: i64,
        owned: Option<super::release::Release>,
        if_full: IfFull,
    ) -> Status {
        let (cell, text, size): (u64, &[u8], u64) = match value {
            Value::Null => (0, &[], 0),
            Value::Bool(value) => (u64::from(value), &[], 0),
            Value::Int64(value) => (value as u64, &[], 0),
            Value::Float64(value) => (value.to_bits(), &[], 0),
            Value::String(text) => (0, text.as_bytes(), 0),
            Value::Bytes(bytes) => (0, bytes, 0),
            Value::Object(object) => {
                if self.limits.owner == 0 || object.owner != self.limits.owner {
                    return self.count_refused(Status::WRONG_OWNER);
                }
                (object.word, &[], object.size)
            }
        };
        let kind = value.kind();
        if deadline == 0 && owned.is_none() && size == 0 {
            return match kind {
                Kind::String | Kind::Bytes => self.push_text(kind, text, tag, if_full),
                _ => self.push_cell_if(kind, cell, tag, if_full),
            };
        }
        self.push_slow(Push {
            kind,
            cell,
            text,
            size,
            tag,
            deadline,
            owned,
            if_full,
        })
    }

    /// Counts a completion that came after the outcomes stood.
    pub(crate) fn count_late(&self) {
        self.core.lock().late += 1;
    }

    /// Counts a refusal that was decided before the gate.
    pub(crate) fn count_refused(&self, status: Status) -> Status {
        if self.is_foreign() {
            return Status::FORKED;
        }
        self.gate.visit(|front| front.count_refusal(status));
        status
    }

    /// Why a value would be refused now, without pushing it.
    pub(crate) fn check(&self, value: Value<'_>) -> Result<(), Error> {
        if self.is_foreign() {
            return Err(Error::bare(Status::FORKED));
        }
        let limits = &self.limits;
        if let Value::Object(object) = value
            && (limits.owner == 0 || object.owner != limits.owner)
        {
            return Err(Error::new(
                Status::WRONG_OWNER,
                "value",
                format_args!(
                    "an object of owner {}: this batcher takes objects of owner {}",
                    object.owner, limits.owner
                ),
            ));
        }
        let weight = value.weight();
        self.gate.visit(|front| {
            self.join_stages(front);
            if front.closed {
                return Err(Error::new(
                    Status::CLOSED,
                    "batcher",
                    format_args!("the batcher is closed: it takes no values"),
                ));
            }
            if !self.accepts(value.kind()) {
                return Err(Error::new(
                    Status::NO_HANDLER,
                    "value",
                    format_args!(
                        "a {} value: no handler takes it and there is no default handler",
                        value.kind()
                    ),
                ));
            }
            if !forming::fits_empty(limits, weight) {
                return Err(Error::new(
                    Status::TOO_LARGE,
                    "value",
                    format_args!(
                        "a value of {weight} bytes: max_batch_bytes is {}",
                        limits.max_batch_bytes
                    ),
                ));
            }
            let core = self.core.lock();
            let load = front.load(&core);
            let places_can_be_made =
                limits.on_full == OnFull::DiscardOldest && load.held < limits.result_capacity;
            match forming::lack(limits, load, weight) {
                None => Ok(()),
                Some(_) if places_can_be_made => Ok(()),
                Some(_) if limits.on_full == OnFull::DiscardOldest => Err(self.results_full(load)),
                Some(forming::Lack::Count) => Err(Error::new(
                    Status::QUEUE_FULL,
                    "queue_capacity",
                    format_args!(
                        "{} values wait: queue_capacity is {}",
                        load.waiting, limits.queue_capacity
                    ),
                )),
                Some(forming::Lack::Bytes) => Err(Error::new(
                    Status::QUEUE_FULL_BYTES,
                    "queue_bytes",
                    format_args!(
                        "{} bytes wait and the value has {weight}: queue_bytes is {}",
                        load.waiting_bytes, limits.queue_bytes
                    ),
                )),
                Some(forming::Lack::ResultPlace) => Err(self.results_full(load)),
            }
        })
    }

    pub(super) fn results_full(&self, load: forming::Load) -> Error {
        let capacity = self.limits.result_capacity;
        Error::new(
            Status::RESULTS_FULL,
            "result_capacity",
            format_args!(
                "{} accepted values have results nobody took: result_capacity is {capacity}",
                load.held
            ),
        )
    }
}
