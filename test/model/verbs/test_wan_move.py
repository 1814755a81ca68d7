"""A forecast as Wan-Move's tracks: shapes, pixels of the video, and what is hidden."""

import cv2
import numpy as np
import pytest

from trajforecast_model.cli import main
from trajforecast_model.images import decode_rgb
from trajforecast_model.tracks.grid import query_points


@pytest.fixture
def forecast(tmp_path):
    """Two futures of a 64 x 128 picture: in one all stays, in the other all moves four pixels a frame to the right."""
    points = query_points((4, 8), (64, 128))
    still = np.broadcast_to(points, (5, 4, 8, 2))
    moving = still + np.arange(5)[:, None, None, None] * np.array([4.0, 0.0])
    visibility = np.ones((1, 2, 5, 4, 8), np.float32)
    visibility[0, 1, 3:, 0] = 0.2
    picture = cv2.imencode(".png", np.full((64, 128, 3), 90, np.uint8))[1]
    tracks = np.stack([still, moving])[None].astype(np.float32)
    path = tmp_path / "f.npz"
    np.savez(
        path, tracks=tracks, views=np.array(["side"]), picture_side=picture, visibility=visibility, dt=np.array(0.05)
    )
    return path


def export(forecast, out, *more: str) -> int:
    return main(["export", "wan-move", str(forecast), "--out", str(out), *more])


def test_tracks_are_in_pixels_of_the_video_and_hidden_where_they_are_not_seen(forecast, tmp_path):
    assert export(forecast, tmp_path / "out", "--size", "128x384", "--sample", "1", "--frames", "7") == 0
    tracks, seen = np.load(tmp_path / "out" / "tracks.npy"), np.load(tmp_path / "out" / "visibility.npy")
    assert tracks.shape == (1, 7, 32, 2) and tracks.dtype == np.float32
    assert seen.shape == (1, 7, 32) and seen.dtype == bool
    x, y = query_points((4, 8), (64, 128)).reshape(-1, 2).T
    np.testing.assert_allclose(tracks[0, 2], np.stack([3 * (x + 8) - 0.5, 2 * y - 0.5], axis=-1), rtol=1e-6)
    in_sight = (x + 16 < 128) & (np.arange(32) >= 8)  # the head says that the first row is hidden at the end
    np.testing.assert_array_equal(seen[0, 4], in_sight)
    assert not seen[0, 5:].any() and seen[0, 0].all()
    picture = decode_rgb((tmp_path / "out" / "image.png").read_bytes())
    assert picture.shape == (128, 384, 3)


def test_the_mean_of_the_futures_may_be_taken(forecast, tmp_path):
    assert export(forecast, tmp_path / "out", "--sample", "mean", "--size", "64*128") == 0
    x = query_points((4, 8), (64, 128)).reshape(-1, 2)[:, 0]
    np.testing.assert_allclose(np.load(tmp_path / "out" / "tracks.npy")[0, 4, :, 0], x + 8 - 0.5, rtol=1e-6)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--sample", "2"], "--sample '2': expected mean or a number from 0 to 1"),
        (["--view", "top"], "has the views side; --view top is none of them"),
        (["--frames", "3"], "--frames 3: the forecast has 5"),
        (["--size", "480"], "--size '480': expected HEIGHTxWIDTH"),
    ],
)
def test_what_the_forecast_does_not_have_is_told(forecast, tmp_path, capsys, more, message):
    assert export(forecast, tmp_path / "out", *more) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
