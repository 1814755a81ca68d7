"""Real LIBERO, from nothing to training windows: one episode by the expert, stored, replayed, labelled."""

import itertools
import json
import subprocess
import sys

import cv2
import h5py
import numpy as np
import pytest

from trajforecast_model.data.prepare import prepare
from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.sim.generate import simulate

pytestmark = pytest.mark.slow

SEED = 300_000
STRIDE = 15  # a window's last frame is the first of the next
PROGRAM = [sys.executable, "-m", "trajforecast_model.cli", "simulate"]


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demos")
    simulate("libero_object", [0], episodes=1, out=folder, seed=SEED)
    return folder


@pytest.fixture(scope="module")
def demo_file(demos):
    (file,) = demos.glob("*_demo.hdf5")
    return file


@pytest.fixture(scope="module")
def windows(demos, tmp_path_factory):
    out = tmp_path_factory.mktemp("shards")
    assert prepare([demos], out, stride=STRIDE) == 0
    return ShardDataset(out, "all")


def test_the_file_has_the_released_layout(demo_file):
    assert demo_file.name == "pick_up_the_alphabet_soup_and_place_it_in_the_basket_demo.hdf5"
    with h5py.File(demo_file) as file:
        data, demo = file["data"], file["data/demo_0"]
        words = json.loads(data.attrs["problem_info"])["language_instruction"]
        assert words == "pick up the alphabet soup and place it in the basket"
        assert data.attrs["tag"] == "libero-v1" and data.attrs["num_demos"] == 1
        steps = demo.attrs["num_samples"]
        assert data.attrs["total"] == steps > 50
        assert demo["actions"].shape == (steps, 7) and np.abs(demo["actions"]).max() <= 1
        assert demo["states"].shape == (steps, 110)
        np.testing.assert_array_equal(demo.attrs["init_state"], demo["states"][0])
        for dataset in ("agentview_rgb", "eye_in_hand_rgb"):
            assert demo[f"obs/{dataset}"].shape == (steps, 128, 128, 3) and demo[f"obs/{dataset}"].dtype == np.uint8
        assert demo["dones"][-1] == 1 and demo["rewards"][-1] == 1


def test_the_same_seed_gives_the_same_demo(demo_file, demos, tmp_path):
    simulate("libero_object", [0], episodes=1, out=tmp_path, seed=SEED, images=False)
    with h5py.File(demo_file) as first, h5py.File(tmp_path / demo_file.name) as again:
        np.testing.assert_array_equal(first["data/demo_0/actions"], again["data/demo_0/actions"])
        np.testing.assert_array_equal(first["data/demo_0/states"], again["data/demo_0/states"])
        assert "obs" not in again["data/demo_0"]


def test_a_finished_task_is_not_simulated_again(demo_file, demos):
    before = demo_file.stat()
    left_by_a_kill = demos / ".unfinished" / demo_file.name.removesuffix("_demo.hdf5")
    left_by_a_kill.mkdir(parents=True)
    simulate("libero_object", [0], episodes=1, out=demos, seed=SEED)
    assert not left_by_a_kill.parent.exists()
    assert demo_file.stat().st_mtime_ns == before.st_mtime_ns


def test_other_settings_are_refused(demos):
    with pytest.raises(ValueError, match=r"episodes 1.*episodes 2"):
        simulate("libero_object", [0], episodes=2, out=demos, seed=SEED)


def test_recorded_images_are_those_of_a_replay(demo_file, windows, tmp_path):
    """Orientation and pairing: an image recorded while simulating and one rendered from the paired state agree."""
    states_only = tmp_path / demo_file.name
    with h5py.File(demo_file) as recorded, h5py.File(states_only, "w") as file:
        recorded.copy("data", file)
        del file["data/demo_0/obs"]
    assert prepare([states_only], tmp_path / "out", stride=STRIDE) == 0
    rendered = ShardDataset(tmp_path / "out", "all")
    assert len(rendered) == len(windows)
    for index in range(len(windows)):
        recorded, replayed = windows[index], rendered[index]
        difference = np.abs(recorded.image.astype(int) - replayed.image).mean()
        upside_down = np.abs(recorded.image[::-1].astype(int) - replayed.image).mean()
        mirrored = np.abs(recorded.image[:, ::-1].astype(int) - replayed.image).mean()
        assert difference < 2 < min(upside_down, mirrored)
        np.testing.assert_array_equal(recorded.tracks, replayed.tracks)


@pytest.mark.parametrize("view", ["side", "effector"])
def test_colours_move_along_the_tracks(windows, view):
    """A window's last frame is the first of the next window: visible points keep their colours on their way there."""
    of_view = [windows[index] for index in np.flatnonzero(windows.rows.view == view)]
    along, in_place = [], []
    for window, following in itertools.pairwise(of_view):
        moved = np.linalg.norm(window.tracks[-1] - window.tracks[0], axis=-1) > 3
        chosen = moved & window.visibility[-1]
        before = colours(window.image, window.tracks[0][chosen])
        along.append(np.abs(colours(following.image, window.tracks[-1][chosen]) - before).ravel())
        in_place.append(np.abs(colours(following.image, window.tracks[0][chosen]) - before).ravel())
    along, in_place = np.concatenate(along), np.concatenate(in_place)
    assert len(along) > 300
    assert along.mean() < 0.6 * in_place.mean()
    assert along.mean() < 15, "grey levels"


def colours(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Interpolated between pixel centres, which lie at half pixels."""
    x, y = (points - 0.5).astype(np.float32).T
    return cv2.remap(
        image.astype(np.float32), x[:, None], y[:, None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def test_most_of_the_grid_is_seen_and_something_moves(windows):
    moving = 0
    for index in range(len(windows)):
        window = windows[index]
        assert window.visibility[0].mean() > 0.99
        assert window.visibility.mean() > 0.6
        assert np.isfinite(window.tracks).all()
        moving += np.abs(window.tracks - window.tracks[0]).max() > 3
    assert moving > len(windows) / 2


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--suite", "libero_objects", "--tasks", "0", "--episodes", "1"], "libero_objects"),
        (["--suite", "libero_object", "--tasks", "10", "--episodes", "1"], "10"),
        (["--suite", "libero_object", "--tasks", "0", "--episodes", "0"], "--episodes 0"),
        (["--suite", "libero_object", "--tasks", "0", "--episodes", "1", "--rollouts", "1"], "--rollouts"),
    ],
    ids=["suite", "task", "episodes", "an option of blocks"],
)
def test_errors_of_use_end_with_one_line(tmp_path, arguments, words):
    done = subprocess.run(
        [*PROGRAM, *arguments, "--out", tmp_path / "out"], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 2 and words in done.stderr
    assert done.stderr.strip().count("\n") == 0, done.stderr
