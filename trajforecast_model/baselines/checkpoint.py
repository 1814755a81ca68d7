"""Checkpoints of baselines: a folder like ours, whose config.json says `"baseline": kind`.

config.json  network.safetensors
"""

import json
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from trajforecast_model.baselines.track_diffusion import TrackDiffusion, TrackDiffusionConfig
from trajforecast_model.baselines.track_transformer import TrackTransformer, TrackTransformerConfig
from trajforecast_model.checkpoint import CONFIG_FILE, load_weights, save_weights
from trajforecast_model.files.atomic import write_atomically
from trajforecast_model.files.config import from_dict, to_dict
from trajforecast_model.networks.text_encoder import TextEncoderConfig

KINDS = {
    "atm": (TrackTransformerConfig, TrackTransformer),
    "track2act": (TrackDiffusionConfig, TrackDiffusion),
}
WEIGHTS = "network.safetensors"


@dataclass(frozen=True)
class BaselineConfig:
    """What a baseline was trained on; its network's config stands beside it."""

    baseline: str  # a key of KINDS
    network: dict  # of the kind's config class
    text_encoder: TextEncoderConfig
    dt: float = 0.05  # seconds between frames
    views: tuple[str, ...] = ("side", "effector")


def baseline_kind(folder: Path) -> str | None:
    """Which baseline's checkpoint folder that is, whole or not; None where it is of none."""
    try:
        return json.loads((folder / CONFIG_FILE).read_text()).get("baseline")
    except (OSError, ValueError, AttributeError):
        return None


def save_baseline(config: BaselineConfig, network: nn.Module, folder: Path) -> None:
    save_weights(network, folder / WEIGHTS)
    write_atomically(folder / CONFIG_FILE, (json.dumps(to_dict(config), indent=2) + "\n").encode())


def load_baseline(folder: Path) -> tuple[BaselineConfig, nn.Module]:
    """Raises ValueError where config or weights are not those of a baseline that this version knows."""
    try:
        config = from_dict(BaselineConfig, json.loads((folder / CONFIG_FILE).read_text()))
        if config.baseline not in KINDS:
            raise ValueError(f"baseline: got {config.baseline!r}, expected one of {', '.join(KINDS)}")
        config_class, network_class = KINDS[config.baseline]
        network = network_class(from_dict(config_class, config.network, "network."))
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG_FILE}: {error}") from error
    load_weights(network, folder / WEIGHTS)
    return config, network.eval().requires_grad_(False)
