//! Findings about problems and forms: plain data, possibly from an untrusted file.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Another form must be faster than the rule's by this factor; less is noise.
const CLEARLY: f64 = 1.05;

/// A finding about a form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Its shortest time for one application.
    Seconds(f64),
    /// Its result exceeded its bound.
    Wrong(String),
    /// It does not run here.
    Failed(String),
    /// Not measured, because it was far behind in earlier problems.
    Behind,
}

/// Findings about a problem. If there are no forms, it was not reached, and the rule's form is used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule's form for it.
    pub rule: String,
    pub forms: BTreeMap<String, Verdict>,
}

/// By problem, as kernel and text.
pub type Findings = BTreeMap<String, Finding>;

impl Finding {
    /// The time of a form, if it is known and plausible.
    pub fn seconds(&self, form: &str) -> Option<f64> {
        match self.forms.get(form) {
            Some(&Verdict::Seconds(seconds)) if seconds.is_finite() && seconds > 0.0 => Some(seconds),
            _ => None,
        }
    }

    /// The fastest of `forms`, or `rule` unless that one is clearly faster. `None` if nothing is known about them.
    pub fn best<'a>(&self, forms: impl IntoIterator<Item = &'a str>, rule: &str) -> Option<&'a str> {
        let timed = forms.into_iter().filter_map(|form| Some((form, self.seconds(form)?)));
        let timed: Vec<(&str, f64)> = timed.collect();
        let least = timed.iter().copied().reduce(|best, next| if next.1 < best.1 { next } else { best })?;
        let own = timed.iter().find(|(form, seconds)| *form == rule && *seconds <= CLEARLY * least.1);
        Some(own.unwrap_or(&least).0)
    }

    /// [`Finding::best`] of all forms.
    pub fn chosen(&self) -> Option<&str> {
        self.best(self.forms.keys().map(String::as_str), &self.rule)
    }

    /// Whether there are results, and none of them is right.
    pub fn is_hopeless(&self) -> bool {
        self.wrong().next().is_some() && self.chosen().is_none()
    }

    /// Forms that exceed their bound, and where.
    pub fn wrong(&self) -> impl Iterator<Item = (&str, &str)> {
        self.forms.iter().filter_map(|(form, found)| match found {
            Verdict::Wrong(what) => Some((form.as_str(), what.as_str())),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(forms: &[(&str, Verdict)]) -> Finding {
        let forms = forms.iter().map(|(form, found)| (form.to_string(), found.clone())).collect();
        Finding { rule: "a".into(), forms }
    }

    #[test]
    fn the_fastest_is_taken_and_the_rules_where_that_makes_no_difference() {
        use Verdict::{Behind, Failed, Seconds, Wrong};
        let chosen = |forms: &[(&str, Verdict)]| finding(forms).chosen().map(String::from);
        let is = |forms: &[(&str, Verdict)], form: &str| assert_eq!(chosen(forms).as_deref(), Some(form));
        is(&[("a", Seconds(2.0)), ("b", Seconds(1.0)), ("c", Behind)], "b");
        is(&[("a", Seconds(1.04)), ("b", Seconds(1.0))], "a");
        is(&[("a", Seconds(1.06)), ("b", Seconds(1.0))], "b");
        is(&[("a", Wrong("x".into())), ("b", Failed("y".into())), ("c", Seconds(9.0))], "c");
        assert_eq!(chosen(&[("a", Wrong("x".into()))]), None);
        assert_eq!(chosen(&[]), None);
        // Values that a file may contain.
        for seconds in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
            is(&[("a", Seconds(2.0)), ("b", Seconds(seconds))], "a");
        }
        assert_eq!(finding(&[("a", Wrong("x".into())), ("b", Seconds(1.0))]).wrong().next(), Some(("a", "x")));
    }
}
