"""Names of the official TrajLoom weights, in ours. Facts only: the key lists the released state dicts have."""

import re

from torch import Tensor

VAE_TABLES = ("pos_embed", "temp_embed_in", "offset_anchor_grid")  # computed, and not taken from the file

_VAE = {
    r"x_embedder\.proj\.": "patch_embedding.proj.",
    r"patch_pos_lff\.": "place_embedding.",
    r"patch_pos_proj\.": "place_embedding.proj.",
    r"temp_compressor\.conv\.": "compression.conv.",
    r"temp_expander\.deconv\.": "expansion.conv.",
    r"(to_latents|from_latents)\.": r"\1.",
    r"(encoder|decoder)_blocks\.(\d+)\.gate_msa$": r"\1_blocks.\2.gate_attention",
    r"(encoder|decoder)_blocks\.(\d+)\.(gate_mlp$|norm[123]\.|mlp\.)": r"\1_blocks.\2.\3",
    r"(encoder|decoder)_blocks\.(\d+)\.attn\.": r"\1_blocks.\2.attention.",
    r"final_layer\.": "final_linear.",
}
_GENERATOR = {
    r"in_proj\.": "in_projection.",
    r"hist_track_proj\.": "history_projection.",
    r"hist_vis_proj\.": "visibility_projection.",
    r"alpha_hist_vis$": "visibility_scale",
    r"hist_video_proj\.": "video_projection.",
    r"alpha_video_ctx$": "video_scale",
    r"track_fusion_scale$": "fusion_scale",
    r"track_fusion_gate_logit$": "fusion_gate_logits",
    r"pos_embed$": "cell_positions",
    r"seg_embed$": "segment_embedding",
    r"time_mlp\.": "timestep_embedding.",
    r"text_proj\.": "text_projection.",
    r"video_global_proj\.": "video_summary.",
    r"beta_video_cond$": "video_summary_scale",
    r"track_global_proj\.": "history_summary.",
    r"beta_track_cond$": "history_summary_scale",
    r"blocks\.(\d+)\.attn\.": r"blocks.\1.attention.",
    r"blocks\.(\d+)\.xattn\.": r"blocks.\1.cross_attention.",
    r"blocks\.(\d+)\.mlp\.": r"blocks.\1.mlp.",
    r"blocks\.(\d+)\.adaLN\.1\.": r"blocks.\1.modulation.",
    r"out_proj\.": "final_linear.",
}
_VISIBILITY = {
    r"in_proj\.": "in_projection.",
    r"temporal_net\.(\d+)\.": r"convolutions.\1.",
    r"out\.": "out_projection.",
}


def vae_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The official track VAE's state dict under our names, its fixed tables left out."""
    return _renamed({key: tensor for key, tensor in state.items() if key not in VAE_TABLES}, _VAE, "track VAE")


def generator_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The official generator's state dict under our names."""
    return _renamed(state, _GENERATOR, "generator")


def visibility_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The official visibility predictor's state dict under our names; between its convolutions are activations."""
    renamed = _renamed(state, _VISIBILITY, "visibility predictor")
    return {re.sub(r"\d+", lambda place: str(int(place[0]) // 2), name): tensor for name, tensor in renamed.items()}


def _renamed(state: dict[str, Tensor], patterns: dict[str, str], network: str) -> dict[str, Tensor]:
    renamed = {}
    for key, tensor in state.items():
        for pattern, replacement in patterns.items():
            if re.match(pattern, key):
                renamed[re.sub(f"^{pattern}", replacement, key)] = tensor
                break
        else:
            raise ValueError(f"key {key!r} is not one of TrajLoom's official {network}; is this the right file?")
    return renamed
