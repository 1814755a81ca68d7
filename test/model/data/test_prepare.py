"""`trajforecast prepare` as it is used: its processes, its files, its exit codes, and what may go wrong on the way."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_scene import states, write_demos

from trajforecast_model.cli import main
from trajforecast_model.data.plan import split_of
from trajforecast_model.data.prepare import prepare
from trajforecast_model.data.shards import ShardDataset

STRIDE = 8
PROGRAM = [sys.executable, "-m", "trajforecast_model.cli", "prepare"]


@pytest.fixture(scope="module")
def demos(tmp_path_factory) -> Path:
    """Eleven good demos of a task, one of another; a broken demo and a truncated file among them."""
    folder = tmp_path_factory.mktemp("demos")
    good = {f"demo_{number}": states(start_x=-0.01 * number) for number in range(11)}
    write_demos(folder / "push_demo.hdf5", good)
    write_demos(folder / "pull_demo.hdf5", {"demo_0": states(), "demo_1": states()[:, :-1]})
    whole = (folder / "pull_demo.hdf5").read_bytes()
    (folder / "lift_demo.hdf5").write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.fixture(scope="module")
def run(demos, tmp_path_factory):
    """The finished run of two workers: the folder, and the program's exit code and words."""
    out = tmp_path_factory.mktemp("prepared")
    done = subprocess.run(
        [*PROGRAM, demos, "--out", out, "--stride", str(STRIDE), "--workers", "2"], capture_output=True, text=True
    )
    return out, done


