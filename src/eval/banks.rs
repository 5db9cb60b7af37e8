//! The plan of a run's banks: which episodes compute one, which reuse one, and when one is dropped.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// How an episode gets its bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Number of its support list, the same for equal lists.
    pub bank: usize,
    /// Whether the bank must be computed.
    pub compute: bool,
    /// Banks to drop first.
    pub drop: Vec<usize>,
}

/// Plans a run over support lists (`keys`, each with its number of supports). At most `room` supports are held. Banks that are
/// never used again are dropped at once, then the least recently used; a bank larger than `room` is held alone.
pub fn plan<K: Hash + Eq>(keys: &[(K, usize)], room: usize) -> Vec<Step> {
    let mut numbers = HashMap::new();
    let ids: Vec<usize> = keys
        .iter()
        .map(|(key, _)| {
            let next = numbers.len();
            *numbers.entry(key).or_insert(next)
        })
        .collect();
    let last: HashMap<usize, usize> = ids.iter().enumerate().map(|(at, &id)| (id, at)).collect();
    // Bank and number of supports, by the episode that used the bank last.
    let mut held = BTreeMap::<usize, (usize, usize)>::new();
    // Key of each held bank in `held`, and the sum of their supports.
    let (mut places, mut total) = (HashMap::<usize, usize>::new(), 0);
    let mut steps = Vec::with_capacity(ids.len());
    for (at, (&bank, &(_, supports))) in ids.iter().zip(keys).enumerate() {
        let mut drop = Vec::new();
        // Only the bank used by the last episode can have become useless.
        let useless = at.checked_sub(1).filter(|before| last.get(&ids[*before]) == Some(before));
        let mut go = useless.and_then(|before| held.remove(&before));
        let there = places.get(&bank).copied();
        loop {
            if let Some((id, supports)) = go {
                places.remove(&id);
                total -= supports;
                drop.push(id);
            }
            if there.is_some() || held.is_empty() || total + supports <= room {
                break;
            }
            go = held.pop_first().map(|(_, gone)| gone);
        }
        match there {
            Some(place) => _ = held.remove(&place),
            None => total += supports,
        }
        held.insert(at, (bank, supports));
        places.insert(bank, at);
        steps.push(Step { bank, compute: there.is_none(), drop });
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn steps(keys: &str, room: usize) -> Vec<Step> {
        let keys: Vec<(char, usize)> = keys.chars().map(|c| (c, 1)).collect();
        plan(&keys, room)
    }

    fn computed(keys: &str, room: usize) -> String {
        steps(keys, room).iter().zip(keys.chars()).filter(|(s, _)| s.compute).map(|(_, c)| c).collect()
    }

    #[test]
    fn a_repeated_list_is_computed_once() {
        assert_eq!(computed("aaaa", 1), "a");
        assert_eq!(computed("abab", 2), "ab");
        assert_eq!(computed("abab", 1), "abab");
        // c is never used again, so it goes first; of a and b the older one goes for d.
        assert_eq!(computed("abacabdab", 2), "abcbda");
    }

    #[test]
    fn what_a_plan_says_is_there_is_there_and_never_too_much() {
        let mut random = fastrand::Rng::with_seed(4);
        for _ in 0..200 {
            let room = random.usize(1..6);
            let keys: Vec<(u8, usize)> =
                (0..60).map(|_| random.u8(0..9)).map(|k| (k, 1 + usize::from(k % 3))).collect();
            let mut held = HashSet::new();
            for (step, (key, supports)) in plan(&keys, room).iter().zip(&keys) {
                for bank in &step.drop {
                    assert!(held.remove(&(*bank, keys_supports(&keys, *bank))), "dropped twice");
                }
                assert_eq!(step.compute, held.insert((step.bank, *supports)), "{key}");
                let total: usize = held.iter().map(|h| h.1).sum();
                assert!(total <= room || held.len() == 1);
            }
        }
    }

    #[test]
    fn a_hundred_thousand_episodes_are_planned_at_once() {
        let mut random = fastrand::Rng::with_seed(9);
        let keys: Vec<(usize, usize)> = (0..100_000).map(|_| (random.usize(..50_000), 1)).collect();
        let started = std::time::Instant::now();
        assert_eq!(plan(&keys, 20_000).len(), keys.len());
        let seconds = started.elapsed().as_secs_f64();
        // A linear search through held banks took a minute.
        assert!(seconds < 5.0, "{seconds} s");
    }

    /// Supports of the bank numbered `bank`: numbers go by first appearance.
    fn keys_supports(keys: &[(u8, usize)], bank: usize) -> usize {
        let mut seen = Vec::new();
        for key in keys {
            if !seen.contains(key) {
                seen.push(*key);
            }
        }
        seen[bank].1
    }
}
