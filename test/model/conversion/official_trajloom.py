"""Names and shapes of the official TrajLoom networks' weights, of any size, and files of them as they are saved."""

import json
from pathlib import Path

import torch
from official_layout import linear

from trajforecast_model.benchmarks.formula_weights import trajloom_weights


def official_vae(dim=64, depth=2, frames=9, size=(64, 96), patch=16, channels=8, kernel=7, frequencies=8):
    cells, features = (size[0] // patch) * (size[1] // patch), 2 * frequencies
    shapes = {"pos_embed": [1, cells, dim], "temp_embed_in": [1, frames, dim], "offset_anchor_grid": [1, 1, 2, *size]}
    shapes |= {f"temp_{name}.weight": [dim, dim, kernel] for name in ("compressor.conv", "expander.deconv")}
    shapes |= {f"temp_{name}.bias": [dim] for name in ("compressor.conv", "expander.deconv")}
    shapes |= {"x_embedder.proj.weight": [dim, 2, patch, patch], "x_embedder.proj.bias": [dim]}
    shapes |= {"patch_pos_lff.w": [frequencies, 2]}
    shapes |= linear("patch_pos_lff.mlp.fc1", 4 * features, features)
    shapes |= linear("patch_pos_lff.mlp.fc2", features, 4 * features) | linear("patch_pos_proj", dim, features)
    shapes |= linear("to_latents", 2 * channels, dim) | linear("from_latents", dim, channels)
    for side in ("encoder", "decoder"):
        for i in range(depth):
            block = f"{side}_blocks.{i}"
            shapes |= {f"{block}.gate_{gate}": [1, 1, dim] for gate in ("msa", "mlp")}
            shapes |= {f"{block}.norm{n}.weight": [dim] for n in (1, 2, 3)}
            shapes |= linear(f"{block}.attn.qkv", 3 * dim, dim) | linear(f"{block}.attn.proj", dim, dim)
            shapes |= linear(f"{block}.mlp.fc1", 4 * dim, dim) | linear(f"{block}.mlp.fc2", dim, 4 * dim)
    return shapes | linear("final_layer", 2 * patch**2, dim)


def official_generator(dim=64, depth=2, steps=3, cells=24, channels=8, video=4, text=16):
    scalars = ("alpha_hist_vis", "alpha_video_ctx", "beta_video_cond", "beta_track_cond", "track_fusion_scale")
    shapes = {name: [] for name in scalars} | {"pos_embed": [1, cells, dim], "seg_embed": [2, dim]}
    shapes |= {"track_fusion_gate_logit": [steps]}
    widths = {"in": channels, "hist_track": channels, "hist_vis": 1, "hist_video": video, "text": text}
    widths |= {"video_global": video, "track_global": 2 * channels}
    for name, width in widths.items():
        shapes |= linear(f"{name}_proj", dim, width)
    shapes |= linear("time_mlp.0", 4 * dim, dim) | linear("time_mlp.2", dim, 4 * dim)
    for i in range(depth):
        shapes |= linear(f"blocks.{i}.attn.qkv", 3 * dim, dim) | linear(f"blocks.{i}.attn.proj", dim, dim)
        shapes |= linear(f"blocks.{i}.xattn.q", dim, dim) | linear(f"blocks.{i}.xattn.kv", 2 * dim, dim)
        shapes |= linear(f"blocks.{i}.xattn.proj", dim, dim) | linear(f"blocks.{i}.adaLN.1", 9 * dim, dim)
        shapes |= linear(f"blocks.{i}.mlp.fc1", 4 * dim, dim) | linear(f"blocks.{i}.mlp.fc2", dim, 4 * dim)
    return shapes | linear("out_proj", channels, dim)


def official_visibility(dim=16, channels=8, depth=3, kernel=3):
    shapes = linear("in_proj", dim, channels)
    for i in range(0, 2 * depth, 2):
        shapes |= {f"temporal_net.{i}.weight": [dim, dim, kernel], f"temporal_net.{i}.bias": [dim]}
    return shapes | {"out.weight": [1, dim, 1], "out.bias": [1]}


def statistics(path: Path, channels: int = 8) -> Path:
    numbers = {"mean": [0.5] * channels, "std": [2.0] * channels}
    path.write_text(json.dumps({"z_all": numbers}))
    return path


def saved(path: Path, shapes: dict, **changes: torch.Tensor) -> Path:
    torch.save(trajloom_weights(shapes) | changes, path)
    return path
