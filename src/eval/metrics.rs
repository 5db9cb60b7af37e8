//! Intersection over union, as in the published evaluation.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// A pixel of a query's mask that is not the class.
pub const BACKGROUND: u8 = 0;
/// A pixel of a query's mask that is the class.
pub const FOREGROUND: u8 = 1;
/// A pixel of a query's mask that counts nowhere.
pub const IGNORE: u8 = 255;

/// Draws of the bootstrap.
const RESAMPLES: usize = 10_000;

/// Pixels of [background, foreground].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub intersection: [u64; 2],
    pub union: [u64; 2],
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        for i in 0..2 {
            // Only forged counts come near the limit.
            self.intersection[i] = self.intersection[i].saturating_add(other.intersection[i]);
            self.union[i] = self.union[i].saturating_add(other.union[i]);
        }
    }

    /// IoU of the foreground; 0 if neither mask has any.
    pub fn iou(&self) -> f64 {
        self.intersection[1] as f64 / self.union[1].max(1) as f64
    }
}

/// Compares a prediction with the truth, pixel by pixel. `truth` holds [`BACKGROUND`], [`FOREGROUND`] or [`IGNORE`] and
/// has the length of `prediction`.
pub fn count(prediction: &[bool], truth: &[u8]) -> Counts {
    let mut counts = Counts::default();
    for (&predicted, &truth) in prediction.iter().zip(truth) {
        if truth == IGNORE {
            continue;
        }
        let (predicted, truth) = (usize::from(predicted), usize::from(truth == FOREGROUND));
        counts.union[predicted] += 1;
        if predicted == truth {
            counts.intersection[truth] += 1;
        } else {
            counts.union[truth] += 1;
        }
    }
    counts
}

/// The scores of a set of episodes, all in [0, 1]. `eval --json` prints it as JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Episodes scored.
    pub episodes: usize,
    /// Classes among them.
    pub classes: usize,
    /// Classes of the whole evaluation: more than `classes` if only a part was scored, which changes the mean.
    pub of_classes: usize,
    /// Mean IoU of the foreground over the classes, with intersection and union summed over each class's episodes.
    pub miou: f64,
    /// Mean over background and foreground of the IoU summed over everything.
    pub fb_iou: f64,
    /// 95 % bootstrap interval of `miou` over the classes: 10,000 resamples, seeded.
    pub miou_ci95: [f64; 2],
    pub per_class: BTreeMap<String, f64>,
}

impl Summary {
    /// Scores episodes given as class and counts.
    pub fn of<'a>(scored: impl IntoIterator<Item = (&'a str, &'a Counts)>, seed: u64) -> Summary {
        let mut sums = BTreeMap::<&str, Counts>::new();
        let (mut all, mut episodes) = (Counts::default(), 0);
        for (class, counts) in scored {
            sums.entry(class).or_default().add(counts);
            all.add(counts);
            episodes += 1;
        }
        let ious: Vec<f64> = sums.values().map(Counts::iou).collect();
        // As above, 0 / 0 is 0.
        let part = |i: usize| all.intersection[i] as f64 / all.union[i].max(1) as f64;
        Summary {
            episodes,
            classes: sums.len(),
            of_classes: sums.len(),
            miou: mean(&ious),
            fb_iou: (part(0) + part(1)) / 2.0,
            miou_ci95: interval(&ious, seed),
            per_class: sums.iter().zip(&ious).map(|((class, _), &iou)| (class.to_string(), iou)).collect(),
        }
    }
}

/// The mIoU so far during a run: cheap after each episode, unlike [`Summary::of`] with its resamples.
#[derive(Default)]
pub struct Running {
    classes: HashMap<String, Counts>,
    /// Sum of the classes' IoU.
    sum: f64,
}

impl Running {
    /// Adds an episode.
    pub fn add(&mut self, class: &str, counts: &Counts) {
        if !self.classes.contains_key(class) {
            self.classes.insert(class.to_owned(), Counts::default());
        }
        if let Some(of_class) = self.classes.get_mut(class) {
            self.sum -= of_class.iou();
            of_class.add(counts);
            self.sum += of_class.iou();
        }
    }

