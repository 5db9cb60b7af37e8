"""The configurations of tests/golden. Each has its purpose; together they cover the variety of the published family."""

import torch

CROSS, PLAIN = "CrossAttnDownBlock2D", "DownBlock2D"
UP = {CROSS: "CrossAttnUpBlock2D", PLAIN: "UpBlock2D"}


def unet(widths, heads, context, groups, kinds=None, layers=2, latent=4, ref=True, **extra):
    """A UNet config.json with the keys that Stable Diffusion 1.x publishes; newer keys go in `extra`."""
    kinds = kinds or [CROSS] * len(widths)
    config = {
        "_class_name": "MyUNet2DConditionModel" if ref else "UNet2DConditionModel",
        "_diffusers_version": "0.24.0",
        "act_fn": "silu",
        "attention_head_dim": heads,
        "block_out_channels": widths,
        "center_input_sample": False,
        "cross_attention_dim": context,
        "down_block_types": kinds,
        "downsample_padding": 1,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "in_channels": latent,
        "layers_per_block": layers,
        "mid_block_scale_factor": 1,
        "norm_eps": 1e-05,
        "norm_num_groups": groups,
        "out_channels": latent,
        "sample_size": 64,
        "up_block_types": [UP[kind] for kind in reversed(kinds)],
    }
    if ref:
        config["in_channels_ref"] = 2 * latent
    return config | extra


def vae(widths, groups, layers=2, latent=4, **extra):
    config = {
        "_class_name": "AutoencoderKL",
        "_diffusers_version": "0.24.0",
        "act_fn": "silu",
        "block_out_channels": widths,
        "down_block_types": ["DownEncoderBlock2D"] * len(widths),
        "in_channels": 3,
        "latent_channels": latent,
        "layers_per_block": layers,
        "norm_num_groups": groups,
        "out_channels": 3,
        "sample_size": 768,
        "up_block_types": ["UpDecoderBlock2D"] * len(widths),
    }
    return config | extra


def text(width, heads, layers, act):
    return {
        "architectures": ["CLIPTextModel"],
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "dropout": 0.0,
        "eos_token_id": 2,
        "hidden_act": act,
        "hidden_size": width,
        "initializer_factor": 1.0,
        "initializer_range": 0.02,
        "intermediate_size": 4 * width,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 77,
        "model_type": "clip_text_model",
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "pad_token_id": 1,
        "projection_dim": width,
        "torch_dtype": "float32",
        "vocab_size": 49408,
    }


MODELS = {
    # Stable Diffusion 2.1: linear projections, a list of head counts, GELU text encoder, f16 variant files, the VAE's
    # attention under its old names
    "sd21": {
        "seed": 2101, "size": 64, "threshold": 0.25, "dtype": torch.float16, "variant": "fp16", "old_vae_names": True,
        "unet": unet([8, 16, 24, 24], [1, 2, 3, 3], 8, 4, [CROSS] * 3 + [PLAIN], use_linear_projection=True,
                     dual_cross_attention=False, num_class_embeds=None, only_cross_attention=False, upcast_attention=True),
        "vae": vae([8, 8, 16, 16], 4, scaling_factor=0.18215),
        "text": text(8, 2, 3, "gelu"),
    },
    # Stable Diffusion 1.x: convolution projections and default scaling factor (keys absent), one head count, quick GELU, bf16, shards, the
    # fine-tuned unet elsewhere, and another unet beside the VAE that must not be read
    "sd15": {
        "seed": 1501, "size": 64, "threshold": 0.25, "dtype": torch.bfloat16, "unet_dir": "sd15_unet", "unet_shards": 2,
        "unet": unet([8, 16, 24, 24], 2, 8, 4, [CROSS] * 3 + [PLAIN]),
        "decoy_unet": unet([4, 4, 8, 8], 2, 8, 4, [CROSS] * 3 + [PLAIN], layers=1, ref=False),
        "vae": vae([8, 8, 16, 16], 4),
        "text": text(8, 2, 2, "quick_gelu"),
    },
    # two levels, widths that are not multiples of 4, heads of 10 and 6, two consecutive transformer blocks, a VAE of three levels, unusual
    # constants, f32, latents of 10 x 10
    "odd": {
        "seed": 3001, "size": 40, "threshold": 0.4, "dtype": torch.float32,
        "unet": unet([10, 18], [1, 3], 14, 2, layers=1, transformer_layers_per_block=2, use_linear_projection=True,
                     norm_eps=2e-4),
        "vae": vae([6, 12, 18], 6, layers=1, scaling_factor=0.31),
    },
    # five levels of odd widths (and an odd sinusoid), three layers each, six latent channels at half the size
    "five": {
        "seed": 5001, "size": 32, "threshold": 0.25, "dtype": torch.float16,
        "unet": unet([15, 15, 20, 20, 20], [1, 3, 5, 2, 4], 7, 5, [CROSS, CROSS, PLAIN, CROSS, PLAIN], layers=3, latent=6,
                     use_linear_projection=True),
        "vae": vae([10, 15], 5, layers=3, latent=6, scaling_factor=0.13025),
    },
    # heads of 72, beyond 64 as in Stable Diffusion 1.x
    "sd15b": {
        "seed": 1502, "size": 64, "threshold": 0.25, "dtype": torch.float16,
        "unet": unet([8, 72], 1, 12, 4, [PLAIN, CROSS], layers=1),
        "vae": vae([4, 8, 8], 4, layers=1),
    },
}  # fmt: skip

# sizes are (width, height)
CASES = {
    "sd21": {"model": "sd21", "supports": [(97, 61)], "query": (53, 90), "detailed": True},
    "sd21_shots3": {"model": "sd21", "supports": [(64, 64), (45, 71), (131, 40)], "query": (77, 58)},
    "odd": {"model": "odd", "supports": [(71, 33)], "query": (27, 59), "detailed": True},
    "five": {"model": "five", "supports": [(51, 29)], "query": (32, 75)},
    "sd15": {"model": "sd15", "supports": [(83, 120)], "query": (101, 67)},
    "sd15b": {"model": "sd15b", "supports": [(63, 111), (150, 97)], "query": (85, 64)},
}
