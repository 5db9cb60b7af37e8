//! Adapts the SPIR-V of shaders with cooperative matrices to Vulkan's memory model.
//!
//! These shaders need that model. In it a barrier orders only accesses marked `NonPrivatePointer`, and makes them available and visible
//! only if its semantics say so. naga writes neither (https://github.com/gfx-rs/wgpu/issues/8805), so an invocation might never see what
//! another has written to workgroup memory. This module adds both to naga's output. Storage accesses need neither: no invocation reads from
//! storage what another wrote in the same dispatch.

use naga::back::spv;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use std::collections::{HashMap, HashSet};

/// Translates `wgsl` with naga, with or without checks, using wgpu's settings, and marks the result.
///
/// # Errors
/// naga rejects the text.
pub(crate) fn translate(wgsl: &str, version: (u8, u8), checked: bool) -> Result<Vec<u32>, String> {
    let module = naga::front::wgsl::parse_str(wgsl).map_err(|e| e.emit_to_string(wgsl))?;
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
    let info = validator.validate(&module).map_err(|e| e.emit_to_string(wgsl))?;
    write(&module, &info, version, checked)
}

/// Like the above, for a module that naga has parsed.
///
/// # Errors
/// naga cannot write the module.
pub(crate) fn write(
    module: &naga::Module,
    info: &naga::valid::ModuleInfo,
    lang_version: (u8, u8),
    checked: bool,
) -> Result<Vec<u32>, String> {
    let checks = if checked { BoundsCheckPolicy::Restrict } else { BoundsCheckPolicy::Unchecked };
    let options = spv::Options {
        lang_version,
        force_loop_bounding: checked,
        emit_int_div_checks: checked,
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        bounds_check_policies: BoundsCheckPolicies { index: checks, buffer: checks, ..Default::default() },
        // There is only one stage, so nothing passes between stages.
        use_storage_input_output_16: false,
        ..Default::default()
    };
    let pipeline = spv::PipelineOptions { shader_stage: naga::ShaderStage::Compute, entry_point: "main".into() };
    let words = spv::write_vec(module, info, &options, Some(&pipeline)).map_err(|e| e.to_string())?;
    marked(&words)
}

const HEADER: usize = 5;
/// Index in the header of the bound that all ids are below.
const BOUND: usize = 3;

// SPIR-V opcodes, storage classes and masks.
const MEMORY_MODEL: u32 = 14;
const TYPE_POINTER: u32 = 32;
const CONSTANT: u32 = 43;
const FUNCTION_PARAMETER: u32 = 55;
const VARIABLE: u32 = 59;
const LOAD: u32 = 61;
const STORE: u32 = 62;
const ACCESS_CHAIN: u32 = 65;
const IN_BOUNDS_ACCESS_CHAIN: u32 = 66;
const CONTROL_BARRIER: u32 = 224;
const MEMORY_BARRIER: u32 = 225;
const COOPERATIVE_LOAD: u32 = 4457;
const COOPERATIVE_STORE: u32 = 4458;
const VULKAN: u32 = 3;
const WORKGROUP: u32 = 4;
const NON_PRIVATE_POINTER: u32 = 0x20;
const MAKE_AVAILABLE_AND_VISIBLE: u32 = 0x2000 | 0x4000;

/// Iterates over the instructions; the first word of each holds its opcode.
fn instructions(words: &[u32]) -> Result<Vec<&[u32]>, String> {
    let mut rest = words.get(HEADER..).ok_or("a module without a header")?;
    let mut all = Vec::new();
    while let Some(first) = rest.first() {
        let (instruction, after) =
            rest.split_at_checked((first >> 16) as usize).ok_or("an instruction without an end")?;
        if instruction.is_empty() {
            return Err("an instruction of no words".into());
        }
        all.push(instruction);
        rest = after;
    }
    Ok(all)
}

fn number(instruction: &[u32]) -> u32 {
    instruction[0] & 0xffff
}

