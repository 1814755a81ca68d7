"""TrajLoom's networks: exact sizes, and shortcuts that change nothing."""

import pytest
import torch
from tiny_model import randomise

from trajforecast_model.networks.trajloom.cells import CellGrid
from trajforecast_model.networks.trajloom.frames import seen_in_latent_steps, to_frames
from trajforecast_model.networks.trajloom.generator import Generator, GeneratorConfig
from trajforecast_model.networks.trajloom.track_vae import TrajloomVAE, TrajloomVAEConfig
from trajforecast_model.networks.trajloom.visibility import VisibilityHead, VisibilityHeadConfig

SMALL_VAE = dict(dim=32, depth=2, heads=2, latent_channels=4, position_frequencies=4)
SMALL_GENERATOR = dict(channels=4, video_channels=3, text_dim=5, dim=32, depth=4, heads=2)


def trainable(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def test_counts_at_the_official_size():
    with torch.device("meta"):
        vae, generator = TrajloomVAE(TrajloomVAEConfig()), Generator(GeneratorConfig())
        assert trainable(vae) == 106_754_912
        assert trainable(generator) == 244_461_354
        assert trainable(VisibilityHead(VisibilityHeadConfig())) == 38_209
    unused = [block.norm2 for block in (*vae.encoder_blocks, *vae.decoder_blocks)]
    assert sum(map(trainable, unused)) == 16_384
    assert vae.config.cells.shape == (15, 26) and vae.config.latent_frames == 21


@pytest.mark.parametrize(("size", "patch"), [((48, 80), 16), (((30, 20)), 10), ((9, 12), 3), ((5, 4), 1)])
def test_anchors_are_a_cells_centre_and_the_same_ramp_in_every_cell(size, patch):
    (height, width), cells = size, CellGrid(size, patch)
    x, y = torch.arange(width).double(), torch.arange(height).double()
    expected = torch.stack(torch.meshgrid(2 * (x + 0.5) / width - 1, 2 * (y + 0.5) / height - 1, indexing="xy"))
    torch.testing.assert_close(cells.anchors().double(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("frames", "size", "patch", "stride", "kernel"),
    [(9, (48, 80), 16, 4, 7), (10, (30, 20), 10, 3, 5), (16, (8, 12), 4, 1, 3), (6, (4, 6), 2, 5, 1)],
)
def test_one_point_a_cell_is_encoded_and_decoded_as_the_field_is(frames, size, patch, stride, kernel):
    config = TrajloomVAEConfig(
        num_frames=frames,
        image_size=size,
        patch_size=patch,
        temporal_stride=stride,
        temporal_kernel=kernel,
        **SMALL_VAE,
    )
    vae = randomise(TrajloomVAE(config)).eval()
    rows, columns = config.cells.shape
    cells = 2 * torch.rand(2, frames, 2, rows, columns) - 1
    with torch.inference_mode():
        short, plain = vae.encode(cells), vae.encode(config.cells.spread(cells))
        for of_cells, of_field in zip(short, plain, strict=True):
            torch.testing.assert_close(of_cells, of_field, rtol=1e-4, atol=1e-5)
        mean, std = short
        assert mean.shape == std.shape == (2, 1 + (frames - 1) // stride, rows * columns, 4) and (std > 0).all()
        field = vae.decode_field(mean)
        assert field.shape == (2, frames, 2, *size)
        torch.testing.assert_close(vae.decode(mean), field[..., ::patch, ::patch], rtol=1e-4, atol=1e-5)
        with pytest.raises(ValueError, match=rf"expected \[B, {frames}, 2, ...\] of {rows} x {columns} cells"):
            vae.encode(cells[:, 1:])


def test_without_anchors_tracks_are_taken_and_given_as_they_are():
    config = TrajloomVAEConfig(num_frames=9, image_size=(48, 80), patch_size=16, anchored=False, **SMALL_VAE)
    vae = randomise(TrajloomVAE(config)).eval()
    cells = 2 * torch.rand(2, 9, 2, *config.cells.shape) - 1
    with torch.inference_mode():
        for of_cells, of_field in zip(vae.encode(cells), vae.encode(config.cells.spread(cells)), strict=True):
            torch.testing.assert_close(of_cells, of_field, rtol=1e-4, atol=1e-5)
        latents = vae.encode(cells)[0]
        torch.testing.assert_close(
            vae.decode(latents), vae.decode_field(latents)[..., ::16, ::16], rtol=1e-4, atol=1e-5
        )
        torch.nn.init.zeros_(vae.final_linear.weight)
        torch.nn.init.zeros_(vae.final_linear.bias)
        assert not vae.decode(latents).any()


def test_positions_keep_their_precision_in_bfloat16():
    config = TrajloomVAEConfig(num_frames=5, image_size=(480, 832), patch_size=32, **SMALL_VAE)
    vae = TrajloomVAE(config).bfloat16()  # its last layer is zero: tracks stay at the anchors
    decoded = vae.decode(torch.zeros(1, 2, 390, 4, dtype=torch.bfloat16))
    torch.testing.assert_close(decoded[0, 0], config.cells.anchors()[:, ::32, ::32], rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def generator() -> Generator:
    return randomise(Generator(GeneratorConfig(num_frames=9, cells=6, **SMALL_GENERATOR))).eval()


def past(batch: int) -> dict[str, torch.Tensor]:
    return {
        "history": torch.randn(batch, 3, 6, 4),
        "visibility": torch.rand(batch, 3, 6) > 0.5,
        "video": torch.randn(batch, 3, 6, 3),
        "text": torch.randn(batch, 5),
    }


def test_the_past_projected_once_serves_all_samples_and_steps(generator):
    given, z_t = past(2), torch.randn(2, 3, 3, 6, 4)
    with torch.inference_mode():
        context = generator.history_context(**given)
        for t in (0.0, 0.4):
            together = generator.velocity(z_t, torch.full((2, 1), t), context)
            for sample in range(3):
                alone = generator(z_t[:, sample], torch.full((2,), t), **given)
                torch.testing.assert_close(together[:, sample], alone, rtol=1e-4, atol=1e-5)
        t = torch.tensor([[0.1, 0.5, 0.9], [0.2, 0.6, 1.0]])
        apart = generator.velocity(z_t, t, context)
        one = {name: tensor[1:] for name, tensor in given.items()}
        torch.testing.assert_close(apart[1:, 2], generator(z_t[1:, 2], t[1:, 2], **one), rtol=1e-4, atol=1e-5)


def test_the_past_projected_once_is_the_past_projected_by_every_block(generator, monkeypatch):
    """Plainly: every block projects the context of each of its sequences, the spatial ones' again for every step."""
    given, z_t, t = past(1), torch.randn(1, 3, 6, 4), torch.tensor([0.3])
    contexts = []
    for block in generator.blocks:
        project = block.cross_attention.project
        monkeypatch.setattr(block.cross_attention, "project", lambda x, p=project: contexts.append(x) or p(x))
    with torch.inference_mode():
        expected = generator(z_t, t, **given)
        assert len(contexts) == 4
        monkeypatch.undo()
        context = generator.history_context(**given)
        condition = torch.nn.functional.silu(
            generator.timestep_embedding(_features(t, 32))[:, None] + context.condition
        )[:, :, None, None]
        place = generator.time_positions[1] + generator.segment_embedding[1] + generator.cell_positions
        x = generator.in_projection(z_t[:, None]) + context.continued + place  # [1, 1, T, N, D]
        for i in range(0, 4, 2):
            over_time, over_space = generator.blocks[i + 1], generator.blocks[i]
            for n in range(6):
                keys_values = over_time.cross_attention.project(contexts[i + 1][n : n + 1])
                column = x[:, :, :, n : n + 1].transpose(2, 3)
                x[:, :, :, n : n + 1] = over_time(column, condition, keys_values, over_time=True).transpose(2, 3)
            for step in range(3):
                keys_values = over_space.cross_attention.project(contexts[i])
                x[:, :, step : step + 1] = over_space(x[:, :, step : step + 1], condition, keys_values, over_time=False)
        plain = generator.final_linear(generator.final_norm(x))[:, 0]
    torch.testing.assert_close(plain, expected, rtol=1e-4, atol=1e-5)


def _features(t: torch.Tensor, dim: int) -> torch.Tensor:
    angles = t[:, None] * 10000 ** (-torch.arange(dim // 2) / (dim // 2))
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def test_what_is_missing_is_zero_and_text_adds_nothing(generator):
    given, z_t, t = past(2), torch.randn(2, 3, 6, 4), torch.tensor([0.3, 0.8])
    zeros = dict(visibility=torch.zeros(2, 3, 6), video=torch.zeros(2, 3, 6, 3))
    with torch.inference_mode():
        bare = generator(z_t, t, given["history"])
        assert torch.equal(bare, generator(z_t, t, given["history"], **zeros))
        for name in ("visibility", "video", "text"):
            assert not torch.allclose(bare, generator(z_t, t, given["history"], **{name: given[name]}))


@pytest.mark.parametrize("name", ["history", "visibility", "video", "text"])
def test_a_past_of_another_shape_is_refused(generator, name):
    given = past(2)
    given[name] = given[name][:, 1:]
    with pytest.raises(ValueError, match=rf"{name}: got \[.*\], expected \[2, "):
        generator.history_context(**given)


def test_a_caption_that_is_not_shown_is_none(generator):
    config = generator.config
    history = torch.randn(2, config.latent_frames, config.cells, config.channels)
    text, shown = torch.randn(2, config.text_dim), torch.tensor([True, False])
    with torch.inference_mode():
        given, bare = (
            generator.history_context(history, text=text).condition,
            generator.history_context(history).condition,
        )
        mixed = generator.history_context(history, text=text, text_shown=shown).condition
    assert torch.equal(mixed[0], given[0]) and torch.equal(mixed[1], bare[1]) and not torch.equal(given[1], bare[1])


def test_fusion_and_text_can_be_left_out():
    config = GeneratorConfig(num_frames=9, cells=6, fusion=False, **SMALL_GENERATOR | {"text_dim": None})
    generator = randomise(Generator(config)).eval()
    assert not [name for name in generator.state_dict() if name.startswith(("fusion", "text"))]
    z, history = torch.randn(2, 2, 3, 6, 4)
    assert generator(z, torch.tensor([0.1, 0.9]), history).shape == z.shape
    with pytest.raises(ValueError, match="made without"):
        generator(z, torch.tensor([0.1, 0.9]), history, text=torch.randn(2, 5))


def test_a_picture_is_looked_at_by_the_blocks_over_space_of_all_samples_alike():
    config = GeneratorConfig(num_frames=9, cells=6, image_dim=7, image_grid=(2, 3), **SMALL_GENERATOR)
    generator = randomise(Generator(config)).eval()
    given, z_t, t = past(2), torch.randn(2, 3, 3, 6, 4), torch.full((2, 1), 0.3)
    one, other = torch.randn(2, 2, 6, 7)
    with torch.inference_mode():
        seen = generator.velocity(z_t, t, generator.history_context(**given, image=one))
        elsewhere = generator.velocity(z_t, t, generator.history_context(**given, image=other))
        alone = generator(z_t[:, 1], t[:, 0], **given, image=one)
    assert not torch.allclose(seen, elsewhere, atol=1e-3)
    torch.testing.assert_close(seen[:, 1], alone, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="looks at the present picture"):
        generator.history_context(**given)
    with pytest.raises(ValueError, match=r"image: got \[2, 5, 7\], expected \[2, 6, 7\]"):
        generator.history_context(**given, image=one[:, 1:])


def test_a_picture_for_a_generator_without_is_refused(generator):
    with pytest.raises(ValueError, match="made without a picture"):
        generator.history_context(**past(2), image=torch.randn(2, 64, 7))


def test_a_new_generator_begins_as_the_paper_says():
    generator = Generator(GeneratorConfig(num_frames=9, cells=6, **SMALL_GENERATOR))
    shift, scale, gate = generator.blocks[0].modulation.bias.view(3, 3, 32).unbind(1)
    assert not shift.any() and not scale.any() and (gate == 1).all()
    gates = generator.fusion_scale * generator.fusion_gate_logits.sigmoid()
    torch.testing.assert_close(gates, torch.tensor([0.095, 0.065, 0.035]))
    seen = torch.ones(1, 3, 6)
    history, z_t, t = torch.randn(1, 3, 6, 4), torch.randn(1, 3, 6, 4), torch.tensor([0.5])
    assert torch.equal(generator(z_t, t, history, seen), generator(z_t, t, history))


def test_latent_steps_and_their_frames():
    visible = torch.zeros(1, 9, 2, dtype=torch.bool)
    visible[0, 3, 0] = visible[0, 8, 1] = True
    steps = seen_in_latent_steps(visible, 4)
    assert steps[0].tolist() == [[True, False], [False, False], [False, True]]
    assert to_frames(steps, 4, 9)[0, :, 0].tolist() == [True] * 4 + [False] * 5
    assert to_frames(steps, 4, 9)[0, :, 1].tolist() == [False] * 8 + [True]
