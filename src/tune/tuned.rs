//! A chooser that uses the forms that were measured to be the fastest, and reports problems without findings.

use super::findings::{Finding, Findings};
use crate::plan::{ByPace, ByRule, Choose, Forms, Key, Offer};
use crate::shader::{Facts, Form, Kernel};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A form that the rule expects to be slower by this factor is not worth compiling, which takes seconds on some drivers: it is made for
/// other devices. Where forms were measured, the rule was off by a factor below 4.
const UNLIKELY: f64 = 8.0;

/// A problem that a form was chosen for.
#[derive(Clone)]
pub struct Asked {
    pub kernel: &'static str,
    pub key: Key,
    /// Number of identical layers.
    pub times: u64,
    /// The cost of one of them by the rule, relative to others.
    pub cost: f64,
    /// Forms that can run, are permitted and may be faster: the rule's first, then by expected cost.
    pub forms: Vec<&'static Form>,
}

impl Asked {
    /// Its key in [`Findings`].
    pub fn name(&self) -> String {
        name(self.kernel, &self.key)
    }

    /// The cost of all its layers by the rule.
    pub fn weight(&self) -> f64 {
        self.cost * self.times as f64
    }
}

fn name(kernel: &str, key: &Key) -> String {
    format!("{kernel} {}", key.text)
}

/// A problem of a model, and what is known about it.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Its kernel and text.
    pub name: String,
    /// Number of identical layers, if a model is known.
    pub layers: Option<u64>,
    pub finding: Finding,
}

/// How many problems were decided by measurement, and how many by the rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub measured: usize,
    /// Problems that were not reached, or have a single form that can run.
    pub by_rule: usize,
}

/// Uses the fastest of the forms that another chooser permits, if there are findings; otherwise that chooser's choice.
pub struct Tuned {
    found: Arc<Findings>,
    others: Arc<dyn Choose>,
    asked: Mutex<BTreeMap<String, Asked>>,
}

impl Tuned {
    pub fn new(found: Arc<Findings>, others: Arc<dyn Choose>) -> Tuned {
        Tuned { found, others, asked: Mutex::default() }
    }

    /// `forms` with this chooser in front of theirs.
    pub fn before(found: Arc<Findings>, forms: &Forms) -> (Arc<Tuned>, Forms) {
        let tuned = Arc::new(Tuned::new(found, forms.choose.clone()));
        (tuned.clone(), Forms { choose: tuned, ..*forms })
    }

    /// The problems so far that have several forms and no usable findings, heaviest first.
    pub fn unknown(&self) -> Vec<Asked> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = |name: &str| self.found.get(name).is_some_and(|found| !found.is_hopeless());
        let unknown = asked.iter().filter(|(name, asked)| asked.forms.len() > 1 && !is_known(name));
        let mut unknown: Vec<Asked> = unknown.map(|(_, asked)| asked.clone()).collect();
        unknown.sort_by(|a, b| b.weight().total_cmp(&a.weight()));
        unknown
    }

    /// The problems so far that have several forms, heaviest first.
    pub fn problems(&self) -> Vec<Problem> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let mut several: Vec<(&String, &Asked)> = asked.iter().filter(|(_, asked)| asked.forms.len() > 1).collect();
        several.sort_by(|a, b| b.1.weight().total_cmp(&a.1.weight()));
        let unknown = |asked: &Asked| Finding { rule: asked.forms[0].name.into(), ..Finding::default() };
        let problem = |(name, asked): (&String, &Asked)| Problem {
            name: name.clone(),
            layers: Some(asked.times),
            finding: self.found.get(name).cloned().unwrap_or_else(|| unknown(asked)),
        };
        several.into_iter().map(problem).collect()
    }

    pub fn tally(&self) -> Tally {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_measured = |(name, asked): &(&String, &Asked)| {
            let found = self.found.get(*name);
            found.is_some_and(|found| asked.forms.iter().any(|form| found.seconds(form.name).is_some()))
        };
        let measured = asked.iter().filter(is_measured).count();
        Tally { measured, by_rule: asked.len() - measured }
    }

    fn note(&self, kernel: &Kernel, key: &Key, offers: &[Offer], rule: usize, facts: &Facts) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let cost = |i: usize| ByRule::cost(&offers[i], facts);
            let able = |i: &usize| *i == rule || is_able(&offers[*i]) && cost(*i) <= UNLIKELY * cost(rule);
            let mut able: Vec<usize> = (0..offers.len()).filter(able).collect();
            able.sort_by(|&a, &b| (b == rule).cmp(&(a == rule)).then(cost(a).total_cmp(&cost(b))));
            let forms = able.iter().map(|&i| offers[i].form).collect();
            Asked { kernel: kernel.name, key: key.clone(), times: 0, cost: cost(rule), forms }
        };
        asked.entry(name(kernel.name, key)).or_insert_with(new).times += 1;
    }
}

fn is_able(offer: &Offer) -> bool {
    offer.refused.is_none() && !offer.dear
}

