//! One consistent snapshot of what a batcher has done and holds, its histograms, and its text for Prometheus.

use std::fmt;

use super::error::Status;
use super::value::{Outcome, Trigger};

/// A snapshot of a batcher (P38). Counters run from creation and never go back; gauges say what is so now.
///
/// The layout is that of C, so that the boundary can mirror it field by field.
#[repr(C)]
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Counter, values: taken by a push.
    pub accepted: u64,
    /// Counter, values: answered by a handler.
    pub ok: u64,
    /// Counter, values: failed by a handler, or left without a result.
    pub failed: u64,
    /// Counter, values: ended by their deadline or by the handler's time-out.
    pub expired: u64,
    /// Counter, values: cancelled while they waited.
    pub cancelled: u64,
    /// Counter, values: given up for room or at the end of close.
    pub discarded: u64,
    /// Gauge, values: accepted and without an outcome yet, waiting or in flight.
    pub outstanding: u64,
    /// Gauge, values: with an outcome that is not delivered yet.
    pub undelivered: u64,
    /// Counter, batches: sealed, by code of the [`Trigger`]; index 0 stays 0.
    pub triggers: [u64; 8],
    /// Counter, pushes: refused, by the negated code of the [`Status`]; index 0 stays 0.
    pub refusals: [u64; 24],
    /// Counter, batches: dispatched to a handler or handed out by `next_batch`.
    pub batches: u64,
    /// Counter, completions: came after their batch had ended and were ignored.
    pub late: u64,
    /// Gauge, threads: inside a handler whose batch has timed out.
    pub stuck: u64,
    /// Gauge, values: in the queue, not dispatched.
    pub waiting: u64,
    /// Gauge, bytes: what the values in the queue weigh.
    pub waiting_bytes: u64,
    /// Gauge, batches: dispatched and not finished.
    pub in_flight: u64,
    /// Gauge, values: in the result set that is being delivered at this moment.
    pub delivering: u64,
    /// Gauge, bytes: memory held for batches and results, idle pools included.
    pub bytes_in_use: u64,
    /// Gauge, nanoseconds: since the oldest batch in flight was dispatched; 0 without one.
    pub oldest_in_flight_age: i64,
    /// Values in each dispatched batch.
    pub batch_size: Histogram,
    /// Nanoseconds from the acceptance of each batch's oldest value to its dispatch.
    pub queue_time: Histogram,
    /// Nanoseconds from each batch's dispatch until its last part was finished.
    pub handler_time: Histogram,
    /// Nanoseconds from the moment each result set was ready until it was delivered.
    pub delivery_time: Histogram,
}

/// How often each magnitude was seen: one bucket per power of two.
///
/// Bucket 0 counts 0 and 1, bucket `i` counts the values from 2^i to 2^(i+1) - 1.
#[repr(C)]
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// How many values were recorded.
    pub count: u64,
    /// Their sum; stays at the largest number once it would pass it.
    pub sum: u64,
    /// The largest of them, 0 without any.
    pub max: u64,
    /// How many values each bucket counted.
    pub buckets: [u64; 64],
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram::new()
    }
}

impl Histogram {
    /// A histogram that has seen nothing.
    pub const fn new() -> Histogram {
        Histogram {
            count: 0,
            sum: 0,
            max: 0,
            buckets: [0; 64],
        }
    }

    /// The bucket that counts `value`.
    pub const fn bucket_of(value: u64) -> usize {
        (value | 1).ilog2() as usize
    }

    /// The largest value that `bucket` counts; buckets past the last count like the last.
    pub const fn upper_bound(bucket: usize) -> u64 {
        if bucket >= 63 { u64::MAX } else { (2 << bucket) - 1 }
    }

    /// Counts one value.
    #[inline]
    pub const fn record(&mut self, value: u64) {
        self.buckets[Histogram::bucket_of(value)] += 1;
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
        if value > self.max {
            self.max = value;
        }
    }

