//! Figures of GPU vendors' compilers for the page: the `vendors.json` of tools/vendors.py, from an untrusted file.

use super::read::ReportError;
use crate::files::read_regular;
use crate::shown;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Byte limit; a real file has some 0.5 MB.
const LONGEST: u64 = 1 << 24;
/// Limits of devices, and of forms over all kernels: the page has a cell for each pair.
const MOST: usize = 1024;

/// The figures of several devices, in the page's format.
#[derive(Debug)]
pub struct Compiled(pub(super) Value);

#[derive(Deserialize)]
struct File {
    columns: Vec<String>,
    devices: Map<String, Value>,
}

#[derive(Deserialize)]
struct Device {
    is: String,
    driver: String,
    pipelines: Vec<Vec<Value>>,
}

/// Reads `vendors.json`.
///
/// # Errors
/// [`ReportError`]: the file cannot be read or has another format.
pub fn read_compiled(path: &Path) -> Result<Compiled, ReportError> {
    let none = |reason: String| ReportError::NotCompiled { path: path.to_owned(), reason };
    let read = read_regular(path, LONGEST).map_err(|cause| ReportError::Read { path: path.to_owned(), cause })?;
    let bytes = read.ok_or_else(|| none(format!("it exceeds {LONGEST} bytes")))?;
    let file: File = serde_json::from_slice(&bytes).map_err(|e| none(shown::text(&e.to_string())))?;
    file.matrix().map(Compiled).map_err(|reason| none(shown::text(&reason)))
}

impl File {
    /// The devices, and for each kernel, form and device the worst of the variants: registers, waves, bytes of code, spills, and whether a
    /// model runs it; or a text if it was skipped.
    fn matrix(&self) -> Result<Value, String> {
        let place = |name: &str| {
            self.columns.iter().position(|column| column == name).ok_or(format!("it has no column {name}"))
        };
        let [kernel, form, models, left_out] = [place("kernel")?, place("form")?, place("models")?, place("left_out")?];
        let figures = [place("registers")?, place("waves")?, place("code_bytes")?, place("spills")?];
        if self.devices.len() > MOST {
            return Err(format!("it has more than {MOST} devices"));
        }
        let (mut devices, mut lines) = (Vec::new(), BTreeMap::<(String, String), Vec<Value>>::new());
        for (i, (name, device)) in self.devices.iter().enumerate() {
            let device: Device = Device::deserialize(device).map_err(|e| format!("{name}: {e}"))?;
            for row in device.pipelines {
                let text = |at: usize| row.get(at).and_then(Value::as_str).unwrap_or_default().to_owned();
                let line = lines.entry((text(kernel), text(form))).or_default();
                line.resize(self.devices.len(), Value::Null);
                let numbers = figures.map(|at| row.get(at).and_then(Value::as_f64));
                let run = row.get(models).and_then(Value::as_array).is_some_and(|models| !models.is_empty());
                line[i] = worse(line[i].take(), numbers, run, text(left_out));
                if lines.len() > MOST {
                    return Err(format!("it has more than {MOST} forms"));
                }
            }
            devices.push(json!({"name": name, "is": device.is, "driver": device.driver}));
        }
        let forms = lines.into_iter().map(|((kernel, form), cells)| json!([kernel, form, cells]));
        Ok(json!({"devices": devices, "forms": forms.collect::<Vec<_>>()}))
    }
}

/// Merges one more pipeline into a cell.
fn worse(cell: Value, [registers, waves, code, spills]: [Option<f64>; 4], run: bool, left_out: String) -> Value {
    let Some(registers) = registers else {
        return if cell.is_null() && !left_out.is_empty() { left_out.into() } else { cell };
    };
    let before = |at: usize| cell.get(at).and_then(Value::as_f64);
    let most = |at: usize, now: Option<f64>| before(at).into_iter().chain(now).reduce(f64::max);
    let least = before(1).into_iter().chain(waves).reduce(f64::min);
    let run = run || cell.get(4).and_then(Value::as_bool).unwrap_or(false);
    json!([most(0, Some(registers)), least, most(2, code), most(3, spills), run])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(pipelines: Value) -> Result<Value, String> {
        let columns = json!(["kernel", "form", "models", "left_out", "registers", "waves", "code_bytes", "spills"]);
        let device = json!({"is": "A GPU", "driver": "some 1.2", "pipelines": pipelines});
        let all = json!({"columns": columns, "devices": {"radv@some": device}});
        serde_json::from_value::<File>(all).map_err(|e| e.to_string())?.matrix()
    }

    #[test]
    fn a_cell_is_the_worst_of_its_pipelines() {
        let rows = json!([
            ["conv2d", "plain", [], null, 24.0, 16.0, 800.0, 0.0],
            ["conv2d", "plain", ["sd21/f32"], null, 32.0, 8.0, 700.0, 2.0],
            ["conv2d", "plain", [], "the adapter lacks shader-f16", null, null, null, null],
            ["conv2d", "wide", [], "no subgroups", null, null, null, null]
        ]);
        let forms = compiled(rows).unwrap()["forms"].take();
        assert_eq!(
            forms,
            json!([["conv2d", "plain", [[32.0, 8.0, 800.0, 2.0, true]]], ["conv2d", "wide", ["no subgroups"]]])
        );
    }

    #[test]
    fn anything_may_be_in_the_file() {
        assert!(compiled(json!([[], [1, 2], ["conv2d"]])).is_ok());
        assert!(compiled(json!({})).is_err());
        let forms: Vec<Value> = (0..=MOST).map(|i| json!([i.to_string()])).collect();
        assert!(compiled(json!(forms)).unwrap_err().contains("forms"));
        assert!(serde_json::from_value::<File>(json!({"columns": [], "devices": {}})).unwrap().matrix().is_err());
    }
}
