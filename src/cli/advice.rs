//! Advice on the library's errors and warnings, in this command's flags.

use diffews_wgpu::Error;
use diffews_wgpu::bench::BenchError;
use diffews_wgpu::eval::EvalError;
use diffews_wgpu::fetch::FetchError;
use diffews_wgpu::formats::FormatError;
use diffews_wgpu::formats::read::AnnotationError;
use diffews_wgpu::gpu::GpuError;
use diffews_wgpu::image_io::{ImageError, MaskKind, MaskPart, MaskValue, MaskWarning, Note};
use diffews_wgpu::model::config::ConfigError;
use diffews_wgpu::plan::{Less, PlanError, Policy};
use diffews_wgpu::segment::BankError;
use diffews_wgpu::weights::WeightsError;

const SMALLER: &str = ". Try a smaller --size, or --precision f16 where f32 is used; q8 takes the least";

/// The message for `error`: what happened, and what to do.
pub fn describe(error: &anyhow::Error) -> String {
    let (text, advice) = (error.to_string(), of_any(error).unwrap_or_default());
    // The advice ends the first line; lists follow it.
    match text.split_once('\n') {
        Some((first, list)) => format!("{first}{advice}\n{list}"),
        None => text + &advice,
    }
}

fn of_any(error: &anyhow::Error) -> Option<String> {
    if let Some(error) = error.downcast_ref() {
        return of_library(error);
    }
    if let Some(error) = error.downcast_ref() {
        return of_image(error);
    }
    if let Some(FormatError::Image(error)) = error.downcast_ref() {
        return of_image(error);
    }
    if let Some(AnnotationError::SeveralLabels { .. }) = error.downcast_ref() {
        return Some("; name one with --mask-label".into());
    }
    if let Some(AnnotationError::Image(error)) = error.downcast_ref() {
        return of_image(error);
    }
    if let Some(error) = error.downcast_ref() {
        return of_weights(error);
    }
    if let Some(ConfigError::Weights(error)) = error.downcast_ref() {
        return of_weights(error);
    }
    if let Some(FetchError::Exists { .. }) = error.downcast_ref() {
        return Some("; pass --force to replace it, or name another directory with --to".into());
    }
    match (error.downcast_ref(), error.downcast_ref(), error.downcast_ref()) {
        (Some(EvalError::Engine(error)), ..) => of_library(error),
        (Some(EvalError::Image(error)), ..) => of_image(error),
        (_, Some(BenchError::Gpu(error)), _) | (.., Some(error)) => of_gpu(error),
        _ => None,
    }
}

fn of_library(error: &Error) -> Option<String> {
    let advice = match error {
        Error::Image(error) => return of_image(error),
        Error::Format(FormatError::Image(error)) => return of_image(error),
        Error::Weights(error) => return of_weights(error),
        Error::Bank(BankError::Framing { of, .. }) => return Some(format!("; use --fit {of}")),
        Error::Config(ConfigError::Weights(error)) => return of_weights(error),
        Error::Gpu(error) => return of_gpu(error),
        Error::NotFinite { storage: Policy::F32, .. } => {
            ": `model verify` checks the weights, `conformance` the adapter and its driver"
        }
        Error::SelfCheck { .. } => {
            "; no result is written. `conformance --html report.html` checks every kernel: send its report to the driver's makers and to us. \
            --adapter chooses another adapter; --no-self-check runs anyway"
        }
        Error::Plan(PlanError { less, .. }) => match less {
            Less::Size => ". Try a smaller --size",
            Less::SizeOrPrecision => SMALLER,
            Less::ShotsOrSize => ". Try fewer or a smaller --size",
            _ => return None,
        },
        _ => return None,
    };
    Some(advice.into())
}

fn of_gpu(error: &GpuError) -> Option<String> {
    let advice = match error {
        GpuError::OutOfMemory { .. } => SMALLER,
        GpuError::Idle { .. } => {
            "; no result is written. Update the driver, or choose another adapter with --adapter (see `devices`)"
        }
        _ => return None,
    };
    Some(advice.into())
}

/// Advice on an error of the weights, to follow its message.
pub fn of_weights(error: &WeightsError) -> Option<String> {
    let advice = match error {
        WeightsError::Value { half: true, value, .. } if value.is_finite() => "; use --precision f32",
        WeightsError::Value { .. } => " (`model verify` shows which tensors)",
        WeightsError::PlainUNet { .. } => {
            "; name a UNet of DiffewS with --unet (`diffews-wgpu --help` says where they are). `model convert` turns this one into a starting \
            point for training"
        }
        _ => return None,
    };
    Some(advice.into())
}