    /// Counts everything `other` has counted.
    pub fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine = mine.saturating_add(*theirs);
        }
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
    }

    /// An upper estimate of the value that the fraction `q` (0 to 1) of all values do not pass: `p(0.99)`.
    ///
    /// It is the upper bound of the bucket that value lies in, and never above `max`: at most twice too
    /// large, never too small. 0 without values.
    pub fn p(&self, q: f64) -> u64 {
        // A NaN becomes rank 1, like 0.
        let rank = ((q.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0u64;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen = seen.saturating_add(*count);
            if seen >= rank {
                return Histogram::upper_bound(bucket).min(self.max);
            }
        }
        self.max
    }

    /// The arithmetic mean, 0 without values.
    pub fn mean(&self) -> f64 {
        if self.count == 0 {
            0.0
        } else {
            self.sum as f64 / self.count as f64
        }
    }
}

impl Stats {
    /// How many values ended this way.
    pub const fn outcome(&self, outcome: Outcome) -> u64 {
        match outcome {
            Outcome::Ok => self.ok,
            Outcome::Failed => self.failed,
            Outcome::Expired => self.expired,
            Outcome::Cancelled => self.cancelled,
            Outcome::Discarded => self.discarded,
        }
    }

    /// How many batches this trigger sealed.
    pub const fn sealed_by(&self, trigger: Trigger) -> u64 {
        self.triggers[trigger.code() as usize]
    }

    /// How many pushes were refused with this status; 0 for a status no push answers.
    pub fn refused_with(&self, status: Status) -> u64 {
        if status.code() >= 0 {
            return 0;
        }
        let index = usize::try_from(status.code().unsigned_abs()).ok();
        index
            .and_then(|index| self.refusals.get(index))
            .copied()
            .unwrap_or(0)
    }

    /// Whether every accepted value is accounted for (P16):
    /// accepted = ok + failed + expired + cancelled + discarded + outstanding.
    pub fn balanced(&self) -> bool {
        let ended: u128 = Outcome::ALL
            .iter()
            .map(|outcome| u128::from(self.outcome(*outcome)))
            .sum();
        u128::from(self.accepted) == ended + u128::from(self.outstanding)
    }

    /// Writes the snapshot in Prometheus' text format, version 0.0.4.
    ///
    /// With `batcher`, every sample carries it as the label `batcher`. Metrics are named `microbatch_*`;
    /// times are in seconds. The page of one batcher is complete in itself; pages of several belong behind
    /// several addresses, since the format allows each metric one header.
    pub fn prometheus(&self, batcher: Option<&str>, w: &mut dyn fmt::Write) -> fmt::Result {
        let mut page = Page { w, batcher };
        page.counter("accepted_total", "Values taken by a push.", self.accepted)?;
        page.header("outcomes_total", "counter", "Values that ended, by outcome.")?;
        for outcome in Outcome::ALL {
            page.sample(
                "outcomes_total",
                Some(("outcome", &outcome.name())),
                &self.outcome(*outcome),
            )?;
        }
        page.gauge(
            "outstanding",
            "Values accepted and without an outcome yet.",
            &self.outstanding,
        )?;
        page.gauge(
            "undelivered",
            "Values with an outcome that is not delivered yet.",
            &self.undelivered,
        )?;
        page.header("sealed_total", "counter", "Batches sealed, by trigger.")?;
        for trigger in Trigger::ALL {
            page.sample(
                "sealed_total",
                Some(("trigger", &trigger.name())),
                &self.sealed_by(*trigger),
            )?;
        }
        page.header("refusals_total", "counter", "Pushes refused, by status.")?;
        // Every status from the start, zeros included: a rule cannot alert on a series that does not exist
        // yet.
        for (index, count) in self.refusals.iter().enumerate().skip(1) {
            let status = Status::from_code(i32::try_from(index).map_or(0, |code| -code));
            if status.is_known() {
                page.sample("refusals_total", Some(("status", &status.name())), count)?;
            }
        }
        page.counter("batches_total", "Batches dispatched.", self.batches)?;
        page.counter(
            "late_total",
            "Completions that came too late and were ignored.",
            self.late,
        )?;
        page.gauge(
            "stuck",
            "Threads inside a handler whose batch has timed out.",
            &self.stuck,
        )?;
        page.gauge("waiting", "Values in the queue.", &self.waiting)?;
        page.gauge(
            "waiting_bytes",
            "What the values in the queue weigh.",
            &self.waiting_bytes,
        )?;
        page.gauge(
            "in_flight",
            "Batches dispatched and not finished.",
            &self.in_flight,
        )?;
        page.gauge(
            "delivering",
            "Values in the result set being delivered.",
            &self.delivering,
        )?;
        page.gauge(
            "used_bytes",
            "Memory held for batches and results.",
            &self.bytes_in_use,
        )?;
        let age = Quantity::Nanoseconds(u64::try_from(self.oldest_in_flight_age).unwrap_or(0));
        page.gauge(
            "oldest_in_flight_age_seconds",
            "Age of the oldest batch in flight.",
            &age,
        )?;
        page.histogram(
            "batch_size",
            "Values in each dispatched batch.",
            &self.batch_size,
            Quantity::Count,
        )?;
        for (name, help, histogram) in [
            (
                "queue_time_seconds",
                "From a batch's oldest value to its dispatch.",
                &self.queue_time,
            ),
            (
                "handler_time_seconds",
                "From a batch's dispatch to its end.",
                &self.handler_time,
            ),
            (
                "delivery_time_seconds",
                "From results ready to results delivered.",
                &self.delivery_time,
            ),
        ] {
            page.histogram(name, help, histogram, Quantity::Nanoseconds)?;
        }
        Ok(())
    }
}

