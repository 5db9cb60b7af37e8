//! What a segmenter is asked for, and what it tells while it works.

use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;

/// How elements are stored on the device; sums are f32 in any case. Half precision is for the weights and for the decoder's
/// values, which take the most memory, 8 bits for the weights alone; the encoder's and the UNet's values stay f32. On Mesa's CPU driver from
/// version 26 on the decoder's do, too, of wide models and where they have room: its fast texts take no other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Precision {
    /// f32, or half precision where f32 would not fit the adapter's memory.
    #[default]
    Auto,
    F32,
    /// Half precision. What overflows there is computed again in f32, if that fits the adapter's memory.
    F16,
    /// Half precision with weights of 8 bits: the least memory. They lose more than halves do, and some speed.
    Q8,
}

impl Precision {
    pub const ALL: [Precision; 4] = [Precision::Auto, Precision::F32, Precision::F16, Precision::Q8];

    /// As it is written: auto, f32, f16, q8.
    pub fn name(self) -> &'static str {
        match self {
            Precision::Auto => "auto",
            Precision::F32 => "f32",
            Precision::F16 => "f16",
            Precision::Q8 => "q8",
        }
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Precision, String> {
        let named = Precision::ALL.into_iter().find(|precision| precision.name() == text);
        named.ok_or_else(|| "it must be auto, f32, f16 or q8".to_string())
    }
}

/// A part of the work, for progress, times and error messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Stage {
    /// Measuring forms.
    Tune,
    Load,
    /// Bringing banks from files to the device.
    LoadBank,
    EncodeSupport,
    Support,
    EncodeQuery,
    Query,
    Decode,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Stage::Tune => "measure kernels",
            Stage::Load => "load weights",
            Stage::LoadBank => "load bank",
            Stage::EncodeSupport => "encode support",
            Stage::Support => "support pass",
            Stage::EncodeQuery => "encode query",
            Stage::Query => "query pass",
            Stage::Decode => "decode",
        })
    }
}

/// Told of the share of a stage that is done (0 to 1); breaks off the call, which ends with
/// [`Error::Interrupted`](crate::Error::Interrupted).
pub type Progress<'a> = &'a mut dyn FnMut(Stage, f64) -> ControlFlow<()>;

/// For who wants neither.
pub(super) fn quiet(_: Stage, _: f64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
