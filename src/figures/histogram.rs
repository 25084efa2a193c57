//! Durations in fixed buckets. It does not know what was measured.

use std::time::Duration;

/// Upper bounds of the buckets in microseconds, inclusive: eight per decade from 1 ms to 10 minutes, so that a quantile
/// above 1 ms is off by at most 40 %, and mostly by far less. Longer durations go to one more bucket without a bound.
const BOUNDS_MICROSECONDS: [u64; 48] = [
    1_000,
    1_300,
    1_800,
    2_400,
    3_200,
    4_200,
    5_600,
    7_500,
    10_000,
    13_000,
    18_000,
    24_000,
    32_000,
    42_000,
    56_000,
    75_000,
    100_000,
    130_000,
    180_000,
    240_000,
    320_000,
    420_000,
    560_000,
    750_000,
    1_000_000,
    1_300_000,
    1_800_000,
    2_400_000,
    3_200_000,
    4_200_000,
    5_600_000,
    7_500_000,
    10_000_000,
    13_000_000,
    18_000_000,
    24_000_000,
    32_000_000,
    42_000_000,
    56_000_000,
    75_000_000,
    100_000_000,
    130_000_000,
    180_000_000,
    240_000_000,
    320_000_000,
    420_000_000,
    500_000_000,
    600_000_000,
];

const BUCKETS: usize = BOUNDS_MICROSECONDS.len() + 1;

/// Counts of durations by bucket, and their sum. It takes about 400 bytes, never more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    sum_microseconds: u64,
}

/// A duration and its bucket, which is looked for once and counted in several histograms.
#[derive(Clone, Copy, Debug)]
pub struct Observed {
    microseconds: u64,
    bucket: usize,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram {
            counts: [0; BUCKETS],
            sum_microseconds: 0,
        }
    }
}

impl Observed {
    pub fn new(took: Duration) -> Observed {
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        Observed {
            microseconds,
            bucket: BOUNDS_MICROSECONDS.partition_point(|&bound| bound < microseconds),
        }
    }
}

impl Histogram {
    pub fn observe(&mut self, observed: Observed) {
        self.counts[observed.bucket] += 1;
        self.sum_microseconds = self.sum_microseconds.saturating_add(observed.microseconds);
    }

    /// How many durations were observed.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_microseconds)
    }

    /// Each bucket's upper bound with the number of durations up to it; the bucket without a bound is left out.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let mut below = 0;
        BOUNDS_MICROSECONDS
            .iter()
            .zip(&self.counts)
            .map(move |(&bound, count)| {
                below += count;
                (Duration::from_micros(bound), below)
            })
    }

    /// The duration that `share` (0 to 1) of the observed ones do not exceed, assuming an even distribution within its
    /// bucket; the last bound if it lies beyond all bounds; `None` if nothing was observed.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let rank = self.count() as f64 * share.clamp(0.0, 1.0);
        let mut below = 0.0;
        let mut lower = 0;
        for (&upper, &count) in BOUNDS_MICROSECONDS.iter().zip(&self.counts) {
            let inside = count as f64;
            if count > 0 && below + inside >= rank {
                let within = (upper - lower) as f64 * ((rank - below) / inside);
                return Some(Duration::from_micros(lower + within as u64));
            }
            below += inside;
            lower = upper;
        }
        (self.counts[BUCKETS - 1] > 0).then(|| Duration::from_micros(lower))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(microseconds: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        for &microseconds in microseconds {
            histogram.observe(Observed::new(Duration::from_micros(microseconds)));
        }
        histogram
    }

    #[test]
    fn bounds_grow_by_a_third() {
        for pair in BOUNDS_MICROSECONDS.windows(2) {
            let ratio = pair[1] as f64 / pair[0] as f64;
            assert!((1.15..1.4).contains(&ratio), "{pair:?}");
        }
        assert!(size_of::<Histogram>() <= 400);
    }

    #[test]
    fn a_bound_belongs_to_the_bucket_that_it_ends() {
        let rows = [
            (0, 0),
            (1_000, 0),
            (1_001, 1),
            (1_300, 1),
            (1_301, 2),
            (600_000_000, 47),
            (600_000_001, 48),
            (u64::MAX, 48),
        ];
        for (microseconds, want) in rows {
            let histogram = observed(&[microseconds]);
            assert_eq!(
                histogram.counts.iter().position(|&count| count == 1),
                Some(want),
                "{microseconds}"
            );
            assert_eq!(histogram.count(), 1);
        }
        assert_eq!(
            observed(&[u64::MAX, 1]).sum(),
            Duration::from_micros(u64::MAX)
        );
    }

    #[test]
    fn cumulative_counts() {
        let histogram = observed(&[1, 1_200, 1_300, 700_000_000]);
        let counts: Vec<u64> = histogram.cumulative().map(|(_, count)| count).collect();
        assert_eq!(counts[..3], [1, 3, 3]);
        assert_eq!(counts[BOUNDS_MICROSECONDS.len() - 1], 3);
        assert_eq!(histogram.count(), 4);
        assert_eq!(
            histogram.cumulative().next(),
            Some((Duration::from_millis(1), 1))
        );
    }

    #[test]
    fn small_quantiles() {
        let rows: &[(&[u64], f64, Option<u64>)] = &[
            (&[], 0.5, None),
            (&[500], 0.5, Some(500)),
            (&[1_100, 1_200], 0.5, Some(1_150)),
            (&[1_100, 1_200], 1.0, Some(1_300)),
            (&[1_100, 1_200], 7.0, Some(1_300)),
            (&[1_100, 90_000_000], 0.99, Some(99_500_000)),
            (&[1_100, 90_000_000], 0.0, Some(1_000)),
            (&[700_000_000], 0.5, Some(600_000_000)),
        ];
        for (microseconds, share, want) in rows {
            let got = observed(microseconds).quantile(*share);
            assert_eq!(
                got,
                want.map(Duration::from_micros),
                "{microseconds:?} {share}"
            );
        }
    }

    #[test]
    fn quantiles_are_in_the_bucket_of_the_exact_one() {
        let mut seed = 7u64;
        for round in 0..200 {
            let mut all: Vec<u64> = (0..1 + round * 3)
                .map(|_| {
                    seed = seed
                        .wrapping_mul(6364136223846793005)
                        .wrapping_add(1442695040888963407);
                    // Spread over the orders of magnitude, as latencies are.
                    let shift = (seed >> 58) % 20;
                    (seed >> 20) % (600_000_000 >> shift)
                })
                .collect();
            let histogram = observed(&all);
            all.sort_unstable();
            for share in [0.5, 0.95, 0.99] {
                let rank = (all.len() as f64 * share).ceil() as usize;
                let exact = all[rank.max(1) - 1];
                let bucket = BOUNDS_MICROSECONDS.partition_point(|&bound| bound < exact);
                let lower = bucket
                    .checked_sub(1)
                    .map_or(0, |below| BOUNDS_MICROSECONDS[below]);
                let got = histogram
                    .quantile(share)
                    .expect("something was observed")
                    .as_micros() as u64;
                assert!(
                    (lower..=BOUNDS_MICROSECONDS[bucket]).contains(&got),
                    "round {round}: {got} for {exact}"
                );
            }
        }
    }
}
