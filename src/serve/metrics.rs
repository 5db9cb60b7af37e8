//! Metrics in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

/// Upper ends of the buckets of seconds.
const BUCKETS: [f64; 9] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0];

#[derive(Default)]
pub struct Metrics {
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    /// By route and status.
    requests: BTreeMap<(String, u16), u64>,
    /// Successful segmentations by bucket, not cumulative; the last bucket has no upper end.
    buckets: [u64; BUCKETS.len() + 1],
    seconds: f64,
    /// Work whose clients left.
    left: u64,
}

/// The current gauges.
pub struct Now {
    pub queue: usize,
    pub banks: usize,
    pub bank_bytes: u64,
    pub upload_bytes: usize,
}

impl Metrics {
    fn with<T>(&self, look: impl FnOnce(&mut Counts) -> T) -> T {
        look(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts an answered request by our own route, not by the requested path, so that labels are few.
    pub fn request(&self, route: &str, status: u16) {
        self.with(|counts| *counts.requests.entry((route.to_owned(), status)).or_default() += 1);
    }

    /// Counts a segmentation or encoding with its time on the device.
    pub fn work(&self, seconds: f64) {
        let bucket = BUCKETS.iter().position(|end| seconds <= *end).unwrap_or(BUCKETS.len());
        self.with(|counts| {
            counts.buckets[bucket] += 1;
            counts.seconds += seconds;
        });
    }

    /// Counts work that was stopped.
    pub fn left(&self) {
        self.with(|counts| counts.left += 1);
    }

    /// Mean seconds of a segmentation, if there was one.
    pub fn mean_seconds(&self) -> Option<f64> {
        self.with(|counts| {
            let count: u64 = counts.buckets.iter().sum();
            (count > 0).then(|| counts.seconds / count as f64)
        })
    }

    pub fn text(&self, now: &Now) -> String {
        self.with(|counts| counts.text(now))
    }
}

impl Counts {
    fn text(&self, now: &Now) -> String {
        let mut out = String::new();
        let mut head = |name: &str, kind: &str, help: &str, lines: &[(String, f64)]| {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "# HELP diffews_{name} {help}\n# TYPE diffews_{name} {kind}");
            for (line, value) in lines {
                let _ = writeln!(out, "diffews_{name}{line} {value}");
            }
        };
        let of = |((route, status), count): (&(String, u16), &u64)| {
            (format!("{{route=\"{route}\",status=\"{status}\"}}"), *count as f64)
        };
        let requests: Vec<(String, f64)> = self.requests.iter().map(of).collect();
        head("requests_total", "counter", "Answered requests, by route and status.", &requests);
        let mut sum = 0;
        let mut lines = Vec::new();
        for (i, count) in self.buckets.iter().enumerate() {
            sum += count;
            let end = BUCKETS.get(i).map_or("+Inf".into(), f64::to_string);
            lines.push((format!("_bucket{{le=\"{end}\"}}"), sum as f64));
        }
        lines.push(("_sum".into(), self.seconds));
        lines.push(("_count".into(), sum as f64));
        head("work_seconds", "histogram", "Seconds of segmentations and encodings on the device.", &lines);
        for (name, kind, help, value) in [
            ("work_left_total", "counter", "Work stopped because its client left.", self.left as f64),
            ("queue_length", "gauge", "Requests in the queue, with the running one.", now.queue as f64),
            ("banks", "gauge", "Banks made by requests.", now.banks as f64),
            ("bank_bytes", "gauge", "Bytes of their keys and values.", now.bank_bytes as f64),
            ("upload_bytes", "gauge", "Bytes of uploads in memory.", now.upload_bytes as f64),
        ] {
            head(name, kind, help, &[(String::new(), value)]);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told() {
        let metrics = Metrics::default();
        assert_eq!(metrics.mean_seconds(), None);
        metrics.request("/v1/predict", 200);
        metrics.request("/v1/predict", 200);
        [0.2, 0.4, 900.0].into_iter().for_each(|seconds| metrics.work(seconds));
        metrics.left();
        let text = metrics.text(&Now { queue: 2, banks: 1, bank_bytes: 7, upload_bytes: 0 });
        for line in [
            "diffews_requests_total{route=\"/v1/predict\",status=\"200\"} 2",
            "diffews_work_seconds_bucket{le=\"0.25\"} 1",
            "diffews_work_seconds_bucket{le=\"300\"} 2",
            "diffews_work_seconds_bucket{le=\"+Inf\"} 3",
            "diffews_work_seconds_count 3",
            "# TYPE diffews_work_left_total counter",
            "diffews_queue_length 2",
            "diffews_bank_bytes 7",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}: {text}");
        }
    }
}