def shards(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*.arrow"))}


def test_the_good_demos_are_prepared_and_the_broken_ones_listed(run):
    out, done = run
    assert done.returncode == 1, done.stderr
    assert re.search(r"not prepared: .*lift_demo\.hdf5", done.stderr)
    assert re.search(r"not prepared: .*pull_demo\.hdf5: demo_1", done.stderr)
    assert "Traceback" not in done.stderr
    assert len(shards(out)) == 12


def test_the_first_nine_tenths_of_a_task_are_for_training(run):
    out, _ = run
    numbers = {split: [path.stem[-4:] for path in sorted((out / split).glob("push__*"))] for split in ("train", "val")}
    assert numbers == {"train": [f"{number:04d}" for number in range(9)], "val": ["0009", "0010"]}


def test_demo_10_comes_after_demo_9(run, demos):
    last = ShardDataset(run[0], "val")
    assert list(dict.fromkeys(last.rows.demo[last.rows.task == "push"])) == ["demo_9", "demo_10"]


def test_the_windows_are_those_of_the_demos(run):
    dataset = ShardDataset(run[0], "all")
    assert len(dataset) == 12 * 3 * 2
    assert set(dataset.rows.start) == {0, 8, 16} and set(dataset.rows.view) == {"side", "effector"}
    assert (dataset.info.labeler, dataset.info.stride) == ("exact", STRIDE)
    moved = dataset[0].tracks[-1] - dataset[0].tracks[0]
    assert np.abs(moved).max() > 5


def test_the_same_command_makes_only_what_is_missing_and_the_same_again(run, demos, tmp_path):
    out = shutil.copytree(run[0], tmp_path / "out")
    before = shards(out)
    removed = out / "train" / "push__demo_0004.arrow"
    removed.unlink()
    (out / "train" / ".push__demo_0004.arrow.0.tmp").write_bytes(b"half")
    (out / "train" / "push__demo_0003.arrow").write_bytes(b"kept as it is")
    assert prepare([demos], out, stride=STRIDE, workers=1) == 1
    after = shards(out)
    assert after["train/push__demo_0004.arrow"] == before["train/push__demo_0004.arrow"]
    assert after["train/push__demo_0003.arrow"] == b"kept as it is"
    assert not list(out.rglob("*.tmp"))


def test_a_killed_run_leaves_whole_shards_and_goes_on_where_it_was(run, demos, tmp_path):
    out = tmp_path / "out"
    command = [*PROGRAM, demos / "push_demo.hdf5", "--out", out, "--stride", str(STRIDE), "--workers", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        shown = b""
        while not re.search(rb" [1-9]\d*/11 ", shown):
            read = process.stderr.read1()
            assert read, f"the run ended before it was killed: {shown.decode()}"
            shown += read
        process.kill()
        process.stderr.read()  # returns when the worker, which holds the other end too, has gone as well
    expected = {name: content for name, content in shards(run[0]).items() if "/push__" in name}
    left = shards(out)
    assert left and left.items() <= expected.items()
    assert prepare([demos / "push_demo.hdf5"], out, stride=STRIDE, workers=1) == 0
    assert shards(out) == expected


def test_a_full_disk_ends_the_run_with_one_message_and_no_half_shard(demos, tmp_path):
    """No file may grow beyond 8 KiB: the kernel refuses the write, as it does on a full disk."""
    command = [*PROGRAM, demos / "push_demo.hdf5", "--out", tmp_path / "out", "--workers", "1"]
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 8; exec {shlex.join(map(str, command))}"], capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    assert "File too large" in done.stderr and "Traceback" not in done.stderr
    assert not list((tmp_path / "out").rglob("*.arrow")) and not list((tmp_path / "out").rglob("*.tmp"))


def test_a_process_that_loads_no_network_imports_no_pytorch():
    """Which every worker would wait for."""
    program = "import sys, trajforecast_model.verbs.prepare; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize("content", [None, b"", b"no HDF5"], ids=["missing", "empty", "text"])
def test_a_file_that_cannot_be_read_is_an_error_of_use(tmp_path, capsys, content):
    path = tmp_path / "push_demo.hdf5"
    if content is not None:
        path.write_bytes(content)
    assert main(["prepare", str(path), "--out", str(tmp_path / "out"), "--workers", "1"]) == 2
    assert str(path) in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_if_every_demo_is_broken_nothing_was_prepared(tmp_path, capsys):
    path = write_demos(tmp_path / "push_demo.hdf5", {"demo_0": states()[:, :-2], "demo_1": states()[:1]})
    assert main(["prepare", str(path), "--out", str(tmp_path / "out"), "--workers", "1"]) == 2
    message = capsys.readouterr().err
    assert "no demo could be prepared" in message and "demo_0" in message and "demo_1" in message


def with_scalar_states(demo: h5py.Group) -> None:
    del demo["states"]
    demo["states"] = 1.0


def with_states_that_are_a_group(demo: h5py.Group) -> None:
    del demo["states"]
    demo.create_group("states")


def with_pictures_of_no_height(demo: h5py.Group) -> None:
    demo["obs/agentview_rgb"] = np.zeros((len(demo["states"]), 0, 8, 3), np.uint8)


@pytest.mark.parametrize("change", [with_scalar_states, with_states_that_are_a_group, with_pictures_of_no_height])
def test_an_odd_demo_is_listed_and_the_others_prepared(change, tmp_path, capsys):
    path = write_demos(tmp_path / "push_demo.hdf5", {"demo_0": states(), "demo_1": states()})
    with h5py.File(path, "r+") as file:
        change(file["data/demo_1"])
    assert main(["prepare", str(path), "--out", str(tmp_path / "out"), "--workers", "1", "--stride", "8"]) == 1
    message = capsys.readouterr().err
    assert "not prepared: " in message and "demo_1" in message
    assert len(list((tmp_path / "out").rglob("*.arrow"))) == 1


def test_a_file_without_words_is_named_after_its_task(tmp_path):
    path = write_demos(tmp_path / "push_the_box_demo.hdf5", {"demo_0": states()})
    with h5py.File(path, "r+") as file:
        file["data"].attrs["problem_info"] = '{"language_instruction": null}'
    assert prepare([path], tmp_path / "out", stride=8) == 0
    assert ShardDataset(tmp_path / "out", "all")[0].instruction == "push the box"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fps", "0"], "--fps 0.0: expected frames a second"),
        (["--fps", "nan"], "--fps nan: expected frames a second"),
        (["--dt", "inf"], "--dt inf: expected seconds"),
        (["--view", "side=eye_in_hand_rgb"], "replays the camera of agentview_rgb"),
        (["--grid", "30x40"], "give --grid 32x32"),
        (["--image-size", "240x320"], "give --grid 60x64"),
        (["--grid", "0x64"], "--grid 0x64"),
        (["--image-size", "0x128"], "--image-size 0x128"),
        (["--frames", "1"], "--frames 1: expected 2 or more"),
        (["--history", "-1"], "--history -1"),
        (["--history-pictures"], "give --history"),
    ],
)
def test_options_that_make_no_sense_are_named(demos, tmp_path, capsys, options, message):
    assert main(["prepare", str(demos), "--out", str(tmp_path / "out"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", ["240", "240x", "240x320x3", "axb", "-2x4"])
def test_a_size_is_rows_and_columns(demos, tmp_path, capsys, size):
    with pytest.raises(SystemExit) as ended:
        main(["prepare", str(demos), "--out", str(tmp_path / "out"), f"--grid={size}"])
    assert ended.value.code == 2
    assert "rows and columns like 240x320" in capsys.readouterr().err


def test_other_settings_need_another_folder(run, demos):
    before = shards(run[0])
    with pytest.raises(ValueError, match="stride 8, now 4"):
        prepare([demos], run[0], stride=4)
    assert shards(run[0]) == before


def test_other_demos_of_the_same_task_need_another_folder(run, tmp_path):
    other = write_demos(tmp_path / "push_demo.hdf5", {f"demo_{number}": states(start_x=0.3) for number in range(11)})
    with pytest.raises(ValueError, match="already holds push"):
        prepare([other], run[0], stride=STRIDE)


@pytest.mark.parametrize("settings", [{"stride": 0}, {"workers": 0}, {"labeler": "guess"}])
def test_settings_that_make_no_sense(demos, tmp_path, settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        prepare([demos], tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "count, in_train", [(1, 1), (2, 1), (3, 2), (4, 3), (9, 8), (10, 9), (11, 9), (20, 18), (30, 27), (50, 45)]
)
def test_split(count, in_train):
    splits = [split_of(number, count) for number in range(count)]
    assert splits == ["train"] * in_train + ["val"] * (count - in_train)
