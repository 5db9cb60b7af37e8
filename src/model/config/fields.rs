//! Reads one config.json key by key, with errors that name file and key.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::ConfigError;
use crate::shown;
use crate::weights::ConfigText;

/// Limit of reported unknown keys per file.
const MOST_UNKNOWN: usize = 10;

/// The object in a config.json, and the set of its keys that were read.
pub(super) struct Fields<'a> {
    file: &'a str,
    map: Map<String, Value>,
    seen: RefCell<HashSet<String>>,
}

impl<'a> Fields<'a> {
    /// `serde_json` limits the depth to 128 and rejects NaN; [`ConfigText`] limits the length.
    pub fn parse(config: &'a ConfigText) -> Result<Fields<'a>, ConfigError> {
        let bad = |reason: String| ConfigError::Json { file: config.file.clone(), reason };
        match serde_json::from_str(&config.text) {
            Ok(Value::Object(map)) => Ok(Fields { file: &config.file, map, seen: RefCell::default() }),
            Ok(_) => Err(bad("it is not a JSON object".to_owned())),
            Err(e) => Err(bad(shown::text(&e.to_string()))),
        }
    }

    /// The value of a key; `null` counts as a value.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.seen.borrow_mut().insert(key.to_owned());
        self.map.get(key)
    }

    /// Whether the key has a value other than `null`.
    pub fn given(&self, key: &str) -> bool {
        self.get(key).is_some_and(|v| !v.is_null())
    }

    pub fn error(&self, key: &str, value: &Value, expected: impl Into<String>) -> ConfigError {
        ConfigError::Value {
            file: self.file.to_owned(),
            key: key.to_owned(),
            value: short(value),
            expected: expected.into(),
        }
    }

    pub fn unsupported(&self, key: &str, value: &Value, supported: impl Into<String>) -> ConfigError {
        let (file, key) = (self.file.to_owned(), key.to_owned());
        ConfigError::Unsupported { file, key, value: short(value), supported: supported.into() }
    }

    /// A whole number in `range`.
    pub fn count(&self, key: &str, default: usize, range: RangeInclusive<usize>) -> Result<usize, ConfigError> {
        self.get(key).map_or(Ok(default), |v| self.as_count(key, v, &range))
    }

