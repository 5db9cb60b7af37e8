//! Which episode computes a bank, which takes one that is there, and when one goes: decided before the run.

use std::collections::HashMap;
use std::hash::Hash;

/// What an episode does about its bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Number of its support list, the same for equal lists.
    pub bank: usize,
    /// Whether the bank is not there and must be computed.
    pub compute: bool,
    /// Banks to drop before that.
    pub drop: Vec<usize>,
}

/// Plans a run over support lists (`keys`, each with its number of supports). At most `room` supports are held, the
/// least recently used go first, and what is never used again goes at once; a bank larger than `room` is held alone.
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
    // Least recently used first: bank and supports.
    let mut held: Vec<(usize, usize)> = Vec::new();
    let mut steps = Vec::with_capacity(ids.len());
    for (at, (&bank, (_, supports))) in ids.iter().zip(keys).enumerate() {
        let mut drop = Vec::new();
        held.retain(|&(id, _)| {
            let wanted = last.get(&id).is_some_and(|&l| l >= at);
            if !wanted {
                drop.push(id);
            }
            wanted
        });
        let there = held.iter().position(|&(id, _)| id == bank);
        match there {
            Some(place) => {
                let entry = held.remove(place);
                held.push(entry);
            }
            None => {
                while !held.is_empty() && held.iter().map(|h| h.1).sum::<usize>() + supports > room {
                    drop.push(held.remove(0).0);
                }
                held.push((bank, *supports));
            }
        }
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
