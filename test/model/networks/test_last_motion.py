"""The last motion as latents: that of the extrapolation which has to be beaten, nothing where nothing was seen."""

import dataclasses

import pytest
import torch
from tiny_model import randomise, tiny_config

from trajforecast_model.networks.denoiser import Denoiser
from trajforecast_model.networks.history_encoder import PastTracks
from trajforecast_model.networks.last_motion import last_velocity, with_last_motion
from trajforecast_model.networks.track_vae import TrackVAE
from trajforecast_model.tracks.extrapolation import DECAY, constant_velocity

FRAMES = 4
TINY = tiny_config(history_frames=FRAMES)
CONFIG = dataclasses.replace(TINY.denoiser, history=dataclasses.replace(TINY.denoiser.history, last_motion=True))
GENERATOR = torch.Generator().manual_seed(0)
VELOCITY = 0.02 * torch.randn(1, 2, 64, 64, generator=GENERATOR)
AGES = torch.arange(FRAMES, 0, -1)
EVEN = PastTracks(-AGES.view(1, -1, 1, 1, 1) * VELOCITY[:, None], torch.ones(1, FRAMES, 64, 64, dtype=torch.bool))
STD = torch.tensor([1.0, 2.0, 0.5, 1.0])


@pytest.fixture(scope="module")
def vae():
    return randomise(TrackVAE(TINY.vae)).eval()


@torch.no_grad()
def test_even_motion_goes_on_as_the_decaying_extrapolation_has_it(vae):
    points = vae.anchors.movedim(0, -1).numpy()
    history = (vae.anchors + EVEN.offsets[0]).movedim(1, -1).numpy()
    future = constant_velocity(points, history, EVEN.visible[0].numpy(), TINY.vae.num_frames, DECAY)
    mean, _ = vae.encode(torch.from_numpy(future)[None].movedim(-1, 2))
    expected = (mean / STD).unflatten(2, TINY.vae.latent_grid).movedim(-1, 2)[:, 1:]
    torch.testing.assert_close(with_last_motion(EVEN, vae, STD, None).last_motion, expected, rtol=1e-4, atol=1e-5)


def test_the_velocity_is_that_of_the_newest_frames_in_which_a_point_was_seen():
    visible = EVEN.visible.clone()
    visible[:, -2:] = False  # seen three and more frames ago alone
    visible[:, :, :8] = False
    nowhere = torch.where(visible[:, :, None], EVEN.offsets, torch.nan)
    expected = VELOCITY.clone()
    expected[:, :, :8] = 0
    torch.testing.assert_close(last_velocity(PastTracks(nowhere, visible)), expected)


@torch.no_grad()
def test_points_that_were_lost_do_not_make_the_motion_around_them_slower(vae):
    even = EVEN._replace(offsets=EVEN.offsets.mean(dim=(3, 4), keepdim=True).expand_as(EVEN.offsets))  # all alike
    visible = torch.rand(1, 1, 64, 64, generator=GENERATOR).expand(-1, FRAMES, -1, -1) < 0.5
    lost = with_last_motion(even._replace(visible=visible), vae, STD, None).last_motion
    torch.testing.assert_close(lost, with_last_motion(even, vae, STD, None).last_motion, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_of_a_cell_never_seen_there_is_none(vae):
    visible = EVEN.visible.clone()
    visible[:, :, :16] = False
    cells = with_last_motion(EVEN._replace(visible=visible), vae, STD, None).last_motion
    assert not cells[..., :1, :].any() and cells[..., 1:, :].any(1).any(1).all()


@torch.no_grad()
def test_the_denoiser_reads_it_and_at_first_it_counts_for_nothing(vae):
    x = torch.randn(1, CONFIG.num_frames, CONFIG.channels, *CONFIG.grid, generator=GENERATOR)
    given = (torch.tensor([0.4]), torch.randn(1, 64, 64, generator=GENERATOR), torch.randn(1, 384, generator=GENERATOR))
    past = with_last_motion(EVEN, vae, STD, None)
    other = past._replace(last_motion=-past.last_motion)

    def difference(denoiser):
        return (denoiser(x, *given, past) - denoiser(x, *given, other)).abs().max()

    assert difference(randomise(Denoiser(CONFIG))) > 1e-3
    fresh = randomise(Denoiser(CONFIG))
    torch.nn.init.zeros_(fresh.last_motion_embedding.proj.weight)
    assert difference(fresh) == 0
    assert not Denoiser(CONFIG).last_motion_embedding.proj.weight.any()


def test_a_past_without_it_is_refused():
    with pytest.raises(ValueError, match=r"expected last_motion \(1, 3, 4, 4, 4\), got None"):
        randomise(Denoiser(CONFIG)).image_context(torch.zeros(1, 64, 64), torch.zeros(1, 384), EVEN)
