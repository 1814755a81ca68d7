"""A forecast with a past: the grid followed back, tracks that are given, and what is refused."""

import numpy as np
import pytest
from tiny_model import write_tiny_checkpoint

from trajforecast_model import Forecaster
from trajforecast_model.inference.past import at_steps, followed_back
from trajforecast_model.tracks.grid import query_points
from trajforecast_model.tracks.history import History

FRAMES = 4
VIDEO = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8).repeat(4, axis=0).repeat(4, axis=1)


def camera(shift: int) -> np.ndarray:
    """128 x 128 pixels of a larger picture, `shift` pixels further left: its content has moved right."""
    return np.ascontiguousarray(VIDEO[8:136, 24 - shift : 152 - shift])


PRESENT, BEFORE = camera(8), np.stack([camera(2 * step) for step in range(4)])  # 2 pixels a frame


@pytest.fixture(scope="module")
def forecaster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("with_history")
    write_tiny_checkpoint(folder, text=False, history_frames=FRAMES)
    return Forecaster.from_pretrained(folder)


def forecast(forecaster, **history):
    return forecaster.predict({"side": PRESENT}, k=1, **history).tracks


def test_the_grid_is_followed_back_to_where_it_was():
    past = followed_back(PRESENT, BEFORE, (64, 64), (128, 128))
    assert past.tracks.shape == (1, 4, 64, 64, 2) and past.visible.shape == (1, 4, 64, 64)
    inner = np.s_[:, :, 10:54, 10:54]
    moved = (past.tracks - query_points((64, 64), (128, 128)))[inner][past.visible[inner]]
    steps = np.broadcast_to(np.array([-8, -6, -4, -2])[None, :, None, None], past.visible.shape)[inner]
    assert past.visible[inner].mean() > 0.8
    assert np.abs(moved - np.stack([steps[past.visible[inner]], 0 * steps[past.visible[inner]]], -1)).mean() < 0.2


def test_the_past_changes_the_forecast(forecaster):
    assert forecaster.history_frames == FRAMES
    assert np.abs(forecast(forecaster, history={"side": BEFORE}) - forecast(forecaster)).max() > 1e-3


def test_frames_and_the_tracks_of_their_points_say_the_same(forecaster):
    tracks = followed_back(PRESENT, BEFORE, (64, 64), (128, 128))
    by_tracks = forecast(forecaster, history_tracks={"side": tracks})
    np.testing.assert_allclose(by_tracks, forecast(forecaster, history={"side": BEFORE}), atol=1e-3)


def test_tracks_in_pixels_of_a_larger_picture_say_the_same(forecaster):
    tracks = followed_back(PRESENT, BEFORE, (64, 64), (128, 128))
    large = PRESENT.repeat(5, axis=0).repeat(5, axis=1)
    by_tracks = forecaster.predict(
        {"side": large}, k=1, history_tracks={"side": History(tracks.tracks * 5, tracks.visible)}
    ).tracks
    np.testing.assert_allclose(by_tracks / 5, forecast(forecaster, history={"side": BEFORE}), atol=1e-3)


def test_only_the_newest_frames_count(forecaster):
    longer = np.concatenate([BEFORE[:2] // 2, BEFORE])
    np.testing.assert_array_equal(
        forecast(forecaster, history={"side": longer}), forecast(forecaster, history={"side": BEFORE})
    )


def test_a_short_past_is_one_whose_older_frames_nobody_saw(forecaster):
    tracks = followed_back(PRESENT, BEFORE, (64, 64), (128, 128))
    visible = tracks.visible.copy()
    visible[:, :2] = False
    masked = forecast(forecaster, history_tracks={"side": History(tracks.tracks, visible)})
    np.testing.assert_allclose(masked, forecast(forecaster, history={"side": BEFORE[2:]}), atol=1e-3)


def test_a_view_without_a_past_is_forecast_as_without_any(forecaster):
    images = {"side": PRESENT, "effector": PRESENT}
    both = forecaster.predict(images, k=1, history={"side": BEFORE}).tracks
    np.testing.assert_allclose(both[0], forecast(forecaster, history={"side": BEFORE})[0], atol=1e-3)
    np.testing.assert_allclose(both[1], forecaster.predict(images, k=1).tracks[1], atol=1e-3)


def test_stamps_tell_which_frames_stand_for_which_step(forecaster):
    every_other = np.repeat(BEFORE, 2, axis=0)  # 40 Hz, of which the model takes 20
    stamps = np.arange(-8, 0) * 0.025
    by_stamps = forecast(forecaster, history={"side": every_other}, history_stamps={"side": stamps})
    np.testing.assert_array_equal(by_stamps, forecast(forecaster, history={"side": BEFORE}))


def test_a_step_without_a_frame_is_not_seen():
    frames, there = at_steps(BEFORE, [-0.21, -0.2, -0.1, -0.05], 0.05, 4, "side")
    assert there.tolist() == [True, False, True, True]
    np.testing.assert_array_equal(frames[[0, 2, 3]], BEFORE[[1, 2, 3]])


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ({"history": {"side": BEFORE[:1]}}, "got 1 frames, expected two or more"),
        (
            {"history": {"side": BEFORE[:, :64]}},
            r"its frames are \[64, 128\] \(height, width\), the picture \[128, 128\]",
        ),
        ({"history": {"side": BEFORE.astype(float)}}, "expected RGB uint8"),
        ({"history": {"effector": BEFORE}}, "expected only views that have an image"),
        ({"history": {"side": BEFORE}, "history_stamps": {"side": [-0.1, -0.2, -0.3, -0.4]}}, "increasing seconds"),
        ({"history": {"side": BEFORE}, "history_stamps": {"side": [-0.1, -0.05]}}, "expected 4 numbers"),
        ({"history_stamps": {"side": [-0.1]}}, "expected only views that have a history"),
        ({"history_tracks": {"side": (np.zeros((1, 4, 8, 8, 2)), np.ones((1, 4, 8, 8), bool))}}, "expected tracks"),
        (
            {"history_tracks": {"side": (np.full((1, 4, 64, 64, 2), np.nan), np.ones((1, 4, 64, 64), bool))}},
            "marked visible have positions that are not finite",
        ),
    ],
)
def test_a_history_that_is_none_is_refused(forecaster, history, message):
    with pytest.raises(ValueError, match=message):
        forecast(forecaster, **history)


def test_a_model_of_the_present_says_that_it_takes_none(tiny_checkpoint):
    with pytest.raises(ValueError, match="sees the present alone"):
        Forecaster.from_pretrained(tiny_checkpoint).predict({"side": PRESENT}, "stay", history={"side": BEFORE})
