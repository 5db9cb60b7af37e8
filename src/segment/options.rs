//! Options and progress of a segmenter.

use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;

/// How elements are stored on the device; sums are always f32. Half precision applies to the weights and to the decoder's
/// values, which take the most memory; 8 bits apply to the weights only; the encoder's and the UNet's values stay f32. On Mesa's CPU
/// driver from version 26 the decoder's values of wide models stay f32, too, if they fit: its fast texts need that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Precision {
    /// f32, or half precision if f32 does not fit the adapter's memory.
    #[default]
    Auto,
    F32,
    /// Half precision. After an overflow the result is computed again in f32, if that fits the adapter's memory.
    F16,
    /// Half precision with weights of 8 bits: the least memory, with less accuracy than halves and some loss of speed.
    Q8,
}

impl Precision {
    pub const ALL: [Precision; 4] = [Precision::Auto, Precision::F32, Precision::F16, Precision::Q8];

    /// Its name: auto, f32, f16, q8.
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
    /// Loading bank files on the device.
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

/// Receives the completed part of a stage (0 to 1); a break ends the call with
/// [`Error::Interrupted`](crate::Error::Interrupted).
pub type Progress<'a> = &'a mut dyn FnMut(Stage, f64) -> ControlFlow<()>;

/// A callback that ignores progress.
pub(super) fn quiet(_: Stage, _: f64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
