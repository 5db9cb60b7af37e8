//! What is rejected: unsupported mathematics and nonsense.

use super::*;

#[test]
fn what_changes_the_mathematics_is_refused_by_name() {
    let refused = [
        ("class_embed_type", json!("timestep")),
        ("addition_embed_type", json!("text_time")),
        ("resnet_time_scale_shift", json!("scale_shift")),
        ("time_embedding_type", json!("fourier")),
        ("dual_cross_attention", json!(true)),
        ("encoder_hid_dim", json!(768)),
        ("encoder_hid_dim_type", json!("text_proj")),
        ("conv_in_kernel", json!(1)),
        ("conv_out_kernel", json!(5)),
        ("center_input_sample", json!(true)),
        ("mid_block_scale_factor", json!(2)),
        ("resnet_out_scale_factor", json!(1.5)),
        ("time_embedding_act_fn", json!("silu")),
        ("timestep_post_act", json!("silu")),
        ("resnet_skip_time_act", json!(true)),
        ("cross_attention_norm", json!("layer_norm")),
        ("attention_type", json!("gated")),
        ("num_class_embeds", json!(10)),
        ("reverse_transformer_layers_per_block", json!([1, 1, 1])),
        ("only_cross_attention", json!([true, false, false])),
        ("mid_block_only_cross_attention", json!(true)),
        ("mid_block_type", json!("UNetMidBlock2D")),
        ("mid_block_type", Value::Null),
        ("time_cond_proj_dim", json!(256)),
        ("class_embeddings_concat", json!(true)),
        ("act_fn", json!("gelu")),
        ("cross_attention_dim", json!([12, 12, 13])),
        ("only_cross_attention", json!([])),
        ("down_block_types", json!(["AttnDownBlock2D", "DownBlock2D", "DownBlock2D"])),
    ];
    for (key, value) in refused {
        match unet(&with(&small(), json!({key: value}))) {
            Err(error @ ConfigError::Unsupported { .. }) => {
                let text = error.to_string();
                assert!(text.contains("unet/config.json") && text.contains(&format!("`{key}`")), "{text}");
            }
            other => panic!("{key} = {value}: {other:?}"),
        }
    }
    for (key, value) in [
        ("shift_factor", json!(0.1)),
        ("latents_mean", json!([0.0])),
        ("latents_std", json!([1])),
        ("in_channels", json!(4)),
        ("out_channels", json!(1)),
        ("act_fn", json!("mish")),
        ("_class_name", json!("AutoencoderTiny")),
        ("down_block_types", json!(["AttnDownEncoderBlock2D"])),
        ("up_block_types", json!(["AttnUpDecoderBlock2D"])),
    ] {
        assert!(matches!(vae(&json!({key: value})), Err(ConfigError::Unsupported { .. })), "{key}");
    }
    assert!(vae(&json!({"shift_factor": 0.0, "latents_mean": null, "_class_name": "AutoencoderKL"})).is_ok());
    for act in ["gelu_new", "gelu_pytorch_tanh", "relu"] {
        assert!(matches!(clip(&json!({"hidden_act": act})), Err(ConfigError::Unsupported { .. })), "{act}");
    }
    let text = clip(&json!({"vocab_size": 49_407})).unwrap_err().to_string();
    assert!(text.contains("empty_prompt.safetensors"), "{text}");
}

