"""Checkpoints of policies: a folder like a forecaster's, whose config.json says `"kind": "policy"`.

config.json  policy.safetensors (the data's statistics in it)
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from trajforecast_model.checkpoint import (
    CONFIG_FILE,
    POLICY,
    checkpoint_folder,
    kind_of,
    load_weights,
    save_weights,
    weights_digest,
)
from trajforecast_model.files.atomic import write_atomically
from trajforecast_model.files.config import check_at_least, from_dict, to_dict
from trajforecast_model.files.json_files import read_object
from trajforecast_model.forecaster import Forecaster
from trajforecast_model.policy.network import PolicyNetwork, PolicyNetworkConfig
from trajforecast_model.policy.tracks import TrackInputConfig

WEIGHTS = "policy.safetensors"

# forecast: what the frozen forecaster says; none: no tracks at all (behaviour cloning); swapped: another episode's
# displacements; exact: where the points really went, which no forecaster knows.
Tracks = Literal["forecast", "none", "swapped", "exact"]


@dataclass(frozen=True)
class ForecastingConfig:
    """How the frozen forecaster is asked."""

    samples: int = 4  # k
    steps: int | None = None  # network evaluations; null: the checkpoint's own

    def __post_init__(self):
        check_at_least(1, self, "samples", *([] if self.steps is None else ["steps"]), group="forecasting.")


@dataclass(frozen=True)
class ExecutionConfig:
    every: int = 8  # control steps between two chunks, of which the newer begins where the robot is then
    blend: float = 0.5  # weight of a chunk against the one after it, where both say something; 0: the newest alone

    def __post_init__(self):
        check_at_least(1, self, "every", group="execution.")
        if not 0 <= self.blend <= 1:
            raise ValueError(f"execution.blend: got {self.blend!r}, expected a number from 0 to 1")


@dataclass(frozen=True)
class PolicyConfig:
    """Everything needed to rebuild a policy beside its forecaster."""

    kind: str
    network: PolicyNetworkConfig
    tracks: Tracks
    track_input: TrackInputConfig
    forecaster: str  # name or folder of the checkpoint whose image tokens and forecasts it was trained on
    forecaster_weights: str  # tells it from others, see `forecaster_digest`
    forecasting: ForecastingConfig
    execution: ExecutionConfig
    views: tuple[str, ...]
    dt: float  # seconds of a control step

    def __post_init__(self):
        if self.kind != POLICY:
            raise ValueError(f"kind: got {self.kind!r}, expected {POLICY!r}")


def forecaster_digest(forecaster: Forecaster, with_tracks: bool) -> str:
    """Of the networks that a policy depends on: the image encoder and, where it gets tracks, those that make them."""
    networks = [forecaster.image_encoder, *([forecaster.denoiser, forecaster.vae] if with_tracks else [])]
    return "-".join(weights_digest(network) for network in networks if network is not None)


def save_policy(config: PolicyConfig, network: PolicyNetwork, folder: Path) -> None:
    save_weights(network, folder / WEIGHTS, torch.float32)
    write_atomically(folder / CONFIG_FILE, (json.dumps(to_dict(config), indent=2) + "\n").encode())


def load_policy(source: str | Path) -> tuple[PolicyConfig, PolicyNetwork]:
    """Of a folder, a training run or a shipped one's name. Raises ValueError where that is no policy, or is damaged."""
    folder = checkpoint_folder(source, allow_download=False)
    path = folder / CONFIG_FILE
    if kind_of(folder) != POLICY:
        raise ValueError(f"{folder} is not a policy; give the folder of a `trajforecast train policy` run")
    try:
        config = from_dict(PolicyConfig, read_object(path, "copy the policy again, or train it again"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    network = PolicyNetwork(config.network)
    load_weights(network, folder / WEIGHTS)
    return config, network.eval().requires_grad_(False)
