"""ATM's network: what it sees, what it must not see, and what its outputs mean."""

import pytest
import torch

from trajforecast_model.baselines.track_transformer import TrackTransformer, TrackTransformerConfig, signed_pixels

TINY = dict(dim=32, depth=2, heads=2, image_patch=32, text_dim=8, dropout=0.0)


def inputs(batch: int = 2, points: int = 32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.rand(batch, 3, 128, 128) * 2 - 1, torch.rand(batch, points, 2), torch.randn(batch, 8)


def test_size_at_the_published_dimensions():
    network = TrackTransformer(TrackTransformerConfig())
    # 8 x (2 x 384^2 for queries and output, 384 x 96 for the shared key and value, two norms, the MLP of 4 x 384)
    per_block = 2 * 384**2 + 384 * 96 + 2 * 384 + (384 * 1536 + 1536 + 1536 * 384 + 384)
    ends = (
        (2 * 4 * 384 + 384) + (768 * 384 + 384) + (768 * 384 + 384) + 384 + 4 * 384 + (384 * 8 + 8) + (384 * 768 + 768)
    )
    assert sum(p.numel() for p in network.parameters()) == 8 * per_block + ends


def test_tracks_and_patches_have_the_shapes_of_what_they_stand_for():
    network = TrackTransformer(TrackTransformerConfig(**TINY))
    images, points, text = inputs()
    tracks, patches = network(images, points, text)
    assert tracks.shape == (2, 16, 32, 2)
    assert patches.shape == network.patchify(images).shape == (2, 16, 3 * 32 * 32)


def test_a_patch_holds_the_pixels_of_its_place():
    network = TrackTransformer(TrackTransformerConfig(**TINY))
    images = torch.zeros(1, 3, 128, 128)
    images[0, 1, 32:64, 96:128] = 1.0  # second row, last column of patches
    filled = network.patchify(images)[0].sum(dim=-1)
    assert filled.nonzero().flatten().tolist() == [7] and filled[7] == 32 * 32


def test_the_order_of_the_query_points_does_not_matter():
    network = TrackTransformer(TrackTransformerConfig(**TINY)).eval()
    images, points, text = inputs()
    order = torch.randperm(32)
    tracks, _ = network(images, points, text)
    shuffled, _ = network(images, points[:, order], text)
    torch.testing.assert_close(shuffled, tracks[:, :, order], rtol=1e-4, atol=1e-5)


def test_image_text_and_points_all_matter_and_hidden_patches_do_not():
    network = TrackTransformer(TrackTransformerConfig(**TINY)).eval()
    images, points, text = inputs()
    tracks, _ = network(images, points, text)
    for changed in ((-images, points, text), (images, 1 - points, text), (images, points, -text)):
        assert not torch.allclose(network(*changed)[0], tracks, atol=1e-5)
    hidden = torch.ones(2, 16, dtype=torch.bool)
    assert torch.equal(network(images, points, text, hidden)[0], network(-images, points, text, hidden)[0])


def test_motion_is_added_to_the_query_point():
    network = TrackTransformer(TrackTransformerConfig(**TINY, predict_motion=True))
    torch.nn.init.zeros_(network.track_head.weight)
    torch.nn.init.zeros_(network.track_head.bias)
    images, points, text = inputs()
    assert torch.equal(network(images, points, text)[0], points[:, None].expand(-1, 16, -1, -1))


def test_pixels_from_minus_one_to_one():
    images = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 2, 1).expand(1, 1, 2, 3)
    assert signed_pixels(images).tolist() == [[[[-1, 1]]] * 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(dim=33), "multiple of heads"),
        (dict(track_patch=5), "multiple of track_patch"),
        (dict(image_patch=48), "multiple of image_patch"),
    ],
)
def test_sizes_that_do_not_divide_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        TrackTransformerConfig(**(TINY | change))
