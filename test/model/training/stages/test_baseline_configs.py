"""The configs of baselines: each loads as what its heading says."""

import re
from pathlib import Path

import pytest
import torch

from trajforecast_model.baselines.track_diffusion import TrackDiffusion
from trajforecast_model.baselines.track_transformer import TrackTransformer
from trajforecast_model.files.config import load
from trajforecast_model.training.configs import ATMTrainConfig, DenoiserTrainConfig, Track2ActTrainConfig

ROOT = Path(__file__).parents[4]
CONFIGS = sorted((ROOT / "config" / "train" / "baselines").glob("*.yaml"))
CLASSES = {"atm": ATMTrainConfig, "track2act": Track2ActTrainConfig, "denoiser": DenoiserTrainConfig}
# Millions of parameters, as docs/evaluation.md has them.
SIZES = {"atm": 13.0, "tra_moe": 23.6, "atm_tiny": 2.7, "tra_moe_tiny": 5.4, "track2act": 686.4, "track2act_tiny": 7.1}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_config_loads_as_its_heading_says(path):
    stage, config_path = re.search(r"trajforecast train (\w+) --config (\S+)", path.read_text()).groups()
    assert ROOT / config_path == path
    config = load(CLASSES[stage], path)
    assert config.out == f"runs/{path.stem}"
    if stage == "denoiser":
        return
    assert config.network.text_dim == config.text_encoder.dim
    with torch.device("meta"):
        network = (TrackTransformer if stage == "atm" else TrackDiffusion)(config.network)
    assert round(sum(parameter.numel() for parameter in network.parameters()) / 1e6, 1) == SIZES[path.stem]
