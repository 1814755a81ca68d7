"""ATM's released track transformers (arXiv 2401.00025) as checkpoints of the baseline. Sizes are read off the tensors."""

from pathlib import Path

import torch
from torch import Tensor

from trajforecast_model.baselines.checkpoint import BaselineConfig, save_baseline
from trajforecast_model.baselines.track_transformer import TrackTransformer, TrackTransformerConfig
from trajforecast_model.files.atomic import new_folder
from trajforecast_model.files.config import to_dict
from trajforecast_model.files.state_dicts import read_state_dict
from trajforecast_model.networks.text_encoder import TextEncoderConfig

_ENDS = {
    "track_proj_encoder.conv": "track_embedding",
    "img_proj_encoder.proj": "image_embedding",
    "language_encoder.projection.0": "text_projection",
    "track_decoder": "track_head",
    "img_decoder": "image_head",
}
_OF_A_BLOCK = {
    "0.norm.gamma": "attention.norm.weight",
    "0.to_q.weight": "attention.q.weight",
    "0.to_kv.weight": "attention.kv.weight",
    "0.to_out.0.weight": "attention.proj.weight",
    "1.norm.gamma": "mlp.0.weight",
    "1.net.0.weight": "mlp.1.weight",
    "1.net.0.bias": "mlp.1.bias",
    "1.net.3.weight": "mlp.4.weight",
    "1.net.3.bias": "mlp.4.bias",
}
_LAYERS = "transformer.layers."
_SIGN = "track_proj_encoder.conv.weight"


def convert_atm(checkpoint: Path, out: Path, weights: str | None = None) -> None:
    """Writes the checkpoint folder `out` from a state dict of ATM's (`model_best.ckpt`), however it was saved.

    Instructions are embedded as ATM does: the pooler of bert-base-cased, 25 tokens.

    Args:
        weights: "model" or "ema", or an entry of the file; None takes the moving average where there is one.

    Raises:
        ValueError: for a file that is no such state dict; where `out` holds something.
    """
    with new_folder(out) as folder:
        config, network = _converted(checkpoint, weights)
        save_baseline(BaselineConfig("atm", to_dict(config), TextEncoderConfig(dim=config.text_dim)), network, folder)
    print(f"wrote {out}: {config.depth} blocks of width {config.dim}, {config.num_frames} frames")


def _converted(checkpoint: Path, choice: str | None) -> tuple[TrackTransformerConfig, TrackTransformer]:
    found = read_state_dict(checkpoint, choice, _SIGN, "choose one by --weights NAME")
    print(f"{checkpoint}: {found}")
    official = found.tensors
    try:
        config, weights = _config(official), _weights(official)
    except KeyError as error:
        raise ValueError(f"{checkpoint} has no tensor {error}: it is no track transformer of ATM's") from error
    network = TrackTransformer(config)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{checkpoint} does not fit ATM's layout: {error}") from error
    if not torch.allclose(official["img_embed"][0].float(), network.image_positions, atol=1e-4):
        raise ValueError(f"{checkpoint} has another table of image positions than ATM's; it cannot be converted")
    return config, network


def _config(official: dict[str, Tensor]) -> TrackTransformerConfig:
    dim, _, track_patch = official[_SIGN].shape
    image_patch = official["img_proj_encoder.proj.weight"].shape[-1]
    side = round(official["img_embed"].shape[1] ** 0.5) * image_patch
    return TrackTransformerConfig(
        dim=dim,
        depth=1 + max((int(key.split(".")[2]) for key in official if key.startswith(_LAYERS)), default=-1),
        heads=dim // (official[f"{_LAYERS}0.0.to_kv.weight"].shape[0] // 2),  # they share one key and value
        image_patch=image_patch,
        track_patch=track_patch,
        num_frames=official["track_embed"].shape[1] * track_patch,
        image_size=(side, side),
        text_dim=official["language_encoder.projection.0.weight"].shape[1],
    )


def _weights(official: dict[str, Tensor]) -> dict[str, Tensor]:
    weights = {"mask_token": official["mask_token"].flatten(), "time_positions": official["track_embed"][0]}
    for theirs, ours in _ENDS.items():
        weights |= {f"{ours}.{kind}": official[f"{theirs}.{kind}"] for kind in ("weight", "bias")}
    for key, value in official.items():
        if key.startswith(_LAYERS) and not key.endswith(".beta"):  # beta is a constant zero
            number, name = key.removeprefix(_LAYERS).split(".", 1)
            if name not in _OF_A_BLOCK:
                raise ValueError(f"unknown tensor {key!r}: its blocks are not those of ATM's track transformer")
            weights[f"blocks.{number}.{_OF_A_BLOCK[name]}"] = value
    return weights