    fn as_count(&self, key: &str, value: &Value, range: &RangeInclusive<usize>) -> Result<usize, ConfigError> {
        let n = value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| range.contains(n));
        n.ok_or_else(|| self.error(key, value, format!("a whole number from {} to {}", range.start(), range.end())))
    }

    /// A whole number for all levels, or a list with one per level.
    pub fn per_level(
        &self,
        key: &str,
        default: usize,
        levels: usize,
        range: RangeInclusive<usize>,
    ) -> Result<Vec<usize>, ConfigError> {
        match self.get(key) {
            None => Ok(vec![default; levels]),
            Some(list @ Value::Array(items)) => {
                if items.len() != levels {
                    let expected = format!("a number or a list of {levels}, one for each of `block_out_channels`");
                    return Err(self.error(key, list, expected));
                }
                items.iter().map(|v| self.as_count(key, v, &range)).collect()
            }
            Some(v) => Ok(vec![self.as_count(key, v, &range)?; levels]),
        }
    }

    /// A list of 1 to 8 widths, each a multiple of `groups`.
    pub fn widths(&self, key: &str, default: &[usize], groups: usize) -> Result<Vec<usize>, ConfigError> {
        let Some(value) = self.get(key) else {
            return self.check_groups(key, default.to_vec(), groups);
        };
        let Some(items) = value.as_array().filter(|items| (1..=super::MAX_LEVELS).contains(&items.len())) else {
            return Err(self.error(key, value, format!("a list of 1 to {} widths", super::MAX_LEVELS)));
        };
        let range = 1..=super::MAX_WIDTH;
        let widths = items.iter().map(|v| self.as_count(key, v, &range)).collect::<Result<_, _>>()?;
        self.check_groups(key, widths, groups)
    }

    fn check_groups(&self, key: &str, widths: Vec<usize>, groups: usize) -> Result<Vec<usize>, ConfigError> {
        match widths.iter().find(|&&w| !w.is_multiple_of(groups)) {
            Some(&w) => Err(self.error(key, &Value::from(w), format!("a multiple of `norm_num_groups` = {groups}"))),
            None => Ok(widths),
        }
    }

    /// A finite number that satisfies `valid`; `expected` describes the condition.
    pub fn number(
        &self,
        key: &str,
        default: f64,
        expected: &str,
        valid: impl Fn(f64) -> bool,
    ) -> Result<f64, ConfigError> {
        let Some(value) = self.get(key) else {
            return Ok(default);
        };
        value.as_f64().filter(|n| n.is_finite() && valid(*n)).ok_or_else(|| self.error(key, value, expected))
    }

    pub fn flag(&self, key: &str, default: bool) -> Result<bool, ConfigError> {
        self.get(key).map_or(Ok(default), |v| v.as_bool().ok_or_else(|| self.error(key, v, "true or false")))
    }

    pub fn text<'s>(&'s self, key: &str, default: &'s str) -> Result<&'s str, ConfigError> {
        self.get(key).map_or(Ok(default), |v| v.as_str().ok_or_else(|| self.error(key, v, "a text")))
    }

    /// One block type per level: true for `attending`, false for `plain` (which may be absent).
    pub fn block_types(
        &self,
        key: &str,
        default: Vec<bool>,
        levels: usize,
        plain: &str,
        attending: Option<&str>,
    ) -> Result<Vec<bool>, ConfigError> {
        let value = self.get(key);
        let wrong_length = || format!("a list of {levels} block types, one for each of `block_out_channels`");
        let Some(value) = value else {
            let got = Value::from("missing");
            return if default.len() == levels { Ok(default) } else { Err(self.error(key, &got, wrong_length())) };
        };
        let Some(items) = value.as_array().filter(|items| items.len() == levels) else {
            return Err(self.error(key, value, wrong_length()));
        };
        let supported = attending.map_or(format!("{plain} is"), |a| format!("{plain} and {a} are"));
        let kind = |v: &Value| match v.as_str() {
            Some(name) if name == plain => Ok(false),
            Some(name) if Some(name) == attending => Ok(true),
            Some(_) => Err(self.unsupported(key, v, supported.clone())),
            None => Err(self.error(key, v, "a block type")),
        };
        items.iter().map(kind).collect()
    }

    /// Only `silu`, which some files call `swish`.
    pub fn silu(&self, key: &str) -> Result<(), ConfigError> {
        match self.text(key, "silu")? {
            "silu" | "swish" => Ok(()),
            other => Err(self.unsupported(key, &Value::from(other), "silu is")),
        }
    }

    /// Rejects every value except `allowed`. An absent key is accepted, numbers compare by value, and a list may contain only allowed
    /// values.
    pub fn only(&self, key: &str, allowed: &[Value]) -> Result<(), ConfigError> {
        let matches = |v: &Value| allowed.iter().any(|a| a == v || (a.is_number() && a.as_f64() == v.as_f64()));
        match self.get(key) {
            None => Ok(()),
            Some(v) if matches(v) => Ok(()),
            Some(Value::Array(items)) if !items.is_empty() && items.iter().all(matches) => Ok(()),
            Some(v) => {
                let words: Vec<String> = allowed.iter().map(|a| a.to_string()).collect();
                Err(self.unsupported(key, v, format!("{} is", words.join(" or "))))
            }
        }
    }

    /// Adds a warning for each unread key with a value, except `_private` and `harmless` ones.
    pub fn warn_unknown(&self, harmless: &[&str], warnings: &mut Vec<String>) {
        let seen = self.seen.borrow();
        let unknown = |(key, value): &(&String, &Value)| {
            let known = key.starts_with('_') || harmless.contains(&key.as_str()) || seen.contains(*key);
            !known && !value.is_null()
        };
        let lines: Vec<String> = self
            .map
            .iter()
            .filter(unknown)
            .map(|(key, value)| {
                format!("{}: unknown key `{}` = {} is ignored", self.file, shown::text(key), short(value))
            })
            .collect();
        warnings.extend(shown::first(&lines, MOST_UNKNOWN));
    }
}

/// A value for a message, shortened to 60 characters.
fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 60 {
        return shown::whole(&text);
    }
    shown::whole(&text.chars().take(57).collect::<String>()) + "..."
}