fn of_image(error: &ImageError) -> Option<String> {
    Some(match error {
        ImageError::FloatSamples { .. } => "; pass infer --stretch 2,98, or save it with 8 or 16 bits a sample".into(),
        ImageError::FewBits { used, .. } => {
            format!("; pass infer --bits {used} or --stretch 2,98, or scale its values first")
        }
        ImageError::ManyBits { used, .. } => format!("; pass --bits {used}, or --stretch 2,98"),
        ImageError::NoAlpha { .. } => "; leave out --mask-alpha".into(),
        ImageError::NotNumbers { .. } => "; name its colour with --mask-color R,G,B".into(),
        ImageError::NotFinite { .. } => "; try --precision f32, and `model verify` on the weights".into(),
        ImageError::Exists { .. } => "; pass --force to replace it, or name another file".into(),
        _ => return None,
    })
}

/// The flags that change how the picture was read.
pub fn of_note(note: &Note) -> &'static str {
    match note {
        Note::Bits { .. } => " (--bits)",
        Note::Background { .. } => " (--background)",
        _ => "",
    }
}

/// The flags that say how to read the mask.
pub fn of_mask(warning: &MaskWarning) -> String {
    const NAMED: &str = "; --mask-value K or --mask-color R,G,B says which label or colour is meant";
    let advice = match warning {
        MaskWarning::NoForeground { brightest, alpha: false } if *brightest > 0.0 => NAMED,
        MaskWarning::InvertedAway => "; leave out --invert-mask",
        MaskWarning::Grey { alpha: true, .. } => return format!("; --mask-alpha takes what is opaque instead{NAMED}"),
        MaskWarning::Grey { .. } => NAMED,
        MaskWarning::Chosen { kind, foreground, background, .. } => return of_choice(*kind, foreground, background),
        MaskWarning::Cutout { .. } => {
            "; --mask-alpha confirms that, --invert-mask takes what is transparent, --mask-color R,G,B one colour"
        }
        MaskWarning::Transparent { .. } => "; --mask-alpha takes all that is opaque instead",
        MaskWarning::Hidden { .. } => "; --mask-alpha confirms that, --invert-mask takes the other part",
        MaskWarning::Inverted { asked: true, .. } => " leave out --invert-mask if it is",
        MaskWarning::Inverted { .. } => " --invert-mask takes the other part if it is",
        MaskWarning::BeforeInversion(said) => return of_mask(said),
        _ => "",
    };
    advice.into()
}

fn of_choice(kind: MaskKind, foreground: &[MaskPart], background: &[MaskPart]) -> String {
    let flag = match foreground.first().or(background.first()).map(|part| part.value) {
        Some(MaskValue::Color(_)) => "--mask-color R,G,B",
        _ => "--mask-value K",
    };
    match kind {
        MaskKind::Several | MaskKind::Levels => format!("; {flag} takes one of them"),
        MaskKind::Ignored => format!("; {flag} takes another"),
        MaskKind::Two => format!("; --invert-mask or {flag} takes the other"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_ends_the_first_line() {
        let error = |less| anyhow::Error::from(Error::Plan(PlanError::new("too large\n  weights".into(), less)));
        assert_eq!(describe(&error(Less::Size)), "too large. Try a smaller --size\n  weights");
        assert_eq!(describe(&error(Less::Nothing)), "too large\n  weights");
        let exists = || ImageError::Exists { path: "m.png".into() };
        let all: [anyhow::Error; 3] = [exists().into(), Error::from(exists()).into(), EvalError::from(exists()).into()];
        for error in all {
            assert!(describe(&error).ends_with("; pass --force to replace it, or name another file"), "{error}");
        }
    }

    #[test]
    fn masks_are_told_with_the_flag_that_says_otherwise() {
        let of = |kind, value| {
            let foreground = vec![MaskPart { value, percent: 2.5 }];
            of_mask(&MaskWarning::Chosen { kind, foreground, background: vec![], ignored: None })
        };
        assert_eq!(of(MaskKind::One, MaskValue::Number(1)), "");
        assert_eq!(of(MaskKind::Several, MaskValue::Number(1)), "; --mask-value K takes one of them");
        let two = of(MaskKind::Two, MaskValue::Color([200, 171, 44]));
        assert_eq!(two, "; --invert-mask or --mask-color R,G,B takes the other");
        let before = MaskWarning::BeforeInversion(Box::new(MaskWarning::Transparent { percent: 1.0, hidden: false }));
        assert!(of_mask(&before).contains("--mask-alpha"));
    }
}
