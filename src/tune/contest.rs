//! Decides which form is measured when, and which is dropped. Has no device and no clock.

use super::findings::{Finding, Verdict};
use std::collections::{HashMap, HashSet};

/// A form that is slower by this factor is dropped. Not after a single short run, because others use the device, too.
const BEHIND: f64 = 1.5;
const SHORT_SECONDS: f64 = 0.02;
/// Maximum number of runs per form, besides the warm-up.
const ROUNDS: usize = 5;
/// A second or later round may use at most this fraction of the time.
const PART: f64 = 0.05;
/// A form that was slower by this factor in several consecutive problems is not tried again, nor one that was hopelessly slow in a single
/// problem: a form made for other devices could use up all the time.
const FAR_BEHIND: f64 = 3.0;
const OFTEN: u32 = 3;
const HOPELESS: f64 = 5.0;
/// If a run takes longer than this, a form that is already far behind in its warm-up is not run again.
const LONG_SECONDS: f64 = 0.1;
/// Measure the problems that make up this fraction of the cost; the others could save less than noise.
const MATTERS: f64 = 0.98;

/// A problem, and its candidate forms, the rule's first.
pub(super) struct Contest {
    pub kernel: &'static str,
    pub forms: Vec<&'static str>,
    /// Its cost by the rule, relative to other problems.
    pub cost: f64,
}

/// Why a measurement ended.
pub(super) enum Out<S> {
    /// This form is out; others may continue.
    Form(Verdict),
    /// Nothing can continue.
    All(S),
}

/// Where forms run. Problems and forms are given by number.
pub(super) trait Track {
    type Stop;
    /// Seconds since the start.
    fn now(&self) -> f64;
    /// Prepares a problem for these forms, replacing the previous one.
    fn open(&mut self, problem: usize, forms: &[usize]) -> Result<(), Out<Self::Stop>>;
    /// Seconds of the form's first run, which may include its compilation.
    fn warm_up(&mut self, form: usize) -> Result<f64, Out<Self::Stop>>;
    /// Seconds of a run whose result was within its bound.
    fn run(&mut self, form: usize) -> Result<f64, Out<Self::Stop>>;
}

/// Measures `contests`, which are sorted by cost, until `seconds` are over. Returns a finding for each, and the reason if it stopped early.
/// Light problems come before the heaviest, so that each form shows whether it suits such a device at all.
pub(super) fn measure<T: Track>(contests: &[Contest], seconds: f64, track: &mut T) -> (Vec<Finding>, Option<T::Stop>) {
    let new = |contest: &Contest| Finding { rule: contest.forms[0].into(), ..Finding::default() };
    let mut findings: Vec<Finding> = contests.iter().map(new).collect();
    let heats = heats(contests);
    let matters = MATTERS * contests.iter().map(|contest| contest.cost).sum::<f64>();
    let mut before = 0.0;
    let heaviest = contests.iter().enumerate().take_while(|(_, contest)| {
        before += contest.cost;
        before - contest.cost <= matters
    });
    let heaviest = heaviest.map(|(problem, _)| problem).filter(|problem| !heats.contains(problem));
    let mut lags = Lags::default();
    for problem in heats.iter().copied().chain(heaviest) {
        let (contest, finding) = (&contests[problem], &mut findings[problem]);
        if track.now() >= seconds {
            break;
        }
        let living: Vec<usize> = (0..contest.forms.len()).filter(|&form| !lags.is_hopeless(contest, form)).collect();
        let stopped = match track.open(problem, &living) {
            Ok(()) => race(contest, seconds, track, &mut lags, finding),
            Err(Out::Form(_)) => continue,
            Err(Out::All(stop)) => Err(stop),
        };
        // A single form has been compared with nothing.
        if finding.forms.len() < 2 {
            finding.forms.clear();
        }
        if let Err(stop) = stopped {
            return (findings, Some(stop));
        }
    }
    (findings, None)
}

/// The lightest problems that together include all forms.
fn heats(contests: &[Contest]) -> Vec<usize> {
    let (mut heats, mut seen) = (Vec::new(), HashSet::new());
    for (problem, contest) in contests.iter().enumerate().rev() {
        let new = contest.forms.iter().filter(|form| seen.insert((contest.kernel, **form))).count();
        if new > 0 {
            heats.push(problem);
        }
    }
    heats
}

/// For each form of a kernel, the number of consecutive problems in which it was far behind.
#[derive(Default)]
struct Lags(HashMap<(&'static str, &'static str), u32>);

