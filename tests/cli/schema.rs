//! The output of `--json` matches `--json-schema` exactly.

use crate::command::{Place, SUPPORT, lines};
use serde_json::{Map, Value};

/// Violations of `schema` in `value`, where `root` is the whole schema file. Supports exactly the rules that our schemas use.
fn faults(root: &Value, schema: &Value, value: &Value, at: &str, all: &mut Vec<String>) {
    let rules = schema.as_object().expect("a schema is an object");
    let empty = Map::new();
    let object = value.as_object().unwrap_or(&empty);
    let properties = rules.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    for (rule, wanted) in rules {
        let holds = match rule.as_str() {
            "$schema" | "title" | "description" | "$defs" => true,
            "$ref" => {
                let path = wanted.as_str().unwrap().strip_prefix('#').unwrap();
                faults(root, root.pointer(path).expect("a definition"), value, at, all);
                true
            }
            "type" => match wanted {
                Value::Array(types) => types.iter().any(|kind| is(value, kind)),
                kind => is(value, kind),
            },
            "enum" => wanted.as_array().unwrap().contains(value),
            "minimum" => value.as_f64().is_none_or(|v| v >= wanted.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|v| v <= wanted.as_f64().unwrap()),
            "minItems" => value.as_array().is_none_or(|v| v.len() as u64 >= wanted.as_u64().unwrap()),
            "maxItems" => value.as_array().is_none_or(|v| v.len() as u64 <= wanted.as_u64().unwrap()),
            "required" => wanted
                .as_array()
                .unwrap()
                .iter()
                .all(|key| !value.is_object() || object.contains_key(key.as_str().unwrap())),
            "properties" => {
                for (key, value) in object.iter().filter_map(|(key, value)| Some((properties.get(key)?, value))) {
                    faults(root, key, value, &format!("{at}.."), all);
                }
                true
            }
            "additionalProperties" => {
                let mut others = object.iter().filter(|(key, _)| !properties.contains_key(*key));
                match wanted {
                    Value::Bool(false) => others.next().is_none(),
                    schema => {
                        others.for_each(|(key, value)| faults(root, schema, value, &format!("{at}.{key}"), all));
                        true
                    }
                }
            }
            "items" => {
                value.as_array().into_iter().flatten().for_each(|v| faults(root, wanted, v, &format!("{at}[]"), all));
                true
            }
            "oneOf" => {
                let fits = |schema: &&Value| {
                    let mut all = Vec::new();
                    faults(root, schema, value, at, &mut all);
                    all.is_empty()
                };
                wanted.as_array().unwrap().iter().filter(fits).count() == 1
            }
            other => panic!("{other}: no rule that is known here"),
        };
        if !holds {
            all.push(format!("{at}: {rule} {wanted} does not hold of {value}"));
        }
    }
}

fn is(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other}: no type"),
    }
}

fn schema(place: &Place, verb: &[&str]) -> Value {
    // Environment variables do not cause a conflict.
    let run = place.run_with(&[("DIFFEWS_WEIGHTS", "w"), ("DIFFEWS_SIZE", "64")], &[verb, &["--json-schema"]].concat());
    serde_json::from_str(&run.expect(0, &[]).out).unwrap()
}

#[track_caller]
fn fits(schema: &Value, value: &Value) {
    let mut all = Vec::new();
    faults(schema, schema, value, "", &mut all);
    assert!(all.is_empty(), "{all:#?}");
    // Every field counts: adding or removing one violates the schema.
    let Some(object) = value.as_object() else { return };
    let wrong = |object: Map<String, Value>| {
        let mut all = Vec::new();
        faults(schema, schema, &object.into(), "", &mut all);
        assert!(!all.is_empty());
    };
    let mut more = object.clone();
    more.insert("more".into(), Value::Null);
    wrong(more);
    for key in object.keys() {
        let mut other = object.clone();
        other.insert(key.clone(), serde_json::json!([[[]]]));
        wrong(other);
    }
}

