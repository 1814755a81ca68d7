"""The denoiser's past: what is not seen is not read, none is the same as none seen, and a new one counts for nothing yet."""

import dataclasses

import pytest
import torch
from tiny_model import randomise, tiny_config

from trajforecast_model.networks.denoiser import Denoiser
from trajforecast_model.networks.history_encoder import HistoryConfig, HistoryEncoder, PastTracks

FRAMES = 3
CONFIG = tiny_config(history_frames=FRAMES).denoiser
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(2, CONFIG.num_frames, CONFIG.channels, *CONFIG.grid, generator=GENERATOR)
T = torch.tensor([0.2, 0.7])
TOKENS = torch.randn(2, 64, 64, generator=GENERATOR)
TEXT = torch.randn(2, 384, generator=GENERATOR)
OFFSETS = 0.1 * torch.randn(2, FRAMES, 2, 64, 64, generator=GENERATOR)
VISIBLE = torch.rand(2, FRAMES, 64, 64, generator=GENERATOR) < 0.6


@pytest.fixture(scope="module")
def denoiser():
    return randomise(Denoiser(CONFIG)).eval()


@torch.no_grad()
def velocity(denoiser, past):
    return denoiser(X, T, TOKENS, TEXT, past)


def test_the_past_matters(denoiser):
    seen = velocity(denoiser, PastTracks(OFFSETS, VISIBLE))
    assert (seen - velocity(denoiser, PastTracks(-OFFSETS, VISIBLE))).abs().max() > 1e-2
    assert (seen - velocity(denoiser, None)).abs().max() > 1e-2


def test_where_a_point_is_hidden_its_position_is_not_read(denoiser):
    nowhere = torch.where(VISIBLE[:, :, None], OFFSETS, torch.nan)
    torch.testing.assert_close(
        velocity(denoiser, PastTracks(nowhere, VISIBLE)), velocity(denoiser, PastTracks(OFFSETS, VISIBLE))
    )


def test_no_past_is_a_past_of_which_nothing_is_seen(denoiser):
    unseen = PastTracks(OFFSETS, torch.zeros_like(VISIBLE))
    torch.testing.assert_close(velocity(denoiser, unseen), velocity(denoiser, None))


def test_a_past_that_was_just_added_counts_for_nothing():
    torch.manual_seed(0)
    denoiser = Denoiser(CONFIG)
    for block in denoiser.blocks:  # else nothing at all would count at first
        torch.nn.init.normal_(block.modulation.weight, std=0.1)
    torch.nn.init.normal_(denoiser.final_linear.weight, std=0.1)
    assert torch.equal(velocity(denoiser, PastTracks(OFFSETS, VISIBLE)), velocity(denoiser, None))


def test_a_model_of_the_present_refuses_a_past():
    denoiser = Denoiser(dataclasses.replace(CONFIG, history=None))
    with pytest.raises(ValueError, match="takes no history"):
        velocity(denoiser, PastTracks(OFFSETS, VISIBLE))


def test_a_past_of_another_length_is_refused(denoiser):
    with pytest.raises(ValueError, match=r"expected visibility \(2, 3, 64, 64\), got \(2, 2, 64, 64\)"):
        velocity(denoiser, PastTracks(OFFSETS[:, 1:], VISIBLE[:, 1:]))


def test_points_that_do_not_fill_the_cells_are_refused():
    with pytest.raises(ValueError, match="whole number of square cells"):
        HistoryEncoder(HistoryConfig(frames=2, grid=(30, 40)), (4, 4), 64, 1)
