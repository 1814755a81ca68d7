"""`prepare` with a point tracker on everything people have at once: what is broken, dry runs, several machines."""

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from layouts import INSTRUCTION, corners_of, episode, write_atm, write_lerobot, write_libero, write_recordings

from trajforecast_model.cli import main
from trajforecast_model.data import prepare
from trajforecast_model.data.plan import jobs_of, parse_share, share_of
from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.data.sources.find import find_sources
from trajforecast_model.data.sources.interface import SourceOptions

OPTIONS = ["--labeler", "lucas_kanade", "--stride", "4", "--workers", "1"]
GOOD = {
    "train/atm_task__demo_0001.arrow",
    "train/told__demo_0000.arrow",
    "train/filmed__demo_0000.arrow",
    "train/filmed__demo_0001.arrow",
    "train/released__demo_0000.arrow",
}


@pytest.fixture(scope="module")
def demos(tmp_path_factory) -> Path:
    """Every layout; of ATM's three demos one is truncated and one empty, and of three videos one is none."""
    folder = tmp_path_factory.mktemp("people")
    views = episode(6)
    atm = write_atm(folder / "atm", [views] * 3, "atm_task") / "atm_task_demo"
    whole = (atm / "demo_0.hdf5").read_bytes()
    (atm / "demo_0.hdf5").write_bytes(whole[: len(whole) // 2])
    (atm / "demo_2.hdf5").write_bytes(b"")
    write_lerobot(folder / "lerobot", [("told", views)])
    write_recordings(folder / "videos", [views] * 3, ".avi", task="filmed")
    (folder / "videos/filmed/side/2.avi").write_bytes(b"RIFF")
    write_libero(folder / "libero", [views], "released")
    (folder / "libero/nothing_demo.hdf5").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def prepared(demos, tmp_path_factory) -> tuple[Path, int]:
    out = tmp_path_factory.mktemp("out")
    return out, main(["prepare", str(demos), "--out", str(out), *OPTIONS])


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def shards(out: Path) -> dict[str, bytes]:
    return {name: content for name, content in files(out).items() if name.endswith(".arrow")}


def test_the_good_demos_of_every_layout_are_prepared(prepared):
    out, code = prepared
    assert code == 1, "some demos are broken"
    assert set(shards(out)) == GOOD
    dataset = ShardDataset(out, "all")
    assert (dataset.info.labeler, dataset.info.labeler_weights, dataset.info.dt) == ("lucas_kanade", None, 0.05)
    for index in range(len(dataset)):
        window = dataset[index]
        assert set(corners_of(window.image).items()) == {(corner, corner) for corner in corners_of(window.image)}
        assert np.isfinite(window.tracks).all()
    assert dict(zip(dataset.rows.task, dataset.rows.instruction, strict=True)) == {
        "atm_task": "atm task",
        "told": "told",
        "filmed": INSTRUCTION,
        "released": INSTRUCTION,
    }


def test_where_the_shards_came_from_is_kept(prepared):
    kept = {path.stem: json.loads(path.read_text()) for path in (prepared[0] / "sources").glob("*.json")}
    assert {task: (source["kind"], source["orientation"]) for task, source in kept.items()} == {
        "atm_task": ("ATM HDF5", "upright"),
        "told": ("LeRobot dataset", "mirrored"),
        "filmed": ("recordings", "upright"),
        "released": ("LIBERO HDF5", "upside_down"),
    }
    assert kept["atm_task"]["demos"]["demo_0"] is None and kept["atm_task"]["demos"]["demo_1"]


def test_a_dry_run_says_what_is_there_and_what_is_broken_and_writes_nothing(prepared, demos, capsys):
    before = files(prepared[0])
    assert main(["prepare", str(demos), "--out", str(prepared[0]), *OPTIONS, "--dry-run"]) == 1
    said = capsys.readouterr()
    assert "filmed: recordings, images upright" in said.out and "3 demos (2 train, 1 val), 2 there already" in said.out
    assert "would prepare 0 demos, 0 windows" in said.out
    for broken in ("demo_0.hdf5", "demo_2.hdf5", "2.avi", "nothing_demo.hdf5"):
        assert broken in said.err
    assert files(prepared[0]) == before


def test_a_dry_run_counts_what_a_run_makes(prepared, demos, tmp_path, capsys):
    assert main(["prepare", str(demos), "--out", str(tmp_path / "out"), *OPTIONS, "--dry-run"]) == 1
    made = len(ShardDataset(prepared[0], "all"))
    assert f"would prepare 5 demos, {made} windows, labelled by lucas_kanade" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_two_machines_make_together_what_one_makes(prepared, demos, tmp_path):
    """At the same time, into one folder. A file that a third machine is writing is left alone."""
    out = tmp_path / "out"
    (out / "train").mkdir(parents=True)
    others = out / "train" / ".other_task__demo_0000.arrow.0123.tmp"
    others.write_bytes(b"half")
    left_by_a_kill = out / "train" / ".told__demo_0000.arrow.4567.tmp"
    left_by_a_kill.write_bytes(b"half")

    def machine(number: int) -> int:
        return main(["prepare", str(demos), "--out", str(out), *OPTIONS, "--shard", f"{number}/2"])

    with ThreadPoolExecutor(2) as machines:
        assert max(machines.map(machine, (1, 2))) == 1
    others.unlink()
    assert files(out) == files(prepared[0])


def test_a_broken_demo_that_was_repaired_is_still_to_be_made(prepared, demos, tmp_path, capsys):
    folder = shutil.copytree(demos / "atm", tmp_path / "atm")
    task = folder / "atm_task_demo"
    shutil.copy(task / "demo_1.hdf5", task / "demo_0.hdf5")
    assert main(["prepare", str(folder), "--out", str(prepared[0]), *OPTIONS, "--dry-run"]) == 1
    assert "would prepare 1 demos" in capsys.readouterr().out


def test_other_demos_of_a_task_that_is_there_are_refused(prepared, tmp_path, capsys):
    write_atm(tmp_path, [episode(7)] * 3, "atm_task")
    assert main(["prepare", str(tmp_path), "--out", str(prepared[0]), *OPTIONS, "--dry-run"]) == 2
    assert "already holds atm_task from 3 other demos" in capsys.readouterr().err


def test_a_damaged_record_of_a_tasks_demos_is_named(prepared, demos, tmp_path, capsys):
    out = shutil.copytree(prepared[0], tmp_path / "out")
    record = out / "sources" / "atm_task.json"
    for damaged in ("{", "[]", "{}"):
        record.write_text(damaged)
        assert main(["prepare", str(demos / "atm"), "--out", str(out), *OPTIONS, "--dry-run"]) == 2
        assert f"{record} is damaged" in capsys.readouterr().err


def test_exact_labels_need_states(demos, tmp_path, capsys):
    for folder, kind in (("atm", "ATM HDF5"), ("lerobot", "LeRobot dataset"), ("videos", "recordings")):
        assert main(["prepare", str(demos / folder), "--out", str(tmp_path / "out")]) == 2
        said = capsys.readouterr().err
        assert f"{kind} holds no simulator states" in said and "--labeler lucas_kanade" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "more, said",
    [
        (["--stride", "2"], "stride 4, now 2"),
        (["--labeler", "exact"], "labeler lucas_kanade, now exact"),
        (["--dt", "0.1"], "dt 0.05, now 0.1"),
        (["--view", "side"], "views"),
        (["--orientation", "rotated"], "images upside_down.*images rotated"),
        (["--shard", "3/2"], "expected I/N"),
        (["--labeler", "atm"], "scattered points"),
        (["--view", "top"], "which camera is it"),
    ],
)
def test_what_does_not_fit_the_folder_is_refused(prepared, demos, capsys, more, said):
    before = files(prepared[0])
    assert main(["prepare", str(demos / "libero"), "--out", str(prepared[0]), *OPTIONS, *more]) == 2
    message = capsys.readouterr().err
    assert re.search(said, message), message
    assert files(prepared[0]) == before


def test_exact_labels_of_a_view_without_a_camera_are_refused(demos, tmp_path, capsys):
    command = ["prepare", str(demos / "libero"), "--out", str(tmp_path / "out"), "--view", "front=agentview_rgb"]
    assert main(command) == 2
    assert "knows the views side, effector" in capsys.readouterr().err


def test_a_tracker_that_is_not_there_ends_the_run_and_binds_nobody(demos, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["prepare", str(demos / "lerobot"), "--out", str(out), *OPTIONS, "--labeler", "cotracker3"]) == 2
    assert "cotracker3" in capsys.readouterr().err
    assert not shards(out)
    assert main(["prepare", str(demos / "lerobot"), "--out", str(out), *OPTIONS, "--dry-run"]) == 0


@pytest.mark.parametrize(
    "options, processes",
    [([], 5), (["--labeler-device", "cuda:0"], 1), (["--labeler-device", "cuda", "--workers", "2"], 2)],
)
def test_one_process_loads_its_network_onto_a_gpu_unless_more_are_asked_for(
    demos, tmp_path, monkeypatch, options, processes
):
    started = []
    monkeypatch.setattr(prepare.os, "cpu_count", lambda: 5)
    monkeypatch.setattr(prepare, "run_in_processes", lambda make, next_job, count: started.append(count) or [])
    command = ["prepare", str(demos), "--out", str(tmp_path / "out"), "--labeler", "alltracker", *options]
    assert main(command) == 2, "nothing was prepared"
    assert started == [processes]


def test_a_recording_of_one_frame_is_no_demo(tmp_path, capsys):
    write_lerobot(tmp_path / "lerobot", [("told", episode(1)), ("shown", episode(2))])
    command = ["prepare", str(tmp_path / "lerobot"), "--out", str(tmp_path / "out"), *OPTIONS]
    for options in (["--dry-run"], []):
        assert main([*command, *options]) == 1
        said = capsys.readouterr()
        assert re.search(r"not prepared: .*lerobot.*1 frame", said.err), said.err
        assert not options or "would prepare 1 demos, 2 windows" in said.out


def test_frames_are_stored_of_block_scenes_alone(demos, tmp_path, capsys):
    assert main(["prepare", str(demos / "libero"), "--out", str(tmp_path / "out"), *OPTIONS, "--frame-size", "64"]) == 2
    assert "--frame-size: prepare of demos would ignore this" in capsys.readouterr().err


def test_recordings_at_another_rate(demos, tmp_path, capsys):
    command = ["prepare", str(demos / "videos"), "--out", str(tmp_path), *OPTIONS, "--dry-run"]
    assert main([*command, "--fps", "10"]) == 2, "no demo is fast enough"
    assert "give --dt 0.1" in capsys.readouterr().err
    assert main([*command, "--fps", "10", "--dt", "0.1"]) == 1
    assert "would prepare 2 demos, 8 windows" in capsys.readouterr().out


@pytest.mark.parametrize("count", [1, 2, 3, 5, 20])
def test_shares_are_disjoint_complete_and_even_in_whatever_order_inputs_come(demos, count):
    sources = find_sources([demos / kind for kind in ("videos", "atm", "lerobot")], SourceOptions())
    jobs = [job for source in sources for job in jobs_of(source, source.names(), Path("out"))]
    shares = [share_of(jobs, (number, count)) for number in range(1, count + 1)]
    assert sorted(job.shard for share in shares for job in share) == sorted(job.shard for job in jobs)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert shares == [share_of(jobs[::-1], (number, count)) for number in range(1, count + 1)]


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "-1/2", "a/b", "1/2/3"])
def test_a_share_is_one_of_some(text):
    with pytest.raises(ValueError, match="expected I/N"):
        parse_share(text)
