"""Every layout gives the same upright frames with their numbers and words, and every broken one says what is wrong."""

import json
import shutil

import h5py
import numpy as np
import pytest
from layouts import (
    CORNERS,
    GREY_A_FRAME,
    INSTRUCTION,
    TASK,
    corners_of,
    episode,
    grey_of,
    png,
    write_atm,
    write_lerobot,
    write_libero,
    write_parquet,
    write_recordings,
    write_video,
)

from trajforecast_model.data.demo import at_rate, frames_at_rate
from trajforecast_model.data.sources.find import find_sources
from trajforecast_model.data.sources.interface import SourceOptions
from trajforecast_model.data.sources.orientation import ORIENTATIONS, upright

AS_IT_SHOULD_BE = {corner: corner for corner in CORNERS}
EPISODES = [episode(6), episode(5, first_grey=100)]
TOLD = [(INSTRUCTION, views) for views in EPISODES]
LAYOUTS = {
    "atm": lambda folder: write_atm(folder, EPISODES),
    "lerobot 2, pictures": lambda folder: write_lerobot(folder, TOLD),
    "lerobot 2, videos": lambda folder: write_lerobot(folder, TOLD, dtype="video"),
    "lerobot 3, pictures": lambda folder: write_lerobot(folder, TOLD, "v3.0"),
    "lerobot 3, videos": lambda folder: write_lerobot(folder, TOLD, "v3.0", dtype="video"),
    "recorded pictures": lambda folder: write_recordings(folder, EPISODES, ".png"),
    "recorded videos": lambda folder: write_recordings(folder, EPISODES, ".mp4"),
}
LOSSY = 12  # grey levels


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_upright_frames(tmp_path, layout):
    (source,) = find_sources([LAYOUTS[layout](tmp_path)], SourceOptions(fps=20))
    names = source.names()
    demos = [source.read(name) for name in names]
    assert [demo.num_frames for demo in demos] == [6, 5]
    lossless = "videos" not in layout
    assert [source.outline(name).num_frames for name in names] == [6, 5]
    for demo, expected in zip(demos, EPISODES, strict=True):
        assert (demo.task, demo.instruction, demo.fps) == (TASK, INSTRUCTION, 20)
        assert demo.states is None and not source.replayable
        for view in ("side", "effector"):
            assert list(demo.images[view]) == list(range(demo.num_frames))
            for number, image in demo.images[view].items():
                assert corners_of(image) == AS_IT_SHOULD_BE
                assert abs(grey_of(image) - grey_of(expected[view][number])) < GREY_A_FRAME / 2
                assert np.abs(image.astype(int) - expected[view][number]).mean() < (0 if lossless else LOSSY) + 0.001


def test_libero_frames_are_upright_at_their_numbers(tmp_path):
    (source,) = find_sources([write_libero(tmp_path, EPISODES)])
    demo = source.read("demo_0")
    assert source.orientation == "upside_down" and list(demo.images["side"]) == [1, 2, 3, 4, 5]
    for number, image in demo.images["side"].items():
        np.testing.assert_array_equal(image, EPISODES[0]["side"][number])


def test_libero_files_of_the_other_convention_are_upright_already(tmp_path):
    write_libero(tmp_path, EPISODES)
    with h5py.File(tmp_path / f"{TASK}_demo.hdf5", "r+") as file:
        file["data"].attrs["macros_image_convention"] = "opencv"
    (source,) = find_sources([tmp_path])
    assert source.orientation == "upright"


