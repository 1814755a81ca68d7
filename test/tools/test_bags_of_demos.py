"""tools/bags_of_demos.py, on a scene whose motion is known."""

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "test" / "model" / "data")]

import bags_of_demos  # noqa: E402
import small_scene  # noqa: E402

from trajforecast_model.cli import main  # noqa: E402
from trajforecast_model.data.shards import ShardDataset  # noqa: E402

BASE = '<body name="robot0_base" pos="-0.6 0 0"/>'


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("robot")
    scene = small_scene.scene().replace("<worldbody>", f"<worldbody>{BASE}")
    demos = {f"demo_{number}": small_scene.states(start_x=-0.1 + 0.02 * number) for number in range(2)}
    small_scene.write_demos(folder / "push_demo.hdf5", demos, scene)
    arguments = [str(folder / "push_demo.hdf5"), "--out", str(folder / "bags"), "--exact", str(folder / "exact")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["bags_of_demos.py", *arguments])
        patch.setattr(bags_of_demos, "SIZE", (48, 64))
        bags_of_demos.main()
    return folder


def test_bags_are_prepared_as_those_of_a_robot(recorded, tmp_path):
    views = [f"{name}={topic}" for name, (topic, _) in bags_of_demos.CAMERAS.items()]
    command = ["prepare", str(recorded / "bags"), "--out", str(tmp_path / "data"), "--stride", "8", "--grid", "8x8"]
    assert main([*command, "--view", views[0], "--view", views[1], "--workers", "1"]) == 0
    windows = ShardDataset(tmp_path / "data", "all")
    assert set(windows.rows.instruction) == {small_scene.INSTRUCTION}
    assert set(windows.rows.view) == {"side", "effector"} and len(set(windows.rows.demo)) == 2


def test_exact_labels_are_of_the_same_cameras(recorded, tmp_path):
    shape = ["--image-size", "48x64", "--grid", "12x16", "--stride", "8", "--workers", "1"]
    exact = ["prepare", str(recorded / "exact"), "--out", str(tmp_path / "exact"), "--labeler", "exact"]
    bags = ["prepare", str(recorded / "bags"), "--out", str(tmp_path / "bags")]
    assert main([*exact, *shape]) == 0
    assert main([*bags, *shape, "--view", f"side={bags_of_demos.CAMERAS['side'][0]}"]) == 0
    window = ShardDataset(tmp_path / "exact", "train", views=("side",))[1]  # at frame 8
    same = ShardDataset(tmp_path / "bags", "train")[1]
    assert window.start == same.start == 8
    difference = np.abs(window.image.astype(int) - same.image).mean()
    assert difference < 10 < np.abs(window.image.astype(int) - same.image[:, ::-1]).mean(), difference
