"""HDF5 files of LIBERO's layout by what they hold: who wrote them, how their images stand, which frame they are of, and
what the robot is told. Where that is not certain, the user is asked."""

import json

import h5py
import numpy as np
import pytest
from layouts import corners_of, episode, grey_of

from trajforecast_model.cli import main
from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.data.sources.find import find_sources
from trajforecast_model.data.sources.interface import SourceOptions

ROBOMIMIC = {"env_args": json.dumps({"env_name": "Lift", "type": 1, "env_kwargs": {"control_freq": 20}})}
LIBERO = {"problem_info": json.dumps({"language_instruction": "lift the cube"})}
ROBOCASA = {"ep_meta": json.dumps({"lang": "open the left drawer"})}
LIBERO_NAMES = ("agentview_rgb", "eye_in_hand_rgb")
ROBOMIMIC_NAMES = ("agentview_image", "robot0_eye_in_hand_image")
OPTIONS = ["--labeler", "lucas_kanade", "--workers", "1", "--stride", "4"]


def write(path, names=ROBOMIMIC_NAMES, file=(), demo=(), states=True, images=None):
    """One demo of six frames, whose images are stored as they are seen."""
    views = images or episode(6)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as hdf5:
        group = hdf5.create_group("data/demo_0")
        hdf5["data"].attrs.update(dict(file))
        group.attrs.update(dict(demo))
        group["actions"] = np.zeros((6, 7))
        if states:
            group["states"] = np.zeros((6, 110))
        for name, video in zip(names, views.values(), strict=False):
            group[f"obs/{name}"] = video
    return path


@pytest.mark.parametrize(
    "file, demo", [(ROBOMIMIC, {}), ({}, ROBOCASA), (ROBOMIMIC, ROBOCASA)], ids=["robomimic", "robocasa", "both"]
)
@pytest.mark.parametrize("states", [True, False], ids=["states", "images alone"])
def test_images_of_robomimic_are_upright_and_of_the_state_of_their_number(tmp_path, file, demo, states):
    path = write(tmp_path / "demo_im128.hdf5", file=file, demo=demo, states=states)
    for place in (path, tmp_path):
        (source,) = find_sources([place], SourceOptions(instruction="lift it"))
        read = source.read("demo_0")
        assert (source.kind, source.orientation, read.fps) == ("robomimic HDF5", "upright", 20)
        assert read.instruction == ("open the left drawer" if demo else "lift it")
        assert list(read.images["side"]) == list(range(6))
        for number, image in read.images["side"].items():
            assert all(place == seen for place, seen in corners_of(image).items())
            assert grey_of(image) == grey_of(episode(6)["side"][number])


def test_robocasas_cameras_are_known_and_others_are_named(tmp_path):
    path = write(tmp_path / "a.hdf5", ("robot0_agentview_left_image", "robot0_eye_in_hand_image"), demo=ROBOCASA)
    (source,) = find_sources([path])
    assert source.datasets["side"] == "robot0_agentview_left_image" and not source.replayable
    other = write(tmp_path / "b.hdf5", ("frontview_image", "robot0_eye_in_hand_image"), ROBOMIMIC)
    with pytest.raises(ValueError, match=r"--view side: which camera is it\?.*frontview_image"):
        find_sources([other])
    with pytest.raises(ValueError, match=r"--view side=topview_image: which camera"):
        find_sources([other], SourceOptions(cameras={"side": "topview_image"}))
    (source,) = find_sources([other], SourceOptions(cameras={"side": "frontview_image"}))
    assert source.orientation == "upright"


@pytest.mark.parametrize(
    "names, file", [(ROBOMIMIC_NAMES, ROBOMIMIC), (LIBERO_NAMES, LIBERO)], ids=["robomimic", "libero"]
)
def test_cameras_may_be_named_without_the_end_that_a_program_gives_them(tmp_path, names, file):
    path = write(tmp_path / "lift_demo.hdf5", names, file)
    (source,) = find_sources([path], SourceOptions(cameras={"side": "agentview", "wrist": names[1].rpartition("_")[0]}))
    assert source.datasets == {"side": names[0], "wrist": names[1]}
    with pytest.raises(ValueError, match="--view side=front: which camera is it"):
        find_sources([path], SourceOptions(cameras={"side": "front"}))


