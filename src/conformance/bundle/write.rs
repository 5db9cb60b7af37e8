//! Writes a case to a file.

use super::super::dump;
use super::super::on::{finish, open};
use super::super::options::Options;
use super::super::report::{Adapter, Row};
use super::super::suite::{Entry, Work, cases, entries};
use super::{CASE, DispatchOf, ELEMENTS, ElementOf, FORMAT, Manifest, Role, TensorOf, WindowOf};
use crate::check::bound::{Allowed, Range};
use crate::check::{Outcome, Prepared, Twins, prepare, run_prepared};
use crate::gpu::{AdapterChoice, AdapterFacts, Gpu};
use crate::plan::{Dispatch, Element, Tensor, TensorId, Window, layout};
use flate2::{Compression, write::GzEncoder};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;

/// A case prepared for an adapter.
pub struct Captured {
    gpu: Gpu,
    prepared: Prepared,
    row: Row,
    adapter: Adapter,
    form: &'static str,
    strict: bool,
}

/// Prepares a case, given its id, without running it.
///
/// # Errors
/// No case has this id, it is a whole-model case, the adapter lacks what it needs, or there is no device.
pub fn capture(facts: &AdapterFacts, choice: &AdapterChoice, options: &Options, id: &str) -> Result<Captured, String> {
    let all = entries(&Options { full: true, ..Options::default() });
    let entry: &Entry = all.iter().find(|e| e.id == id).ok_or_else(|| format!("no case has the id {id}"))?;
    let Work::Case(i, form) = entry.work else {
        return Err(format!("{id} runs the whole model; a report contains a single kernel's case"));
    };
    let (_, case) = &cases()[i];
    let gpu = open(facts, choice, options)?;
    if let Some(reason) = case.lacks(&gpu, entry.storage, form) {
        return Err(format!("{id}: {reason}"));
    }
    let prepared = prepare(&gpu, case, entry.storage, form, options.seed, &mut Twins::default())?;
    let adapter = Adapter::new(facts, options.made());
    Ok(Captured { gpu, prepared, row: entry.row(facts), adapter, form: form.name, strict: options.strict })
}

impl Captured {
    /// The file before the case is run, which remains if the driver ends the process.
    ///
    /// # Errors
    /// The shaders cannot be translated.
    pub fn before(&self) -> Result<Vec<u8>, String> {
        self.packed(&HashMap::new())
    }

    /// Runs it. Returns its outcome, and the file with the results.
    ///
    /// # Errors
    /// As [`Captured::before`].
    pub fn run(&mut self) -> Result<(&Row, Vec<u8>), String> {
        let mut got = HashMap::new();
        let mut outcome = Outcome::new(&self.row.id, "captured", self.prepared.schedule.recording.storage, self.form);
        let mut seen = |tensor: &Tensor, bytes: &[u8]| drop(got.insert(tensor.id, bytes.to_vec()));
        let result = run_prepared(&self.gpu, &self.row.id, self.prepared.clone(), &mut outcome, &mut seen);
        outcome.fault = result.err();
        self.row = Row { variant: self.prepared.variant(), ..finish(self.row.clone(), self.strict, outcome) };
        let packed = self.packed(&got)?;
        Ok((&self.row, packed))
    }

    fn packed(&self, got: &HashMap<TensorId, Vec<u8>>) -> Result<Vec<u8>, String> {
        let tensors = self.tensors();
        let number: HashMap<TensorId, usize> = tensors.iter().enumerate().map(|(i, t)| (t.0.id, i)).collect();
        let mut files: Vec<(String, Vec<u8>)> = Vec::new();
        let (dispatches, shaders) = self.dispatches(&number)?;
        let manifest = Manifest {
            format: FORMAT,
            made: self.adapter.made.clone(),
            adapter: self.adapter.clone(),
            row: self.row.clone(),
            tensors: tensors.iter().map(|(tensor, role)| described(tensor, *role)).collect(),
            dispatches,
        };
        files.push(("README.md".into(), self.readme(&manifest).into_bytes()));
        files.push((CASE.into(), serde_json::to_vec_pretty(&manifest).map_err(|e| e.to_string())?));
        files.extend(shaders);
        for (tensor, bytes) in &self.prepared.data {
            files.push((format!("data/{}.bin", number[&tensor.id]), bytes.clone()));
        }
        for (tensor, expected) in &self.prepared.expected {
            let came = got.get(&tensor.id);
            let values = came.map(|bytes| layout::from_bytes(tensor, bytes));
            let mut text = String::from(ELEMENTS);
            for (index, Allowed { value, wgsl, strict }) in expected {
                let came = values.as_ref().map_or(String::new(), |values| format!("{:e}", values[*index]));
                let range = |r: &Range| format!("{:e},{:e},{:e}", r.low, r.high, r.scale);
                // Writing to a String cannot fail.
                let _ = write!(text, "\n{index},{value:e},{},{},{came}", range(wgsl), range(strict));
            }
            text.push('\n');
            files.push((format!("elements/{}.csv", number[&tensor.id]), text.into_bytes()));
            files.extend(came.map(|bytes| (format!("got/{}.bin", number[&tensor.id]), bytes.clone())));
        }
        tarred(files).map_err(|e| e.to_string())
    }