impl Lags {
    fn is_hopeless(&self, contest: &Contest, form: usize) -> bool {
        form > 0 && self.0.get(&(contest.kernel, contest.forms[form])).is_some_and(|&lag| lag >= OFTEN)
    }

    fn note(&mut self, contest: &Contest, form: usize, behind: f64) {
        let lag = self.0.entry((contest.kernel, contest.forms[form])).or_default();
        *lag = match behind {
            behind if behind > HOPELESS => OFTEN,
            behind if behind > FAR_BEHIND => *lag + 1,
            _ => 0,
        };
    }
}

fn race<T: Track>(
    contest: &Contest,
    seconds: f64,
    track: &mut T,
    lags: &mut Lags,
    finding: &mut Finding,
) -> Result<(), T::Stop> {
    let mut times: Vec<Option<f64>> = vec![None; contest.forms.len()];
    let mut stopped = rounds(contest, seconds, track, lags, finding, &mut times);
    // If all others are wrong, the forms that were skipped are the only ones left, however slow.
    let unasked = finding.forms.values().any(|found| *found == Verdict::Behind);
    if stopped.is_ok() && unasked && times.iter().all(Option::is_none) {
        finding.forms.retain(|_, found| *found != Verdict::Behind);
        stopped = rounds(contest, seconds, track, &Lags::default(), finding, &mut times);
    }
    let least = least(&times);
    for (form, time) in times.into_iter().enumerate() {
        let Some(time) = time else { continue };
        lags.note(contest, form, time / least);
        finding.forms.insert(contest.forms[form].into(), Verdict::Seconds(time));
    }
    stopped
}

fn least(times: &[Option<f64>]) -> f64 {
    times.iter().flatten().copied().fold(f64::INFINITY, f64::min)
}

