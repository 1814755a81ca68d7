"""ATM's network: what it sees, what it must not see, and what its outputs mean."""

import pytest
import torch

from trajforecast_model.baselines.mixture import MixtureOfExperts
from trajforecast_model.baselines.track_transformer import TrackTransformer, TrackTransformerConfig
from trajforecast_model.networks.image_encoder import signed_pixels

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
    tracks, patches, _ = network(images, points, text)
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
    tracks = network(images, points, text).tracks
    shuffled = network(images, points[:, order], text).tracks
    torch.testing.assert_close(shuffled, tracks[:, :, order], rtol=1e-4, atol=1e-5)


def test_image_text_and_points_all_matter_and_hidden_patches_do_not():
    network = TrackTransformer(TrackTransformerConfig(**TINY)).eval()
    images, points, text = inputs()
    tracks = network(images, points, text).tracks
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
        (dict(experts=1), "experts: got 1"),
    ],
)
def test_sizes_that_do_not_divide_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        TrackTransformerConfig(**(TINY | change))


def test_tra_moe_has_mixtures_in_its_first_middle_and_last_block():
    dense, mixed = (TrackTransformer(TrackTransformerConfig(experts=experts)) for experts in (0, 4))
    assert [block.mixture is not None for block in mixed.blocks] == [number in (0, 4, 7) for number in range(8)]
    # Four experts without biases and a gate of four outputs, in place of one MLP with biases.
    mlp = 2 * 4 * 384**2
    extra = 3 * (4 * mlp + 4 * 384 - mlp - 5 * 384)
    count = [sum(parameter.numel() for parameter in network.parameters()) for network in (dense, mixed)]
    assert count[1] - count[0] == extra
    output = TrackTransformer(TrackTransformerConfig(**TINY, experts=4))(*inputs())
    assert output.tracks.shape == (2, 16, 32, 2) and output.gate_size > 0


def test_each_token_is_the_work_of_its_best_expert_alone():
    mixture = MixtureOfExperts(8, experts=3, dropout=0.0)
    x = torch.randn(2, 5, 8)
    output, gate_size = mixture(x)
    logits = mixture.gate(x)
    for place in ((0, 0), (0, 4), (1, 2)):
        best, second = logits[place].softmax(-1).sort(descending=True).values[:2]
        chosen = int(logits[place].argmax())
        hidden = torch.nn.functional.gelu(mixture.norm(x[place]) @ mixture.expand[chosen])
        torch.testing.assert_close(output[place], best / (best + second) * (hidden @ mixture.contract[chosen]))
    torch.testing.assert_close(gate_size, logits.logsumexp(-1).square().mean())


def test_gate_and_every_chosen_expert_learn():
    mixture = MixtureOfExperts(8, experts=3, dropout=0.0)
    x = torch.randn(2, 50, 8)
    mixture(x)[0].square().sum().backward()
    chosen = set(mixture.gate(x).argmax(-1).flatten().tolist())
    assert {number for number in range(3) if mixture.expand.grad[number].abs().sum() > 0} == chosen
    assert mixture.gate.weight.grad.abs().sum() > 0