/// A number as Prometheus wants it, without a detour through floating point.
enum Quantity {
    Count(u64),
    /// Shown in seconds.
    Nanoseconds(u64),
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Quantity::Count(count) => write!(f, "{count}"),
            Quantity::Nanoseconds(ns) => write!(f, "{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000),
        }
    }
}

/// The page under way.
struct Page<'a> {
    w: &'a mut dyn fmt::Write,
    batcher: Option<&'a str>,
}

impl Page<'_> {
    fn header(&mut self, name: &str, kind: &str, help: &str) -> fmt::Result {
        writeln!(self.w, "# HELP microbatch_{name} {help}")?;
        writeln!(self.w, "# TYPE microbatch_{name} {kind}")
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.header(name, "counter", help)?;
        self.sample(name, None, &value)
    }

    fn gauge(&mut self, name: &str, help: &str, value: &dyn fmt::Display) -> fmt::Result {
        self.header(name, "gauge", help)?;
        self.sample(name, None, value)
    }

    fn sample(
        &mut self,
        name: &str,
        label: Option<(&str, &dyn fmt::Display)>,
        value: &dyn fmt::Display,
    ) -> fmt::Result {
        self.series(name, "", label, value)
    }

    /// One line. Nothing here allocates: the page may be wanted because memory is short.
    fn series(
        &mut self,
        name: &str,
        suffix: &str,
        label: Option<(&str, &dyn fmt::Display)>,
        value: &dyn fmt::Display,
    ) -> fmt::Result {
        write!(self.w, "microbatch_{name}{suffix}")?;
        match (self.batcher, label) {
            (None, None) => {}
            (Some(batcher), None) => write!(self.w, "{{batcher=\"{}\"}}", Escaped(batcher))?,
            (None, Some((key, text))) => write!(self.w, "{{{key}=\"{text}\"}}")?,
            (Some(batcher), Some((key, text))) => {
                write!(self.w, "{{batcher=\"{}\",{key}=\"{text}\"}}", Escaped(batcher))?;
            }
        }
        writeln!(self.w, " {value}")
    }

    fn histogram(
        &mut self,
        name: &str,
        help: &str,
        histogram: &Histogram,
        quantity: fn(u64) -> Quantity,
    ) -> fmt::Result {
        self.header(name, "histogram", help)?;
        let used = histogram
            .buckets
            .iter()
            .rposition(|count| *count > 0)
            .map_or(0, |last| last + 1);
        let mut seen = 0u64;
        for (bucket, count) in histogram.buckets.iter().enumerate().take(used) {
            seen = seen.saturating_add(*count);
            let bound = quantity(Histogram::upper_bound(bucket));
            self.series(name, "_bucket", Some(("le", &bound)), &seen)?;
        }
        self.series(name, "_bucket", Some(("le", &"+Inf")), &seen)?;
        self.series(name, "_sum", None, &quantity(histogram.sum))?;
        self.series(name, "_count", None, &seen)
    }
}

