//! JSON: changes values in the tree.

use super::{Source, bytes};
use serde_json::{Value, json};

/// Strings that paths, names, kinds and pages may mishandle.
const WORDS: [&str; 32] = [
    "",
    ".",
    "..",
    "../x",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "C:x",
    "\0",
    "\u{1b}[2J",
    "a\nerror: b",
    "\u{202e}",
    "=1+1",
    "</script>",
    "]]>",
    "x.safetensors",
    "F16",
    "BF16",
    "F32",
    "F64",
    "I64",
    "U8",
    "BOOL",
    "F8_E4M3",
    "F4",
    "C64",
    "NaN",
    "epsilon",
    "v_prediction",
    "DownBlock2D",
    "quick_gelu",
    "shuffled",
];

pub fn mutate(input: &mut Vec<u8>, source: &mut Source) {
    match serde_json::from_slice::<Value>(input) {
        Ok(mut value) if !source.once_in(8) => {
            edit(&mut value, source);
            *input = value.to_string().into_bytes();
        }
        _ => bytes(input, source),
    }
}

/// Lines of JSON, and lines that are not JSON.
pub fn mutate_lines(input: &mut Vec<u8>, source: &mut Source) {
    if source.once_in(8) {
        return bytes(input, source);
    }
    let mut lines: Vec<Vec<u8>> = input.split(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
    for _ in 0..source.few() {
        let at = source.below(lines.len());
        match source.below(6) {
            0 => {
                let copy = lines[at].clone();
                lines.insert(source.below(lines.len() + 1), copy);
            }
            1 if lines.len() > 1 => drop(lines.remove(at)),
            2 => {
                let to = source.below(lines.len());
                lines.swap(at, to);
            }
            _ => mutate(&mut lines[at], source),
        }
        if lines.is_empty() {
            break;
        }
    }
    *input = lines.join(&b'\n');
}

/// Changes one or a few nodes of a tree.
pub fn edit(value: &mut Value, source: &mut Source) {
    for _ in 0..source.few() {
        let mut at = source.below(size(value));
        let mut from = source.below(size(value));
        let elsewhere = find(value, &mut from).cloned().unwrap_or_default();
        if let Some(place) = find_mut(value, &mut at) {
            change(place, elsewhere, source);
        }
    }
}

fn change(place: &mut Value, elsewhere: Value, source: &mut Source) {
    match (source.below(10), &mut *place) {
        (0, _) => *place = elsewhere,
        (1, _) => *place = any(source),
        (2.., Value::Array(items)) if !items.is_empty() => {
            let at = source.below(items.len());
            match source.below(5) {
                0 => drop(items.remove(at)),
                1 => {
                    let to = source.below(items.len());
                    items.swap(at, to);
                }
                2 => items.push(elsewhere),
                _ => {
                    let copy = items[at].clone();
                    let times = if source.once_in(4) { source.below(60) } else { 1 };
                    items.extend(std::iter::repeat_n(copy, times));
                }
            }
        }
        (2.., Value::Object(map)) if !map.is_empty() => {
            let at = source.below(map.len());
            let Some(key) = map.keys().nth(at).cloned() else { return };
            match source.below(4) {
                0 => drop(map.remove(&key)),
                1 => drop(map.insert(word(source), map[&key].clone())),
                2 => drop(map.insert(word(source), any(source))),
                _ => drop(map.insert(key, elsewhere)),
            }
        }
        (2..=4, Value::Number(n)) if n.is_u64() => {
            let n = n.as_u64().unwrap_or_default();
            *place = json!(*source.one_of(&[n.wrapping_add(1), n.wrapping_sub(1), n.wrapping_mul(2), n / 2]));
        }
        (2.., Value::Number(_)) => *place = number(source),
        (2..=5, Value::String(text)) => {
            let mut chars: Vec<char> = text.chars().collect();
            let at = source.below(chars.len() + 1);
            chars.insert(at, source.rng.char(..));
            *place = json!(chars.into_iter().collect::<String>());
        }
        (2.., Value::String(_)) => *place = json!(word(source)),
        _ => *place = any(source),
    }
}

fn word(source: &mut Source) -> String {
    if source.once_in(12) { "long ".repeat(source.below(2000)) } else { source.one_of(&WORDS).to_string() }
}

pub fn number(source: &mut Source) -> Value {
    match source.below(4) {
        0 => json!((source.number() as i64).wrapping_neg()),
        1 => json!(*source.one_of(&[1e308, -1e308, 1e-320, -0.0, 0.5, 1.5, 1e-6, 0.999_999, 1e19, 3.4e38])),
        _ => json!(source.number()),
    }
}

fn any(source: &mut Source) -> Value {
    match source.below(9) {
        0 => Value::Null,
        1 => json!(source.rng.bool()),
        2 => json!([]),
        3 => json!({}),
        4 => json!(word(source)),
        5 => (0..source.few() * 2).map(|_| number(source)).collect(),
        6 => (0..source.below(200)).fold(json!(1), |inner, _| json!([inner])),
        _ => number(source),
    }
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(map) => Box::new(map.values()),
        _ => Box::new(std::iter::empty()),
    }
}

fn size(value: &Value) -> usize {
    1 + children(value).map(size).sum::<usize>()
}

/// The value numbered `at`, counted from the root down.
fn find<'a>(value: &'a Value, at: &mut usize) -> Option<&'a Value> {
    if *at == 0 {
        return Some(value);
    }
    *at -= 1;
    children(value).find_map(|child| find(child, at))
}

fn find_mut<'a>(value: &'a mut Value, at: &mut usize) -> Option<&'a mut Value> {
    if *at == 0 {
        return Some(value);
    }
    *at -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|child| find_mut(child, at)),
        Value::Object(map) => map.values_mut().find_map(|child| find_mut(child, at)),
        _ => None,
    }
}