def test_the_copies_of_libero_are_mirrored_back_and_not_just_flipped(tmp_path):
    """As stored, left is right and the top is the top: neither a flip nor a turn puts that right."""
    (source,) = find_sources([write_lerobot(tmp_path, TOLD)])
    assert source.orientation == "mirrored"
    np.testing.assert_array_equal(source.read("episode_000000").images["side"][3], EPISODES[0]["side"][3])
    for wrong in set(ORIENTATIONS) - {"mirrored"}:
        (other,) = find_sources([tmp_path], SourceOptions(orientation=wrong))
        assert corners_of(other.read("episode_000000").images["side"][3]) != AS_IT_SHOULD_BE


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_an_orientation_that_is_named_is_undone(tmp_path, orientation):
    stored = {
        "upright": lambda video: video,
        "upside_down": lambda video: video[:, ::-1],
        "mirrored": lambda video: video[:, :, ::-1],
        "rotated": lambda video: np.rot90(video, 2, axes=(1, 2)),
    }[orientation]
    write_recordings(tmp_path, [{view: stored(video) for view, video in EPISODES[0].items()}], ".png")
    (source,) = find_sources([tmp_path], SourceOptions(orientation=orientation, fps=20))
    np.testing.assert_array_equal(source.read("0").images["side"][2], EPISODES[0]["side"][2])


def test_an_unknown_orientation_names_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match="upside_down, mirrored"):
        find_sources([write_atm(tmp_path, EPISODES)], SourceOptions(orientation="sideways"))


def test_turning_an_image_upright_twice_gives_it_back():
    image = EPISODES[0]["side"][0]
    for orientation in ORIENTATIONS:
        np.testing.assert_array_equal(upright(upright(image, orientation), orientation), image)


class TestLeRobot:
    def test_episodes_of_a_dataset_are_parted_by_their_instruction(self, tmp_path):
        write_lerobot(tmp_path, [("Open it.", episode(3)), ("close it", episode(4)), ("open it", episode(5))], "v3.0")
        sources = find_sources([tmp_path])
        assert [(source.task, source.names()) for source in sources] == [
            ("close_it", ["episode_000001"]),
            ("open_it", ["episode_000000", "episode_000002"]),
        ]
        assert sources[1].read("episode_000000").instruction == "Open it."

    def test_cameras_of_a_robot_must_be_named_and_are_upright(self, tmp_path):
        keys = ("observation.images.top", "observation.images.gripper")
        write_lerobot(tmp_path, TOLD, keys=keys, store=lambda video: video)
        with pytest.raises(ValueError, match=r"which of its cameras is the view side\? It has .*top, .*gripper"):
            find_sources([tmp_path])
        (source,) = find_sources([tmp_path], SourceOptions(cameras={"side": keys[0]}))
        demo = source.read("episode_000001")
        assert list(demo.images) == ["side"] and corners_of(demo.images["side"][0]) == AS_IT_SHOULD_BE

    def test_another_version_is_named(self, tmp_path):
        write_lerobot(tmp_path, TOLD)
        info = json.loads((tmp_path / "meta/info.json").read_text())
        (tmp_path / "meta/info.json").write_text(json.dumps(info | {"codebase_version": "v1.6"}))
        with pytest.raises(ValueError, match=r"version v1\.6; expected LeRobot's format of version 2 or 3"):
            find_sources([tmp_path])

    @pytest.mark.parametrize("file", ["meta/info.json", "meta/episodes.jsonl"])
    def test_damaged_lists_are_named(self, tmp_path, file):
        write_lerobot(tmp_path, TOLD)
        (tmp_path / file).write_text('{"episode_index": 0, "tas')
        with pytest.raises(ValueError, match=str(tmp_path)):
            find_sources([tmp_path])

    @pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "fewer frames"])
    @pytest.mark.parametrize("dtype", ["image", "video"])
    def test_a_damaged_episode_is_named_and_the_other_is_read(self, tmp_path, dtype, damage):
        write_lerobot(tmp_path, TOLD, dtype=dtype)
        name = {
            "image": "data/chunk-000/episode_000001.parquet",
            "video": "videos/chunk-000/observation.images.image/episode_000001.mp4",
        }[dtype]
        broken = tmp_path / name
        if damage == "missing":
            broken.unlink()
        elif damage == "fewer frames":
            other = tmp_path.with_name(f"{tmp_path.name}_other")
            shutil.copy(write_lerobot(other, [(INSTRUCTION, episode(3))] * 2, dtype=dtype) / name, broken)
        else:
            broken.write_bytes(broken.read_bytes()[: 200 if damage == "truncated" else 0])
        (source,) = find_sources([tmp_path])
        with pytest.raises(ValueError, match="episode_000001"):
            source.read("episode_000001")
        assert source.read("episode_000000").num_frames == 6

    def test_a_picture_may_not_lie_outside_of_the_dataset(self, tmp_path):
        write_lerobot(tmp_path / "dataset", TOLD)
        (tmp_path / "secret.png").write_bytes(png(EPISODES[0]["side"][0]))
        key = "observation.images.image"
        cell = {"bytes": None, "path": "../secret.png"}
        rows = [
            {"frame_index": frame, "episode_index": 0, key: cell, "observation.images.wrist_image": cell}
            for frame in range(6)
        ]
        write_parquet(tmp_path / "dataset/data/chunk-000/episode_000000.parquet", rows)
        (source,) = find_sources([tmp_path / "dataset"])
        with pytest.raises(ValueError, match=r"secret\.png is not a file of the dataset"):
            source.read("episode_000000")