/// A label value with the three characters escaped that the format asks for.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in self.0.split_inclusive(['\\', '"', '\n']) {
            let (plain, special) = match piece.char_indices().next_back() {
                Some((at, '\\')) => (&piece[..at], "\\\\"),
                Some((at, '"')) => (&piece[..at], "\\\""),
                Some((at, '\n')) => (&piece[..at], "\\n"),
                _ => (piece, ""),
            };
            f.write_str(plain)?;
            f.write_str(special)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn histogram(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::new();
        values.iter().for_each(|value| histogram.record(*value));
        histogram
    }

    #[test]
    fn p38_a_bucket_is_a_power_of_two() {
        for (value, bucket) in [
            (0, 0),
            (1, 0),
            (2, 1),
            (3, 1),
            (4, 2),
            (1 << 40, 40),
            (u64::MAX, 63),
        ] {
            assert_eq!(Histogram::bucket_of(value), bucket, "{value}");
            assert!(value <= Histogram::upper_bound(bucket));
            assert!(bucket == 0 || value > Histogram::upper_bound(bucket - 1));
        }
        assert_eq!(Histogram::upper_bound(62), (1 << 63) - 1);
        assert_eq!(Histogram::upper_bound(64), u64::MAX);
        let seen = histogram(&[0, 1, 2, 5, 5, u64::MAX]);
        assert_eq!((seen.count, seen.sum, seen.max), (6, u64::MAX, u64::MAX));
        assert_eq!(
            (
                seen.buckets[0],
                seen.buckets[1],
                seen.buckets[2],
                seen.buckets[63]
            ),
            (2, 1, 2, 1)
        );
    }

    #[test]
    fn p38_percentiles_are_upper_estimates() {
        let seen = histogram(&[1, 2, 4, 100]);
        assert_eq!(seen.p(0.0), 1);
        assert_eq!(seen.p(0.25), 1);
        assert_eq!(seen.p(0.5), 3);
        assert_eq!(seen.p(0.75), 7);
        assert_eq!(seen.p(1.0), 100, "never above the largest");
        assert_eq!((seen.p(-1.0), seen.p(7.0), seen.p(f64::NAN)), (1, 100, 1));
        assert_eq!(Histogram::new().p(0.5), 0);
        assert_eq!(histogram(&[0, 0]).p(0.5), 0);
        assert!((seen.mean() - 26.75).abs() < 1e-9);
    }

    #[test]
    fn p38_merging_is_recording_both() {
        let (left, right) = ([1, 2, 3, 1000], [0, 7, u64::MAX]);
        let mut merged = histogram(&left);
        merged.merge(&histogram(&right));
        assert_eq!(merged, histogram(&[left.as_slice(), &right].concat()));
    }

    #[test]
    fn p16_the_law_of_balance() {
        let mut stats = Stats::default();
        assert!(stats.balanced());
        stats.accepted = 21;
        assert!(!stats.balanced());
        (stats.ok, stats.failed, stats.expired) = (1, 2, 3);
        (stats.cancelled, stats.discarded, stats.outstanding) = (4, 5, 6);
        assert!(stats.balanced());
        stats.undelivered = 9;
        assert!(stats.balanced(), "undelivered is a separate gauge");
        (stats.ok, stats.failed) = (u64::MAX, u64::MAX);
        assert!(!stats.balanced(), "and nothing overflows");
    }

    #[test]
    fn p38_counters_are_found_by_name() {
        let mut stats = Stats::default();
        stats.refusals[9] = 3;
        stats.triggers[7] = 2;
        assert_eq!(stats.refused_with(Status::QUEUE_FULL), 3);
        assert_eq!(stats.refused_with(Status::OK), 0);
        assert_eq!(stats.refused_with(Status::from_code(9)), 0);
        assert_eq!(stats.refused_with(Status::DISCARDED), 0);
        assert_eq!(stats.refused_with(Status::from_code(i32::MIN)), 0);
        assert_eq!(stats.sealed_by(Trigger::Close), 2);
    }

    /// Reads a page the way a scraper does: (name with labels) -> value, checking the form on the way.
    fn scrape(page: &str) -> HashMap<String, f64> {
        let (mut samples, mut kinds) = (HashMap::new(), HashMap::new());
        let mut last_header = String::new();
        assert!(page.ends_with('\n'));
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(["counter", "gauge", "histogram"].contains(&kind));
                assert!(
                    kinds.insert(name.to_owned(), kind).is_none(),
                    "{name} has two headers"
                );
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
                assert_eq!(last_header, name, "HELP comes first");
            } else if let Some(rest) = line.strip_prefix("# HELP ") {
                last_header = rest.split_once(' ').unwrap().0.to_owned();
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let name = series.split('{').next().unwrap();
                assert!(
                    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                    "{name}"
                );
                let family = ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|end| name.strip_suffix(end));
                assert!(
                    [Some(name), family].contains(&Some(&last_header)),
                    "{name} under {last_header}"
                );
                assert!(
                    samples
                        .insert(series.to_owned(), value.parse().unwrap())
                        .is_none(),
                    "{series}"
                );
            }
        }
        samples
    }

    #[test]
    fn p38_the_prometheus_page_is_valid() {
        let mut stats = Stats {
            accepted: 5,
            ok: 4,
            outstanding: 1,
            ..Stats::default()
        };
        stats.triggers[1] = 2;
        stats.refusals[9] = 7;
        stats.oldest_in_flight_age = 1_500_000_000;
        [1, 3, 3].iter().for_each(|size| stats.batch_size.record(*size));
        [500, 2_000_000_000]
            .iter()
            .for_each(|ns| stats.queue_time.record(*ns));
        let mut page = String::new();
        stats.prometheus(None, &mut page).unwrap();
        let samples = scrape(&page);
        let is = |series: &str, value: f64| assert_eq!(samples.get(series), Some(&value), "{series}");
        is("microbatch_accepted_total", 5.0);
        is("microbatch_outcomes_total{outcome=\"ok\"}", 4.0);
        is("microbatch_sealed_total{trigger=\"size\"}", 2.0);
        is("microbatch_refusals_total{status=\"QUEUE_FULL\"}", 7.0);
        is("microbatch_oldest_in_flight_age_seconds", 1.5);
        is("microbatch_batch_size_bucket{le=\"1\"}", 1.0);
        is("microbatch_batch_size_bucket{le=\"3\"}", 3.0);
        is("microbatch_batch_size_bucket{le=\"+Inf\"}", 3.0);
        is("microbatch_batch_size_sum", 7.0);
        is("microbatch_batch_size_count", 3.0);
        is("microbatch_queue_time_seconds_bucket{le=\"0.000000255\"}", 0.0);
        is("microbatch_queue_time_seconds_bucket{le=\"0.000000511\"}", 1.0);
        is("microbatch_queue_time_seconds_bucket{le=\"2.147483647\"}", 2.0);
        is("microbatch_queue_time_seconds_sum", 2.0000005);
        is("microbatch_handler_time_seconds_bucket{le=\"+Inf\"}", 0.0);
        is("microbatch_handler_time_seconds_count", 0.0);
        assert!(
            !page.contains("le=\"7\""),
            "empty buckets at the end are left out"
        );
        assert_eq!(
            samples.keys().filter(|series| series.contains("status=")).count(),
            23
        );
    }

    #[test]
    fn p38_the_label_is_escaped_and_everywhere() {
        let mut page = String::new();
        Stats::default()
            .prometheus(Some("a\"b\\c\nd\u{e9}"), &mut page)
            .unwrap();
        for series in scrape(&page).keys() {
            assert!(series.contains("{batcher=\"a\\\"b\\\\c\\nd\u{e9}\""), "{series}");
        }
        assert!(page.contains("d\u{e9}\",outcome=\"ok\"} 0\n"));
    }
}
