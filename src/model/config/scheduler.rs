//! `scheduler/scheduler_config.json`: accepted only if it means x0 = -v, which the engine computes.

use serde_json::{Value, json};

use super::ConfigError;
use super::fields::Fields;
use crate::weights::ConfigText;

/// A scheduler whose single step is x0 = sqrt(abar) x - sqrt(1 - abar) v with abar = 0 at timestep 1, that is -v.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchedulerConfig;

const HARMLESS: &[&str] = &[
    "clip_sample_range",
    "dynamic_thresholding_ratio",
    "sample_max_value",
    "set_alpha_to_one",
    "skip_prk_steps",
    "steps_offset",
    "timestep_spacing",
];
const HELP: &str = "DiffewS needs the DDIM scheduler with beta_start = beta_end = 1, prediction_type = v_prediction and \
                    clip_sample = false (abar = 0 at timestep 1); use such a file, or remove this one";

impl SchedulerConfig {
    /// Reads and checks a scheduler configuration as diffusers' `DDIMScheduler` would understand it.
    ///
    /// # Errors
    /// [`ConfigError::Unsupported`] if one step would not give x0 = -v; other [`ConfigError`]s for invalid values.
    pub fn parse(config: &ConfigText, warnings: &mut Vec<String>) -> Result<SchedulerConfig, ConfigError> {
        let f = Fields::parse(config)?;
        let prediction = f.text("prediction_type", "epsilon")?;
        if prediction != "v_prediction" {
            return Err(f.unsupported("prediction_type", &Value::from(prediction), HELP));
        }
        let steps = f.count("num_train_timesteps", 1000, 2..=1_000_000)?;
        let unit = |key: &str, default: f64| f.number(key, default, "from 0 to 1", |b| (0.0..=1.0).contains(&b));
        let (start, end) = (unit("beta_start", 0.0001)?, unit("beta_end", 0.02)?);
        let schedule = f.text("beta_schedule", "linear")?;
        // beta at timesteps 0 and 1, which give the factors 1 - beta of abar at timestep 1; in f32, as diffusers computes them.
        let line = |a: f64, b: f64| [a as f32, (a + (b - a) / (steps - 1) as f64) as f32];
        let (betas, key, value) = match (f.get("trained_betas"), schedule) {
            (Some(list), _) if !list.is_null() => (trained(&f, list)?, "trained_betas", list.clone()),
            (_, "linear") => (line(start, end), "beta_start", json!(start)),
            (_, "scaled_linear") => (line(start.sqrt(), end.sqrt()).map(|b| b * b), "beta_start", json!(start)),
            _ => return Err(f.unsupported("beta_schedule", &Value::from(schedule), HELP)),
        };
        if !betas.contains(&1.0) {
            return Err(f.unsupported(key, &value, HELP));
        }
        for (key, default) in [("clip_sample", true), ("thresholding", false), ("rescale_betas_zero_snr", false)] {
            if f.flag(key, default)? {
                return Err(f.unsupported(key, &json!(true), HELP));
            }
        }
        f.warn_unknown(HARMLESS, warnings);
        Ok(SchedulerConfig)
    }
}

fn trained(f: &Fields, list: &Value) -> Result<[f32; 2], ConfigError> {
    let beta = |i: usize| list.get(i).and_then(Value::as_f64).map(|b| b as f32);
    match (beta(0), beta(1)) {
        (Some(first), Some(second)) => Ok([first, second]),
        _ => Err(f.error("trained_betas", list, "a list of numbers, one for each timestep")),
    }
}
