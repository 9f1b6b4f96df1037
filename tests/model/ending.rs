//! Flush, close and free, and when there is something to do next.

use super::options::FOREVER;
use super::state::{Batcher, Entry, Host, Status};

impl Batcher {
    // ---- flush and close ----

    pub(crate) fn flush_begin(&mut self) -> Result<u64, Status> {
        if self.closed {
            return Err("CLOSED");
        }
        self.seal_open("FLUSH");
        Ok(self.accepted)
    }

    pub(crate) fn flush_end(&mut self, mark: u64, host: &mut dyn Host) -> Status {
        if self.callbacks > 0 {
            return "REENTRANT";
        }
        self.work(host);
        let done = self.places.first().is_none_or(|oldest| *oldest >= mark);
        if done { "OK" } else { "IN_PROGRESS" }
    }

    pub(crate) fn flush(&mut self, host: &mut dyn Host) -> Status {
        if self.callbacks > 0 {
            return "REENTRANT";
        }
        match self.flush_begin() {
            Ok(mark) => self.flush_end(mark, host),
            Err(status) => status,
        }
    }

    /// Answers the status and how many values close discarded.
    pub(crate) fn close(&mut self, timeout: i64, host: &mut dyn Host) -> (Status, u64) {
        if !self.closed {
            self.closed = true;
            self.seal_open("CLOSE");
        }
        self.close_due = self.close_due.min(self.now.saturating_add(timeout));
        if timeout == 0 {
            self.overdue();
        }
        if self.callbacks > 0 {
            return ("IN_PROGRESS", 0);
        }
        self.work(host);
        let drained = self.outstanding() == 0 && (self.options.pull_results || self.places.is_empty());
        match (drained, self.left) {
            (false, _) => ("IN_PROGRESS", 0),
            (true, 0) => ("OK", 0),
            (true, left) => ("TIMEOUT", left),
        }
    }

    /// In a callback: abandons; the call under way then delivers what there is and is the last.
    pub(crate) fn free(&mut self, host: &mut dyn Host) -> Status {
        if self.freeing {
            return "INVALID_HANDLE";
        }
        self.freeing = self.callbacks == 0;
        self.close(0, host);
        if self.callbacks > 0 {
            self.abandoned = true;
            self.gone = true;
        } else if !self.freed {
            self.tear_down(host);
        }
        "OK"
    }

    /// Gives back what was never pulled.
    pub(super) fn tear_down(&mut self, host: &mut dyn Host) {
        self.gone |= !self.stale_handles;
        while let Some(entry) = self.ready.pop_front() {
            let releases = match entry {
                Entry::Releases(releases) => releases,
                Entry::Results(results) => {
                    self.delivered(&results);
                    self.releases(&results)
                }
            };
            self.give_back(releases, host);
        }
        self.freed = true;
        self.gone = true;
    }

    // ---- time ----

    /// When there is something to do next: now, later, or never.
    pub(crate) fn next_due(&self) -> i64 {
        let pull = self.options.pull_results;
        let deliverable = |entry: &Entry| match entry {
            Entry::Releases(_) => true,
            Entry::Results(_) => self.has_on_result || pull,
        };
        let ready = self.ready.iter().any(deliverable);
        if ready || self.next_part().is_some() || self.candidate_is_before(u64::MAX) {
            return self.now;
        }
        let mut times = vec![FOREVER];
        times.extend(
            self.waiting_rows()
                .map(|row| row.deadline)
                .filter(|deadline| *deadline != 0),
        );
        let flying = (0..self.flights.len()).filter(|flight| !self.flights[*flight].fixed);
        times.extend(flying.map(|flight| self.timeout_of(flight)));
        if let Some(open) = &self.open
            && self.slot_is_free()
        {
            times.push(open.opened_at.saturating_add(self.options.max_delay));
        }
        if self.closed && self.outstanding() > 0 {
            times.push(self.close_due);
        }
        times.into_iter().min().expect("FOREVER is there").max(self.now)
    }
}
