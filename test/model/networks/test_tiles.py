"""What makes inference on a CPU faster leaves its output as it was: each against the plain formula."""

import pytest
import torch
import torch.nn.functional as F
from tiny_model import randomise

from trajforecast_model.networks import tiles
from trajforecast_model.networks.denoiser import Denoiser, DenoiserConfig
from trajforecast_model.networks.layers import MLP, attend
from trajforecast_model.networks.track_vae import TrackVAE, TrackVAEConfig

IMAGE = dict(image_grid=(3, 3), image_dim=16)


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(tiles, "TILE_TOKENS", 24)


@pytest.mark.parametrize("shape", [(1, 1, 1, 4), (2, 3, 4, 6), (1, 2, 16, 256), (2, 8, 1, 64), (3, 1, 30, 5)])
@pytest.mark.parametrize("over_time", [False, True])
def test_tiles_hold_every_token_once_and_never_cut_what_attends(shape, over_time):
    seen = torch.zeros(shape)
    for tile in tiles.tiles(shape, over_time, 24):
        seen[tile] += 1
        images, _, frames, positions = seen[tile].shape
        assert (frames, positions)[0 if over_time else 1] == (shape[2] if over_time else shape[3])
        assert images == 1 or seen[tile].numel() == seen.numel()
    assert torch.equal(seen, torch.ones(shape))


@pytest.mark.parametrize("samples_share_their_time", [True, False])
def test_the_denoiser_by_tiles_equals_the_denoiser_at_once(small_tiles, samples_share_their_time):
    denoiser = randomise(
        Denoiser(DenoiserConfig(num_frames=5, grid=(4, 4), dim=64, depth=4, heads=2, text_dim=8, **IMAGE))
    )
    x, t = torch.randn(2, 3, 5, 8, 4, 4), torch.rand(2, 1 if samples_share_their_time else 3)
    context = denoiser.image_context(torch.randn(2, 9, 16), torch.randn(2, 8))
    at_once = denoiser.velocity(x, t, context)
    with torch.inference_mode():
        by_tiles = denoiser.velocity(x, t, context)
    torch.testing.assert_close(by_tiles, at_once.detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("image_conditioned", [True, False])
def test_the_vae_by_tiles_equals_the_vae_at_once(small_tiles, image_conditioned):
    config = TrackVAEConfig(
        num_frames=5, grid=(16, 16), image_size=(32, 32), dim=64, depth=4, heads=2, image_conditioned=image_conditioned,
        **IMAGE,
    )  # fmt: skip
    vae = randomise(TrackVAE(config))
    tokens = torch.randn(2, 9, 16)
    tracks = vae.static_tracks(2) + 0.1 * torch.randn(2, 5, 2, 16, 16)
    latents = torch.randn(6, 5, 16, 8)  # three samples of each image
    at_once = *vae.encode(tracks, tokens), vae.decode(latents, tokens)
    with torch.inference_mode():
        by_tiles = *vae.encode(tracks, tokens), vae.decode(latents, tokens)
    for fast, plain in zip(by_tiles, at_once, strict=True):
        torch.testing.assert_close(fast, plain.detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)])
def test_attention_is_the_softmax_formula(dtype, tolerance):
    queries, keys, values = (torch.randn(2, 3, length, 64) for length in (7, 5, 5))
    expected = torch.softmax(queries @ keys.transpose(-1, -2) / 8, dim=-1) @ values
    with torch.inference_mode():
        attended = attend(*(x.to(dtype) for x in (queries, keys, values)))
    assert attended.dtype == dtype
    assert (attended.float() - expected).norm() < tolerance * expected.norm()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)])
def test_the_mlp_is_two_linears_with_a_gelu_between(dtype, tolerance):
    mlp = randomise(MLP(8, 32, 8))
    x = torch.randn(2, 5, 3, 8)
    expected = mlp.fc2(F.gelu(mlp.fc1(x), approximate="tanh")).detach()
    with torch.inference_mode():
        actual = mlp.to(dtype)(x.to(dtype))
    assert (actual.float() - expected).norm() < tolerance * expected.norm()
