"""LeRobot datasets whose parts do not say the same: what is taken of them, what is asked, and what is refused."""

import json
import shutil

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from layouts import INSTRUCTION, corners_of, episode, grey_of, write_lerobot, write_parquet, write_video

from trajforecast_model.data.sources.find import find_sources
from trajforecast_model.data.sources.interface import SourceOptions

KEYS = ("top", "wrist")
OPTIONS = SourceOptions(cameras={"side": "top"})


def write(folder, episodes, version="v2.1", **more):
    return write_lerobot(folder, episodes, version, keys=KEYS, store=lambda video: video, robot="so101", **more)


def change_info(folder, **values):
    file = folder / "meta/info.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def change_table(folder, number=0, file=None, **columns):
    """Sets columns of an episode's table, or drops those that are None."""
    path = folder / (file or f"data/chunk-000/episode_{number:06d}.parquet")
    table = pa.parquet.read_table(path)
    for name, values in columns.items():
        table = table.drop_columns([name]) if name in table.column_names else table
        table = table if values is None else table.append_column(name, pa.array(values))
    pa.parquet.write_table(table, path)


def name_tasks(folder, *tasks, version=2):
    rows = [{"task_index": index, "task": task} for index, task in enumerate(tasks)]
    if version == 2:
        (folder / "meta/tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        rows = [{"task_index": row["task_index"], "__index_level_0__": row["task"]} for row in rows]
        write_parquet(folder / "meta/tasks.parquet", rows)


def list_episodes(folder, *rows):
    rows = [{"episode_index": number, "length": 6} | row for number, row in enumerate(rows)]
    (folder / "meta/episodes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


class TestOrientation:
    NAMES = ("image", "wrist_image")

    @pytest.mark.parametrize("version", ["v2.0", "v2.1", "v3.0"])
    @pytest.mark.parametrize("robot", ["panda", "libero", "libero_panda"])
    @pytest.mark.parametrize("names", [NAMES, ("observation.images.image", "observation.images.image2")])
    def test_a_copy_of_libero_is_mirrored_back(self, tmp_path, version, robot, names):
        write_lerobot(tmp_path, [(INSTRUCTION, episode(3))], version, keys=names, robot=robot)
        (source,) = find_sources([tmp_path])
        assert source.orientation == "mirrored" and "LIBERO" in source.because
        image = source.read("episode_000000").images["side"][1]
        assert all(place == seen for place, seen in corners_of(image).items())

    @pytest.mark.parametrize("robot", ["ur5e", "so101", "koch", "aloha", "xarm7"])
    def test_robots_of_ones_own_with_the_same_names_are_upright(self, tmp_path, robot):
        write_lerobot(tmp_path, [(INSTRUCTION, episode(3))], keys=self.NAMES, robot=robot)
        (source,) = find_sources([tmp_path])
        assert source.orientation == "upright" and robot in source.because

    def test_a_panda_whose_pictures_are_not_square_is_upright(self, tmp_path):
        write_lerobot(tmp_path, [(INSTRUCTION, episode(3))], keys=self.NAMES, declared=(480, 640, 3))
        assert find_sources([tmp_path])[0].orientation == "upright"

    def test_a_panda_with_other_cameras_is_upright(self, tmp_path):
        write_lerobot(tmp_path, [(INSTRUCTION, episode(3))], keys=("exterior_1", "wrist_left"))
        (source,) = find_sources([tmp_path], SourceOptions(cameras={"side": "exterior_1"}))
        assert source.orientation == "upright"

    @pytest.mark.parametrize(
        "changes, cameras",
        [
            ({"robot": None}, {}),
            ({"robot": "franka"}, {}),
            ({"robot": "robosuite"}, {}),
            ({"declared": (128, 128, 3)}, {}),
            ({"state": 7}, {}),
            ({"state": 14, "robot": "panda"}, {}),
            ({"keys": ("image", "front")}, {"side": "image", "effector": "front"}),
            ({"keys": ("agentview", "wrist"), "robot": None}, {"side": "agentview"}),
            ({"keys": ("top", "wrist"), "robot": "libero"}, {"side": "top"}),
        ],
    )
    def test_what_may_be_another_simulators_or_ones_own_is_asked_for(self, tmp_path, changes, cameras):
        changes = dict(changes)
        state = changes.pop("state", 8)
        write_lerobot(tmp_path, [(INSTRUCTION, episode(3))], **{"keys": self.NAMES} | changes)
        info = json.loads((tmp_path / "meta/info.json").read_text())
        change_info(tmp_path, features=info["features"] | {"state": {"dtype": "float32", "shape": [state]}})
        options = SourceOptions(cameras=cameras or SourceOptions().cameras)
        with pytest.raises(ValueError, match=r"how do its images stand\?.*give --orientation"):
            find_sources([tmp_path], options)
        (source,) = find_sources([tmp_path], SourceOptions(orientation="upright", cameras=options.cameras))
        assert source.orientation == "upright"

    @pytest.mark.parametrize(
        "about",
        [{"info": {"video.is_depth_map": True}}, {"video_info": {"video.is_depth_map": True}}, {"is_depth_map": True}],
    )
    def test_a_depth_map_is_no_view(self, tmp_path, about):
        write(tmp_path, [(INSTRUCTION, episode(3))])
        info = json.loads((tmp_path / "meta/info.json").read_text())
        change_info(tmp_path, features=info["features"] | {"top": info["features"]["top"] | about})
        with pytest.raises(ValueError, match=r"--view side=top: that is a depth map.*wrist"):
            find_sources([tmp_path], OPTIONS)

    def test_a_picture_of_sixteen_bits_is_named(self, tmp_path):
        write(tmp_path, [(INSTRUCTION, episode(3))])
        png = cv2.imencode(".png", np.ones((8, 8), np.uint16))[1].tobytes()
        change_table(tmp_path, top=[{"bytes": png, "path": None}] * 3)
        with pytest.raises(ValueError, match=r"top: frame 0 has uint16 values, as a depth map has"):
            find_sources([tmp_path], OPTIONS)[0].read("episode_000000")


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("dtype", ["video", "image"])
@pytest.mark.parametrize("top", ["observation.images.top", "top"])
def test_any_cameras_are_views_by_their_names(tmp_path, version, dtype, top):
    keys = ("observation.images.top", "observation.images.wrist")
    episodes = [(INSTRUCTION, episode(6)), (INSTRUCTION, episode(5))]
    write_lerobot(tmp_path, episodes, version, dtype=dtype, keys=keys, store=lambda video: video, robot="so101")
    (source,) = find_sources([tmp_path], SourceOptions(cameras={"side": top, "third": "wrist"}))
    assert source.cameras == {"side": keys[0], "third": keys[1]}
    demo = source.read("episode_000001")
    assert set(demo.images) == {"side", "third"} and demo.num_frames == 5
    assert demo.numbers["action"].shape == (5, 7)
    assert abs(int(grey_of(demo.images["side"][3])) - int(grey_of(episode(5)["side"][3]))) <= 3
    with pytest.raises(ValueError, match=r"which of its cameras is the view side\? It has observation.images.top"):
        find_sources([tmp_path], SourceOptions(cameras={"side": "front"}))


def test_a_name_that_ends_two_cameras_is_asked_for_whole(tmp_path):
    keys = ("observation.images.top", "other.top")
    write_lerobot(tmp_path, [(INSTRUCTION, episode(3))], "v3.0", keys=keys, store=lambda video: video, robot="so101")
    with pytest.raises(ValueError, match="which of its cameras is the view side"):
        find_sources([tmp_path], SourceOptions(cameras={"side": "top"}))


class TestWords:
    def test_other_words_are_another_task_in_any_script_and_length(self, tmp_path):
        long = "put the cup " + "very carefully " * 12
        told = [
            "把杯子放在盘子上",
            "打开抽屉",
            "Открой ящик",
            "Закрой ящик",
            long + "left",
            long + "right",
            "move -5 cm",
            "move 5 cm",
        ]
        write(tmp_path, [(words, episode(2)) for words in told])
        sources = find_sources([tmp_path], OPTIONS)
        assert len({source.task for source in sources}) == len(told)
        assert {source.instruction(name) for source in sources for name in source.names()} == set(told)
        assert all(source.task.isascii() and len(source.task) < 200 for source in sources)

    @pytest.mark.parametrize("version", [2, 3])
    def test_an_episode_is_parted_where_its_frames_words_change(self, tmp_path, version):
        write(tmp_path, [("grasp the cup", episode(6)), ("grasp the cup", episode(6))], f"v{version}.0")
        name_tasks(tmp_path, "grasp the cup", "put it down", version=version)
        both = {"tasks": ["grasp the cup", "put it down"]}
        if version == 2:
            list_episodes(tmp_path, both, {"tasks": ["grasp the cup"]})
            change_table(tmp_path, task_index=[0, 0, 0, 0, 1, 1])
        else:
            file = tmp_path / "meta/episodes/chunk-000/file-000.parquet"
            rows = pa.parquet.read_table(file).to_pylist()
            write_parquet(file, [rows[0] | both, rows[1]])
            indices = [0, 0, 0, 0, 1, 1, *[0] * 6]
            change_table(tmp_path, file="data/chunk-000/file-000.parquet", task_index=indices)
        first, second = find_sources([tmp_path], OPTIONS)
        assert first.names() == ["episode_000000_from_000000", "episode_000001"]
        assert second.names() == ["episode_000000_from_000004"]
        demo = second.read("episode_000000_from_000004")
        assert demo.instruction == "put it down" and demo.num_frames == 2
        assert [grey_of(image) for image in demo.images["side"].values()] == [40, 50]
        assert first.read("episode_000000_from_000000").num_frames == 4
        assert len({first.fingerprint(first.names()[0]), second.fingerprint(second.names()[0])}) == 2

    @pytest.mark.parametrize("named", [(), ("grasp the cup",), ("grasp the cup", "put it down")])
    def test_several_instructions_of_which_no_frame_says_are_refused(self, tmp_path, named):
        write(tmp_path, [("grasp the cup", episode(6))])
        name_tasks(tmp_path, *named) if named else None
        list_episodes(tmp_path, {"tasks": ["grasp the cup", "put it down"]})
        with pytest.raises(ValueError, match=r"episode_000000 has 2 instructions \('grasp the cup', 'put it down'\)"):
            find_sources([tmp_path], OPTIONS)

    @pytest.mark.parametrize("listed", [{}, {"tasks": []}, {"tasks": None}])
    def test_words_by_task_index_alone(self, tmp_path, listed):
        write(tmp_path, [("open it", episode(6)), ("close it", episode(6))])
        name_tasks(tmp_path, "open it", "close it")
        list_episodes(tmp_path, listed, listed)
        told = {source.task: source.read(source.names()[0]).instruction for source in find_sources([tmp_path], OPTIONS)}
        assert told == {"open_it": "open it", "close_it": "close it"}

    def test_frames_that_say_other_words_than_the_list_are_refused(self, tmp_path):
        write(tmp_path, [("open it", episode(6))])
        name_tasks(tmp_path, "close it")
        (source,) = find_sources([tmp_path], OPTIONS)
        with pytest.raises(ValueError, match="task_index says 'close it', the list of episodes 'open it'"):
            source.outline("episode_000000")


class TestFrames:
    @pytest.mark.parametrize("version", ["v2.1", "v3.0"])
    def test_a_video_a_frame_short_is_used_and_said(self, tmp_path, version):
        write(tmp_path, [(INSTRUCTION, episode(6))], version, dtype="video")
        (video,) = tmp_path.glob("videos/**/top/**/*.mp4")
        write_video(video, episode(5)["side"], 20)
        demo = find_sources([tmp_path], OPTIONS)[0].read("episode_000000")
        assert demo.num_frames == len(demo.images["side"]) == 5
        assert "6 by its table, 5 by the video of top; the first 5 are used" in demo.notes[0]

    @pytest.mark.parametrize("frames", [3, 12])
    def test_a_video_of_another_length_is_refused_before_it_is_read(self, tmp_path, frames):
        write(tmp_path, [(INSTRUCTION, episode(6))], dtype="video")
        (video,) = tmp_path.glob("videos/**/top/*.mp4")
        write_video(video, episode(frames)["side"], 20)
        with pytest.raises(ValueError, match=rf"has {frames} frames from 0 on, its table 6"):
            find_sources([tmp_path], OPTIONS)[0].outline("episode_000000")

    @pytest.mark.parametrize("listed, says", [(7, "7 by the list of episodes, 6 by its table"), (9, "which is it")])
    def test_a_list_that_counts_otherwise_than_the_table(self, tmp_path, listed, says):
        write(tmp_path, [(INSTRUCTION, episode(6))])
        list_episodes(tmp_path, {"tasks": [INSTRUCTION], "length": listed})
        (source,) = find_sources([tmp_path], OPTIONS)
        if listed == 7:
            demo = source.read("episode_000000")
            assert demo.num_frames == 6 and says in demo.notes[0]
        else:
            with pytest.raises(ValueError, match=says):
                source.read("episode_000000")

    @pytest.mark.parametrize("named", [0, 7], ids=["another file", "no file"])
    def test_rows_are_found_in_another_file_than_the_list_names(self, tmp_path, named):
        write(tmp_path, [(INSTRUCTION, episode(6)), (INSTRUCTION, episode(5))], "v3.0")
        data = tmp_path / "data/chunk-000"
        table = pa.parquet.read_table(data / "file-000.parquet")
        pa.parquet.write_table(table.slice(0, 6), data / "file-000.parquet")
        pa.parquet.write_table(table.slice(6), data / "file-001.parquet")
        file = tmp_path / "meta/episodes/chunk-000/file-000.parquet"
        rows = pa.parquet.read_table(file).to_pylist()
        write_parquet(file, [row | {"data/file_index": named} for row in rows])
        (source,) = find_sources([tmp_path], OPTIONS)
        demo = source.read("episode_000001")
        assert demo.num_frames == 5 and grey_of(demo.images["side"][1]) == grey_of(episode(5)["side"][1])
        assert "not in the file that meta/ names" in demo.notes[0]

    @pytest.mark.parametrize("numbers", [[0, 1, 2, 4, 5, 6], [0, 1, 1, 2, 3, 4]])
    def test_frames_that_are_missing_or_twice_there_are_refused(self, tmp_path, numbers):
        write(tmp_path, [(INSTRUCTION, episode(6))])
        change_table(tmp_path, frame_index=numbers)
        with pytest.raises(ValueError, match="episode_000000: frames are missing or twice there"):
            find_sources([tmp_path], OPTIONS)[0].outline("episode_000000")

    @pytest.mark.parametrize(
        "times, says",
        [
            (np.arange(6) / 20, None),
            (np.arange(6) / 20 + 1000 + [0, 0.01, -0.01, 0, 0.01, 0], None),
            (np.array([0, 1, 2, 4, 5, 6]) / 20, "a frame was left out in places"),
            (np.arange(6) / 20.6, "say 20.6 a second; taken as 20"),
        ],
    )
    def test_times_that_nearly_fit_the_rate_are_taken(self, tmp_path, times, says):
        write(tmp_path, [(INSTRUCTION, episode(6))])
        change_table(tmp_path, timestamp=times)
        notes = find_sources([tmp_path], OPTIONS)[0].read("episode_000000").notes
        assert not notes if says is None else says in notes[0]

    @pytest.mark.parametrize(
        "times, says",
        [
            (np.arange(6) / 15, r"say 15 a second, not 20; give --fps 15"),
            (np.array([0, 1, 2, 12, 13, 14]) / 20, r"frames are missing; give --fps"),
            (np.array([0, 1, 2, 2, 3, 4]) / 20, "do not increase"),
            (np.full(6, np.nan), "do not increase"),
        ],
    )
    def test_times_that_do_not_fit_the_rate_are_refused_unless_a_rate_is_given(self, tmp_path, times, says):
        write(tmp_path, [(INSTRUCTION, episode(6))])
        change_table(tmp_path, timestamp=times)
        with pytest.raises(ValueError, match=says):
            find_sources([tmp_path], OPTIONS)[0].outline("episode_000000")
        (source,) = find_sources([tmp_path], SourceOptions(fps=20, cameras=OPTIONS.cameras))
        assert source.read("episode_000000").num_frames == 6

    def test_a_table_without_times_and_numbers_is_taken_in_its_order(self, tmp_path):
        write(tmp_path, [(INSTRUCTION, episode(6))])
        change_table(tmp_path, timestamp=None, frame_index=None, task_index=None)
        demo = find_sources([tmp_path], OPTIONS)[0].read("episode_000000")
        assert [grey_of(image) for image in demo.images["side"].values()] == [0, 10, 20, 30, 40, 50]

    def test_a_shared_video_at_another_rate_than_the_list_is_refused(self, tmp_path):
        write(tmp_path, [(INSTRUCTION, episode(6)), (INSTRUCTION, episode(6))], "v3.0", dtype="video")
        (video,) = tmp_path.glob("videos/top/**/*.mp4")
        write_video(video, np.concatenate([episode(6)["side"]] * 2), 30)
        (source,) = find_sources([tmp_path], OPTIONS)
        assert "plays 30 frames a second" in source.read("episode_000000").notes[0]
        with pytest.raises(ValueError, match="not certain where in the file the episode begins"):
            source.read("episode_000001")

    def test_a_copy_of_an_episodes_rows_in_a_second_file_is_refused_where_they_are_needed(self, tmp_path):
        write(tmp_path, [(INSTRUCTION, episode(6))])
        file = tmp_path / "data/chunk-000/episode_000000.parquet"
        shutil.copy(file, file.with_name("copy.parquet"))
        assert find_sources([tmp_path], OPTIONS)[0].read("episode_000000").num_frames == 6
