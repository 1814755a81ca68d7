"""Coordinates stay float32 in networks of bfloat16, which tells positions of 128 pixels to a quarter of one only."""

import pytest
import torch
from tiny_model import randomise

from trajforecast_model.networks.track_vae import TrackVAE, TrackVAEConfig

SMALL = dict(num_frames=3, grid=(16, 16), dim=64, depth=2, heads=2, latent_channels=4, image_conditioned=False)


@pytest.mark.parametrize("offset_scale", [8.0, None])
@pytest.mark.parametrize("autocast", [False, True])
def test_decoded_positions_are_not_rounded(offset_scale, autocast):
    vae = randomise(TrackVAE(TrackVAEConfig(**SMALL, offset_scale=offset_scale)))
    latents = torch.randn(2, 3, 16, 4)
    exact = vae.decode(latents)
    if autocast:
        with torch.autocast("cpu", torch.bfloat16):
            tracks = vae.decode(latents)
    else:
        tracks = vae.to(torch.bfloat16).decode(latents.bfloat16())
    assert tracks.dtype == torch.float32
    assert (tracks != tracks.bfloat16()).float().mean() > 0.9
    torch.testing.assert_close(tracks, exact, rtol=0.05, atol=0.1)


def test_what_does_not_move_stays_where_it_is():
    vae = TrackVAE(TrackVAEConfig(**SMALL, offset_scale=8.0))  # untrained: every offset is zero
    still = vae.static_tracks(2)
    tracks = vae.to(torch.bfloat16).decode(torch.zeros(2, 3, 16, 4, dtype=torch.bfloat16))
    assert torch.equal(tracks, still)