/// Marks the accesses to workgroup memory and the barriers. Modules of another memory model stay unchanged.
fn marked(words: &[u32]) -> Result<Vec<u32>, String> {
    let all = instructions(words)?;
    if !all.iter().any(|i| number(i) == MEMORY_MODEL && i[2] == VULKAN) {
        return Ok(words.to_vec());
    }
    let (mut types, mut shared) = (HashSet::new(), HashSet::new());
    let mut bound = words[BOUND];
    // Barriers get constants of their own, because naga's may also serve as an index.
    let mut semantics = HashMap::new();
    for &i in &all {
        match number(i) {
            TYPE_POINTER if i[2] == WORKGROUP => drop(types.insert(i[1])),
            VARIABLE | ACCESS_CHAIN | IN_BOUNDS_ACCESS_CHAIN | FUNCTION_PARAMETER if types.contains(&i[1]) => {
                shared.insert(i[2]);
            }
            CONTROL_BARRIER | MEMORY_BARRIER => {
                semantics.entry(i[i.len() - 1]).or_insert_with(|| {
                    bound += 1;
                    bound - 1
                });
            }
            _ => {}
        }
    }
    let mut out = words[..HEADER].to_vec();
    out[BOUND] = bound;
    for i in all {
        let mut one = i.to_vec();
        // Which word is the pointer, and how many words precede the memory operands.
        let access = match number(i) {
            LOAD => Some((3, 4)),
            STORE => Some((1, 3)),
            COOPERATIVE_LOAD => Some((3, 6)),
            COOPERATIVE_STORE => Some((1, 5)),
            _ => None,
        };
        if let Some((_, before)) = access.filter(|&(pointer, _)| shared.contains(&i[pointer])) {
            match one.get_mut(before) {
                Some(operands) => *operands |= NON_PRIVATE_POINTER,
                None => one.push(NON_PRIVATE_POINTER),
            }
        }
        if [CONTROL_BARRIER, MEMORY_BARRIER].contains(&number(i)) {
            let last = one.len() - 1;
            one[last] = semantics[&one[last]];
        }
        one[0] = (one.len() as u32) << 16 | number(i);
        out.extend(one);
        if let Some(&own) = semantics.get(&i[2.min(i.len() - 1)]).filter(|_| number(i) == CONSTANT) {
            out.extend([i[0], i[1], own, i[3] | MAKE_AVAILABLE_AND_VISIBLE]);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
enable f16;
enable wgpu_cooperative_matrix;
var<workgroup> tile: array<f16, 64>;
@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(32) fn main(@builtin(local_invocation_index) t: u32) {
    tile[t] = f16(out[264u]);
    workgroupBarrier();
    let a = coopLoadT<coop_mat8x8<f16, A>>(&tile[0], 8u);
    let b = coopLoadT<coop_mat8x8<f16, B>>(&tile[0], 8u);
    coopStoreT(coopMultiplyAdd(a, b, coop_mat8x8<f32, C>()), &out[0], 8u);
    out[t] += f32(tile[t + 1u]);
}";

    fn of(words: &[u32], wanted: u32) -> Vec<Vec<u32>> {
        instructions(words).unwrap().into_iter().filter(|i| number(i) == wanted).map(<[u32]>::to_vec).collect()
    }

    #[test]
    fn workgroup_memory_and_barriers_are_marked() {
        let words = translate(TEXT, (1, 3), false).unwrap();
        let operands =
            |kind, before: usize| of(&words, kind).iter().map(|i| i.get(before).copied()).collect::<Vec<_>>();
        let marked = Some(NON_PRIVATE_POINTER);
        assert_eq!(operands(COOPERATIVE_LOAD, 6), [marked; 2]);
        assert_eq!(operands(COOPERATIVE_STORE, 5), [None], "storage");
        assert_eq!(operands(STORE, 3).iter().filter(|o| **o == marked).count(), 1, "the tile alone");
        assert_eq!(operands(LOAD, 4).iter().filter(|o| **o == marked).count(), 1, "the tile alone");
        let [barrier] = &of(&words, CONTROL_BARRIER)[..] else { panic!("one barrier") };
        let constants = of(&words, CONSTANT);
        let constant = |id| constants.iter().find(|i| i[2] == id).map(|i| i[3]);
        assert_eq!(constant(barrier[3]), Some(0x108 | MAKE_AVAILABLE_AND_VISIBLE));
        // The constant that serves as an index is unchanged.
        assert!(constants.iter().any(|i| i[3] == 264) && barrier[3] < words[BOUND]);
    }

    #[test]
    fn other_modules_stay_and_broken_ones_are_refused() {
        let plain = "@compute @workgroup_size(1) fn main() { workgroupBarrier(); }";
        let words = translate(plain, (1, 3), false).unwrap();
        assert_eq!(marked(&words).unwrap(), words);
        assert!(marked(&words[..3]).is_err() && marked(&[&words[..], &[9 << 16]].concat()).is_err());
        assert!(marked(&[&words[..], &[0]].concat()).is_err());
    }
}
