"""What training leaves out of the past: frames and points that a robot would lack, and none that it has."""

from dataclasses import replace

import pytest
import torch

from trajforecast_model.data.shards import DatasetInfo
from trajforecast_model.networks.history_encoder import PastTracks
from trajforecast_model.training.noise import WindowNoise
from trajforecast_model.training.past import PastConfig, check_past, swapped, swaps, worsened

WINDOWS, FRAMES = 400, 8
PAST = PastTracks(torch.zeros(WINDOWS, FRAMES, 2, 4, 4), torch.ones(WINDOWS, FRAMES, 4, 4, dtype=torch.bool))
DRAW = WindowNoise(0, 3, range(WINDOWS), torch.device("cpu")).normal(1)
UNCHANGED = PastConfig(frames=FRAMES, without=0, shortened=0, lost_points=0, noise=0)


def worse(**changes) -> PastTracks:
    return worsened(PAST, replace(UNCHANGED, **changes), WindowNoise(0, 3, range(WINDOWS), torch.device("cpu")))


def test_nothing_is_left_out_unless_it_is_asked_for():
    made = worse()
    assert made.visible.all() and torch.equal(made.offsets, PAST.offsets)


def test_some_windows_show_no_past():
    shown = worse(without=0.25).visible.flatten(1)
    assert (shown.all(1) | ~shown.any(1)).all()
    assert (~shown.any(1)).float().mean() == pytest.approx(0.25, abs=0.08)


def test_a_shortened_past_shows_its_newest_frames_of_every_number():
    shown = worse(shortened=1.0).visible
    assert (shown.flatten(2).all(2) == shown.flatten(2).any(2)).all(), "a frame is there or not"
    there = shown[:, :, 0, 0]
    assert (there[:, 1:] >= there[:, :-1]).all(), "the newest frames"
    assert set(there.sum(1).tolist()) == set(range(FRAMES + 1))


def test_a_lost_point_is_lost_in_all_earlier_frames():
    shown = worse(lost_points=0.5).visible
    assert (shown[:, 1:] >= shown[:, :-1]).all()
    whole = shown.all(1).flatten(1).float().mean(1)  # share of points that were never lost
    assert whole.mean() == pytest.approx(0.75, abs=0.05) and whole.max() == 1 and whole.min() < 0.65


def test_a_hidden_point_stays_hidden():
    hidden = PAST._replace(visible=torch.zeros_like(PAST.visible))
    assert not worsened(hidden, UNCHANGED, WindowNoise(0, 0, range(WINDOWS), torch.device("cpu"))).visible.any()


def test_noise_is_as_large_as_it_says():
    assert worse(noise=0.01).offsets.std() == pytest.approx(0.01, rel=0.02)


def test_data_that_does_not_reach_so_far_back_is_refused():
    with pytest.raises(ValueError, match="has 4 past frames a window; prepare it with --history 8"):
        check_past(UNCHANGED, DatasetInfo(labeler="exact", stride=1, history_frames=4), "data/mine")


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"without": 1.5}, {"without": 0.6, "shortened": 0.6}])
def test_shares_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match=r"history\."):
        replace(UNCHANGED, **wrong)


def test_picture_and_instruction_are_swapped_in_the_same_windows():
    numbers = torch.arange(WINDOWS, dtype=torch.float32)
    which = swaps(PAST, replace(UNCHANGED, swapped=0.2), DRAW)
    pictures, texts = swapped(numbers[:, None, None].expand(-1, 3, 2), which), swapped(numbers[:, None], which)
    assert torch.equal(pictures[:, 0, :1], texts)
    moved = texts[:, 0] != numbers
    assert moved.float().mean() == pytest.approx(0.2, abs=0.06)
    assert torch.equal(texts[moved, 0], (numbers[moved] - 1) % WINDOWS)
    assert swapped(None, which) is None


def test_nothing_is_swapped_where_there_is_hardly_a_past():
    visible = PAST.visible.clone()
    visible[::2, : FRAMES // 2 + 1] = False
    which = swaps(PAST._replace(visible=visible), replace(UNCHANGED, swapped=1.0), DRAW)
    assert which[1::2].all() and not which[::2].any()


def test_positions_drift_ever_farther_back_as_trackers_do():
    errors = worse(drift=0.01).offsets.square().mean(dim=(0, 2, 3, 4)).sqrt().numpy()  # oldest first
    assert (errors[:-1] > errors[1:]).all() and errors[-1] == pytest.approx(0.0115, rel=0.1)
    assert errors[0] == pytest.approx(FRAMES**0.5 * errors[-1], rel=0.05)
