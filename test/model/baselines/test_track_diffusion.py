import pytest
import torch

from trajforecast_model.baselines.resnet import ResNet
from trajforecast_model.baselines.track_diffusion import TrackDiffusion, TrackDiffusionConfig

TINY = dict(dim=32, depth=2, heads=2, resnet_width=16, grid=(8, 8), text_dim=8)


def wake(network: TrackDiffusion) -> TrackDiffusion:
    """Its modulations and output begin at zero, where nothing depends on anything."""
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return network.eval()


def test_resnet_has_the_size_of_resnet_18():
    """11,176,512 without its classifier, and the biases of our three shortcuts in place of their norms' parameters."""
    shortcuts = (128, 256, 512)
    expected = 11_176_512 - sum(2 * width for width in shortcuts) + sum(shortcuts)
    assert sum(p.numel() for p in ResNet(64).parameters()) == expected
    assert ResNet(16)(torch.zeros(2, 3, 64, 64)).shape == (2, 128)


def test_before_training_it_sees_no_noise():
    network = TrackDiffusion(TrackDiffusionConfig(**TINY))
    condition = network.condition(torch.rand(2, 3, 128, 128), torch.randn(2, 8))
    assert not network(torch.randn(2, 16, 64, 2), torch.tensor([3, 700]), condition).any()


def test_image_text_level_and_other_points_all_matter():
    network = wake(TrackDiffusion(TrackDiffusionConfig(**TINY)))
    images, text, tracks = torch.rand(1, 3, 128, 128), torch.randn(1, 8), torch.randn(1, 16, 64, 2)
    level = torch.tensor([400])
    noise = network(tracks, level, network.condition(images, text))
    assert noise.shape == tracks.shape
    moved = tracks.clone()
    moved[:, :, 1:] += 1
    for other in (
        network(tracks, level, network.condition(-images, text)),
        network(tracks, level, network.condition(images, -text)),
        network(tracks, level + 100, network.condition(images, text)),
        network(moved, level, network.condition(images, text)),
    ):
        assert not torch.allclose(other[:, :, 0], noise[:, :, 0], atol=1e-4)


def test_motions_are_diffused_relative_to_the_first_frame():
    tracks = torch.rand(2, 16, 64, 2) * 2 - 1
    for scale in (None, 4.0):
        network = TrackDiffusion(TrackDiffusionConfig(**TINY, motion_scale=scale))
        diffused = network.diffused(tracks)
        assert torch.equal(diffused[:, :1], tracks[:, :1])
        torch.testing.assert_close(network.positions_of(diffused[:, 1:], tracks[:, :1]), tracks[:, 1:])
        assert diffused[:, 1:].abs().max() <= network.largest * 2
    still = tracks[:, :1].expand(-1, 16, -1, -1)
    assert not network.diffused(still)[:, 1:].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(dim=33), "multiple of heads"),
        (dict(heads=0), "heads: got 0"),
        (dict(sampling_steps=0), "sampling_steps"),
        (dict(resnet_width=20), "multiple of 16"),
        (dict(motion_scale=0.0), "motion_scale: got 0.0"),
        (dict(first_level=1000), "first_level: got 1000"),
    ],
)
def test_sizes_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        TrackDiffusion(TrackDiffusionConfig(**(TINY | change)))
