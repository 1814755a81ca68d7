"""Names of the official What-Happens-Next weights, in ours. Facts only: the key lists the released state dicts have."""

import re

from torch import Tensor

_FIXED_TABLES = {"pos_embed", "temp_embed", "frame_embed"}

_DENOISER = {
    r"x_encoder\.lff\.w": "track_encoding.w",
    r"x_encoder\.lff\.mlp\.(0|3)\.": r"track_encoding.mlp.\1.",
    r"x_embedder\.proj\.": "patch_embedding.proj.",
    r"t_embedder\.mlp\.(0|2)\.": r"timestep_embedding.\1.",
    r"frame_proj\.": "image_projection.",
    r"text_embeds_proj\.": "text_projection.",
    r"blocks\.(\d+)\.attn\.": r"blocks.\1.attention.",
    r"blocks\.(\d+)\.xattn\.": r"blocks.\1.cross_attention.",
    r"blocks\.(\d+)\.mlp\.": r"blocks.\1.mlp.",
    r"blocks\.(\d+)\.adaLN_modulation\.1\.": r"blocks.\1.modulation.",
    r"final_layer\.adaLN_modulation\.1\.": "final_modulation.",
    r"final_layer\.linear\.": "final_linear.",
}
_VAE = {
    r"x_encoder\.lff\.w": "track_encoding.w",
    r"x_encoder\.lff\.mlp\.(0|3)\.": r"track_encoding.mlp.\1.",
    r"x_embedder\.proj\.": "patch_embedding.proj.",
    r"frame_proj\.": "image_projection.",
    r"(to_latents|from_latents)\.": r"\1.",
    r"(encoder|decoder)_blocks\.(\d+)\.gate_msa": r"\1_blocks.\2.gate_attention",
    r"(encoder|decoder)_blocks\.(\d+)\.gate_mxa": r"\1_blocks.\2.gate_cross_attention",
    r"(encoder|decoder)_blocks\.(\d+)\.gate_mlp": r"\1_blocks.\2.gate_mlp",
    r"(encoder|decoder)_blocks\.(\d+)\.(norm[123])\.": r"\1_blocks.\2.\3.",
    r"(encoder|decoder)_blocks\.(\d+)\.attn\.": r"\1_blocks.\2.attention.",
    r"(encoder|decoder)_blocks\.(\d+)\.xattn\.": r"\1_blocks.\2.cross_attention.",
    r"(encoder|decoder)_blocks\.(\d+)\.mlp\.": r"\1_blocks.\2.mlp.",
    r"final_layer\.linear\.": "final_linear.",
}


def denoiser_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The official denoiser's state dict under our names, its fixed tables left out."""
    return _renamed(state, _DENOISER, "denoiser")


def vae_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The official track VAE's state dict under our names, its fixed tables left out."""
    return _renamed(state, _VAE, "VAE")


def _renamed(state: dict[str, Tensor], patterns: dict[str, str], network: str) -> dict[str, Tensor]:
    renamed = {}
    for key, tensor in state.items():
        if key in _FIXED_TABLES or key.endswith(".scale"):
            continue
        name = _rename(key, patterns)
        if name is None:
            raise ValueError(f"key {key!r} is not one of the official {network}; is this the right file?")
        # The official MLP of the Fourier features has a dropout between activation and second layer; ours has none.
        renamed[re.sub(r"(track_encoding\.mlp)\.3\.", r"\1.2.", name)] = tensor
    return renamed


def _rename(key: str, patterns: dict[str, str]) -> str | None:
    for pattern, replacement in patterns.items():
        if re.match(pattern, key):
            return re.sub(f"^{pattern}", replacement, key)
    return None
