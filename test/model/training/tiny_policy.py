"""A policy of the real network with random weights, beside a small forecaster."""

import math
from pathlib import Path

import torch

from trajforecast_model import Forecaster
from trajforecast_model.policy.checkpoint import (
    ExecutionConfig,
    ForecastingConfig,
    PolicyConfig,
    forecaster_digest,
    save_policy,
)
from trajforecast_model.policy.network import PolicyNetwork, PolicyNetworkConfig, PolicySizeConfig
from trajforecast_model.policy.tracks import TrackInputConfig


def write_policy(folder: Path, forecaster: Path, tracks: str = "forecast") -> Path:
    loaded, told = Forecaster.from_pretrained(forecaster), TrackInputConfig()
    image = loaded.config.denoiser
    network = PolicyNetworkConfig(
        size=PolicySizeConfig(dim=32, depth=1, heads=2), views=2, image_tokens=math.prod(image.image_grid),
        image_dim=image.image_dim,
        track_points=0 if tracks == "none" else told.num_points, track_features=told.features, text_dim=384,
    )  # fmt: skip
    config = PolicyConfig(
        kind="policy", network=network, tracks=tracks, track_input=told, forecaster=str(forecaster),
        forecaster_weights=forecaster_digest(loaded, tracks != "none"), forecasting=ForecastingConfig(samples=2),
        execution=ExecutionConfig(), views=("side", "effector"), dt=0.05,
    )  # fmt: skip
    torch.manual_seed(0)
    save_policy(config, PolicyNetwork(network), folder)
    return folder
