//! One way to compute a kernel: a WGSL text with its constants, and what an adapter must have for it.

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
    /// Its combinations of `#ifdef` symbols, where they are not its kernel's.
    pub variants: Option<&'static [&'static [&'static str]]>,
    pub stored: Stored,
    /// What the bound of the kernel's twin is derived from.
    pub sums: Sums,
    /// Its error is at most this many times the bound of the kernel's twin. Derived, and the derivation written beside it; a form
    /// that has none does not get in.
    pub growth: f64,
    /// How fast it goes on CPUs and on GPUs where nothing was measured, relative to the kernel's other forms: work / pace is
    /// what [`crate::plan::ByRule`] compares.
    pub pace: Pace,
}

/// What a form takes of how numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    Any,
    /// Values in f32 alone, however weights are.
    F32Values,
    /// Values and weights in halves, which it multiplies as they are.
    Halves,
}

/// How a form adds up its products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sums {
    /// As the kernel's definition has them, in any order.
    Direct,
    /// By Winograd's algorithm, whose transforms lose some.
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
    /// The only form of a kernel that has one.
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
    /// If the form has none: its row lacks what its kernel's recording asks for.
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

/// What an adapter must have for a form, beyond what every adapter is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Lanes of its smallest subgroup; 0 where the form has no subgroup operation.
    pub lanes: u32,
    /// Lanes of its largest subgroup at most; 0 where the form does not ask.
    pub most_lanes: u32,
    /// The side of matrices of halves whose products subgroups add up in f32; 0 where the form has none.
    pub matrices: u32,
    /// Bytes of workgroup memory, where they are more than every adapter is asked for.
    pub workgroup_bytes: u32,
    /// Native halves.
    pub f16: bool,
    /// Of the driver's range checks.
    pub ranges: Ranges,
    /// On whose GPUs it is left out, and why: what their compilers make of it is of no use there.
    pub unfit: &'static [(Maker, &'static str)],
}

impl Needs {
    pub const NOTHING: Needs =
        Needs { lanes: 0, most_lanes: 0, matrices: 0, workgroup_bytes: 0, f16: false, ranges: Ranges::Any, unfit: &[] };

    /// What an adapter of these facts lacks for it, if anything.
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
        if self.matrices & facts.matrices != self.matrices {
            return Some(format!(
                "the adapter does not list matrices of {0} x {0} halves with sums in f32",
                self.matrices
            ));
        }
        if self.workgroup_bytes > facts.workgroup_bytes {
            return Some(format!("the adapter lacks {} bytes of workgroup memory", self.workgroup_bytes));
        }
        match (self.ranges, facts.range_checks) {
            (Ranges::Unchecked, true) => {
                return Some("the driver checks ranges, which takes it longer than all else".into());
            }
            (Ranges::Checked, false) => return Some("the driver checks no ranges".into()),
            _ => {}
        }
        let unfit = self.unfit.iter().find(|(maker, _)| *maker == facts.maker);
        unfit.map(|(maker, why)| format!("it is not for GPUs of {maker:?}: {why}"))
    }
}

/// What a form or a case asks of the driver's checks whether indices lie within their bindings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ranges {
    Any,
    /// It reaches beyond its bindings, on purpose.
    Checked,
    /// It is of use only where they are left out.
    Unchecked,
}

/// What an adapter can do, as far as forms depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    pub device: Device,
    /// Cores, compute units or multiprocessors: those of a CPU counted, those of a GPU assumed by its kind, which no API tells.
    pub cores: u32,
    /// Lanes of the smallest subgroup; 0 without subgroups.
    pub least_lanes: u32,
    /// Lanes of the largest subgroup; 0 without subgroups.
    pub most_lanes: u32,
    /// Sides of square matrices of halves whose products subgroups add up in f32, themselves added up: 8, 16, 24, or 0.
    pub matrices: u32,
    pub workgroup_bytes: u32,
    /// Native halves.
    pub f16: bool,
    /// The driver checks whether indices lie within their bindings.
    pub range_checks: bool,
    pub maker: Maker,
}

/// Who makes a GPU. CPU drivers are of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    Amd,
    Apple,
    Intel,
    Nvidia,
    Qualcomm,
    Other,
}

/// Kinds of device that want different forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    Cpu,
    /// Shares memory and power with a CPU.
    Integrated,
    Discrete,
}

impl Facts {
    /// The least that any adapter has.
    pub const LEAST: Facts = Facts {
        device: Device::Integrated,
        cores: 8,
        least_lanes: 0,
        most_lanes: 0,
        matrices: 0,
        workgroup_bytes: 16 * 1024,
        f16: false,
        range_checks: true,
        maker: Maker::Other,
    };

    /// What nothing is lacking for but driver's checks.
    pub const MOST: Facts = Facts {
        least_lanes: u32::MAX,
        most_lanes: 0,
        matrices: 8 + 16,
        workgroup_bytes: u32::MAX,
        f16: true,
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
            unfit.lacks(&Facts { maker: Maker::Nvidia, ..Facts::LEAST }).unwrap().contains("Nvidia: it takes long")
        );
        assert!(Needs { f16: true, ..Needs::NOTHING }.lacks(&Facts::LEAST).unwrap().contains("shader-f16"));
        let matrices = Needs { matrices: 16, most_lanes: 32, workgroup_bytes: 20_000, ..Needs::NOTHING };
        assert_eq!(matrices.lacks(&Facts::MOST), None);
        assert!(matrices.lacks(&Facts { matrices: 8, ..Facts::MOST }).unwrap().contains("16 x 16"));
        assert!(matrices.lacks(&Facts { most_lanes: 64, ..Facts::MOST }).unwrap().contains("more than 32"));
        assert!(matrices.lacks(&Facts { workgroup_bytes: 16_384, ..Facts::MOST }).unwrap().contains("20000 bytes"));
        let unchecked = Facts { range_checks: false, ..Facts::LEAST };
        let ranges = |ranges| Needs { ranges, ..Needs::NOTHING };
        assert!(ranges(Ranges::Unchecked).lacks(&Facts::LEAST).unwrap().contains("checks ranges"));
        assert!(ranges(Ranges::Checked).lacks(&unchecked).unwrap().contains("no ranges"));
        assert_eq!(ranges(Ranges::Unchecked).lacks(&unchecked), None);
        assert_eq!(ranges(Ranges::Checked).lacks(&Facts::LEAST), None);
    }
}