#[test]
fn nonsense_is_refused_by_file_and_key() {
    let huge = json!(u64::MAX);
    let unet_cases = [
        (
            "block_out_channels",
            vec![
                json!([]),
                json!(8),
                json!([8, 16, -24]),
                json!([8, 16, 0]),
                json!([8, 16, "24"]),
                json!([8, 16, 24.0]),
                json!([8, 16, 25]),
                json!([8, 16, null]),
                json!([8, 16, 65_540]),
                json!([8, 16, huge]),
                json!(vec![4; 9]),
                json!([8, 16]),
                Value::Null,
            ],
        ),
        ("norm_num_groups", vec![json!(0), json!(-1), json!("4"), Value::Null, json!(5), huge.clone()]),
        (
            "attention_head_dim",
            vec![
                json!(0),
                json!([2, 4]),
                json!([2, 4, 5]),
                json!([2, 3, 3]),
                json!([2, 4, null]),
                json!("8"),
                Value::Null,
            ],
        ),
        ("num_attention_heads", vec![json!([7, 4, 3]), json!(false)]),
        ("layers_per_block", vec![json!(0), json!(17), json!([1, 2]), json!([[1], 2, 3]), json!({})]),
        ("transformer_layers_per_block", vec![json!(0), json!([1, 1, [1]]), json!(1000)]),
        ("cross_attention_dim", vec![json!(0), huge.clone(), Value::Null]),
        ("norm_eps", vec![json!(0), json!(-1e-5), json!("1e-5"), json!(2), Value::Null]),
        ("freq_shift", vec![json!(-1), json!(4), json!("0")]),
        ("downsample_padding", vec![json!(2), json!(-1), Value::Null]),
        ("time_embedding_dim", vec![json!(0), json!(-4), json!("x")]),
        ("in_channels", vec![json!(0), json!(true)]),
        ("in_channels_ref", vec![json!([8])]),
        ("out_channels", vec![huge.clone()]),
        ("use_linear_projection", vec![json!(1), json!("true")]),
        ("flip_sin_to_cos", vec![json!(0)]),
        ("act_fn", vec![json!(1)]),
        ("up_block_types", vec![json!(["UpBlock2D"]), json!([1, 2, 3]), json!("UpBlock2D")]),
    ];
    for (key, values) in unet_cases {
        for value in values {
            match unet(&with(&small(), json!({key: value}))) {
                Err(error @ ConfigError::Value { .. }) => {
                    assert!(error.to_string().contains("unet/config.json"), "{error}")
                }
                other => panic!("{key} = {value}: {other:?}"),
            }
        }
    }
    assert!(
        unet(&json!({"block_out_channels": [1], "norm_num_groups": 1, "attention_head_dim": 1,
        "down_block_types": ["DownBlock2D"], "up_block_types": ["UpBlock2D"]}))
        .unwrap_err()
        .to_string()
        .contains("2 or more")
    );
    for (key, value) in [
        ("latent_channels", json!(0)),
        ("latent_channels", json!(5000)),
        ("scaling_factor", json!(0)),
        ("scaling_factor", json!(-0.1)),
        ("scaling_factor", json!(1e300)),
        ("layers_per_block", json!([1])),
        ("block_out_channels", json!([33])),
        ("use_quant_conv", json!("no")),
    ] {
        assert!(matches!(vae(&json!({key: value})), Err(ConfigError::Value { .. })), "{key}");
    }
    for (key, value) in [
        ("hidden_size", json!(0)),
        ("hidden_size", json!(511)),
        ("num_hidden_layers", json!(10_000)),
        ("layer_norm_eps", json!(0)),
        ("vocab_size", json!(1e10)),
        ("max_position_embeddings", json!(1)),
        ("hidden_act", json!(5)),
        ("intermediate_size", json!(-2)),
    ] {
        assert!(matches!(clip(&json!({key: value})), Err(ConfigError::Value { .. })), "{key}");
    }
    let deep = format!("{{\"a\": {}", "[".repeat(100_000));
    for text in
        ["", "[]", "3", "{", "{\"norm_eps\": NaN}", "{\"norm_eps\": Infinity}", "{\"norm_eps\": 1e999}", "\u{0}", &deep]
    {
        let config = ConfigText { file: "unet/config.json".to_owned(), text: text.to_owned() };
        let error = UNetConfig::parse(&config, &mut Vec::new()).unwrap_err();
        assert!(matches!(error, ConfigError::Json { .. }), "{error}");
    }
}
