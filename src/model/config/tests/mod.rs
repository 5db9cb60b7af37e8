//! Published configurations, diffusers' defaults, everything that is rejected, and nonsense.

use serde_json::{Value, json};

use super::*;
use crate::weights::{ConfigText, ModelFiles, TextSource};

mod refused;

fn text_of(file: &str, json: &Value) -> ConfigText {
    ConfigText { file: file.to_owned(), text: json.to_string() }
}

fn unet(json: &Value) -> Result<UNetConfig, ConfigError> {
    let mut warnings = Vec::new();
    let result = UNetConfig::parse(&text_of("unet/config.json", json), &mut warnings);
    assert!(warnings.is_empty(), "{warnings:?}");
    result
}

fn vae(json: &Value) -> Result<VaeConfig, ConfigError> {
    VaeConfig::parse(&text_of("vae/config.json", json), &mut Vec::new())
}

fn clip(json: &Value) -> Result<TextConfig, ConfigError> {
    TextConfig::parse(&text_of("text_encoder/config.json", json), &mut Vec::new())
}

fn scheduler(json: &Value) -> Result<SchedulerConfig, ConfigError> {
    SchedulerConfig::parse(&text_of("scheduler_config.json", json), &mut Vec::new())
}

/// `base` with the keys of `changes` replaced.
fn with(base: &Value, changes: Value) -> Value {
    let mut out = base.clone();
    for (key, value) in changes.as_object().unwrap() {
        out[key] = value.clone();
    }
    out
}

