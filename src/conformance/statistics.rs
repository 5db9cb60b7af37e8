//! Maps the statistics that drivers report, each under names of its own, to common names.

use crate::gpu::Code;
use serde::Serialize;

/// Statistics of a pipeline's code, as far as the driver reports them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Subgroup size, as the compiler chose it.
    pub lanes: Option<f64>,
    /// Registers per lane. Apple's have 16 bits, Qualcomm's are four of 32. On Intel, the 256-bit registers that a subgroup needs at once.
    pub registers: Option<f64>,
    /// Registers spilled to memory, or on AMD to lanes of others. On Qualcomm, stores to a lane's private memory.
    pub spills: Option<f64>,
    /// Bytes of private memory per lane, as the driver counts them.
    pub scratch: Option<f64>,
    /// Subgroups that a SIMD (AMD), a scheduler (NVIDIA) or a core holds at once, limited by registers; on AMD by workgroup memory, too.
    pub waves: Option<f64>,
    pub instructions: Option<f64>,
    pub code_bytes: Option<f64>,
    /// Cycles of one pass through the code, with estimated loop counts.
    pub cycles: Option<f64>,
}

/// The driver's names of one figure: the values present are added, and each is multiplied by its factor.
type Names = &'static [(&'static str, f64)];

const REGISTERS: Names =
    &[("VGPRs", 1.0), ("Number of GPRs", 1.0), ("Registers used", 1.0), ("GPRs", 1.0), ("Max live registers", 1.0)];
const SPILLS: Names =
    &[("Spilled SGPRs", 1.0), ("Spilled VGPRs", 1.0), ("Spills to memory", 1.0), ("STP Count", 1.0), ("Spills", 1.0)];
const SCRATCH: Names = &[("Scratch size", 1.0), ("SLM size", 1.0), ("Scratch", 1.0), ("Scratch Memory Size", 1.0)];
// A multiprocessor has four schedulers. Apple's driver counts threads, 32 per subgroup.
const WAVES: Names =
    &[("Subgroups per SIMD", 1.0), ("Max warps/SM", 0.25), ("Max Waves Per Core", 1.0), ("Threads", 1.0 / 32.0)];
const INSTRUCTIONS: Names = &[("Instructions", 1.0), ("Instruction count", 1.0), ("Instruction Count", 1.0)];
const CODE_SIZE: Names = &[("Code size", 1.0)];
const CYCLES: Names = &[("Latency", 1.0), ("Static cycle count", 1.0), ("ALU", 1.0), ("Cycles", 1.0)];

/// The figures of a pipeline, which has a single executable on all known drivers.
pub fn figures(code: &[Code]) -> Figures {
    let Some(code) = code.first() else { return Figures::default() };
    let of = |names: Names| {
        let known = names.iter().filter_map(|(name, times)| {
            code.values.iter().find(|(has, _)| has == name).map(|(_, value)| times * value)
        });
        known.reduce(|a, b| a + b)
    };
    // Qualcomm's driver counts words under the name that others use for bytes.
    let in_words = code.values.iter().any(|(name, _)| name == "Max Waves Per Core");
    Figures {
        lanes: Some(code.lanes.into()),
        registers: of(REGISTERS),
        spills: of(SPILLS),
        scratch: of(SCRATCH),
        waves: of(WAVES),
        instructions: of(INSTRUCTIONS),
        code_bytes: of(CODE_SIZE).map(|size| if in_words { 4.0 * size } else { size }),
        cycles: of(CYCLES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_drivers_names_are_known() {
        let of = |values: &[(&str, f64)]| {
            let values = values.iter().map(|(name, value)| (name.to_string(), *value)).collect();
            figures(&[Code { name: "main".into(), lanes: 32, values }])
        };
        let amd = of(&[("VGPRs", 84.0), ("Spilled SGPRs", 2.0), ("Spilled VGPRs", 3.0), ("Subgroups per SIMD", 3.0)]);
        assert_eq!((amd.registers, amd.spills, amd.waves, amd.scratch), (Some(84.0), Some(5.0), Some(3.0), None));
        let nvidia = of(&[("Max warps/SM", 20.0), ("Spills to reg", 3.0), ("Spills to memory", 0.0)]);
        assert_eq!((nvidia.waves, nvidia.spills), (Some(5.0), Some(0.0)));
        assert_eq!(of(&[("Threads", 448.0)]).waves, Some(14.0));
        let intel =
            of(&[("Max live registers", 138.0), ("Spills", 12.0), ("Fills", 26.0), ("Scratch Memory Size", 1024.0)]);
        assert_eq!((intel.registers, intel.spills, intel.scratch), (Some(138.0), Some(12.0), Some(1024.0)));
        let code_bytes = |waves| of(&[("Code size", 10.0), (waves, 8.0)]).code_bytes;
        assert_eq!((code_bytes("Max Waves Per Core"), code_bytes("Subgroups per SIMD")), (Some(40.0), Some(10.0)));
        assert_eq!(figures(&[]), Figures::default());
    }
}
