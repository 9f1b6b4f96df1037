//! Stats as a Prometheus page.

use super::error::Status;
use super::histogram::Histogram;
use super::stats::Stats;
use super::value::{Outcome, Trigger};
use std::fmt;

impl Stats {
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
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::collections::HashMap;

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