fn rounds<T: Track>(
    contest: &Contest,
    seconds: f64,
    track: &mut T,
    lags: &Lags,
    finding: &mut Finding,
    times: &mut [Option<f64>],
) -> Result<(), T::Stop> {
    for round in 0..ROUNDS {
        let least = least(times);
        let again = |time: f64| time <= BEHIND * least || round == 1 && time <= SHORT_SECONDS;
        let out = |form: usize| finding.forms.contains_key(contest.forms[form]);
        let lives = |form: &usize| if round == 0 { !out(*form) } else { times[*form].is_some_and(again) };
        let living: Vec<usize> = (0..times.len()).filter(lives).collect();
        let takes: f64 = living.iter().filter_map(|&form| times[form]).sum();
        if round > 0 && (living.len() < 2 || takes > PART * seconds) {
            break;
        }
        for form in living {
            if track.now() >= seconds {
                return Ok(());
            }
            let name = contest.forms[form];
            if round == 0 && lags.is_hopeless(contest, form) {
                finding.forms.insert(name.into(), Verdict::Behind);
                continue;
            }
            let least = self::least(times);
            let first = if round == 0 { track.warm_up(form).map(Some) } else { Ok(None) };
            let ran = first.and_then(|first| match first {
                Some(time) if least >= LONG_SECONDS && time > FAR_BEHIND * least => Ok(time),
                _ => track.run(form),
            });
            match ran {
                Ok(time) => times[form] = Some(times[form].map_or(time, |before| before.min(time))),
                Err(Out::Form(found)) => {
                    times[form] = None;
                    finding.forms.insert(name.into(), found);
                }
                Err(Out::All(stop)) => return Err(stop),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The behaviour of each form in each problem, and a clock that only advances in runs.
    struct Fake {
        problems: Vec<Vec<Does>>,
        at: usize,
        clock: f64,
        /// Problem and form of each run.
        ran: Vec<(usize, usize)>,
    }

    #[derive(Clone, Copy)]
    enum Does {
        Takes(f64),
        /// The first run takes longer, as with noise.
        Noisy(f64, f64),
        /// Wrong from its nth run on, counting the warm-up.
        WrongAt(f64, usize),
        Fails,
        Stops,
    }

    impl Fake {
        fn new(problems: Vec<Vec<Does>>) -> Fake {
            Fake { problems, at: 0, clock: 0.0, ran: Vec::new() }
        }

        fn contests(&self) -> Vec<Contest> {
            const FORMS: [&str; 4] = ["rule", "b", "c", "d"];
            let of = |forms: &Vec<Does>| Contest { kernel: "k", forms: FORMS[..forms.len()].to_vec(), cost: 1.0 };
            self.problems.iter().map(of).collect()
        }

        fn measure(&mut self, seconds: f64) -> (Vec<Finding>, Option<&'static str>) {
            measure(&self.contests(), seconds, self)
        }

        fn runs(&self, of: (usize, usize)) -> usize {
            self.ran.iter().filter(|ran| **ran == of).count()
        }
    }

    impl Track for Fake {
        type Stop = &'static str;

        fn now(&self) -> f64 {
            self.clock
        }

        fn open(&mut self, problem: usize, _: &[usize]) -> Result<(), Out<&'static str>> {
            self.at = problem;
            Ok(())
        }

        fn warm_up(&mut self, form: usize) -> Result<f64, Out<&'static str>> {
            self.run(form)
        }

        fn run(&mut self, form: usize) -> Result<f64, Out<&'static str>> {
            self.ran.push((self.at, form));
            let times = self.runs((self.at, form));
            let wrong = |what: &str| Err(Out::Form(Verdict::Wrong(what.into())));
            let time = match self.problems[self.at][form] {
                Does::Takes(time) => time,
                Does::Noisy(first, time) => {
                    if times <= 2 {
                        first
                    } else {
                        time
                    }
                }
                Does::WrongAt(_, nth) if times >= nth => return wrong("error / bound 3 at [0, 0]"),
                Does::WrongAt(time, _) => time,
                Does::Fails => return Err(Out::Form(Verdict::Failed("it spills".into()))),
                Does::Stops => return Err(Out::All("lost")),
            };
            self.clock += time;
            Ok(time)
        }
    }

    use Does::{Fails, Noisy, Stops, Takes, WrongAt};

    #[test]
    fn the_fastest_is_found_in_turn_and_who_is_behind_is_dropped() {
        let mut fake = Fake::new(vec![vec![Takes(1.6), Noisy(1.4, 1.0), Takes(1.2), Takes(4.0)]]);
        let (findings, stop) = fake.measure(1e9);
        assert_eq!((findings[0].chosen(), stop), (Some("b"), None));
        assert_eq!(findings[0].seconds("rule"), Some(1.6));
        // d is far behind at once, the rule's form after the second round. The warm-up of the others does not count.
        assert_eq!([0, 1, 2, 3].map(|form| fake.runs((0, form))), [3, 6, 6, 1]);
        // The forms take turns.
        let first = [0, 0, 1, 1, 2, 2, 3, 0, 1, 2].map(|form| (0, form));
        assert_eq!(fake.ran[..first.len()], first);
    }

    /// However fast it is, and however late it becomes wrong.
    #[test]
    fn a_form_that_is_wrong_is_out_and_named() {
        for nth in 1..=6 {
            let mut fake = Fake::new(vec![vec![Takes(2.0), WrongAt(1.5, nth), Takes(1.8)]]);
            let (findings, _) = fake.measure(1e9);
            assert_eq!(findings[0].chosen(), Some("c"), "at run {nth}");
            assert_eq!(findings[0].wrong().next(), Some(("b", "error / bound 3 at [0, 0]")));
            assert_eq!(fake.runs((0, 1)), nth, "it must not run again");
        }
        // Also the rule's form.
        let (findings, _) = Fake::new(vec![vec![WrongAt(1.0, 1), Takes(9.0)]]).measure(1e9);
        assert_eq!(findings[0].chosen(), Some("b"));
        let (findings, _) = Fake::new(vec![vec![WrongAt(1.0, 2), WrongAt(1.0, 2)]]).measure(1e9);
        assert_eq!(findings[0].chosen(), None);
    }

    /// In the lighter problem b is far behind; where the rule's form is wrong, only b is left.
    #[test]
    fn who_was_far_behind_is_asked_where_all_others_are_wrong() {
        let mut fake = Fake::new(vec![vec![WrongAt(1.0, 1), Takes(9.0)], vec![Takes(1.0), Takes(9.0)]]);
        let (findings, _) = fake.measure(1e9);
        assert_eq!([0, 1].map(|i| findings[i].chosen()), [Some("b"), Some("rule")]);
        assert_eq!((fake.runs((0, 0)), findings[0].wrong().count()), (1, 1), "a wrong form must not run again");
    }

    #[test]
    fn what_is_not_reached_in_time_goes_by_the_rule() {
        let problem = || vec![Takes(1.0), Takes(0.9)];
        let mut fake = Fake::new(vec![problem(); 3]);
        // The lightest comes first, then the heaviest. A running form is not interrupted.
        let (findings, _) = fake.measure(6.0);
        assert_eq!([0, 2].map(|i| (findings[i].chosen(), findings[i].forms.len())), [(Some("b"), 2); 2]);
        assert!(findings[1].forms.is_empty() && findings[1].rule == "rule");
        assert!(fake.clock < 6.0 + 2.0, "{}", fake.clock);
        // Too short for any comparison: there is no finding, rather than that the rule's form is the fastest.
        let (findings, _) = Fake::new(vec![problem()]).measure(1.5);
        assert!(findings[0].forms.is_empty());
        let mut none = Fake::new(vec![problem()]);
        assert!(none.measure(0.0).0[0].forms.is_empty() && none.ran.is_empty());
    }

    /// A second round of 3 s, but not of 10 s in total.
    #[test]
    fn long_runs_are_not_repeated() {
        let mut fake = Fake::new(vec![vec![Takes(1.0), Takes(1.0), Takes(1.0)]]);
        fake.measure(10.0);
        assert_eq!([0, 1, 2].map(|form| fake.runs((0, form))), [2; 3]);
    }

    /// The rule's form was disturbed in its first counted run.
    #[test]
    fn nobody_is_dropped_by_one_short_run() {
        let (findings, _) = Fake::new(vec![vec![Noisy(0.02, 0.001), Takes(0.002)]]).measure(1e9);
        assert_eq!((findings[0].chosen(), findings[0].seconds("rule")), (Some("rule"), Some(0.001)));
    }

    #[test]
    fn who_is_far_behind_again_and_again_is_asked_no_more() {
        let mut fake = Fake::new(vec![vec![Takes(1.0), Takes(4.0), Takes(1.1), Takes(9.0)]; 5]);
        let (findings, _) = fake.measure(1e9);
        // The fourth follows the first problem, which is the lightest; the second follows three.
        assert_eq!(findings[4].seconds("d"), Some(9.0));
        assert_eq!(findings[0].forms["d"], Verdict::Behind);
        assert_eq!(findings[1].seconds("b"), Some(4.0));
        assert_eq!(findings[2].forms["b"], Verdict::Behind);
        assert_eq!(fake.runs((3, 1)), 0);
        // The rule's own form always runs, because others are compared with it.
        let mut fake = Fake::new(vec![vec![Takes(9.0), Takes(1.0)]; 5]);
        assert_eq!(fake.measure(1e9).0[3].seconds("rule"), Some(9.0));
    }

    /// Each form occurs in one of them.
    #[test]
    fn the_first_are_the_lightest_that_have_all_forms() {
        let contest = |kernel, forms: &[&'static str]| Contest { kernel, forms: forms.to_vec(), cost: 1.0 };
        let contests = [
            contest("k", &["a", "b", "wide"]),
            contest("k", &["a", "narrow"]),
            contest("l", &["a"]),
            contest("k", &["a", "b"]),
        ];
        assert_eq!(heats(&contests), [3, 2, 1, 0]);
        assert_eq!(heats(&contests[1..]), [2, 1, 0]);
        assert_eq!(heats(&[contest("k", &["a", "b"]), contest("k", &["a", "b"])]), [1]);
    }

    #[test]
    fn what_fails_is_left_out_and_what_ends_all_keeps_what_was_found() {
        let (findings, stop) = Fake::new(vec![vec![Takes(1.0), Fails]]).measure(1e9);
        assert_eq!((findings[0].chosen(), stop), (Some("rule"), None));
        assert_eq!(findings[0].forms["b"], Verdict::Failed("it spills".into()));
        let problems = vec![vec![Takes(1.0), Takes(0.5)], vec![Takes(1.0), Stops], vec![Takes(1.0), Takes(0.5)]];
        let (findings, stop) = Fake::new(problems).measure(1e9);
        assert_eq!((findings[0].chosen(), stop), (Some("b"), Some("lost")));
        assert!(findings[1].forms.is_empty() && findings[2].chosen() == Some("b"));
    }

    #[test]
    fn what_costs_next_to_nothing_is_not_measured() {
        let mut fake = Fake::new(vec![vec![Takes(1.0), Takes(0.5)]; 3]);
        let mut contests = fake.contests();
        (contests[1].cost, contests[2].cost) = (0.01, 0.001);
        let (findings, _) = measure(&contests, 1e9, &mut fake);
        // Except the lightest, which shows which forms suit such a device.
        assert!(!findings[0].forms.is_empty() && findings[1].forms.is_empty() && !findings[2].forms.is_empty());
    }
}
