//! The Prometheus page (P38).

use super::*;

/// One sample of a page: its name, its labels in order, and its value as text.
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: String,
}

/// Reads a page of Prometheus' text format 0.0.4, more strictly than Prometheus does: each family is one block of HELP,
/// TYPE and its samples, in this order; every series is there once; histograms are whole.
fn parse(page: &str) -> Vec<Sample> {
    let name_ok = |name: &str| {
        let first = name.chars().next().unwrap_or('0');
        !first.is_ascii_digit()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
    };
    assert!(page.ends_with('\n'), "the last line ends");
    let (mut samples, mut families, mut series) = (Vec::new(), HashSet::new(), HashSet::new());
    let (mut helped, mut family) = (None, None);
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').expect(line);
            assert!(name_ok(name) && !text.trim().is_empty(), "{line}");
            assert!(
                helped.replace(name.to_owned()).is_none(),
                "HELP without TYPE before {line}"
            );
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect(line);
            assert_eq!(helped.take().as_deref(), Some(name), "{line} follows its HELP");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(families.insert(name.to_owned()), "{name} is one block");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            family = Some((name.to_owned(), kind.to_owned()));
            continue;
        }
        assert!(
            !line.starts_with('#') && !line.is_empty() && helped.is_none(),
            "{line:?}"
        );
        let (family, kind) = family.as_ref().expect("a sample belongs to a family");
        let (start, value) = line.rsplit_once(' ').expect(line);
        let (name, labels) = match start.split_once('{') {
            Some((name, labels)) => (name, parse_labels(labels.strip_suffix('}').expect(line))),
            None => (start, Vec::new()),
        };
        let suffix = name
            .strip_prefix(family.as_str())
            .unwrap_or_else(|| panic!("{line} in the block of {family}"));
        let suffixes: &[&str] = if kind == "histogram" {
            &["_bucket", "_sum", "_count"]
        } else {
            &[""]
        };
        assert!(name_ok(name) && suffixes.contains(&suffix), "{line}");
        assert!(
            value
                .parse::<f64>()
                .is_ok_and(|value| value.is_finite() && value >= 0.0),
            "{line}"
        );
        assert!(
            labels.iter().all(|(key, _)| name_ok(key) && !key.contains(':')),
            "{line}"
        );
        let keys: HashSet<_> = labels.iter().map(|label| &label.0).collect();
        assert_eq!(keys.len(), labels.len(), "{line}: a label twice");
        assert!(series.insert((name.to_owned(), labels.clone())), "{line}: twice");
        samples.push(Sample {
            name: name.to_owned(),
            labels,
            value: value.to_owned(),
        });
    }
    assert!(helped.is_none());
    samples
}

/// `key="text",key="text"` with the three escapes of the format.
fn parse_labels(text: &str) -> Vec<(String, String)> {
    let (mut labels, mut rest) = (Vec::new(), text);
    loop {
        let (key, after) = rest.split_once("=\"").expect(text);
        let mut value = String::new();
        let mut chars = after.chars();
        loop {
            match chars.next().expect(text) {
                '"' => break,
                '\\' => value.push(match chars.next().expect(text) {
                    'n' => '\n',
                    escaped @ ('\\' | '"') => escaped,
                    other => panic!("\\{other} in {text}"),
                }),
                plain => {
                    assert_ne!(plain, '\n');
                    value.push(plain);
                }
            }
        }
        labels.push((key.to_owned(), value));
        match chars.as_str() {
            "" => return labels,
            more => rest = more.strip_prefix(',').expect(text),
        }
    }
}

/// A batcher that has seen something of everything, at a time of 5 seconds.
fn eventful() -> Batcher {
    let batcher = timeless()
        .max_batch_size(3)
        .queue_capacity(4)
        .on_full(OnFull::Reject);
    let batcher = batcher.handler(|batch| {
        batch.fail(0, 1, "one")?;
        batch.set(1, 1)?;
        batch.set(2, 1)?;
        Ok(())
    });
    let batcher = batcher.build().unwrap();
    for tag in 0..4 {
        batcher.push(1, tag).unwrap();
    }
    assert_eq!(status(batcher.push(1, 4)), Status::QUEUE_FULL);
    run_at(&batcher, 5_000_000_001);
    batcher
}

