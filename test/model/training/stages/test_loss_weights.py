"""What losses look at: which flow times, and how much each window, token and point counts."""

import pytest
import torch
from tiny_runs import denoiser_config, vae_config

from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.files.config import from_dict
from trajforecast_model.training.batches import Batch, collate
from trajforecast_model.training.configs import DenoiserTrainConfig, VAETrainConfig
from trajforecast_model.training.noise import WindowNoise
from trajforecast_model.training.stages.denoiser import DenoiserStage
from trajforecast_model.training.stages.vae import VAEStage


def stage_of(data, vae, **changes) -> DenoiserStage:
    return DenoiserStage(from_dict(DenoiserTrainConfig, denoiser_config(data, "unused", vae, **changes)))


@pytest.fixture(scope="module")
def batch(data) -> Batch:
    """A window in which a disc moves, and one in which everything does."""
    dataset = ShardDataset(data, "train")
    moving, whole = collate([dataset[0]]), collate([dataset[1]])
    shift = 4.0 * torch.arange(16).view(1, 16, 1, 1, 1)
    tracks = torch.cat([moving.tracks, whole.tracks[:, :1] + shift])
    return Batch(torch.cat([moving.images, whole.images]), tracks, moving.instructions + whole.instructions)


def test_windows_weigh_the_same_however_much_moves(data, barely_trained_vae, batch):
    plain = stage_of(data, barely_trained_vae, moving_weight=16.0)._weight(batch)
    assert plain[0].mean() < 0.7 * plain[1].mean()
    assert plain[0].max() == 16 and plain[0].min() == 1 and plain[1].min() == 16
    equal = stage_of(data, barely_trained_vae, moving_weight=16.0, equal_windows=True)._weight(batch)
    torch.testing.assert_close(equal.mean(dim=(1, 2, 3, 4)), torch.ones(2))
    torch.testing.assert_close(equal[0] * plain[0].mean(), plain[0])


def test_the_vae_too_can_let_windows_weigh_the_same(data, batch):
    def weight(equal_windows: bool) -> torch.Tensor:
        config = vae_config(data, "unused", moving_weight=16.0, equal_windows=equal_windows)
        return VAEStage(from_dict(VAETrainConfig, config))._weight(batch)

    assert weight(False)[0].mean() < 0.7 * weight(False)[1].mean()
    torch.testing.assert_close(weight(True).mean(dim=(1, 2)), torch.ones(2))


@pytest.mark.parametrize("draws", [0, 2])
def test_some_draws_are_of_pure_noise(data, barely_trained_vae, batch, draws):
    stage = stage_of(data, barely_trained_vae, draws_per_window=3, pure_noise_draws=draws)
    seen = {}
    velocity = stage.model.denoiser.velocity

    def watched(x, t, context):
        seen["t"] = t
        return velocity(x, t, context)

    stage.model.denoiser.velocity = watched
    noise = WindowNoise(0, 0, range(2), torch.device("cpu"))
    stage.loss(stage.model, batch, noise, stage.mean_weight(batch))
    assert seen["t"].shape == (2, 3)
    assert (seen["t"] == 0).sum(dim=1).tolist() == [draws, draws]


def test_a_draw_must_be_left_for_the_flow(data, barely_trained_vae):
    with pytest.raises(ValueError, match="pure_noise_draws: got 2, expected fewer than draws_per_window, 2"):
        stage_of(data, barely_trained_vae, draws_per_window=2, pure_noise_draws=2)
