"""Parameter counts of the published sizes, and shapes that are not LIBERO's."""

import pytest
import torch
from tiny_model import randomise

from trajforecast_model.networks.denoiser import Denoiser, DenoiserConfig
from trajforecast_model.networks.track_vae import TrackVAE, TrackVAEConfig

KUBRIC = dict(num_frames=24, grid=(16, 16), image_grid=(16, 16), image_dim=384, text_dim=None)
SIZES = {
    "S": dict(dim=192, depth=8, heads=3),
    "B": dict(dim=384, depth=12, heads=6),
    "L": dict(dim=768, depth=16, heads=12),
}


def trainable(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


@pytest.mark.parametrize(("size", "count"), [("S", 7_057_544), ("B", 41_505_032), ("L", 219_628_040)])
def test_kubric_denoiser_counts(size, count):
    with torch.device("meta"):
        assert trainable(Denoiser(DenoiserConfig(**KUBRIC, **SIZES[size]))) == count


def test_libero_counts():
    assert trainable(Denoiser(DenoiserConfig())) == 43_522_184
    assert trainable(TrackVAE(TrackVAEConfig())) == 58_444_592


def test_kubric_vae_count():
    config = TrackVAEConfig(
        num_frames=24, grid=(32, 32), image_size=(256, 256), patch_size=2, image_grid=(16, 16), image_dim=384
    )
    assert trainable(TrackVAE(config)) == 57_590_552


@pytest.mark.parametrize(
    ("frames", "grid", "image_size"),
    [(24, (32, 32), (256, 256)), (30, (32, 32), (256, 256)), (30, (32, 58), (256, 464))],
)
def test_shapes_of_the_other_datasets_with_and_without_vae(frames, grid, image_size):
    small = dict(dim=64, depth=2, heads=1, image_grid=(4, 5), image_dim=32)
    tokens = torch.randn(2, 20, 32)
    vae = randomise(
        TrackVAE(TrackVAEConfig(num_frames=frames, grid=grid, image_size=image_size, patch_size=2, **small))
    )
    mean, std = vae.encode(vae.static_tracks(2), tokens)
    assert mean.shape == std.shape == (2, frames, grid[0] // 2 * grid[1] // 2, 8)
    assert vae.decode(mean, tokens).shape == (2, frames, 2, *grid)

    latent = dict(num_frames=frames, grid=vae.config.latent_grid, channels=8)
    tracks = dict(num_frames=frames, grid=grid, channels=2, patch_size=2, track_encoding=True)
    for config in (latent, tracks):
        denoiser = randomise(Denoiser(DenoiserConfig(**config, **small, text_dim=None)))
        x = torch.randn(2, frames, config["channels"], *config["grid"])
        assert denoiser(x, torch.tensor([0.1, 0.9]), tokens).shape == x.shape


def test_samples_that_share_an_image_equal_samples_on_their_own():
    config = DenoiserConfig(
        num_frames=3, grid=(4, 4), dim=64, depth=4, heads=1, image_grid=(3, 3), image_dim=16, text_dim=8
    )
    denoiser = randomise(Denoiser(config))
    tokens, text, x = torch.randn(2, 9, 16), torch.randn(2, 8), torch.randn(2, 5, 3, 8, 4, 4)
    together = denoiser.velocity(x, torch.full((2, 1), 0.3), denoiser.image_context(tokens, text))
    for sample in range(5):
        alone = denoiser(x[:, sample], torch.full((2,), 0.3), tokens, text)
        torch.testing.assert_close(together[:, sample], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 3, 4, 5, 15])
def test_temporal_stride_keeps_every_frame(stride):
    config = TrackVAEConfig(
        grid=(16, 16), image_size=(32, 32), patch_size=8, temporal_stride=stride, dim=64, depth=2, heads=1,
        image_conditioned=False, fourier_features=False, offset_scale=8.0,
    )  # fmt: skip
    vae = TrackVAE(config)
    mean, _ = vae.encode(vae.static_tracks(1))
    assert mean.shape[1] == config.latent_frames == 1 + -(-15 // stride)
    # A new decoder's last layer is zero, and offsets of zero are points that stay where they are.
    torch.testing.assert_close(vae.decode(mean), vae.static_tracks(1))


@pytest.mark.parametrize("changes", [dict(), dict(temporal_stride=5, offset_scale=8.0), dict(image_conditioned=False)])
def test_tracks_that_never_move_are_encoded_as_any_others(changes):
    config = dict(num_frames=11, grid=(16, 16), image_size=(32, 32), dim=64, depth=2, heads=1) | changes
    vae = randomise(TrackVAE(TrackVAEConfig(**config, image_grid=(3, 3), image_dim=16)))
    tokens = torch.randn(2, 9, 16)
    for short, long in zip(vae.encode_static(2, tokens), vae.encode(vae.static_tracks(2), tokens), strict=True):
        torch.testing.assert_close(short, long, rtol=1e-4, atol=1e-5)


def test_a_vae_can_learn_one_window_by_heart():
    torch.manual_seed(0)
    config = TrackVAEConfig(
        grid=(16, 16), image_size=(32, 32), patch_size=8, temporal_stride=5, dim=64, depth=2, heads=1,
        image_conditioned=False, fourier_features=False, offset_scale=8.0,
    )  # fmt: skip
    vae = TrackVAE(config)
    tracks = vae.static_tracks(1) + torch.linspace(0, 0.3, 16)[None, :, None, None, None] * torch.randn(1, 1, 2, 16, 16)
    optimiser = torch.optim.Adam(vae.parameters(), lr=3e-3)
    errors = []
    for _ in range(150):
        error = ((vae.decode(vae.encode(tracks)[0]) - tracks) ** 2).mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        errors.append(error.item())
    assert errors[-1] < 0.05 * errors[0]


def test_skipping_the_known_frame_ignores_it():
    config = dict(num_frames=3, grid=(4, 4), dim=64, depth=2, heads=1, image_grid=(3, 3), image_dim=16, text_dim=None)
    denoiser = randomise(Denoiser(DenoiserConfig(**config, skip_first_frame=True)))
    tokens, x, t = torch.randn(2, 9, 16), torch.randn(2, 3, 8, 4, 4), torch.tensor([0.2, 0.7])
    velocity = denoiser(x, t, tokens)
    assert velocity.shape == x.shape and not velocity[:, 0].any() and velocity[:, 1:].abs().min() > 0
    x[:, 0] = 100.0
    assert torch.equal(denoiser(x, t, tokens), velocity)
