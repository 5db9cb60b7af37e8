//! One way to compute a kernel: a WGSL shader with its constants, and its requirements on the adapter.

use super::preprocess;

/// A row of a kernel's table.
#[derive(Debug)]
pub struct Form {
    pub name: &'static str,
    /// WGSL with `#import`, `#ifdef` and `#for` lines, entry point `main`; see [`preprocess`].
    pub source: &'static str,
    /// Written into the text as `const NAME = VALUEu;`; the host divides by the same numbers.
    pub consts: &'static [(&'static str, u32)],
    pub needs: Needs,
    /// Its combinations of `#ifdef` symbols, where they differ from its kernel's.
    pub variants: Option<&'static [&'static [&'static str]]>,
    pub stored: Stored,
    /// The summation that the bound of the kernel's twin is derived for.
    pub sums: Sums,
    /// Its error is at most this many times the bound of the kernel's twin. The value is derived, with the derivation beside it; a form
    /// without one does not get in.
    pub growth: f64,
    /// Assumed speed on CPUs and on GPUs, relative to the kernel's other forms, where nothing was measured: [`crate::plan::ByRule`]
    /// compares work / pace.
    pub pace: Pace,
}

/// The number storage that a form accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    Any,
    /// Values and weights in f32 or f16.
    Floats,
    /// Values in f32 only, whatever the weights are.
    F32Values,
    /// Values and weights in f16, which it multiplies directly.
    Halves,
}

/// How a form adds up its products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sums {
    /// As in the kernel's definition, in any order.
    Direct,
    /// By Winograd's algorithm, whose transforms lose some precision.
    Winograd,
}

/// Speed relative to other forms, by the kind of device.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub cpu: f64,
    pub gpu: f64,
}

impl Pace {
    pub fn on(self, device: Device) -> f64 {
        match device {
            Device::Cpu => self.cpu,
            Device::Integrated | Device::Discrete => self.gpu,
        }
    }
}

impl Form {
    /// The only form of a kernel.
    pub const fn plain(source: &'static str) -> Form {
        Form {
            name: "plain",
            source,
            consts: &[],
            needs: Needs::NOTHING,
            variants: None,
            stored: Stored::Any,
            sums: Sums::Direct,
            growth: 1.0,
            pace: Pace { cpu: 1.0, gpu: 1.0 },
        }
    }

    /// The constant of that name.
    ///
    /// # Panics
    /// If the form has none: its row must define what its kernel's recording uses.
    pub fn constant(&self, name: &str) -> u32 {
        let of = self.consts.iter().find(|c| c.0 == name);
        of.unwrap_or_else(|| panic!("form {} has no constant {name}", self.name)).1
    }

    /// The WGSL with `defines` set.
    ///
    /// # Errors
    /// A line that the preprocessor does not understand.
    pub fn text(&self, defines: &[&str]) -> Result<String, String> {
        preprocess(self.source, self.consts, defines)
    }
}

/// A form's requirements beyond those on every adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Size of the smallest subgroup; 0 where the form uses no subgroup operation.
    pub lanes: u32,
    /// Largest subgroup size that is allowed; 0 where any is.
    pub most_lanes: u32,
    /// Size of its square matrices, with f16 factors and f32 sums; 0 where the form uses none.
    pub matrices: u32,
    /// Bytes of workgroup memory, if more than every adapter must have.
    pub workgroup_bytes: u32,
    /// Native f16.
    pub f16: bool,
    /// Whole numbers of 64 bits.
    pub int64: bool,
    /// Whether the driver's range checks must be on or off.
    pub ranges: Ranges,
    /// Makers whose GPUs it is excluded on, with the reason: their compilers generate unusable code for it.
    pub unfit: &'static [(Maker, &'static str)],
}

impl Needs {
    pub const NOTHING: Needs = Needs {
        lanes: 0,
        most_lanes: 0,
        matrices: 0,
        workgroup_bytes: 0,
        f16: false,
        int64: false,
        ranges: Ranges::Any,
        unfit: &[],
    };

    /// The first requirement that an adapter with these facts lacks, if any.
    pub fn lacks(&self, facts: &Facts) -> Option<String> {
        if self.lanes > facts.least_lanes {
            return Some(match self.lanes {
                1 => "the adapter lacks subgroups".into(),
                lanes => format!("the adapter lacks subgroups of {lanes} lanes or more"),
            });
        }
        if self.most_lanes > 0 && self.most_lanes < facts.most_lanes {
            return Some(format!("the adapter may have subgroups of more than {} lanes", self.most_lanes));
        }
        if self.f16 && !facts.f16 {
            return Some("the adapter lacks shader-f16".into());
        }
        if self.int64 && !facts.int64 {
            return Some("the adapter lacks whole numbers of 64 bits".into());
        }
        if self.matrices & facts.matrices != self.matrices {
            return Some(format!(
                "the adapter does not list matrices of {0} x {0} f16 elements with f32 sums",
                self.matrices
            ));
        }
        if self.workgroup_bytes > facts.workgroup_bytes {
            return Some(format!("the adapter lacks {} bytes of workgroup memory", self.workgroup_bytes));
        }
        match (self.ranges, facts.range_checks) {
            (Ranges::Unchecked, true) => {
                return Some("the driver checks ranges, which makes it too slow".into());
            }
            (Ranges::Checked, false) => return Some("the driver does not check ranges".into()),
            _ => {}
        }
        let unfit = self.unfit.iter().find(|(maker, _)| *maker == facts.maker);
        unfit.map(|(maker, why)| format!("it is unfit for {maker:?} GPUs: {why}"))
    }
}

