"""Physion's HDF5 files and Physics101's videos: what is read of them, at which geometry, and what is refused."""

import cv2
import h5py
import numpy as np
import pytest
from layouts import corners_of, episode, grey_of, write_video

from trajforecast_model.cli import main
from trajforecast_model.data.shards import ShardDataset, read_info
from trajforecast_model.data.sources.find import find_sources
from trajforecast_model.data.sources.interface import SourceOptions

OPTIONS = SourceOptions(cameras={"camera": None})
SMALL = ["--image-size", "64x64", "--grid", "8x8", "--frames", "4"]


def write_trial(path, frames=6, name="_img", encode=".jpg", first=0):
    """A file as tdw_physics writes it: bytes of a picture, and passes that are no colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as hdf5:
        hdf5["static/object_ids"] = np.arange(3)
        for number, image in enumerate(episode(frames)["side"], first):
            group = hdf5.create_group(f"frames/{number:04d}")
            bgr = np.ascontiguousarray(image[..., ::-1])
            data = image if encode is None else cv2.imencode(encode, bgr, [cv2.IMWRITE_JPEG_QUALITY, 100])[1]
            group[f"images/{name}"] = np.asarray(data).reshape(image.shape if encode is None else -1)
            group["images/_id"] = cv2.imencode(".png", bgr)[1].reshape(-1)
            group["objects/positions"] = np.zeros((3, 3), np.float32)
    return path


def write_phys101(
    folder, scenario="ramp", trial="plastic_ball_01/trial_1", frames=6, cameras=("Camera_1", "Kinect_RGB_1")
):
    place = folder / "scenarios" / scenario / trial
    for camera in (*cameras, "Kinect_FullDepth_1"):
        write_video(place / f"{camera}.mp4", episode(frames)["side"], 30)
    return folder


def prepare(folder, out, *more):
    return main(["prepare", str(folder), "--out", str(out), "--workers", "1", *more])


@pytest.mark.parametrize("name, encode", [("_img", ".jpg"), ("_img", ".png"), ("_img_cam0", ".png"), ("_img", None)])
def test_frames_of_a_trial_are_read_upright_and_in_order(tmp_path, name, encode):
    write_trial(tmp_path / "Dominoes/0000.hdf5", 12, name, encode)
    (source,) = find_sources([tmp_path], OPTIONS)
    demo = source.read("0000.hdf5")
    assert (demo.task, demo.num_frames, demo.fps, demo.instruction) == ("Dominoes", 12, 30, "")
    for number, image in demo.images["camera"].items():
        assert abs(int(grey_of(image)) - int(grey_of(episode(12)["side"][number]))) <= 2
    assert all(place == seen for place, seen in corners_of(demo.images["camera"][5]).items())


def test_scenarios_are_tasks_and_the_geometry_is_that_of_the_config(tmp_path, capsys):
    for scenario in ("Dominoes", "Collide"):
        for number in (2, 10):
            write_trial(tmp_path / f"in/{scenario}/{number:04d}.hdf5", 40)
    assert prepare(tmp_path / "in", tmp_path / "out", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "Collide: Physion trials" in said and "4 demos, 8 windows, labelled by lucas_kanade" in said
    assert prepare(tmp_path / "in/Collide/0002.hdf5", tmp_path / "out", "--stride", "100") == 0
    info = read_info(tmp_path / "out")
    assert (info.num_frames, info.grid, info.image_size, info.views, info.dt) == (30, (32, 32), (256, 256), ("camera",), 1 / 30)  # fmt: skip
    assert ShardDataset(tmp_path / "out")[0].tracks.shape == (30, 32, 32, 2)


def test_both_of_physions_layouts_beside_other_hdf5_are_told_apart(tmp_path):
    write_trial(tmp_path / "Drop/0000.hdf5")
    with h5py.File(tmp_path / "lift_demo.hdf5", "w") as hdf5:
        group = hdf5.create_group("data/demo_0")
        group["obs/agentview_rgb"] = episode(6)["side"][:, ::-1]
    kinds = {source.kind for source in find_sources([tmp_path], SourceOptions(cameras={"side": None}))}
    assert kinds == {"Physion trials", "LIBERO HDF5"}


def test_trials_of_physics101_are_read_from_the_camera_that_is_named(tmp_path):
    write_phys101(tmp_path)
    write_phys101(tmp_path, "spring", "a/1")
    ramp, spring = find_sources([tmp_path], OPTIONS)
    assert (ramp.task, spring.task, ramp.names()) == ("ramp", "spring", ["plastic_ball_01/trial_1"])
    demo = ramp.read("plastic_ball_01/trial_1")
    assert (demo.num_frames, demo.fps) == (6, 30)
    assert all(place == seen for place, seen in corners_of(demo.images["camera"][3]).items())
    both = SourceOptions(cameras={"camera": "Camera_1", "kinect": "Kinect_RGB_1"})
    assert set(find_sources([tmp_path / "scenarios/ramp"], both)[0].read("plastic_ball_01/trial_1").images) == {"camera", "kinect"}  # fmt: skip


def test_physics101s_geometry_is_that_of_the_config(tmp_path):
    write_phys101(tmp_path / "in", frames=31)
    assert prepare(tmp_path / "in", tmp_path / "out", "--stride", "100") == 0
    info = read_info(tmp_path / "out")
    assert (info.num_frames, info.grid, info.image_size, info.labeler) == (30, (32, 58), (256, 464), "lucas_kanade")


@pytest.mark.parametrize(
    "more, said",
    [
        (["--view", "a", "--view", "b"], "which cameras are the views a, b?"),
        (["--view", "camera=_img_cam7"], "has no image _img_cam7; it has _img"),
        (["--view", "camera=_depth"], "that is no colour picture"),
        (["--labeler", "exact"], "--labeler exact knows the views side, effector"),
        (["--dt", "0.01"], "recorded at 30 frames a second, 100 wanted"),
        (["--orientation", "sideways"], "--orientation 'sideways'"),
    ],
)
def test_options_that_trials_cannot_have_are_refused(tmp_path, capsys, more, said):
    write_trial(tmp_path / "in/Drop/0000.hdf5")
    assert prepare(tmp_path / "in", tmp_path / "out", *SMALL, *more) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_damaged_trials_are_named_and_the_others_prepared(tmp_path, capsys):
    for number in range(4):
        write_trial(tmp_path / f"in/Drop/{number:04d}.hdf5")
    with h5py.File(tmp_path / "in/Drop/0001.hdf5", "a") as hdf5:
        del hdf5["frames/0003"]
    with h5py.File(tmp_path / "in/Drop/0002.hdf5", "a") as hdf5:
        del hdf5["frames/0002/images/_img"]
    with h5py.File(tmp_path / "in/Drop/0003.hdf5", "a") as hdf5:
        hdf5["frames/0002/images/_img"][:] = 0
    assert prepare(tmp_path / "in", tmp_path / "out", *SMALL) == 1
    said = capsys.readouterr().err
    assert "not numbered one after the other" in said and "frame 0002 has no image" in said
    assert "frame 0002 is not a picture" in said and len(ShardDataset(tmp_path / "out", "all")) == 2


def test_a_trial_without_the_camera_or_out_of_step_is_named(tmp_path, capsys):
    write_phys101(tmp_path / "in")
    write_phys101(tmp_path / "in", trial="b/1", cameras=("Camera_2",))
    assert prepare(tmp_path / "in", tmp_path / "out", *SMALL) == 1
    assert "has no video Camera_1; it has Camera_2" in capsys.readouterr().err
    write_video(tmp_path / "in/scenarios/ramp/b/1/Camera_1.mp4", episode(20)["side"], 30)
    views = ["--view", "camera=Camera_1", "--view", "second=Camera_2"]
    assert prepare(tmp_path / "in/scenarios/ramp/b", tmp_path / "two", *SMALL, *views) == 2
    assert "are not in step: 20, 6 frames" in capsys.readouterr().err