/// A small UNet that sets every key: three levels, attention on two.
fn small() -> Value {
    json!({
        "block_out_channels": [8, 16, 24], "norm_num_groups": 4, "attention_head_dim": [2, 4, 3], "cross_attention_dim": 12,
        "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    })
}

#[test]
fn absent_keys_have_diffusers_defaults() {
    let u = unet(&json!({})).unwrap();
    assert_eq!(u.block_out_channels, [320, 640, 1280, 1280]);
    assert_eq!((u.in_channels, u.in_channels_ref, u.out_channels, u.cross_attention_dim), (4, 8, 4, 1280));
    assert_eq!((&u.layers_per_block[..], &u.num_heads[..], u.norm_num_groups), (&[2; 4][..], &[8; 4][..], 32));
    assert_eq!(
        (&u.down_attention[..], &u.up_attention[..]),
        (&[true, true, true, false][..], &[false, true, true, true][..])
    );
    assert!(u.flip_sin_to_cos && !u.use_linear_projection);
    assert_eq!((u.norm_eps, u.freq_shift, u.downsample_padding, u.time_embedding_dim), (1e-5, 0.0, 1, 1280));
    let v = vae(&json!({})).unwrap();
    assert_eq!(
        (&v.block_out_channels[..], v.layers_per_block, v.scaling_factor, v.latent_channels),
        (&[64][..], 1, 0.18215, 4)
    );
    assert!(v.use_quant_conv && v.use_post_quant_conv && v.mid_block_add_attention);
    let t = clip(&json!({})).unwrap();
    assert_eq!((t.hidden_size, t.intermediate_size, t.num_hidden_layers, t.num_attention_heads), (512, 2048, 12, 8));
    assert_eq!((t.hidden_act, t.vocab_size, t.max_position_embeddings), (Activation::QuickGelu, 49_408, 77));
}

#[test]
fn numbers_and_lists_are_read_per_level() {
    let u = unet(&with(
        &small(),
        json!({"layers_per_block": [1, 2, 3], "transformer_layers_per_block": [3, 2, 1], "act_fn": "swish",
        "cross_attention_dim": [12, 12, 12], "use_linear_projection": true, "time_embedding_dim": 20, "only_cross_attention": [false],
        "mid_block_scale_factor": 1.0, "freq_shift": 1, "flip_sin_to_cos": false, "downsample_padding": 0, "num_class_embeds": null}),
    ));
    let u = u.unwrap();
    assert_eq!(
        (&u.num_heads[..], &u.layers_per_block[..], &u.transformer_layers_per_block[..]),
        (&[2, 4, 3][..], &[1, 2, 3][..], &[3, 2, 1][..])
    );
    assert_eq!((u.cross_attention_dim, u.time_embedding_dim, u.freq_shift, u.downsample_padding), (12, 20, 1.0, 0));
    assert_eq!((&u.down_attention[..], &u.up_attention[..]), (&[true, true, false][..], &[false, true, true][..]));
    assert_eq!(unet(&with(&small(), json!({"attention_head_dim": 4}))).unwrap().num_heads, [4, 4, 4]);
    let both = with(&small(), json!({"attention_head_dim": 8, "num_attention_heads": [1, 2, 3]}));
    assert_eq!(unet(&both).unwrap().num_heads, [1, 2, 3]);
}

#[test]
fn unknown_keys_warn_unless_private_or_null() {
    let mut warnings = Vec::new();
    let json =
        with(&small(), json!({"_private": 1, "new_thing": null, "sample_size": 64, "dropout": 0.1, "strange": [1, 2]}));
    UNetConfig::parse(&text_of("u", &json), &mut warnings).unwrap();
    assert_eq!(warnings, ["u: unknown key `strange` = [1,2] is ignored"]);
}

#[test]
fn only_a_scheduler_with_x0_equal_minus_v_is_accepted() {
    let good = json!({"_class_name": "DDIMScheduler", "beta_start": 1.0, "beta_end": 1.0, "beta_schedule": "scaled_linear", "clip_sample": false,
        "prediction_type": "v_prediction", "num_train_timesteps": 1000, "trained_betas": null, "steps_offset": 1, "skip_prk_steps": true});
    assert!(scheduler(&good).is_ok());
    // abar at timestep 1 is the product over timesteps 0 and 1: a zero in one of the two suffices, a later one does not.
    assert!(scheduler(&with(&good, json!({"beta_schedule": "linear", "beta_end": 0.5}))).is_ok());
    assert!(scheduler(&with(&good, json!({"trained_betas": [0.1, 1.0, 0.3]}))).is_ok());
    let refused = [
        json!({"prediction_type": "epsilon"}),
        json!({"prediction_type": "sample"}),
        json!({"beta_start": 0.00085, "beta_end": 0.012}),
        json!({"beta_start": 0.5}),
        json!({"beta_start": 0.9999}),
        json!({"trained_betas": [0.1, 0.2, 1.0]}),
        json!({"beta_schedule": "squaredcos_cap_v2"}),
        json!({"clip_sample": true}),
        json!({"thresholding": true}),
        json!({"rescale_betas_zero_snr": true}),
    ];
    for change in refused {
        let error = scheduler(&with(&good, change.clone())).unwrap_err();
        assert!(matches!(error, ConfigError::Unsupported { .. }), "{change}: {error}");
        assert!(error.to_string().contains("beta_start = beta_end = 1"), "{error}");
    }
    assert!(matches!(scheduler(&json!({})), Err(ConfigError::Unsupported { .. })));
    for change in [
        json!({"beta_start": -1}),
        json!({"beta_end": 2}),
        json!({"trained_betas": []}),
        json!({"trained_betas": 3}),
        json!({"num_train_timesteps": 1}),
        json!({"clip_sample": "no"}),
        json!({"prediction_type": 1}),
    ] {
        assert!(matches!(scheduler(&with(&good, change.clone())), Err(ConfigError::Value { .. })), "{change}");
    }
}

fn nano() -> ModelFiles {
    ModelFiles::embedded().unwrap()
}

#[test]
fn the_embedded_model_is_consistent() {
    let config = ModelConfig::read(&nano()).unwrap();
    assert_eq!(config.unet.block_out_channels.len(), config.unet.levels());
    assert_eq!(config.warnings, [""; 0]);
    assert!(config.text.is_none());
    assert_eq!(config.size_multiple(), 16);
    assert_eq!(config.latent_size(128), 32);
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let change = |edit: &dyn Fn(&mut ModelFiles)| {
        let mut files = nano();
        edit(&mut files);
        ModelConfig::read(&files)
    };
    let swap = |text: &ConfigText, from: &str, to: &str| {
        assert!(text.text.contains(from));
        ConfigText { file: text.file.clone(), text: text.text.replace(from, to) }
    };
    for (from, to) in [
        ("\"in_channels\": 16", "\"in_channels\": 17"),
        ("\"in_channels_ref\": 32", "\"in_channels_ref\": 16"),
        ("\"out_channels\": 16", "\"out_channels\": 8"),
        ("\"cross_attention_dim\": 32", "\"cross_attention_dim\": 31"),
    ] {
        let result = change(&|f| f.unet_config = swap(&f.unet_config, from, to));
        assert!(matches!(result, Err(ConfigError::Apart { .. })), "{to}: {result:?}");
    }
    let text = change(&|f| f.text = TextSource::Embeds { file: "p".to_owned(), width: 64, values: vec![0.0; 128] });
    assert!(text.unwrap_err().to_string().contains("64"));

    // The base model's own scheduler is rejected as the model's, but only mentioned if the UNet came from elsewhere.
    let stock =
        || Some(text_of("base", &json!({"beta_start": 0.00085, "beta_end": 0.012, "prediction_type": "v_prediction"})));
    assert!(matches!(change(&|f| f.scheduler_config = stock()), Err(ConfigError::Unsupported { .. })));
    let separate = change(&|f| (f.scheduler_config, f.separate_unet) = (stock(), true)).unwrap();
    assert!(separate.warnings[0].contains("x0 = -v"), "{:?}", separate.warnings);
    assert!(change(&|f| f.scheduler_config = None).unwrap().warnings.is_empty());
}

#[test]
fn invalid_sizes_name_the_two_nearest_valid_ones() {
    let config = ModelConfig::read(&nano()).unwrap();
    for valid in [16, 128, 512, 16_384] {
        assert!(config.check_size(valid).is_ok(), "{valid}");
    }
    for (size, nearest) in [
        (0, (16, 32)),
        (1, (16, 32)),
        (15, (16, 32)),
        (17, (16, 32)),
        (500, (496, 512)),
        (usize::MAX, (16_368, 16_384)),
    ] {
        assert_eq!(config.nearest_sizes(size), nearest);
        let text = config.check_size(size).unwrap_err().to_string();
        assert!(text.contains(&nearest.0.to_string()) && text.contains(&nearest.1.to_string()), "{text}");
    }
}
