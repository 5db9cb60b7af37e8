//! Settings of a model or user: threshold, guided filter, and their defaults in `diffews.json`.

use crate::shown;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// The value that the mean of a pixel's three channels must exceed for foreground.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    /// A part of the largest value of any channel anywhere in the output (the paper's rule, best at 0.25). For a refined map, of
    /// the largest value of that map.
    Relative(f64),
    /// A fixed value in [0, 1].
    Absolute(f64),
}

impl Threshold {
    /// The rule of the paper's results: a quarter of the maximum.
    pub const PAPER: Self = Self::Relative(0.25);

    /// Fails unless the number is from 0 to 1.
    ///
    /// # Errors
    /// The reason, also for NaN.
    pub fn check(self) -> Result<Self, String> {
        let (Self::Relative(value) | Self::Absolute(value)) = self;
        let told = || format!("the threshold is {value}; it must be a number from 0 to 1");
        if (0.0..=1.0).contains(&value) { Ok(self) } else { Err(told()) }
    }

    /// The level that a mean must exceed if the largest channel is `peak` and white is `white`.
    pub(crate) fn level(self, peak: f64, white: f64) -> f64 {
        match self {
            Self::Relative(ratio) => ratio * peak,
            Self::Absolute(level) => level * white,
        }
    }
}

/// How a map becomes a mask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaskRule {
    pub threshold: Threshold,
    /// In [0, 1]: if the map's score is lower, the mask is empty. 0: no limit.
    pub min_score: f64,
}

impl MaskRule {
    /// Fails unless both numbers are from 0 to 1.
    ///
    /// # Errors
    /// The reason, also for NaN.
    pub fn check(self) -> Result<Self, String> {
        self.threshold.check()?;
        let told = || format!("the minimum score is {}; it must be a number from 0 to 1", self.min_score);
        if (0.0..=1.0).contains(&self.min_score) { Ok(self) } else { Err(told()) }
    }
}

impl From<Threshold> for MaskRule {
    fn from(threshold: Threshold) -> MaskRule {
        MaskRule { threshold, min_score: 0.0 }
    }
}

/// Default epsilon.
const EPSILON: f64 = 1e-5;

/// Parameters of the guided filter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuidedFilter {
    /// Windows have 2 radius + 1 pixels of the map per side; 0 turns the filter off.
    pub radius: u32,
    /// Added to the variances of colours in 0 to 1: edges far weaker than its root do not count.
    pub epsilon: f64,
}

impl GuidedFilter {
    pub const OFF: GuidedFilter = GuidedFilter { radius: 0, epsilon: EPSILON };

    /// Fails for a radius above 64, whose windows are larger than the embedded model's pictures, or an epsilon outside 1e-6 to 1:
    /// below, rounding errors of f32 count as edges; above, no edge does.
    ///
    /// # Errors
    /// The reason.
    pub fn check(self) -> Result<Self, String> {
        if self.radius > 64 {
            return Err(format!("a radius of {} pixels; it must be from 0 to 64", self.radius));
        }
        if !(1e-6..=1.0).contains(&self.epsilon) {
            return Err(format!("an epsilon of {}; it must be from 1e-6 to 1", self.epsilon));
        }
        Ok(self)
    }
}

/// `RADIUS` or `RADIUS,EPSILON`.
impl FromStr for GuidedFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (radius, epsilon) = text.split_once(',').map_or((text, None), |(r, e)| (r, Some(e)));
        let bad = || "it must be RADIUS or RADIUS,EPSILON, such as 8,1e-5".to_string();
        let radius = radius.trim().parse().map_err(|_| bad())?;
        let epsilon = epsilon.map_or(Ok(EPSILON), |e| e.trim().parse().map_err(|_| bad()))?;
        GuidedFilter { radius, epsilon }.check()
    }
}

/// Most unknown keys in a message.
const MOST_KEYS: usize = 10;

/// A model's own defaults: `{"size": 256, "threshold": 0.25, "guided_filter": {"radius": 8, "epsilon": 1e-5}}`, each
/// optional; `absolute_threshold` may replace `threshold`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DiffewsJson {
    /// Side of the square input in pixels, 1 to 16384.
    pub size: Option<usize>,
    /// Threshold of the foreground, in [0, 1).
    pub threshold: Option<Threshold>,
    pub guided_filter: Option<GuidedFilter>,
}

