//! Chooses the form of a kernel for a problem, from the adapter's facts, the form's needs, its fit to the problem, and its expected speed.

use super::recorder::Recorder;
use super::tensor::Policy;
use crate::shader::{Device, Facts, Form, Kernel};
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The properties of a kernel's problem that affect the speed of its forms.
#[derive(Clone, Debug)]
pub struct Key {
    pub storage: Policy,
    /// Unique within the kernel, and readable.
    pub text: String,
    /// The kernel's own description: `conv2d::Layer`, `attention::Layer`.
    pub layer: Arc<dyn Any + Send + Sync>,
}

/// A form of a kernel for the problem at hand.
pub struct Offer {
    pub form: &'static Form,
    /// The reason why it cannot compute the problem here, if there is one.
    pub refused: Option<String>,
    /// It takes more memory than the time it saves is worth, so it is chosen only on request.
    pub dear: bool,
    /// Multiply-adds, including padding. Not read if it is refused.
    pub work: u64,
    pub workgroups: u64,
}

/// The layer of a kernel that chooses by the pace of its forms alone. All its forms do the same work, and one is by far the fastest
/// wherever it can run, so there is nothing to measure.
pub struct ByPace;

impl fmt::Display for ByPace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("all problems")
    }
}

impl Recorder {
    /// Chooses a form of `kernel` by [`ByPace`], among the first one and those that `refuses` accepts.
    pub fn form(&mut self, kernel: &'static Kernel, refuses: impl Fn(&Form) -> Option<String>) -> &'static Form {
        let refused = |i: usize, form: &Form| {
            let stored = || (!self.storage.suits(form)).then(|| "it only takes f32 values".into());
            form.needs.lacks(&self.forms.facts).or_else(stored).or_else(|| if i > 0 { refuses(form) } else { None })
        };
        let offer = |(i, form)| Offer { form, refused: refused(i, form), dear: false, work: 1, workgroups: 1 };
        let offers: Vec<Offer> = kernel.forms.iter().enumerate().map(offer).collect();
        let chosen = self.choose(kernel, ByPace, &offers);
        &kernel.forms[chosen]
    }
}

/// Chooses among the forms of a kernel.
pub trait Choose: Send + Sync {
    /// An index into `offers`, which has one offer per form in the kernel's order. The first is never refused.
    ///
    /// # Errors
    /// A form was prescribed and cannot run.
    fn choose(&self, kernel: &Kernel, key: &Key, offers: &[Offer], facts: &Facts) -> Result<usize, String>;

    /// Whether a form that was measured to be faster may replace this chooser's choice for that kernel.
    fn may_be_tuned(&self, _kernel: &str) -> bool {
        false
    }
}

/// Chooses the first form, which fits everything and has no requirements.
pub struct First;

impl Choose for First {
    fn choose(&self, _: &Kernel, _: &Key, _: &[Offer], _: &Facts) -> Result<usize, String> {
        Ok(0)
    }
}

/// Slowdown of a form on a CPU driver whose vectors are wider than the form is made for: Mesa 26 at 512 bits.
const WIDER: f64 = 3.5;

/// Chooses the form that should be fastest by its work and its pace on such a device, without measuring.
pub struct ByRule;

impl ByRule {
    /// Estimated time, relative to the kernel's other forms. The cores of a GPU work in parallel: work that does not fill them takes as
    /// long as work that does.
    pub fn cost(offer: &Offer, facts: &Facts) -> f64 {
        let seconds = offer.work as f64 / offer.form.pace.on(facts.device);
        let lanes = offer.form.needs.lanes;
        match facts.device {
            // Made for narrower subgroups: the other lanes idle, or values move between lanes through memory.
            Device::Cpu if !facts.range_checks && lanes > 0 && lanes < facts.least_lanes => WIDER * seconds,
            Device::Cpu => seconds,
            Device::Integrated | Device::Discrete => {
                let workgroups = offer.workgroups.max(1);
                seconds * workgroups.next_multiple_of(facts.cores.max(1).into()) as f64 / workgroups as f64
            }
        }
    }
}

impl Choose for ByRule {
    fn choose(&self, kernel: &Kernel, _: &Key, offers: &[Offer], facts: &Facts) -> Result<usize, String> {
        let able = offers.iter().enumerate().filter(|(_, offer)| offer.refused.is_none() && !offer.dear);
        let costs = able.map(|(i, offer)| (i, Self::cost(offer, facts)));
        // The first of equals.
        let least = costs.reduce(|best, next| if next.1 < best.1 { next } else { best });
        least.map(|(i, _)| i).ok_or_else(|| format!("{}: no form computes this", kernel.name))
    }

    fn may_be_tuned(&self, _: &str) -> bool {
        true
    }
}

/// Chooses the first named form of a kernel that can run, and leaves other kernels to another chooser. It is an error if none of the named
/// forms can run.
pub struct Forced {
    pub forms: BTreeMap<String, Vec<String>>,
    pub others: Arc<dyn Choose>,
}

impl Choose for Forced {
    fn choose(&self, kernel: &Kernel, key: &Key, offers: &[Offer], facts: &Facts) -> Result<usize, String> {
        let Some(names) = self.forms.get(kernel.name) else { return self.others.choose(kernel, key, offers, facts) };
        let mut refusals = Vec::new();
        for name in names {
            let reason = match offers.iter().position(|offer| offer.form.name == name) {
                None => "there is no such form",
                Some(i) => match &offers[i].refused {
                    None => return Ok(i),
                    Some(reason) => reason,
                },
            };
            refusals.push(format!("form {name} of {} was requested, but {reason}", kernel.name));
        }
        Err(refusals.join("; "))
    }

