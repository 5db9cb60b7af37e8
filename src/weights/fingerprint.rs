//! Identifies a model: results and banks of different weights must not be mixed, whatever the names of their directories.

use super::{ModelFiles, TextSource, WeightsError};
use sha2::{Digest, Sha256};

/// A short hash of the contents of `files`: independent of their location, different for another fine-tuning, configuration or
/// prompt. Every byte of every tensor counts. Load the model from the same `files`: files that replace them meanwhile are
/// not read, and a change in place is an error.
///
/// # Errors
/// Files that cannot be read, or have changed since they were opened.
pub fn fingerprint(files: &ModelFiles) -> Result<String, WeightsError> {
    let mut hash = Sha256::new();
    let mut all = vec![&files.unet, &files.vae];
    let mut configs = vec![&files.unet_config, &files.vae_config];
    configs.extend(&files.scheduler_config);
    match &files.text {
        TextSource::Embeds { values, .. } => hash.update(bytemuck::cast_slice::<f32, u8>(values)),
        TextSource::Encoder { weights, config } => {
            all.push(weights);
            configs.push(config);
        }
    }
    configs.iter().for_each(|config| hash.update(config.text.as_bytes()));
    for weights in all {
        let tensor = |hash: &mut Sha256, name: &str, dtype: &str, shape: &[usize]| {
            hash.update(format!("{name} {dtype} {shape:?}\n"));
        };
        weights.walk(&mut hash, tensor, |hash, bytes| hash.update(bytes))?;
    }
    Ok(hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(all(test, feature = "embedded"))]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn models_have_names_of_their_own() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let of = |name: &str| fingerprint(&ModelFiles::open(&golden.join(name), None).unwrap()).unwrap();
        assert_eq!(of("odd"), of("odd"));
        let mut all = vec![of("odd"), of("five"), of("sd21"), of("sd15b")];
        all.push(fingerprint(&ModelFiles::embedded().unwrap()).unwrap());
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 5);
    }

    #[test]
    fn another_configuration_or_prompt_is_another_model() {
        let changed = |change: &dyn Fn(&mut ModelFiles)| {
            let mut files = ModelFiles::embedded().unwrap();
            change(&mut files);
            fingerprint(&files).unwrap()
        };
        let same = changed(&|_| {});
        assert_eq!(same, changed(&|_| {}));
        assert_ne!(same, changed(&|files| files.unet_config.text = files.unet_config.text.replace("1e-05", "1e-06")));
        assert_ne!(same, changed(&|files| files.vae_config.text.push(' ')));
        assert_ne!(
            same,
            changed(&|files| match &mut files.text {
                TextSource::Embeds { values, .. } => values[0] += 1.0,
                TextSource::Encoder { .. } => panic!("the embedded model has its prompt"),
            })
        );
    }
}