impl DiffewsJson {
    /// Its size, or the paper's 512.
    pub fn size_or_default(&self) -> usize {
        self.size.unwrap_or(512)
    }

    /// The JSON that [`DiffewsJson::parse`] reads.
    pub fn text(&self) -> String {
        let mut all = serde_json::Map::new();
        let mut put = |key: &str, value: serde_json::Value| drop(all.insert(key.into(), value));
        if let Some(size) = self.size {
            put("size", size.into());
        }
        match self.threshold {
            Some(Threshold::Relative(ratio)) => put("threshold", ratio.into()),
            Some(Threshold::Absolute(level)) => put("absolute_threshold", level.into()),
            None => {}
        }
        if let Some(GuidedFilter { radius, epsilon }) = self.guided_filter {
            put("guided_filter", serde_json::json!({ "radius": radius, "epsilon": epsilon }));
        }
        serde_json::Value::from(all).to_string()
    }

    /// Parses `diffews.json`.
    ///
    /// # Errors
    /// The reason: names unknown keys and invalid values.
    pub fn parse(text: &str) -> Result<DiffewsJson, String> {
        let json: serde_json::Value = serde_json::from_str(text).map_err(|e| shown::text(&e.to_string()))?;
        let Some(map) = json.as_object() else {
            return Err("it must be an object such as {\"size\": 256, \"threshold\": 0.25}".to_owned());
        };
        let known = ["size", "threshold", "absolute_threshold", "guided_filter"];
        let unknown: Vec<String> =
            map.keys().filter(|k| !known.contains(&k.as_str())).map(|k| shown::text(k)).collect();
        if !unknown.is_empty() {
            let unknown = shown::first(&unknown, MOST_KEYS).join(", ");
            return Err(format!("unknown key(s) {unknown}; known are {}", known.join(", ")));
        }
        let shown = |v: &serde_json::Value| shown::text(&v.to_string());
        let size = match map.get("size") {
            None => None,
            Some(v) => match v.as_u64().filter(|n| (1..=16_384).contains(n)) {
                Some(n) => Some(n as usize),
                None => {
                    let v = shown(v);
                    return Err(format!("`size` is {v}, it must be a whole number of pixels from 1 to 16384"));
                }
            },
        };
        let part = |key: &str| match map.get(key).map(|v| (v, v.as_f64().filter(|t| (0.0..1.0).contains(t)))) {
            None => Ok(None),
            Some((_, Some(t))) => Ok(Some(t)),
            Some((v, None)) => Err(format!("`{key}` is {}, it must be a number from 0 to below 1", shown(v))),
        };
        let threshold = match (part("threshold")?, part("absolute_threshold")?) {
            (Some(_), Some(_)) => return Err("it has both `threshold` and `absolute_threshold`".to_owned()),
            (ratio, level) => ratio.map(Threshold::Relative).or(level.map(Threshold::Absolute)),
        };
        let filter = |v: &serde_json::Value| {
            let not = || format!("{} is not {{\"radius\": .., \"epsilon\": ..}}", shown(v));
            let object = v.is_object().then(|| v.clone()).ok_or_else(not);
            let filter =
                object.and_then(|v| serde_json::from_value::<GuidedFilter>(v).map_err(|e| shown::text(&e.to_string())));
            filter.and_then(GuidedFilter::check).map_err(|e| format!("`guided_filter`: {e}"))
        };
        let guided_filter = map.get("guided_filter").map(filter).transpose()?;
        Ok(DiffewsJson { size, threshold, guided_filter })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_and_checked() {
        assert_eq!("8".parse(), Ok(GuidedFilter { radius: 8, epsilon: 1e-5 }));
        assert_eq!("4, 0.01".parse(), Ok(GuidedFilter { radius: 4, epsilon: 0.01 }));
        assert_eq!("0".parse::<GuidedFilter>().unwrap().radius, 0);
        for bad in ["", "x", "8,", "-1", "65", "8,0", "8,NaN", "8,2", "8,1e-4,3"] {
            assert!(bad.parse::<GuidedFilter>().is_err(), "{bad}");
        }
    }
}