@pytest.mark.parametrize(
    "names, file, orientation",
    [
        (LIBERO_NAMES, LIBERO, "upside_down"),
        (LIBERO_NAMES, {}, "upside_down"),
        (LIBERO_NAMES, {"macros_image_convention": "opencv"}, "upright"),
        (LIBERO_NAMES, {"macros_image_convention": b"opengl"}, "upside_down"),
        (ROBOMIMIC_NAMES, {"macros_image_convention": "opengl"}, "upside_down"),
        (LIBERO_NAMES, {"macros_image_convention": "vulkan"}, None),
        (LIBERO_NAMES, ROBOMIMIC, None),
        (ROBOMIMIC_NAMES, {}, None),
        (ROBOMIMIC_NAMES, LIBERO, None),
        (ROBOMIMIC_NAMES, ROBOMIMIC | {"macros_image_convention": "opengl"}, None),
        (("front", "wrist"), {}, None),
        (("front", "wrist"), ROBOMIMIC, None),
    ],
)
def test_how_images_stand_is_told_by_the_file_or_asked_for(tmp_path, names, file, orientation):
    path = write(tmp_path / "lift_demo.hdf5", names, file)
    cameras = {"side": names[0], "effector": names[1]}
    if orientation is None:
        with pytest.raises(ValueError, match=r"lift_demo\.hdf5: how do its images stand\?.*give --orientation"):
            find_sources([path], SourceOptions(cameras=cameras))
        (source,) = find_sources([path], SourceOptions(orientation="rotated", cameras=cameras))
        assert source.orientation == "rotated"
    else:
        (source,) = find_sources([path], SourceOptions(cameras=cameras))
        assert source.orientation == orientation


def test_files_of_several_environments_are_called_alike_and_are_several_tasks(tmp_path):
    other = {"env_args": json.dumps({"env_name": "Can", "type": 1, "env_kwargs": {"control_freq": 10}})}
    write(tmp_path / "lift/image.hdf5", file=ROBOMIMIC)
    write(tmp_path / "can/image.h5", file=other)
    sources = find_sources([tmp_path])
    assert [(source.task, source.fps) for source in sources] == [("Can_image", 10), ("Lift_image", 20)]


def test_a_run_and_a_dry_run_say_the_same_of_a_robomimic_file(tmp_path, capsys):
    command = ["prepare", str(write(tmp_path / "image.hdf5", file=ROBOMIMIC)), "--out", str(tmp_path / "out"), *OPTIONS]
    assert main([*command, "--dry-run"]) == 2, "nothing says what the robot is told"
    assert "image.hdf5: demo_0; give --instruction" in capsys.readouterr().err
    told = [*command, "--instruction", "lift the cube"]
    assert main([*told, "--dry-run"]) == 0
    assert "would prepare 1 demos, 4 windows" in capsys.readouterr().out
    assert main(told) == 0
    assert "image.hdf5: images upright (as robomimic stores them): left as they are" in capsys.readouterr().out
    dataset = ShardDataset(tmp_path / "out", "all")
    assert len(dataset) == 4 and dataset[0].instruction == "lift the cube" and dataset[0].start == 0


@pytest.mark.parametrize(
    "names, file, said",
    [
        ((), ROBOMIMIC, "has no images of side and effector, and a point tracker needs them"),
        ((), LIBERO, "has no images of side and effector"),
        (LIBERO_NAMES[:1], LIBERO, "has no images of effector"),
    ],
)
def test_a_dry_run_promises_nothing_of_demos_that_a_tracker_cannot_see(tmp_path, capsys, names, file, said):
    path = write(tmp_path / "lift_demo.hdf5", names, file)
    command = ["prepare", str(path), "--out", str(tmp_path / "out"), "--instruction", "lift it", *OPTIONS]
    for more in (["--dry-run"], []):
        assert main([*command, *more]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("values", [np.float32, np.uint16])
def test_a_depth_map_is_no_view(tmp_path, capsys, values):
    depth = {"side": np.ones((6, 64, 64, 1), values)}
    path = write(tmp_path / "image.hdf5", ("agentview_depth",), ROBOMIMIC, images=depth)
    command = ["prepare", str(path), "--out", str(tmp_path / "out"), *OPTIONS, "--view", "side=agentview_depth"]
    assert main([*command, "--instruction", "lift it", "--orientation", "upright"]) == 2
    said = capsys.readouterr().err
    assert f"agentview_depth is {np.dtype(values)}" in said and "is it a depth map?" in said
    assert not (tmp_path / "out").exists()


def test_words_that_are_there_are_not_replaced(tmp_path, capsys):
    path = write(tmp_path / "lift_demo.hdf5", LIBERO_NAMES, LIBERO)
    command = ["prepare", str(path), "--out", str(tmp_path / "out"), *OPTIONS, "--instruction", "drop it", "--dry-run"]
    assert main(command) == 0
    assert "--instruction is not used" in capsys.readouterr().err
    assert find_sources([path])[0].read("demo_0").instruction == "lift the cube"