    /// Mean over the classes of the foreground's IoU; 0 before the first episode.
    pub fn miou(&self) -> f64 {
        self.sum / self.classes.len().max(1) as f64
    }
}

fn mean(values: &[f64]) -> f64 {
    // An empty sum is -0.0.
    values.iter().fold(0.0, |sum, v| sum + v) / values.len().max(1) as f64
}

/// The percentile bootstrap: means of resamples with replacement, their 2.5 % and 97.5 % quantiles.
fn interval(values: &[f64], seed: u64) -> [f64; 2] {
    if values.is_empty() {
        return [0.0; 2];
    }
    let mut random = fastrand::Rng::with_seed(seed);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| values.iter().map(|_| values[random.usize(..values.len())]).sum::<f64>() / values.len() as f64)
        .collect();
    means.sort_by(f64::total_cmp);
    let tail = RESAMPLES / 40;
    [means[tail], means[RESAMPLES - 1 - tail]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_one_class_is_a_point_and_of_many_is_the_normal_one() {
        assert_eq!(interval(&[0.7], 0), [0.7, 0.7]);
        assert_eq!(interval(&[], 0), [0.0, 0.0]);
        // 400 values with variance 1/12: the mean's deviation is 0.01443, and 1.96 of it is 0.0283.
        let values: Vec<f64> = (0..400).map(|i| (f64::from(i) + 0.5) / 400.0).collect();
        let [low, high] = interval(&values, 0);
        // The quantile of 10,000 draws has a deviation of about sqrt(0.025 * 0.975 / 10000) / density = 2.7 % of one
        // deviation of the mean; five times that are 0.0019.
        assert!((low - (0.5 - 0.0283)).abs() < 0.002 && (high - (0.5 + 0.0283)).abs() < 0.002, "{low} {high}");
        assert_eq!(interval(&values, 0), [low, high]);
        assert_ne!(interval(&values, 1), [low, high]);
    }

    #[test]
    fn classes_count_alike_however_many_episodes_they_have() {
        let good = Counts { intersection: [4, 6], union: [4, 6] };
        let bad = Counts { intersection: [0, 0], union: [10, 10] };
        let summary = Summary::of([("a", &good), ("a", &good), ("a", &good), ("b", &bad)], 0);
        assert_eq!((summary.episodes, summary.classes, summary.miou), (4, 2, 0.5));
        assert_eq!(summary.fb_iou, (12.0 / 22.0 + 18.0 / 28.0) / 2.0);
        assert_eq!(summary.per_class, BTreeMap::from([("a".to_string(), 1.0), ("b".to_string(), 0.0)]));
        let keys: Vec<String> = serde_json::to_value(&summary).unwrap().as_object().unwrap().keys().cloned().collect();
        let mut want = ["episodes", "classes", "of_classes", "miou", "fb_iou", "miou_ci95", "per_class"]
            .map(String::from)
            .to_vec();
        want.sort();
        assert_eq!(
            {
                let mut k = keys;
                k.sort();
                k
            },
            want
        );
    }

    #[test]
    fn the_running_number_is_that_of_the_summary() {
        let mut random = fastrand::Rng::with_seed(2);
        let (mut running, mut scored) = (Running::default(), Vec::new());
        assert_eq!(running.miou(), 0.0);
        for _ in 0..50 {
            let (class, union) = (["a", "b", "c"][random.usize(..3)], random.u64(0..50));
            let counts = Counts { intersection: [0, random.u64(0..=union)], union: [9, union] };
            running.add(class, &counts);
            scored.push((class, counts));
            let summary = Summary::of(scored.iter().map(|(class, counts)| (*class, counts)), 0);
            assert!((running.miou() - summary.miou).abs() < 1e-12);
        }
    }

    #[test]
    fn nothing_at_all_is_zero_and_not_nan() {
        let summary = Summary::of([], 0);
        assert_eq!((summary.miou, summary.fb_iou, summary.miou_ci95), (0.0, 0.0, [0.0, 0.0]));
        assert!(summary.miou.is_sign_positive());
    }
}
