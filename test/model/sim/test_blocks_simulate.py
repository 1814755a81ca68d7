"""`trajforecast simulate --suite blocks` as it is used: its files, its workers, what it refuses, and a kill."""

import re
import subprocess
import sys

import numpy as np
import pytest

from trajforecast_model.cli import main
from trajforecast_model.sim.mujoco_setup import configure_mujoco

configure_mujoco(("mujoco",))

from trajforecast_model.sim.blocks.generate import BlockSettings, SceneJob, SceneSimulator  # noqa: E402
from trajforecast_model.sim.blocks.scene_files import read_scene  # noqa: E402

COMMAND = ["simulate", "--suite", "blocks", "--episodes", "3", "--rollouts", "2", "--seed", "40"]
PROGRAM = [sys.executable, "-m", "trajforecast_model.cli"]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    out = tmp_path_factory.mktemp("scenes")
    assert main([*COMMAND, "--out", str(out), "--workers", "2"]) == 0
    return out


def same(a, b) -> bool:
    arrays = ("image", "mask", "states")
    return a.scene == b.scene and all(np.array_equal(getattr(a, name), getattr(b, name)) for name in arrays)


def test_a_file_a_scene_named_by_its_seed(scenes):
    assert sorted(path.name for path in scenes.glob("*.hdf5")) == [f"scene_0000{seed}.hdf5" for seed in (40, 41, 42)]
    simulated = read_scene(scenes / "scene_000041.hdf5")
    blocks = len(simulated.scene.objects)
    assert simulated.scene.seed == 41 and simulated.states.shape == (2, 24, 1 + 13 * blocks)
    assert simulated.image.shape == (256, 256, 3) and simulated.image.std() > 10
    assert simulated.mask.max() <= blocks


def test_a_removed_file_is_made_again_alike_by_another_number_of_workers(scenes):
    kept, removed = scenes / "scene_000040.hdf5", scenes / "scene_000042.hdf5"
    before, time = read_scene(removed), kept.stat().st_mtime_ns
    removed.unlink()
    left_by_a_kill = scenes / f".{removed.name}.0.tmp"
    left_by_a_kill.write_bytes(b"half")
    assert main([*COMMAND, "--out", str(scenes), "--workers", "1"]) == 0
    assert not left_by_a_kill.exists()
    assert same(read_scene(removed), before) and kept.stat().st_mtime_ns == time


def test_a_rollout_does_not_depend_on_how_many_there_are(scenes, tmp_path):
    SceneSimulator()(SceneJob(40, BlockSettings(rollouts=1), tmp_path / "alone.hdf5"))
    alone, among = read_scene(tmp_path / "alone.hdf5"), read_scene(scenes / "scene_000040.hdf5")
    np.testing.assert_array_equal(alone.states[0], among.states[0])
    np.testing.assert_array_equal(alone.image, among.image)


def test_a_killed_run_leaves_whole_files(tmp_path):
    command = ["simulate", "--suite", "blocks", "--episodes", "50", "--out", str(tmp_path), "--workers", "1"]
    with subprocess.Popen([*PROGRAM, *command], stderr=subprocess.PIPE) as process:
        shown = b""
        while not re.search(rb" [1-9]\d*/50 ", shown):
            read = process.stderr.read1()
            assert read, f"the run ended before it was killed: {shown.decode()}"
            shown += read
        process.kill()
        process.stderr.read()  # returns when the worker, which holds the other end too, has gone as well
    left = sorted(tmp_path.glob("*.hdf5"))
    assert 1 <= len(left) < 50
    for path in left:
        read_scene(path)


@pytest.mark.parametrize(
    "changes, words",
    [
        (["--rollouts", "3"], "rollouts 2"),
        (["--primitives", "unseen"], "primitives seen"),
        (["--primitives", "cubes"], "--primitives cubes"),
        (["--episodes", "0"], "--episodes 0"),
        (["--rollouts", "0"], "--rollouts 0"),
        (["--seed", "-1"], "--seed -1"),
        (["--tasks", "0", "--states-only"], "--tasks, --states-only: --suite blocks would ignore this"),
        (["--futures", "1"], "--futures: --suite blocks would ignore this"),
    ],
)
def test_errors_of_use_are_one_line(scenes, capsys, changes, words):
    assert main([*COMMAND, *changes, "--out", str(scenes)]) == 2
    message = capsys.readouterr().err.strip()
    assert words in message and "\n" not in message


@pytest.mark.parametrize("content", [b"", b"no HDF5", "half"])
def test_a_damaged_file_is_named(scenes, tmp_path, content):
    whole = (scenes / "scene_000040.hdf5").read_bytes()
    path = tmp_path / "scene_000040.hdf5"
    path.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    with pytest.raises(ValueError, match=str(path)):
        read_scene(path)


def test_damaged_settings_are_named(tmp_path, capsys):
    (tmp_path / "blocks.json").write_text("")
    assert main([*COMMAND, "--out", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert f"{tmp_path / 'blocks.json'} is damaged" in message and "delete it" in message


def test_libero_is_not_needed(tmp_path):
    """As after `pip install -e '.[blocks]'`: LIBERO and robosuite cannot be imported."""
    program = f"""
import sys
for name in ("libero", "robosuite", "bddl"):
    sys.modules[name] = None
from pathlib import Path
from trajforecast_model.sim.blocks.generate import BlockSettings, SceneJob, SceneSimulator
file = Path({str(tmp_path / "scene.hdf5")!r})
SceneSimulator()(SceneJob(0, BlockSettings(1), file))
from trajforecast_model.sim.blocks.scene_files import read_scene
from trajforecast_model.data.block_scenes import scene_windows
print(len(scene_windows(read_scene(file))))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "1"), done.stderr
