//! Histograms of sizes and times, by powers of two.

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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

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
}