/// What a form or a case requires of the driver's checks that indices lie within their bindings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ranges {
    Any,
    /// It reaches beyond its bindings on purpose.
    Checked,
    /// It only pays without the checks.
    Unchecked,
}

/// The properties of an adapter that the choice of forms depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    pub device: Device,
    /// Cores, compute units or multiprocessors. Counted for a CPU; assumed by the kind of GPU, since no API reports them.
    pub cores: u32,
    /// Size of the smallest subgroup; 0 without subgroups.
    pub least_lanes: u32,
    /// Size of the largest subgroup; 0 without subgroups.
    pub most_lanes: u32,
    /// Sum of the supported sizes of square matrices with f16 factors and f32 sums: 8, 16, 24 (both), or 0.
    pub matrices: u32,
    pub workgroup_bytes: u32,
    /// Native f16.
    pub f16: bool,
    /// Whole numbers of 64 bits.
    pub int64: bool,
    /// The driver checks that indices lie within their bindings.
    pub range_checks: bool,
    pub maker: Maker,
}

/// The maker of a GPU. CPU drivers count as `Other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    Amd,
    Apple,
    Intel,
    Nvidia,
    Qualcomm,
    Other,
}

/// Kinds of device that need different forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    Cpu,
    /// Shares memory and power with a CPU.
    Integrated,
    Discrete,
}

impl Facts {
    /// The minimum that any adapter has.
    pub const LEAST: Facts = Facts {
        device: Device::Integrated,
        cores: 8,
        least_lanes: 0,
        most_lanes: 0,
        matrices: 0,
        workgroup_bytes: 16 * 1024,
        f16: false,
        int64: false,
        range_checks: true,
        maker: Maker::Other,
    };

    /// Facts that satisfy every requirement but that for the driver's checks.
    pub const MOST: Facts = Facts {
        least_lanes: u32::MAX,
        most_lanes: 0,
        matrices: 8 + 16,
        workgroup_bytes: u32::MAX,
        f16: true,
        int64: true,
        range_checks: false,
        ..Facts::LEAST
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_said() {
        let lanes = |lanes| Needs { lanes, ..Needs::NOTHING };
        assert_eq!(Needs::NOTHING.lacks(&Facts::LEAST), None);
        assert!(lanes(8).lacks(&Facts::LEAST).unwrap().contains("8 lanes"));
        assert_eq!(lanes(8).lacks(&Facts { least_lanes: 8, ..Facts::LEAST }), None);
        assert!(lanes(8).lacks(&Facts { least_lanes: 4, ..Facts::LEAST }).is_some());
        let unfit = Needs { unfit: &[(Maker::Nvidia, "it takes long")], ..Needs::NOTHING };
        assert_eq!(unfit.lacks(&Facts { maker: Maker::Amd, ..Facts::LEAST }), None);
        assert!(
            unfit
                .lacks(&Facts { maker: Maker::Nvidia, ..Facts::LEAST })
                .unwrap()
                .contains("Nvidia GPUs: it takes long")
        );
        assert!(Needs { f16: true, ..Needs::NOTHING }.lacks(&Facts::LEAST).unwrap().contains("shader-f16"));
        let int64 = Needs { int64: true, ..Needs::NOTHING };
        assert!(int64.lacks(&Facts::LEAST).unwrap().contains("64 bits") && int64.lacks(&Facts::MOST).is_none());
        let matrices = Needs { matrices: 16, most_lanes: 32, workgroup_bytes: 20_000, ..Needs::NOTHING };
        assert_eq!(matrices.lacks(&Facts::MOST), None);
        assert!(matrices.lacks(&Facts { matrices: 8, ..Facts::MOST }).unwrap().contains("16 x 16"));
        assert!(matrices.lacks(&Facts { most_lanes: 64, ..Facts::MOST }).unwrap().contains("more than 32"));
        assert!(matrices.lacks(&Facts { workgroup_bytes: 16_384, ..Facts::MOST }).unwrap().contains("20000 bytes"));
        let unchecked = Facts { range_checks: false, ..Facts::LEAST };
        let ranges = |ranges| Needs { ranges, ..Needs::NOTHING };
        assert!(ranges(Ranges::Unchecked).lacks(&Facts::LEAST).unwrap().contains("checks ranges"));
        assert!(ranges(Ranges::Checked).lacks(&unchecked).unwrap().contains("does not check ranges"));
        assert_eq!(ranges(Ranges::Unchecked).lacks(&unchecked), None);
        assert_eq!(ranges(Ranges::Checked).lacks(&Facts::LEAST), None);
    }
}