class TestAtm:
    def test_links_of_its_splits_are_not_counted_twice(self, tmp_path):
        write_atm(tmp_path, EPISODES)
        task = tmp_path / f"{TASK}_demo"
        for split, name in (("train", "demo_0.hdf5"), ("val", "demo_1.hdf5"), ("bc_train_10", "demo_0.hdf5")):
            (task / split).mkdir()
            (task / split / name).symlink_to(f"../{name}")
        (source,) = find_sources([tmp_path])
        assert source.names() == ["demo_0", "demo_1"] and source.place == task

    def test_a_task_of_libero_90_says_its_instruction(self, tmp_path):
        write_atm(tmp_path, EPISODES, "KITCHEN_SCENE10_turn_on_the_stove")
        (source,) = find_sources([tmp_path])
        assert source.read("demo_0").instruction == "turn on the stove"

    @pytest.mark.parametrize("share", [0, 0.5], ids=["empty", "truncated"])
    def test_a_damaged_demo_is_named_and_the_other_is_read(self, tmp_path, share):
        file = write_atm(tmp_path, EPISODES) / f"{TASK}_demo" / "demo_0.hdf5"
        whole = file.read_bytes()
        file.write_bytes(whole[: int(share * len(whole))])
        (source,) = find_sources([tmp_path])
        with pytest.raises(ValueError, match=r"demo_0\.hdf5"):
            source.read("demo_0")
        assert source.read("demo_1").num_frames == 5

    @pytest.mark.parametrize("video", [np.zeros((1, 6, 64, 64, 3), np.uint8), np.zeros((1, 6, 3, 64, 64)), None])
    def test_what_is_not_as_atm_leaves_it_is_named(self, tmp_path, video):
        file = write_atm(tmp_path, EPISODES) / f"{TASK}_demo" / "demo_0.hdf5"
        with h5py.File(file, "r+") as hdf5:
            del hdf5["root/eye_in_hand/video"]
            if video is not None:
                hdf5["root/eye_in_hand/video"] = video
        (source,) = find_sources([tmp_path])
        with pytest.raises(ValueError, match=r"demo_0\.hdf5.*(eye_in_hand|video)"):
            source.read("demo_0")