    fn may_be_tuned(&self, kernel: &str) -> bool {
        !self.forms.contains_key(kernel) && self.others.may_be_tuned(kernel)
    }
}

/// How forms are chosen on a device.
#[derive(Clone)]
pub struct Forms {
    pub facts: Facts,
    pub choose: Arc<dyn Choose>,
}

impl Forms {
    pub fn by_rule(facts: Facts) -> Forms {
        Forms { facts, choose: Arc::new(ByRule) }
    }

    pub fn first(facts: Facts) -> Forms {
        Forms { facts, choose: Arc::new(First) }
    }

    /// Prescribes `form` for `kernel`; `self` chooses for all others.
    pub fn forcing(&self, kernel: &str, form: &str) -> Forms {
        self.forcing_one_of(kernel, &[form])
    }

    /// Prescribes the first of `forms` that fits for `kernel`; `self` chooses for all others.
    pub fn forcing_one_of(&self, kernel: &str, forms: &[&str]) -> Forms {
        let forms = forms.iter().map(|form| form.to_string()).collect();
        let forms = BTreeMap::from([(kernel.to_string(), forms)]);
        Forms { facts: self.facts, choose: Arc::new(Forced { forms, others: self.choose.clone() }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shader::Pace;

    const fn form(name: &'static str, cpu: f64, gpu: f64) -> Form {
        Form { name, pace: Pace { cpu, gpu }, ..Form::plain("") }
    }

    static FORMS: [Form; 3] = [form("wide", 0.1, 1.0), form("narrow", 0.1, 0.5), form("cpu", 1.0, 0.1)];
    static KERNEL: Kernel = Kernel { name: "k", params: &[], variants: &[&[]], forms: &FORMS };

    fn key() -> Key {
        Key { storage: Policy::F32, text: String::new(), layer: Arc::new(()) }
    }

    fn offers(work: [u64; 3], workgroups: u64) -> Vec<Offer> {
        FORMS
            .iter()
            .zip(work)
            .map(|(form, work)| Offer { form, refused: None, dear: false, work, workgroups })
            .collect()
    }

    #[test]
    fn the_rule_weighs_work_pace_and_cores() {
        let gpu = Facts { device: Device::Discrete, cores: 100, ..Facts::LEAST };
        let cpu = Facts { device: Device::Cpu, cores: 2, ..Facts::LEAST };
        let choose =
            |work, workgroups, facts| ByRule.choose(&KERNEL, &key(), &offers(work, workgroups), facts).unwrap();
        assert_eq!(choose([100, 100, 100], 100, &gpu), 0);
        assert_eq!(choose([100, 100, 100], 100, &cpu), 2);
        // Half the pace pays off only with less than half the work.
        assert_eq!(choose([100, 40, 100], 100, &gpu), 1);
        assert_eq!(choose([100, 60, 100], 100, &gpu), 0);
        // Few workgroups leave a GPU idle.
        let mut few = offers([100, 100, 100], 10);
        few[1].workgroups = 40;
        assert_eq!(ByRule.choose(&KERNEL, &key(), &few, &gpu).unwrap(), 1);
        few[1].refused = Some("it does not fit".into());
        assert_eq!(ByRule.choose(&KERNEL, &key(), &few, &gpu).unwrap(), 0);
    }

    #[test]
    fn a_form_that_was_asked_for_is_taken_or_refused() {
        let forms = Forms::first(Facts::LEAST).forcing("k", "narrow");
        let mut all = offers([1; 3], 1);
        assert_eq!(forms.choose.choose(&KERNEL, &key(), &all, &forms.facts), Ok(1));
        all[1].refused = Some("it does not fit".into());
        let error = forms.choose.choose(&KERNEL, &key(), &all, &forms.facts).unwrap_err();
        assert!(error.contains("narrow of k") && error.contains("does not fit"), "{error}");
        let several = Forms::first(Facts::LEAST).forcing_one_of("k", &["narrow", "cpu"]);
        assert_eq!(several.choose.choose(&KERNEL, &key(), &all, &several.facts), Ok(2));
        let other = Forms::first(Facts::LEAST).forcing("other", "narrow");
        assert_eq!(other.choose.choose(&KERNEL, &key(), &all, &other.facts), Ok(0));
        let rule = Forms::by_rule(Facts::LEAST).forcing("k", "narrow").choose;
        assert!(!rule.may_be_tuned("k") && rule.may_be_tuned("other") && !other.choose.may_be_tuned("k"));
        let unknown = Forms::first(Facts::LEAST).forcing("k", "wider");
        assert!(unknown.choose.choose(&KERNEL, &key(), &all, &unknown.facts).is_err());
    }
}
