"""Which of a window's frames and points TrajLoom's networks are shown."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from trajforecast_model.data.shards import DatasetInfo
from trajforecast_model.networks.trajloom.track_vae import TrajloomVAEConfig
from trajforecast_model.tracks.grid import query_points
from trajforecast_model.training.batches import Batch
from trajforecast_model.training.trajloom.vae_stage import _cut
from trajforecast_model.training.trajloom.windows import (
    check_fits,
    of_cells,
    past_and_future,
    query_offset,
    whole_tracks,
)

VAE = TrajloomVAEConfig(
    num_frames=3, image_size=(32, 48), patch_size=16, temporal_stride=2, temporal_kernel=3, dim=8, depth=2, heads=1
)  # 2 x 3 cells
INFO = DatasetInfo(
    labeler="exact", stride=1, num_frames=4, grid=(4, 6), image_size=(32, 48), history_frames=2, views=("side",)
)


def batch() -> Batch:
    """Of 3 past and 5 present and future frames; x counts frames, y counts points."""
    number = torch.arange(24.0).view(4, 6)
    frames = torch.arange(-3.0, 5.0)
    tracks = torch.stack(torch.broadcast_tensors(frames[:, None, None], number), dim=-1)[None]
    seen = (frames[:, None, None] % 2 == 0).expand(8, 4, 6)[None]
    return Batch(
        images=torch.zeros(1, 32, 48, 3, dtype=torch.uint8),
        tracks=tracks[:, 3:],
        instructions=[""],
        visibility=seen[:, 3:],
        history_tracks=tracks[:, :3],
        history_visibility=seen[:, :3],
    )


def in_pixels(positions: torch.Tensor) -> torch.Tensor:
    """TrajLoom's [..., 2, rows, columns] -> pixels whose corner is 0: x of the frame, y of the point."""
    size = torch.tensor([48.0, 32.0])[:, None, None]
    return (positions + 1) * size / 2 + 0.5


def test_the_past_ends_in_the_present_frame_and_the_future_begins_after_it():
    past, future = past_and_future(batch(), VAE)
    assert in_pixels(past.positions)[0, :, 0, 0, 0].tolist() == pytest.approx([-2, -1, 0], abs=1e-4)
    assert in_pixels(future.positions)[0, :, 0, 0, 0].tolist() == pytest.approx([1, 2, 3], abs=1e-4)
    assert past.seen[0, :, 0, 0].tolist() == [True, False, True]
    assert future.seen_in_steps(VAE)[0, :, 0].tolist() == [True, False]  # frames 1 and 2, frame 3 alone


def test_a_cell_carries_its_top_left_point_or_the_one_that_is_drawn():
    first = in_pixels(past_and_future(batch(), VAE)[0].positions)[0, 0, 1]
    torch.testing.assert_close(first, torch.tensor([[0.0, 2, 4], [12, 14, 16]]), rtol=0, atol=1e-4)
    numbers = torch.arange(24).view(1, 4, 6).repeat(2, 1, 1)
    drawn = of_cells(numbers, VAE, torch.tensor([[0.0, 0.99], [1.0, 0.2]]))
    assert drawn.tolist() == [[[1, 3, 5], [13, 15, 17]], [[6, 8, 10], [18, 20, 22]]]
    with_time = of_cells(numbers[:, None].repeat(1, 5, 1, 1), VAE, torch.tensor([[0.0, 0.99], [1.0, 0.2]]))
    assert torch.equal(with_time[:, 4], drawn)


def test_frames_are_cut_from_anywhere_in_a_window():
    whole = whole_tracks(batch(), VAE)
    for place, first in [(0.0, -3), (0.5, 0), (1.0, 2)]:
        cut = _cut(whole, 3, torch.tensor([place]))
        frames = in_pixels(cut.positions)[0, :, 0, 0, 0].tolist()
        assert frames == pytest.approx([first, first + 1, first + 2], abs=1e-4)
        assert cut.seen[0, :, 0, 0].tolist() == [frame % 2 == 0 for frame in range(first, first + 3)]


def test_where_in_its_cell_a_point_is():
    offset = query_offset(VAE, INFO)
    np.testing.assert_allclose(np.array(offset) + 0.5, query_points(INFO.grid, INFO.image_size)[0, 0])
    assert query_offset(VAE, replace(INFO, labeler="stored")) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": (32, 32)}, "vae.image_size is"),
        ({"grid": (4, 4)}, r"--grid 2x3"),
        ({"history_frames": 1}, "--history 2 --frames 4"),
        ({"num_frames": 3}, "--history 2 --frames 4"),
        ({"anchor": "first", "history_frames": 3}, "prepare it with --history 2, or --anchor present"),
    ],
)
def test_data_of_another_shape_is_refused_and_told_what_to_prepare(changes, message):
    check_fits(VAE, INFO, "data", with_past=True)
    with pytest.raises(ValueError, match=message):
        check_fits(VAE, replace(INFO, **changes), "data", with_past=True)


def test_a_vae_alone_needs_no_past_but_frames_enough():
    check_fits(VAE, replace(INFO, history_frames=0), "data", with_past=False)
    with pytest.raises(ValueError, match="have 2 frames"):
        check_fits(VAE, replace(INFO, history_frames=0, num_frames=2), "data", with_past=False)
