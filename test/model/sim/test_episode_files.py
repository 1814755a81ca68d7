"""What `simulate` leaves on disk, without a simulator: kills at the worst moments, and damaged files."""

import shutil
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from trajforecast_model.sim.mujoco_setup import configure_mujoco

configure_mujoco()

from trajforecast_model.sim.environment import Task  # noqa: E402
from trajforecast_model.sim.episode import EpisodeRecord  # noqa: E402
from trajforecast_model.sim.episode_files import EpisodeStore  # noqa: E402

TASK = Task("libero_object", 0, "pick_up_the_soup", "pick up the soup", "soup.bddl", "soup.bddl")
ENVIRONMENT = SimpleNamespace(task=TASK, problem_name="problem", domain_name="robosuite")
SETTINGS = {"suite": "libero_object", "episodes": 2, "seed": 0, "images": False}


def record(seed: int) -> EpisodeRecord:
    return EpisodeRecord(seed, 0, "pick up the soup", "<mujoco/>", np.zeros((3, 7)), np.full((3, 5), seed), {})


def store_of_two(out) -> EpisodeStore:
    store = EpisodeStore(out, TASK, SETTINGS)
    store.start()
    for seed in (3, 5):
        store.add(ENVIRONMENT, seed, [record(seed)])
    store.add(ENVIRONMENT, 4, [])
    return store


def test_episodes_are_put_together_and_nothing_else_is_left(tmp_path):
    store = store_of_two(tmp_path)
    assert store.tried_seeds() == {3: True, 4: False, 5: True}
    store.finish([3, 5])
    assert list(tmp_path.rglob("*")) == [store.finished_file]
    with h5py.File(store.finished_file) as file:
        assert file["data"].attrs["num_demos"] == 2 and file["data"].attrs["total"] == 6
        assert [demo.attrs["seed"] for demo in file["data"].values()] == [3, 5]


def test_a_kill_before_the_parts_are_removed_leaves_them_to_the_next_run(tmp_path, monkeypatch):
    def kill(folder):
        raise KeyboardInterrupt

    store = store_of_two(tmp_path)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(shutil, "rmtree", kill)
        store.finish([3, 5])
    assert store.is_finished() and (tmp_path / ".unfinished" / TASK.name).exists()
    EpisodeStore(tmp_path, TASK, SETTINGS).start()
    assert list(tmp_path.rglob("*")) == [store.finished_file]


def test_half_written_files_of_the_task_go_and_those_of_others_stay(tmp_path):
    store = store_of_two(tmp_path)
    ours = [tmp_path / f".{TASK.name}_demo.hdf5.1.tmp", tmp_path / ".unfinished" / TASK.name / ".6.hdf5.1.tmp"]
    others = [tmp_path / ".another_task_demo.hdf5.1.tmp", tmp_path / ".unfinished" / "another_task" / ".6.hdf5.1.tmp"]
    others[1].parent.mkdir()
    for half in ours + others:
        half.write_bytes(b"half")
    EpisodeStore(tmp_path, TASK, SETTINGS).start()
    assert [half.exists() for half in ours + others] == [False, False, True, True]
    assert store.tried_seeds() == {3: True, 4: False, 5: True}
    store.finish([3, 5])
    assert others[1].exists()


def test_damaged_files_are_named(tmp_path):
    store = store_of_two(tmp_path)
    parts = tmp_path / ".unfinished" / TASK.name
    (parts / "5.hdf5").write_bytes(b"half")
    with pytest.raises(ValueError, match=r"5\.hdf5 is damaged .*delete it"):
        store.finish([3, 5])
    assert not store.is_finished()
    (parts / "settings.json").write_text('{"suite": ')
    with pytest.raises(ValueError, match=r"settings\.json is damaged .*delete .*pick_up_the_soup"):
        EpisodeStore(tmp_path, TASK, SETTINGS)
    with h5py.File(store.finished_file, "w") as file:
        file.create_group("data").attrs["simulation"] = "{"
    with pytest.raises(ValueError, match=r"pick_up_the_soup_demo\.hdf5 is not a file of `simulate`"):
        EpisodeStore(tmp_path, TASK, SETTINGS)


def test_a_disk_without_room_for_the_whole_file_keeps_the_parts(tmp_path, monkeypatch):
    store = store_of_two(tmp_path)
    with (
        monkeypatch.context() as patched,
        pytest.raises(OSError, match=r"the disk is full: .* what was simulated is kept"),
    ):
        patched.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=2**20))
        store.finish([3, 5])
    assert store.tried_seeds() == {3: True, 4: False, 5: True} and not store.is_finished()
    store.finish([3, 5])
    assert store.is_finished()