class TestRecordings:
    @pytest.mark.parametrize("size", [(97, 61), (37, 211)])
    def test_odd_sizes_become_the_dataset_s(self, tmp_path, size):
        write_recordings(tmp_path, [episode(4, size)], ".avi")
        (source,) = find_sources([tmp_path])
        image = source.read("0").images["side"][1]
        assert image.shape == (128, 128, 3) and corners_of(image) == AS_IT_SHOULD_BE

    @pytest.mark.parametrize("content", [b"", b"this is no video" * 99], ids=["empty", "text"])
    def test_a_video_that_cannot_be_decoded_is_named(self, tmp_path, content):
        write_recordings(tmp_path, EPISODES)
        (tmp_path / TASK / "side" / "1.mp4").write_bytes(content)
        (source,) = find_sources([tmp_path])
        with pytest.raises(ValueError, match=r"side/1\.mp4 is not a video that can be decoded"):
            source.read("1")
        assert source.read("0").num_frames == 6

    def test_a_video_that_breaks_off_is_named(self, tmp_path):
        video = np.random.default_rng(0).integers(0, 255, (40, 64, 64, 3), np.uint8)
        write_recordings(tmp_path, [{"side": video, "effector": video}], ".avi")
        file = tmp_path / TASK / "side" / "0.avi"
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        (source,) = find_sources([tmp_path])
        with pytest.raises(ValueError, match=rf"{TASK}.*(0\.avi ends after|not in step)"):
            source.read("0")

    def test_a_picture_that_cannot_be_decoded_is_named(self, tmp_path):
        write_recordings(tmp_path, EPISODES, ".png")
        (tmp_path / TASK / "side" / "0" / "3.png").write_bytes(b"\x89PNG")
        (source,) = find_sources([tmp_path], SourceOptions(fps=20))
        with pytest.raises(ValueError, match=r"side/0/3\.png"):
            source.read("0")

    def test_pictures_do_not_tell_their_rate(self, tmp_path):
        (source,) = find_sources([write_recordings(tmp_path, EPISODES, ".png")])
        with pytest.raises(ValueError, match="give --fps"):
            source.read("0")

    def test_pictures_are_in_natural_order(self, tmp_path):
        (source,) = find_sources([write_recordings(tmp_path, [episode(12)], ".png")], SourceOptions(fps=20))
        greys = [grey_of(image) for image in source.read("0").images["side"].values()]
        assert greys == [GREY_A_FRAME * number for number in range(12)]

    def test_endings_in_capitals_are_videos_too(self, tmp_path):
        write_recordings(tmp_path, EPISODES, ".avi")
        for view in ("side", "effector"):
            (tmp_path / TASK / view / "0.avi").rename(tmp_path / TASK / view / "0.AVI")
        (source,) = find_sources([tmp_path])
        assert source.names() == ["0", "1"] and source.read("0").num_frames == 6

    def test_views_are_the_folders_that_are_named(self, tmp_path):
        write_recordings(tmp_path, [{"left cam": EPISODES[0]["side"]}])
        with pytest.raises(ValueError, match="no folder side of the view side"):
            find_sources([tmp_path])[0].names()
        (source,) = find_sources([tmp_path], SourceOptions(cameras={"side": "left cam"}))
        assert list(source.read("0").images) == ["side"]

    def test_an_episode_without_one_of_its_views_is_named(self, tmp_path):
        write_recordings(tmp_path, EPISODES)
        (tmp_path / TASK / "effector" / "1.mp4").unlink()
        (source,) = find_sources([tmp_path])
        assert source.names() == ["0", "1"]
        with pytest.raises(ValueError, match="1 has nothing to show in effector"):
            source.read("1")

    def test_views_that_are_not_in_step_are_refused(self, tmp_path):
        write_recordings(tmp_path, EPISODES)
        write_video(tmp_path / TASK / "effector" / "0.mp4", episode(30)["effector"], 20)
        write_video(tmp_path / TASK / "effector" / "1.mp4", EPISODES[1]["effector"], 40)
        (source,) = find_sources([tmp_path])
        for name in ("0", "1"):
            with pytest.raises(ValueError, match="not in step"):
                source.read(name)

    @pytest.mark.parametrize("words", [b"", b"\xff\xfe\x00"], ids=["empty", "no text"])
    def test_an_instruction_that_says_nothing_is_named(self, tmp_path, words):
        write_recordings(tmp_path, EPISODES)
        (tmp_path / TASK / "instruction.txt").write_bytes(words)
        with pytest.raises(ValueError, match=r"instruction\.txt"):
            find_sources([tmp_path])[0].read("0")


