"""What the robot is told, looked at by `prepare` before it makes anything: nothing, in any layout, and what is not
understood; and folders that were prepared when names of tasks lost more."""

import json

import h5py
import pytest
from layouts import INSTRUCTION, episode, write_atm, write_lerobot, write_libero, write_recordings

from trajforecast_model.cli import main
from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.data.sources.find import find_sources
from trajforecast_model.data.sources.names import file_name_of, task_named_after

VIEWS = episode(3)
OPTIONS = ["--labeler", "lucas_kanade", "--workers", "1", "--stride", "4"]


def silent_lerobot(folder):
    return write_lerobot(folder, [("  ", VIEWS), (INSTRUCTION, VIEWS)])


def silent_recordings(folder):
    write_recordings(folder, [VIEWS], ".avi")
    next(folder.glob("*/instruction.txt")).write_text(" \n")
    return folder


def silent_robomimic(folder):
    folder.mkdir()
    with h5py.File(folder / "image.hdf5", "w") as file:
        file["data/demo_0/obs/agentview_image"] = VIEWS["side"]
        file["data/demo_0/obs/robot0_eye_in_hand_image"] = VIEWS["effector"]
        file["data/demo_0"].attrs["ep_meta"] = json.dumps({"lang": " "})
    return folder


def silent_atm(folder):
    return write_atm(folder, [VIEWS], "")


def prepare(folder, out, *more):
    return main(["prepare", str(folder), "--out", str(out), *OPTIONS, *more])


@pytest.mark.parametrize("write", [silent_lerobot, silent_recordings, silent_robomimic, silent_atm])
def test_demos_in_which_the_robot_is_told_nothing_are_refused_by_name_or_told_by_the_user(tmp_path, capsys, write):
    folder, out = write(tmp_path / "in"), tmp_path / "out"
    for more in ([], ["--dry-run"]):
        assert prepare(folder, out, *more) == 2
        said = capsys.readouterr().err
        assert str(folder) in said and "; give --instruction TEXT" in said
        assert any(f": {name};" in said for name in ("episode_000000", "0", "demo_0")), said
    assert not out.exists()
    assert prepare(folder, out, "--instruction", " lift it ") == 0
    assert set(ShardDataset(out, "all").rows.instruction) - {INSTRUCTION} == {"lift it"}


def test_a_libero_file_whose_attribute_is_empty_says_its_name(tmp_path):
    write_libero(tmp_path, [VIEWS])
    with h5py.File(next(tmp_path.glob("*.hdf5")), "r+") as file:
        file["data"].attrs["problem_info"] = json.dumps({"language_instruction": " "})
    assert find_sources([tmp_path])[0].instruction("demo_0") == INSTRUCTION


def test_words_that_a_text_encoder_does_not_know_are_told_once_before_the_work(tmp_path, capsys):
    write_lerobot(tmp_path / "in", [("打开抽屉", VIEWS), ("推倒瓶罐", VIEWS), ("打开抽屉", VIEWS)])
    assert prepare(tmp_path / "in", tmp_path / "out", "--dry-run") == 0
    said = capsys.readouterr().err
    assert said.count("cannot tell apart '打开抽屉' and '推倒瓶罐'") == 1 and "knows no word of" in said


def test_names_of_tasks_are_as_they_were_where_nothing_is_lost_in_them():
    assert task_named_after("Open it.") == task_named_after("open  IT") == "open_it"
    assert task_named_after("put the (red) cup - 'the large one' - on top") == "put_the_red_cup_the_large_one_on_top"
    assert task_named_after("move 1.5 cm") == "move_1_5_cm"
    assert task_named_after("Café") == task_named_after("cafe\u0301") != task_named_after("caf")


def test_a_folder_in_which_tasks_were_mixed_by_name_is_not_continued(tmp_path, capsys):
    write_lerobot(tmp_path / "in", [("打开抽屉", VIEWS), ("推倒瓶罐", VIEWS)])
    out = tmp_path / "out"
    assert prepare(tmp_path / "in", out) == 0
    records = [json.loads(file.read_text()) for file in (out / "sources").glob("*.json")]
    for file in out.glob("sources/*.json"):
        file.unlink()
    both = records[0]["demos"] | records[1]["demos"]
    (out / "sources/task.json").write_text(json.dumps(records[0] | {"demos": both}))
    assert prepare(tmp_path / "in", out) == 2
    assert "which may be several tasks in one" in capsys.readouterr().err


def test_a_task_whose_name_is_longer_than_a_files_can_be(tmp_path):
    task = "把杯子放在盘子上" * 9
    assert len(file_name_of(task).encode()) <= 200 and file_name_of(task) != file_name_of(task + "上")
    write_recordings(tmp_path / "in", [VIEWS], ".avi", task=task)
    assert prepare(tmp_path / "in", tmp_path / "out") == 0
    assert set(ShardDataset(tmp_path / "out", "all").rows.task) == {task}