/// Fails if the page breaks the format, leaves out a field, or shows another number than the snapshot has.
#[test]
fn p38_the_prometheus_page_is_valid_and_says_what_the_snapshot_says() {
    let batcher = eventful();
    let stats = batcher.stats().unwrap();
    for name in [
        None,
        Some("plain"),
        Some("a \"quoted\\\" name\nin two lines, {äöü} \\n"),
        Some(""),
    ] {
        let mut page = String::new();
        stats.prometheus(name, &mut page).unwrap();
        let samples = parse(&page);
        for sample in &samples {
            let named = sample
                .labels
                .iter()
                .find(|label| label.0 == "batcher")
                .map(|label| label.1.as_str());
            assert_eq!(named, name, "{}", sample.name);
            assert!(sample.name.starts_with("microbatch_"), "{}", sample.name);
        }
        let value = |metric: &str, label: Option<(&str, &str)>| -> String {
            let mut found = samples.iter().filter(|sample| {
                let mut labels = sample.labels.iter().filter(|label| label.0 != "batcher");
                let wanted = label.map(|(key, text)| (key.to_owned(), text.to_owned()));
                sample.name == format!("microbatch_{metric}") && labels.next().cloned() == wanted
            });
            let sample = found
                .next()
                .unwrap_or_else(|| panic!("no {metric} {label:?} in\n{page}"));
            sample.value.clone()
        };
        assert_eq!(value("accepted_total", None), "4");
        for outcome in Outcome::ALL {
            let shown = value("outcomes_total", Some(("outcome", outcome.name())));
            assert_eq!(shown, stats.outcome(*outcome).to_string(), "{outcome}");
        }
        for trigger in Trigger::ALL {
            let shown = value("sealed_total", Some(("trigger", trigger.name())));
            assert_eq!(shown, stats.sealed_by(*trigger).to_string(), "{trigger}");
        }
        for (index, count) in stats.refusals.iter().enumerate().skip(1) {
            let status = Status::from_code(-(index as i32));
            assert_eq!(
                value("refusals_total", Some(("status", status.name()))),
                count.to_string()
            );
        }
        for (metric, number) in [
            ("outstanding", stats.outstanding),
            ("undelivered", stats.undelivered),
            ("batches_total", stats.batches),
            ("late_total", stats.late),
            ("stuck", stats.stuck),
            ("waiting", stats.waiting),
            ("waiting_bytes", stats.waiting_bytes),
            ("in_flight", stats.in_flight),
            ("delivering", stats.delivering),
            ("used_bytes", stats.bytes_in_use),
        ] {
            assert_eq!(value(metric, None), number.to_string(), "{metric}");
        }
        assert_eq!(value("oldest_in_flight_age_seconds", None), "0.000000000");
        assert_eq!(
            value("queue_time_seconds_sum", None),
            "10.000000002",
            "two batches of 5.000000001 s"
        );
        for (metric, histogram) in [
            ("batch_size", &stats.batch_size),
            ("queue_time_seconds", &stats.queue_time),
            ("handler_time_seconds", &stats.handler_time),
            ("delivery_time_seconds", &stats.delivery_time),
        ] {
            let bucket = format!("microbatch_{metric}_bucket");
            let buckets: Vec<(f64, u64)> = samples
                .iter()
                .filter(|sample| sample.name == bucket)
                .map(|sample| {
                    let bound = &sample.labels.iter().find(|label| label.0 == "le").unwrap().1;
                    let bound = if bound == "+Inf" {
                        f64::INFINITY
                    } else {
                        bound.parse().unwrap()
                    };
                    (bound, sample.value.parse().unwrap())
                })
                .collect();
            assert!(
                buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1),
                "{metric}: {buckets:?}"
            );
            assert_eq!(
                buckets.last(),
                Some(&(f64::INFINITY, histogram.count)),
                "{metric}"
            );
            assert_eq!(
                value(&format!("{metric}_count"), None),
                histogram.count.to_string()
            );
        }
    }
}

/// Fails if a page of a batcher that has done nothing, or of the largest numbers there are, is not valid.
#[test]
fn p38_the_prometheus_page_is_valid_at_the_extremes() {
    let mut page = String::new();
    Stats::default().prometheus(None, &mut page).unwrap();
    assert!(parse(&page).len() > 40);
    let mut full = Stats {
        accepted: u64::MAX,
        oldest_in_flight_age: i64::MAX,
        ..Stats::default()
    };
    full.refusals = [u64::MAX; 24];
    for value in [0, 1, u64::MAX, u64::MAX] {
        full.batch_size.record(value);
        full.queue_time.record(value);
    }
    page.clear();
    full.prometheus(Some("b"), &mut page).unwrap();
    parse(&page);
    assert!(page.contains("microbatch_accepted_total{batcher=\"b\"} 18446744073709551615\n"));
}

/// Fails if an error of the writer is swallowed.
#[test]
fn p38_a_full_writer_is_told() {
    struct Full(usize);
    impl std::fmt::Write for Full {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0 = self.0.checked_sub(text.len()).ok_or(std::fmt::Error)?;
            Ok(())
        }
    }
    let stats = Stats::default();
    let mut page = String::new();
    stats.prometheus(None, &mut page).unwrap();
    assert!(stats.prometheus(None, &mut Full(page.len())).is_ok());
    for room in [0, 1, page.len() / 2, page.len() - 1] {
        assert!(stats.prometheus(None, &mut Full(room)).is_err());
    }
}
