//! Banks by name: banks from files stay, banks made by requests make room for each other.

use super::problem::Problem;
use crate::segment::SupportBank;
use axum::http::StatusCode;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use utoipa::ToSchema;

/// A bank and its description.
pub struct Held {
    pub id: String,
    /// Label of its examples.
    pub label: String,
    pub bank: SupportBank,
    bytes: u64,
}

/// Description of a bank.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Bank)]
pub struct About {
    pub id: String,
    pub name: String,
    pub examples: usize,
    /// Bytes of its keys and values on the device.
    pub bytes: u64,
    /// Whether it was loaded from a file, and stays.
    pub model: bool,
}

impl Held {
    pub fn about(&self, model: bool) -> About {
        About { id: self.id.clone(), name: self.label.clone(), examples: self.bank.shots(), bytes: self.bytes, model }
    }
}

pub struct Banks {
    models: BTreeMap<String, Arc<Held>>,
    /// Banks made by requests, the most recently used last.
    made: Mutex<Vec<Arc<Held>>>,
    /// Bytes of one example's keys and values.
    of_one: u64,
    /// Limits: number of banks, and bytes.
    most: (usize, u64),
}

impl Banks {
    pub fn new(models: Vec<(String, String, SupportBank)>, of_one: u64, most: (usize, u64)) -> Banks {
        let held = |(id, label, bank): (String, String, SupportBank)| {
            let bytes = of_one.saturating_mul(bank.shots() as u64);
            (id.clone(), Arc::new(Held { id, label, bank, bytes }))
        };
        Banks { models: models.into_iter().map(held).collect(), made: Mutex::default(), of_one, most }
    }

    fn made(&self) -> MutexGuard<'_, Vec<Arc<Held>>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Banks from files.
    pub fn models(&self) -> impl Iterator<Item = &Arc<Held>> {
        self.models.values()
    }

    pub fn model(&self, id: &str) -> Option<Arc<Held>> {
        self.models.get(id).cloned()
    }

    /// The bank of this name; marks it as used.
    pub fn get(&self, id: &str) -> Option<Arc<Held>> {
        self.model(id).or_else(|| {
            let mut made = self.made();
            let at = made.iter().position(|held| held.id == id)?;
            let held = made.remove(at);
            made.push(held.clone());
            Some(held)
        })
    }

    /// Describes all banks.
    pub fn all(&self) -> Vec<About> {
        let made = self.made();
        self.models().map(|held| held.about(true)).chain(made.iter().map(|held| held.about(false))).collect()
    }

    /// Most examples in all banks of requests together.
    pub fn most_examples(&self) -> usize {
        usize::try_from(self.most.1.checked_div(self.of_one).unwrap_or(0)).unwrap_or(usize::MAX)
    }

    /// Fails if `examples` exceed what all banks of requests may hold together.
    pub fn check(&self, examples: usize) -> Result<(), Problem> {
        let bytes = self.of_one.saturating_mul(examples as u64);
        match bytes > self.most.1 || self.most.0 == 0 {
            true => {
                let most = self.most.1.checked_div(self.of_one).unwrap_or(0);
                let detail =
                    format!("{examples} examples are too many: this server keeps {most} in all banks of requests");
                Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail))
            }
            false => Ok(()),
        }
    }

    /// Keeps a bank; drops the least recently used ones if there is no room.
    pub fn keep(&self, label: String, bank: SupportBank) -> Arc<Held> {
        let bytes = self.of_one.saturating_mul(bank.shots() as u64);
        let id = format!("{:016x}", fastrand::u64(..));
        let held = Arc::new(Held { id, label, bank, bytes });
        let mut gone = Vec::new();
        let mut made = self.made();
        while !made.is_empty() && (made.len() >= self.most.0 || sum(&made).saturating_add(bytes) > self.most.1) {
            gone.push(made.remove(0));
        }
        made.push(held.clone());
        drop(made);
        held
    }

    /// Drops a bank made by a request; false if there is no such bank.
    pub fn remove(&self, id: &str) -> bool {
        let mut made = self.made();
        let at = made.iter().position(|held| held.id == id);
        let gone = at.map(|at| made.remove(at));
        drop(made);
        gone.is_some()
    }

    /// Number and bytes of the banks of requests.
    pub fn taken(&self) -> (usize, u64) {
        let made = self.made();
        (made.len(), sum(&made))
    }
}

fn sum(banks: &[Arc<Held>]) -> u64 {
    banks.iter().map(|held| held.bytes).sum()
}