impl Choose for Tuned {
    fn choose(&self, kernel: &Kernel, key: &Key, offers: &[Offer], facts: &Facts) -> Result<usize, String> {
        let rule = self.others.choose(kernel, key, offers, facts)?;
        if !self.may_be_tuned(kernel.name) || offers.len() < 2 || key.layer.is::<ByPace>() {
            return Ok(rule);
        }
        self.note(kernel, key, offers, rule, facts);
        let able = || offers.iter().filter(|offer| is_able(offer)).map(|offer| offer.form.name);
        let found = self.found.get(&name(kernel.name, key));
        let best = found.and_then(|found| found.best(able(), offers[rule].form.name));
        Ok(best.and_then(|best| offers.iter().position(|offer| offer.form.name == best)).unwrap_or(rule))
    }

    fn may_be_tuned(&self, kernel: &str) -> bool {
        self.others.may_be_tuned(kernel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Policy;
    use crate::shader::Pace;
    use crate::tune::{Finding, Verdict};

    const fn form(name: &'static str, cpu: f64) -> Form {
        Form { name, pace: Pace { cpu, gpu: cpu }, ..Form::plain("") }
    }

    static FORMS: [Form; 4] = [form("slow", 0.2), form("rule", 1.0), form("other", 0.5), form("dear", 0.9)];
    static KERNEL: Kernel = Kernel { name: "k", params: &[], variants: &[&[]], forms: &FORMS };

    fn offers(work: u64) -> Vec<Offer> {
        let offer = |form: &'static Form| Offer { form, refused: None, dear: form.name == "dear", work, workgroups: 1 };
        FORMS.iter().map(offer).collect()
    }

    fn key(text: &str) -> Key {
        Key { storage: Policy::F32, text: text.into(), layer: Arc::new(()) }
    }

    fn findings(forms: &[(&str, f64)]) -> Arc<Findings> {
        let forms = forms.iter().map(|&(form, seconds)| (form.to_string(), Verdict::Seconds(seconds))).collect();
        Arc::new([("k x".to_string(), Finding { rule: "rule".into(), forms })].into())
    }

    /// The form for problem x, and for y, which has no findings.
    fn chosen(tuned: &Tuned, offers: &[Offer]) -> [&'static str; 2] {
        ["x", "y"].map(|text| {
            let at = tuned.choose(&KERNEL, &key(text), offers, &Facts::LEAST).unwrap();
            offers[at].form.name
        })
    }

    #[test]
    fn what_was_measured_is_taken_and_else_what_the_rule_has() {
        let by_rule: Arc<dyn Choose> = Arc::new(ByRule);
        let tuned = |found: &[(&str, f64)]| Tuned::new(findings(found), by_rule.clone());
        let all = offers(100);
        assert_eq!(chosen(&tuned(&[("rule", 2.0), ("other", 1.0)]), &all), ["other", "rule"]);
        assert_eq!(chosen(&tuned(&[("rule", 1.0), ("other", 2.0)]), &all), ["rule", "rule"]);
        // A file may name forms that do not exist, that need too much memory, and that cannot run here.
        assert_eq!(chosen(&tuned(&[("rule", 2.0), ("none", 1e-9), ("dear", 1e-9)]), &all), ["rule", "rule"]);
        let mut without = offers(100);
        without[2].refused = Some("it does not fit".into());
        assert_eq!(chosen(&tuned(&[("rule", 2.0), ("other", 1.0)]), &without), ["rule", "rule"]);
        assert_eq!(chosen(&tuned(&[("other", 1.0)]), &without), ["rule", "rule"]);
    }

    #[test]
    fn a_form_that_was_asked_for_is_not_replaced() {
        let forced = Forms::by_rule(Facts::LEAST).forcing("k", "slow");
        let (tuned, forms) = Tuned::before(findings(&[("slow", 2.0), ("other", 1.0)]), &forced);
        let at = forms.choose.choose(&KERNEL, &key("x"), &offers(100), &forms.facts);
        assert_eq!(at, Ok(0));
        assert!(tuned.unknown().is_empty());
        assert_eq!(tuned.tally(), Tally::default());
    }

    #[test]
    fn it_says_what_is_to_be_measured_the_heaviest_first() {
        let tuned = Tuned::new(findings(&[("rule", 1.0)]), Arc::new(ByRule));
        for (text, work, times) in [("x", 9, 1), ("light", 100, 2), ("heavy", 100, 3)] {
            (0..times).for_each(|_| drop(tuned.choose(&KERNEL, &key(text), &offers(work), &Facts::LEAST)));
        }
        let unknown = tuned.unknown();
        let told: Vec<_> = unknown.iter().map(|asked| (asked.name(), asked.times)).collect();
        assert_eq!(told, [("k heavy".to_string(), 3), ("k light".to_string(), 2)]);
        let forms: Vec<_> = unknown[0].forms.iter().map(|form| form.name).collect();
        assert_eq!(forms, ["rule", "other", "slow"]);
        assert_eq!(tuned.tally(), Tally { measured: 1, by_rule: 2 });
        // Forms made for other devices.
        let mut slower = offers(100);
        slower[0].work = 200;
        tuned.choose(&KERNEL, &key("a"), &slower, &Facts::LEAST).unwrap();
        let of_a = tuned.unknown().into_iter().find(|asked| asked.name() == "k a").unwrap();
        assert_eq!(of_a.forms.iter().map(|form| form.name).collect::<Vec<_>>(), ["rule", "other"]);
    }
}