    /// All tensors that a dispatch binds, in the order of first use.
    fn tensors(&self) -> Vec<(Tensor, Role)> {
        let role = |tensor: &Tensor| {
            if self.prepared.data.iter().any(|(t, _)| t.id == tensor.id) {
                Role::Input
            } else if self.prepared.expected.iter().any(|(t, _)| t.id == tensor.id) {
                Role::Output
            } else {
                Role::Between
            }
        };
        let mut all: Vec<(Tensor, Role)> = Vec::new();
        let bound = self.prepared.schedule.dispatches().iter().flat_map(|d| d.inputs.iter().chain(&d.outputs));
        let given = self.prepared.data.iter().map(|(tensor, _)| tensor);
        let asked = self.prepared.expected.iter().map(|(tensor, _)| tensor);
        for tensor in bound.map(|window| &window.tensor).chain(given).chain(asked) {
            if !all.iter().any(|(other, _)| other.id == tensor.id) {
                all.push((tensor.clone(), role(tensor)));
            }
        }
        all
    }

    #[allow(clippy::type_complexity)]
    fn dispatches(
        &self,
        number: &HashMap<TensorId, usize>,
    ) -> Result<(Vec<DispatchOf>, Vec<(String, Vec<u8>)>), String> {
        let storage = self.prepared.schedule.recording.storage;
        let mut shaders: HashMap<String, String> = HashMap::new();
        let (mut files, mut all) = (Vec::new(), Vec::new());
        let window = |w: &Window| WindowOf { tensor: number[&w.tensor.id], offset: w.offset, size: w.size };
        for dispatch in self.prepared.schedule.dispatches() {
            let Dispatch { kernel, form, defines, .. } = dispatch;
            let symbols: Vec<&str> = defines.iter().copied().chain(storage.defines()).collect();
            let text = form.text(&symbols)?;
            if !shaders.contains_key(&text) {
                let stem = format!("{}-{}", shaders.len(), kernel.name);
                for (extension, bytes) in dump::texts(dispatch, &text)? {
                    files.push((format!("shaders/{stem}.{extension}"), bytes));
                }
                shaders.insert(text.clone(), stem);
            }
            all.push(DispatchOf {
                shader: shaders[&text].clone(),
                kernel: kernel.name.into(),
                form: form.name.into(),
                defines: symbols.iter().map(|s| s.to_string()).collect(),
                inputs: dispatch.inputs.iter().map(window).collect(),
                outputs: dispatch.outputs.iter().map(window).collect(),
                params: bytemuck::pod_collect_to_vec(&dispatch.params),
                names: kernel.params.iter().map(|name| name.to_string()).collect(),
                workgroups: dispatch.workgroups,
                work: dispatch.flops + dispatch.padding,
            });
        }
        Ok((all, files))
    }

    fn readme(&self, manifest: &Manifest) -> String {
        let (row, adapter) = (&self.row, &self.adapter);
        let translation = match adapter.backend.as_str() {
            "vulkan" => "the .spv",
            "metal" => "the .metal",
            "dx12" => "the .hlsl",
            _ => "GLSL, which these files do not include,",
        };
        let ratio = row.ratio.map_or("not a number".into(), |ratio| format!("{ratio}"));
        let ended = match row.status {
            super::super::Status::NotRun => "not run yet: the process may have ended while it ran".into(),
            status => format!("{status:?}, worst error / bound {ratio}"),
        };
        let tensors: String = manifest.tensors.iter().enumerate().fold(String::new(), |mut text, (i, tensor)| {
            let role = match tensor.role {
                Role::Input => "read",
                Role::Output => "compared",
                Role::Between => "between",
            };
            let (h, w, c) = (tensor.height, tensor.width, tensor.channels.iter().sum::<u32>());
            let _ = writeln!(text, "| {i} | {} | [{h}, {w}, {c}] | {role} |", tensor.name);
            text
        });
        let mut text = include_str!("README.in.md").to_owned();
        let facts = format!(
            "{} ({}, {}, device {})",
            adapter.name,
            adapter.driver,
            adapter.backend,
            adapter.device_id().unwrap_or_default()
        );
        for (word, with) in [
            ("@ID@", row.id.clone()),
            ("@TITLE@", row.case.clone()),
            ("@ENDED@", ended),
            ("@PLACE@", row.place.clone()),
            ("@REASON@", row.reason.clone().unwrap_or_else(|| "-".into())),
            ("@ADAPTER@", facts),
            ("@MACHINE@", adapter.machine.clone()),
            ("@VERSION@", format!("{} {}", adapter.made.version, adapter.made.commit)),
            ("@SEED@", adapter.made.seed.to_string()),
            ("@TRANSLATION@", translation.into()),
            ("@TENSORS@", tensors),
            ("@DISPATCHES@", manifest.dispatches.len().to_string()),
        ] {
            text = text.replace(word, &with);
        }
        text
    }
}

fn described(tensor: &Tensor, role: Role) -> TensorOf {
    TensorOf {
        name: tensor.name.to_string(),
        height: tensor.height,
        width: tensor.width,
        channels: tensor.channels.segments().to_vec(),
        element: match tensor.element {
            Element::F32 => ElementOf::F32,
            Element::Packed => ElementOf::Packed,
            Element::F16 => ElementOf::F16,
            Element::Q8 => ElementOf::Q8,
        },
        role,
    }
}

fn tarred(files: Vec<(String, Vec<u8>)>) -> io::Result<Vec<u8>> {
    let mut all = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        all.append_data(&mut header, format!("case/{name}"), bytes.as_slice())?;
    }
    all.into_inner()?.finish()
}
