"""The configs of TrajLoom: each loads as what its heading says, and networks have the sizes that they should."""

import re
from pathlib import Path

import pytest
import torch

from trajforecast_model.files.config import load
from trajforecast_model.networks.trajloom.generator import Generator, GeneratorConfig
from trajforecast_model.networks.trajloom.track_vae import TrajloomVAE
from trajforecast_model.networks.trajloom.visibility import VisibilityHead, VisibilityHeadConfig
from trajforecast_model.training.run import CONFIG_CLASSES

ROOT = Path(__file__).parents[4]
CONFIGS = sorted((ROOT / "config" / "train" / "trajloom").glob("*.yaml"))
MAX_BYTES = 20 * 2**20  # of a robot-size checkpoint


def load_named(name: str):
    path = ROOT / "config" / "train" / "trajloom" / f"{name}.yaml"
    stage = re.search(r"trajforecast train (\w+) --config|cli train (\w+)", path.read_text())
    return load(CONFIG_CLASSES[stage[1] or stage[2]], path)


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def networks(size: str) -> list[torch.nn.Module]:
    vae, config, head = (load_named(f"{size}_{stage}") for stage in ("vae", "generator", "visibility"))
    cells, generator = vae.vae.cells.shape, config.generator
    with torch.device("meta"):
        return [
            TrajloomVAE(vae.vae),
            Generator(
                GeneratorConfig(
                    num_frames=vae.vae.num_frames,
                    temporal_stride=vae.vae.temporal_stride,
                    cells=cells[0] * cells[1],
                    channels=vae.vae.latent_channels,
                    video_channels=generator.video_channels,
                    text_dim=config.text_encoder.dim,
                    dim=generator.dim,
                    depth=generator.depth,
                    heads=generator.heads,
                    fusion=generator.fusion,
                )
            ),
            VisibilityHead(VisibilityHeadConfig(vae.vae.latent_channels, head.dim, head.depth, head.kernel)),
        ]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_loads_as_its_heading_says(path):
    config, text = load_named(path.stem), path.read_text()
    assert f"--config config/train/trajloom/{path.name} --set data.folder=DATA" in text
    assert config.out == f"runs/trajloom_{path.stem}"
    if batch := re.search(r"Batch: (\d+) windows a step = (\d+) GPUs x (\d+)", text):
        size, gpus, each = map(int, batch.groups())
        assert size == gpus * each == config.optimisation.batch_size
    if epochs := re.search(r"([\d,]+)\s+training clips / (\d+) = ([\d,]+) steps an epoch; ([\d,]+)[\s#]+steps", text):
        clips, batch_size, steps, total = (int(number.replace(",", "")) for number in epochs.groups())
        assert batch_size == config.optimisation.batch_size and steps == -(-clips // batch_size)
        assert total == config.optimisation.steps


def test_the_paper_s_size_is_the_official_one():
    assert [parameters(network) for network in networks("paper")] == [106_754_912, 244_461_354, 38_209]


def test_a_robot_s_checkpoint_is_small():
    assert sum(4 * parameters(network) for network in networks("libero")) <= MAX_BYTES


def test_each_stage_names_the_run_before_it():
    for size in ("paper", "libero"):
        vae, generator, on_policy, visibility = (
            load_named(f"{size}_{stage}") for stage in ("vae", "generator", "on_policy", "visibility")
        )
        assert generator.vae == vae.out and on_policy.start_from == generator.out
        assert visibility.forecaster == on_policy.out and on_policy.on_policy is not None