def test_kinds_are_told_apart_by_what_they_hold(tmp_path):
    """ATM's file among LIBERO's by another name, and all kinds in one folder."""
    write_libero(tmp_path / "a", EPISODES, "first")
    write_atm(tmp_path / "b", EPISODES, "second")
    write_lerobot(tmp_path / "c", [("third", EPISODES[0])])
    write_recordings(tmp_path / "d", EPISODES, task="fourth")
    renamed = tmp_path / "e" / "fifth" / "open_demo.hdf5"
    renamed.parent.mkdir(parents=True)
    shutil.copy(tmp_path / "b/second_demo/demo_0.hdf5", renamed)
    kinds = {source.task: source.kind for source in find_sources([tmp_path])}
    assert kinds == {
        "first": "LIBERO HDF5",
        "second": "ATM HDF5",
        "third": "LeRobot dataset",
        "fourth": "recordings",
        "fifth": "ATM HDF5",
    }


def test_one_task_from_two_places_is_refused(tmp_path):
    write_libero(tmp_path / "a", EPISODES)
    write_atm(tmp_path / "b", EPISODES)
    with pytest.raises(ValueError, match="hold the same task"):
        find_sources([tmp_path])


def test_a_link_keeps_its_name(tmp_path):
    """The hub's cache has files under hashes, and links to them by their names."""
    write_libero(tmp_path / "blobs", EPISODES)
    (tmp_path / "blobs" / f"{TASK}_demo.hdf5").rename(tmp_path / "blobs" / "0123abc")
    link = tmp_path / "snapshot" / f"{TASK}_demo.hdf5"
    link.parent.mkdir()
    link.symlink_to("../blobs/0123abc")
    (source,) = find_sources([tmp_path / "snapshot", link])
    assert source.task == TASK and source.read("demo_1").num_frames == 5


def test_a_file_that_is_not_hdf5_is_refused_with_what_to_do(tmp_path):
    video = write_video(tmp_path / "x.mp4", EPISODES[0]["side"], 20)
    with pytest.raises(ValueError, match=r"x\.mp4 is neither an HDF5 file nor a bag; give the folder"):
        find_sources([video])


def test_what_tells_demos_apart(tmp_path):
    for kind, write in (("atm", write_atm), ("recordings", write_recordings), ("libero", write_libero)):
        (source,) = find_sources([write(tmp_path / kind, EPISODES)], SourceOptions())
        first, second = (source.fingerprint(name) for name in source.names())
        assert first == source.fingerprint(source.names()[0]) != second


class TestRate:
    @pytest.mark.parametrize(
        "fps, dt, expected",
        [
            (20, 0.05, list(range(10))),
            (20.1, 0.05, list(range(10))),  # one frame in a hundred off is no reason to drop one
            (40, 0.05, [0, 2, 4, 6, 8]),
            (30, 0.05, [0, 2, 3, 5, 6, 8, 9]),
            (20, 0.1, [0, 2, 4, 6, 8]),
        ],
    )
    def test_the_nearest_frames_are_taken(self, fps, dt, expected):
        assert frames_at_rate(10, fps, dt) == expected

    def test_frames_are_not_invented(self):
        with pytest.raises(ValueError, match=r"10 frames a second, 20 wanted; give --dt 0\.1, or --fps"):
            frames_at_rate(10, 10, 0.05)

    @pytest.mark.parametrize("num_frames, fps", [(0, 20), (1, 20), (0, 40), (2, 40)])
    def test_one_frame_is_no_motion(self, num_frames, fps):
        with pytest.raises(ValueError, match=f"recorded {num_frames} frame.*two or more 0.05 s apart"):
            frames_at_rate(num_frames, fps, 0.05)

    def test_images_and_states_stay_together(self, tmp_path):
        (source,) = find_sources([write_libero(tmp_path, [episode(9)])])
        demo = source.read("demo_0")
        slower = at_rate(demo, 0.1)
        assert slower.num_frames == 5 and slower.fps == 10
        np.testing.assert_array_equal(slower.states, demo.states[::2])
        assert list(slower.images["side"]) == [1, 2, 3, 4], "the first frame has no image at any rate"
        np.testing.assert_array_equal(slower.images["side"][2], demo.images["side"][4])
