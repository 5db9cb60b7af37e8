//! What was found of problems and forms: plain data, which may come from a file of anyone's.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Another form than the rule's must be so many times faster: less is noise.
const CLEARLY: f64 = 1.05;

/// Of a form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// The shortest time that it took, once.
    Seconds(f64),
    /// It computed something that is not within its bound.
    Wrong(String),
    /// It does not run here.
    Failed(String),
    /// Not measured: it was far behind in problems before.
    Behind,
}

/// Of a problem. No form at all: it was not reached, and the rule's is taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The form that the rule has for it.
    pub rule: String,
    pub forms: BTreeMap<String, Found>,
}

/// Of problems, by kernel and text.
pub type Findings = BTreeMap<String, Finding>;

impl Finding {
    /// How long a form takes, where that is known and may be true.
    pub fn seconds(&self, form: &str) -> Option<f64> {
        match self.forms.get(form) {
            Some(&Found::Seconds(seconds)) if seconds.is_finite() && seconds > 0.0 => Some(seconds),
            _ => None,
        }
    }

    /// Of `forms` the fastest; where that is not clearly faster than `rule`, `rule`. Nothing where nothing is known of them.
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

    /// Something came of it, and nothing that is right.
    pub fn is_hopeless(&self) -> bool {
        self.wrong().next().is_some() && self.chosen().is_none()
    }

    /// Forms that are not within their bound, and where.
    pub fn wrong(&self) -> impl Iterator<Item = (&str, &str)> {
        self.forms.iter().filter_map(|(form, found)| match found {
            Found::Wrong(what) => Some((form.as_str(), what.as_str())),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(forms: &[(&str, Found)]) -> Finding {
        let forms = forms.iter().map(|(form, found)| (form.to_string(), found.clone())).collect();
        Finding { rule: "a".into(), forms }
    }

    #[test]
    fn the_fastest_is_taken_and_the_rules_where_that_makes_no_difference() {
        use Found::{Behind, Failed, Seconds, Wrong};
        let chosen = |forms: &[(&str, Found)]| finding(forms).chosen().map(String::from);
        let is = |forms: &[(&str, Found)], form: &str| assert_eq!(chosen(forms).as_deref(), Some(form));
        is(&[("a", Seconds(2.0)), ("b", Seconds(1.0)), ("c", Behind)], "b");
        is(&[("a", Seconds(1.04)), ("b", Seconds(1.0))], "a");
        is(&[("a", Seconds(1.06)), ("b", Seconds(1.0))], "b");
        is(&[("a", Wrong("x".into())), ("b", Failed("y".into())), ("c", Seconds(9.0))], "c");
        assert_eq!(chosen(&[("a", Wrong("x".into()))]), None);
        assert_eq!(chosen(&[]), None);
        // What a file may say.
        for seconds in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
            is(&[("a", Seconds(2.0)), ("b", Seconds(seconds))], "a");
        }
        assert_eq!(finding(&[("a", Wrong("x".into())), ("b", Seconds(1.0))]).wrong().next(), Some(("a", "x")));
    }
}
