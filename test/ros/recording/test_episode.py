import numpy as np
import pytest
from small_episode import FRAMES, PIXELS_PER_FRAME, small_episode

from trajforecast_model.data.episode import Episode
from trajforecast_model.tracks.grid import query_points, rescale
from trajforecast_model.tracks.motion import moving_points
from trajforecast_ros.resources import shipped_episode


def test_truth_is_the_known_motion_in_pixels_of_the_frames():
    episode = small_episode()
    tracks, visibility = episode.truth("side", 3)

    start = rescale(query_points((64, 64), (128, 128)), (128, 128), (32, 32))
    expected_x = start[..., 0] + np.arange(16)[:, None, None] * PIXELS_PER_FRAME * 32 / 128
    assert np.allclose(tracks[0], start)
    assert np.allclose(tracks[..., 0], expected_x, atol=1e-4)
    assert np.allclose(tracks[..., 1], start[..., 1], atol=1e-4)
    inside = (tracks[..., 0] < 32) & (tracks[..., 0] >= 0)
    assert np.array_equal(visibility, inside)


def test_saved_and_loaded_it_is_the_same(tmp_path):
    episode = small_episode()
    episode.save(tmp_path / "episode.npz")
    loaded = Episode.load(tmp_path / "episode.npz")

    assert (loaded.instruction, loaded.dt, loaded.source) == (episode.instruction, episode.dt, episode.source)
    for view, frames in episode.frames.items():
        assert np.abs(loaded.frames[view].astype(int) - frames).max() <= 3, "pictures are compressed with loss"
        assert np.allclose(loaded.truth(view, 2)[0], episode.truth(view, 2)[0], atol=0.01)
    assert [path.name for path in tmp_path.iterdir()] == ["episode.npz"]


@pytest.mark.parametrize(("view", "start"), [("top", 0), ("side", -1), ("side", FRAMES - 15)])
def test_windows_that_do_not_exist_are_refused(view, start):
    with pytest.raises(ValueError, match=view if view == "top" else str(start)):
        small_episode().truth(view, start)


@pytest.mark.parametrize("data", [None, b"", b"no archive"])
def test_files_that_are_no_episode_are_named(tmp_path, data):
    path = tmp_path / "broken.npz"
    if data is not None:
        path.write_bytes(data)

    with pytest.raises(ValueError, match=r"broken\.npz"):
        Episode.load(path)


def test_shipped_episode_is_small_and_something_moves_in_both_views():
    path = shipped_episode()
    episode = Episode.load(path)

    assert path.stat().st_size < 2e6
    assert (path.parent / "ATTRIBUTION.md").is_file()
    assert set(episode.frames) == {"side", "effector"}
    for view, frames in episode.frames.items():
        assert len(frames) * episode.dt > 4
        tracks, _ = episode.truth(view, len(frames) // 2)
        moved = moving_points(rescale(tracks, frames.shape[1:3], (128, 128)))
        assert 0.01 < moved.mean() <= 1


def test_tracks_of_the_shipped_episode_follow_the_pictures():
    """Along visible tracks of points that move the picture stays the same; at the spot itself it changes."""
    episode = Episode.load(shipped_episode())
    frames = episode.frames["side"]
    following, staying = [], []
    for start in range(0, len(frames) - 16, 10):
        tracks, visibility = episode.truth("side", start)
        far = np.linalg.norm(tracks[-1] - tracks[0], axis=-1) > 10
        chosen = far & visibility[-1]
        if not chosen.any():
            continue
        before = _colours(frames[start], tracks[0][chosen])
        following.append(np.abs(_colours(frames[start + 15], tracks[-1][chosen]) - before).mean())
        staying.append(np.abs(_colours(frames[start + 15], tracks[0][chosen]) - before).mean())

    assert len(following) >= 3
    assert np.mean(following) < 0.4 * np.mean(staying)


def _colours(frame: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    x, y = np.floor(pixels).astype(int).T
    return frame[y.clip(0, frame.shape[0] - 1), x.clip(0, frame.shape[1] - 1)].astype(float)