#[test]
fn lines_of_infer() {
    let place = Place::new();
    let schema = schema(&place, &["infer"]);
    place.write("broken.png", b"no picture");
    place
        .run(&["bank", "encode", "--support", "s.png", "--mask", "s_mask.png", "-o", "a.bank", "--size", "64"])
        .expect(0, &[]);
    let tell = |code: i32, args: &[&str]| {
        let args = [&["infer", "--size", "64", "--json", "-q", "--force"], args].concat();
        let out = lines(&place.run(&args).expect(code, &[]).out);
        out.iter().for_each(|line| fits(&schema, line));
        out
    };
    let one = [&SUPPORT[..], &["--query", "q.png"]].concat();
    tell(0, &[&one[..], &["--overlay", "o.png", "--probability", "p.npy"]].concat());
    tell(0, &[&one[..], &["--threshold", "1", "--guided-filter", "0", "--precision", "f16"]].concat());
    let both = tell(6, &[&one[..], &["broken.png", "--output", "out"]].concat());
    assert!(both[1].get("error").is_some() && both[0].get("objects").is_some());
    tell(0, &["--bank", "a.bank", "--query", "q.png", "--format", "coco", "--output", "found.json"]);
    let classes = ["--class", "cat=a.bank", "--support", "dog:s.png", "--mask", "s_mask.png", "--query", "q.png"];
    let named = tell(0, &[&classes[..], &["--class-masks", "masks", "--probability", "maps"]].concat());
    assert_eq!(named[0]["classes"].as_array().unwrap().len(), 2);
    let boxed =
        tell(0, &["--support", "s.png", "--box", "12,8,36,32", "--query", "q.png", "--tile", "32", "--fit", "pad"]);
    assert!(boxed[0]["supports"][0]["mask"].is_null() && boxed[0]["tiles"].is_array(), "{}", boxed[0]);
    std::fs::copy(place.path("s.png"), place.path("n.png")).unwrap();
    let negative = tell(0, &[&one[..], &["--negative", "n.png", "--mask", "s_mask.png"]].concat());
    assert_eq!(negative[0]["negatives"].as_array().map(Vec::len), Some(1));
    assert_ne!(tell(0, &[&classes[..], &["--min-area", "1"]].concat())[0]["mask"], Value::Null);
}

#[test]
#[cfg(target_os = "linux")]
fn lines_of_infer_with_names_that_are_not_utf_8() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let schema = schema(&place, &["infer"]);
    std::fs::create_dir(place.path("in")).unwrap();
    for (from, name) in [("q.png", b"\xff.png"), ("s.png", b"\xfe.png")] {
        std::fs::copy(place.path(from), place.path("in").join(std::ffi::OsStr::from_bytes(name))).unwrap();
    }
    let args =
        [&SUPPORT[..], &["--query", "in", "--output", "out", "--overlay", "out", "--size", "64", "--json", "-q"]]
            .concat();
    let all = lines(&place.run(&[&["infer"], &args[..]].concat()).expect(0, &[]).out);
    assert!(all.len() == 2 && all.iter().all(|line| line.get("mask_bytes").is_some()));
    all.iter().for_each(|line| fits(&schema, line));
}

#[test]
fn banks_and_adapters() {
    let place = Place::new();
    let bank = ["bank", "encode", "--support", "s.png", "--mask", "s_mask.png", "-o", "a.bank", "--size", "64"];
    place.run(&bank).expect(0, &[]);
    let info = lines(&place.run(&["bank", "info", "a.bank", "--json"]).expect(0, &[]).out);
    fits(&schema(&place, &["bank", "info"]), &info[0]);
    let devices = place.run(&["devices", "--json"]).expect(0, &[]).out;
    let (schema, devices): (Value, Value) = (schema(&place, &["devices"]), serde_json::from_str(&devices).unwrap());
    fits(&schema, &devices);
    let mut all = Vec::new();
    let mut first = devices.clone();
    first[0]["more"] = 1.into();
    faults(&schema, &schema, &first, "", &mut all);
    assert_eq!(all.len(), 1, "{all:?}");
    place.run(&["bank", "info"]).expect(2, &["FILE.bank"]);
}
