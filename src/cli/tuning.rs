//! Whether kernel forms are measured, and where measurements are kept.

use super::errors::usage;
use super::self_check::cache;
use clap::Args;
use diffews_wgpu::tune::Tuning;

#[derive(Args)]
pub struct TuningArgs {
    /// Choose kernel forms by a fixed rule. By default the first run of a model on an adapter measures the fastest forms, for at most
    /// 3 s, 10 s on a CPU driver (DIFFEWS_TUNE=0 does the same, DIFFEWS_TUNE=N gives N seconds)
    #[arg(long, help_heading = "Adapter")]
    no_tune: bool,
}

impl TuningArgs {
    /// `None` if forms are chosen by rule, also because there is no cache directory.
    ///
    /// # Errors
    /// A variable that is not a number of seconds.
    pub fn wanted(&self) -> anyhow::Result<Option<Tuning>> {
        let seconds = seconds(std::env::var("DIFFEWS_TUNE").ok())?;
        if self.no_tune || seconds == Some(0.0) {
            return Ok(None);
        }
        Ok(cache().map(|dir| Tuning { seconds, ..Tuning::in_dir(dir) }))
    }
}

fn seconds(text: Option<String>) -> anyhow::Result<Option<f64>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    match text.parse() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(Some(seconds)),
        _ => Err(usage(format!("DIFFEWS_TUNE={text}: it must be a number of seconds from 0 to 86400; 0 skips tuning"))),
    }
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn the_variable_is_seconds() {
        let of = |text: &str| seconds(Some(text.into()));
        assert_eq!(seconds(None).unwrap(), None);
        assert_eq!(of("").unwrap(), None);
        assert_eq!(of("0").unwrap(), Some(0.0));
        assert_eq!(of("2.5").unwrap(), Some(2.5));
        for text in ["x", "-1", "nan", "inf", "1e9", "off"] {
            assert!(of(text).unwrap_err().to_string().contains(text));
        }
    }
}
