//! Banks of a fixed size: a random sample of the keys and values of many supports (the paper's KV sampling).

/// How many keys of a bank are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct KvSample {
    /// Keep as many keys as this number of supports has; smaller banks are kept whole.
    pub supports: usize,
    /// Seed of the sample, which is the same on every adapter.
    pub seed: u64,
}

impl KvSample {
    /// Draws `count` of a layer's `rows` keys, in order, uniformly.
    pub(super) fn draw(self, layer: usize, rows: usize, count: usize) -> Vec<usize> {
        let mut rng = fastrand::Rng::with_seed(self.seed ^ (layer as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut kept = Vec::with_capacity(count);
        for row in 0..rows {
            // Take this row with the probability of rows still needed by rows left.
            if rng.usize(..rows - row) < count - kept.len() {
                kept.push(row);
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_kept_as_were_asked_for_and_each_as_often() {
        let mut often = [0; 30];
        for seed in 0..3000 {
            let kept = KvSample { supports: 1, seed }.draw(3, 30, 10);
            assert!(kept.len() == 10 && kept.is_sorted_by(|a, b| a < b) && kept[9] < 30, "{kept:?}");
            kept.into_iter().for_each(|row| often[row] += 1);
        }
        // 1000 each, six standard deviations of 26.
        assert!(often.iter().all(|n| (845..1155).contains(n)), "{often:?}");
        let of = |layer, seed| KvSample { supports: 1, seed }.draw(layer, 1000, 100);
        assert_eq!(of(0, 7), of(0, 7));
        assert!(of(0, 7) != of(1, 7) && of(0, 7) != of(0, 8));
        assert_eq!(of(0, 7)[..5], [24, 29, 33, 55, 59], "the same everywhere");
        assert_eq!(KvSample { supports: 1, seed: 0 }.draw(0, 5, 5), [0, 1, 2, 3, 4]);
    }
}
