//! Every kernel, variant and storage in the languages of backends that this machine may lack: HLSL for DX12, MSL for Metal. Translation
//! only; `tools/dxc` compiles the HLSL with DXC.

#[path = "common/shaders.rs"]
mod shaders;

use diffews_wgpu::shader::Ranges;
use naga::back::hlsl::ShaderModel;
use shaders::{all, hlsl, msl, of_hlsl, parse, workgroup_bytes};

/// Lowest limits of the Metal feature sets that wgpu supports (Metal feature set table, Apple4 and Mac2): buffers per function, bytes of
/// threadgroup memory, threads per threadgroup of Apple GPUs' weakest pipelines.
const METAL_BUFFERS: u8 = 31;
const METAL_THREADGROUP_MEMORY: u32 = 32 * 1024;
const METAL_THREADS: u32 = 512;
/// The engine's requirements on every adapter (WGSL's own default limits are 256 invocations and 8 storage buffers).
const INVOCATIONS: u32 = 256;
const STORAGE_BUFFERS: usize = 8;

/// The host writes parameters by these names and offsets.
#[test]
fn parameters_are_those_of_the_host() {
    for shader in all() {
        let (module, _) = parse(&shader);
        let uniform = module.global_variables.iter().find(|(_, v)| v.space == naga::AddressSpace::Uniform).unwrap().1;
        let naga::TypeInner::Struct { members, .. } = &module.types[uniform.ty].inner else {
            panic!("{}: its parameters are not a struct", shader.name)
        };
        let names: Vec<&str> = members.iter().map(|m| m.name.as_deref().unwrap_or("")).collect();
        assert_eq!(names, shader.kernel.params, "{}", shader.name);
        for (i, member) in members.iter().enumerate() {
            let number = matches!(&module.types[member.ty].inner, naga::TypeInner::Scalar(s) if s.width == 4);
            assert!(number && member.offset == 4 * i as u32, "{}: {}", shader.name, names[i]);
        }
    }
}

#[test]
fn every_shader_becomes_hlsl() {
    let mut translated = 0;
    for shader in of_hlsl() {
        let (module, info) = parse(&shader);
        // FXC, which every Windows has, supports 5.1: no native f16, no subgroups.
        let old = !shader.defines.contains(&"F16") && shader.form.needs.lanes == 0;
        let models = [ShaderModel::V6_2, ShaderModel::V6_4, ShaderModel::V6_6];
        for model in models.into_iter().chain(old.then_some(ShaderModel::V5_1)) {
            for checked in [true, false] {
                let text = hlsl(&module, &info, model, checked).unwrap_or_else(|e| panic!("{}: {e}", shader.name));
                assert!(text.contains("void main("), "{}: no entry point", shader.name);
                // Native f16 must be kept: without 16-bit types, `half` would be 32 bits wide.
                assert_eq!(
                    shader.wgsl.contains("f16>"),
                    text.contains("half"),
                    "{}: native halves lost or gained",
                    shader.name
                );
                let barriers = shader.wgsl.matches("workgroupBarrier()").count();
                assert_eq!(text.matches("GroupMemoryBarrierWithGroupSync()").count(), barriers, "{}", shader.name);
                translated += 1;
            }
        }
    }
    println!("{translated} translations");
    assert!(translated > 0);
}

#[test]
fn every_shader_becomes_msl_within_metals_limits() {
    let mut translated = 0;
    for shader in all() {
        let (module, info) = parse(&shader);
        let memory = workgroup_bytes(&module);
        assert!(memory <= METAL_THREADGROUP_MEMORY, "{}: {memory} bytes of workgroup memory", shader.name);
        let [x, y, z] = module.entry_points[0].workgroup_size;
        assert!(x * y * z <= METAL_THREADS, "{}: {x}x{y}x{z} threads", shader.name);
        for version in [(2, 3), (2, 4), (3, 0), (3, 1)] {
            for checked in [true, false] {
                let (text, buffers) =
                    msl(&module, &info, version, checked).unwrap_or_else(|e| panic!("{}: {e}", shader.name));
                assert!(text.contains("kernel void main_("), "{}: no entry point", shader.name);
                assert!(buffers <= METAL_BUFFERS, "{}: {buffers} buffers", shader.name);
                let barriers = shader.wgsl.matches("workgroupBarrier()").count();
                assert_eq!(text.matches("mem_flags::mem_threadgroup").count(), barriers, "{}", shader.name);
                translated += 1;
            }
        }
    }
    println!("{translated} translations");
    assert!(translated > 0);
}

/// The requirements on adapters cover every shader.
#[test]
fn every_shader_keeps_to_the_limits_that_adapters_are_checked_for() {
    for shader in all() {
        let (module, _) = parse(&shader);
        let [x, y, z] = module.entry_points[0].workgroup_size;
        assert!(x * y * z <= INVOCATIONS, "{}: {x}x{y}x{z} invocations", shader.name);
        let most = shader.form.needs.workgroup_bytes.max(16 * 1024);
        assert!(workgroup_bytes(&module) <= most, "{}", shader.name);
        let storage = |v: &naga::GlobalVariable| matches!(v.space, naga::AddressSpace::Storage { .. });
        let count = module.global_variables.iter().filter(|(_, v)| storage(v)).count();
        assert!(count <= STORAGE_BUFFERS, "{}: {count} storage buffers", shader.name);
    }
}

/// Features that translators silently change: HLSL has no fma, and `num_workgroups` needs a binding of its own there.
#[test]
fn no_shader_uses_what_backends_translate_differently() {
    for shader in all() {
        // A form for a single driver is never translated for others.
        let everywhere = shader.form.needs.ranges != Ranges::Unchecked;
        for word in ["fma(", "num_workgroups", "tanh("].into_iter().filter(|word| everywhere || *word != "fma(") {
            assert!(!shader.wgsl.contains(word), "{} uses {word}", shader.name);
        }
    }
}
