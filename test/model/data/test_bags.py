"""Bags as `ros2 bag record` leaves them become episodes: which pictures, which words, and what is said where they cannot."""

import sqlite3

import numpy as np
import pytest
from bag_layouts import (
    STRING,
    by_time,
    camera,
    every,
    grey_picture,
    image,
    said,
    switched,
    write_bag,
)
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from trajforecast_model.cli import main
from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.data.sources.bags.timeline import Heard, Timeline
from trajforecast_model.data.sources.find import find_sources
from trajforecast_model.data.sources.interface import BagOptions, SourceOptions

SIDE, EFFECTOR = "/cam/image_raw", "/wrist/image_raw/compressed"
VIEWS = {"side": SIDE, "effector": EFFECTOR}
WORDS = "pick up the cup"


def options(views=VIEWS, words: str = WORDS, **bags) -> SourceOptions:
    return SourceOptions(cameras=views, instruction=words, bags=BagOptions(**bags), image_size=(48, 64))


def greys(*paths, **settings) -> dict[str, list[list[int]]]:
    """By instruction, of each episode the grey of the side view's frames."""
    given = settings.pop("reading", None) or options(**settings)
    found = {}
    for task in find_sources(list(paths), given):
        for name in task.names():
            demo = task.read(name)
            frames = demo.images["side"]
            assert list(frames) == list(range(demo.num_frames)) and demo.num_frames == task.outline(name).num_frames
            found.setdefault(demo.instruction, []).append([int(frame[0, 0, 0]) for frame in frames.values()])
    return found


def side_alone(entries, tmp_path, **settings):
    return greys(write_bag(tmp_path / "bag", entries), reading=options({"side": SIDE}, **settings))


@pytest.mark.parametrize("storage", list(StoragePlugin))
@pytest.mark.parametrize("compression", [None, CompressionMode.MESSAGE, CompressionMode.FILE, CompressionMode.STORAGE])
def test_every_storage_and_compression_gives_the_same_frames(tmp_path, storage, compression):
    if (storage, compression) == (StoragePlugin.SQLITE3, CompressionMode.STORAGE):
        pytest.skip("sqlite has none of its own")
    entries = by_time(camera(SIDE, every(0.05, 6)), camera(EFFECTOR, every(0.05, 6)))
    bag = write_bag(tmp_path / "bag", entries, storage, compression)
    assert greys(bag) == {WORDS: [[0, 1, 2, 3, 4, 5]]}


@pytest.mark.parametrize("encoding", ["bgr8", "mono8", "mono16", "bayer_rggb8", "yuv422_yuy2"])
def test_encodings_of_drivers_are_read(tmp_path, encoding):
    found = side_alone(camera(SIDE, every(0.05, 4), encoding=encoding, first=100), tmp_path)
    expected = {"yuv422_yuy2": [98, 99, 100, 101]}.get(encoding, [100, 101, 102, 103])  # of limited range
    assert np.abs(np.array(found[WORDS][0]) - expected).max() <= 1


@pytest.mark.parametrize("image_format", ["bgr8; jpeg compressed bgr8", "rgb8; png compressed bgr8"])
def test_formats_of_image_transport_are_read(tmp_path, image_format):
    bag = write_bag(tmp_path / "bag", camera(EFFECTOR, every(0.05, 4), encoding=image_format, first=100))
    [found] = greys(bag, views={"side": EFFECTOR})[WORDS]
    assert np.abs(np.array(found) - [100, 101, 102, 103]).max() <= 12


def test_of_each_moment_the_newest_picture_that_is_not_later_is_taken():
    """Whatever the jitter, the rates and the order of writing."""
    random = np.random.default_rng(0)
    dt, max_age = 50_000_000, 100_000_000
    for _ in range(50):
        heard = {}
        for view, step in (("side", random.uniform(0.01, 0.07)), ("effector", random.uniform(0.01, 0.07))):
            steps = random.uniform(0.3, 1.7, 200) * step + random.choice([0, 1], 200, p=[0.97, 0.03])
            stamps = (np.cumsum(steps) * 1e9).astype(np.int64)
            heard[view] = Heard(stamps, stamps + 1000)
        episodes = Timeline(heard, np.zeros((400, 2), np.int64), dt, max_age).episodes([], WORDS)
        assert episodes
        for episode in episodes:
            moments = episode.start + dt * np.arange(episode.num_frames)
            for view, picks in episode.picks.items():
                stamps = heard[view].stamps
                ages = moments - stamps[picks]
                assert (ages >= 0).all() and (ages <= max_age).all() and ages.max() <= episode.oldest
                later = stamps[np.minimum(picks + 1, len(stamps) - 1)]
                assert ((later > moments) | (picks == len(stamps) - 1)).all()
        ends = [episode.start + dt * episode.num_frames for episode in episodes]
        assert all(end <= after.start for end, after in zip(ends[:-1], episodes[1:], strict=True))


def test_frames_of_a_quicker_camera_are_those_before_each_moment(tmp_path):
    """30 a second: at 0, 50, 100, 150 ... ms the newest were taken at 0, 33, 100, 133 ... ms."""
    assert side_alone(camera(SIDE, every(1 / 30, 10)), tmp_path) == {WORDS: [[0, 1, 3, 4, 6, 7, 9]]}


def test_a_gap_ends_an_episode_and_nothing_is_shown_across_it(tmp_path):
    stamps = [*every(0.05, 5), *every(0.05, 5, start=2.0)]
    assert side_alone(camera(SIDE, stamps), tmp_path) == {WORDS: [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]}


def test_a_gap_of_one_camera_ends_the_episode_of_both(tmp_path):
    entries = by_time(camera(SIDE, every(0.05, 40)), camera(EFFECTOR, [*every(0.05, 10), *every(0.05, 10, start=1.5)]))
    found = greys(write_bag(tmp_path / "bag", entries))[WORDS]
    assert found == [list(range(10)), list(range(30, 40))]


@pytest.mark.parametrize("storage", list(StoragePlugin))
def test_a_clock_that_goes_back_ends_an_episode(tmp_path, storage):
    """The recorder's and the cameras' together, so that times are there twice; and those of the cameras alone."""
    first, second = camera(SIDE, every(0.05, 6)), camera(SIDE, every(0.05, 6, start=0.125), first=6)
    bag = write_bag(tmp_path / "both", [*first, *second], storage)
    assert greys(bag, views={"side": SIDE}) == {WORDS: [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]}
    later = [(topic, kind, time + 10**9, message) for topic, kind, time, message in second]
    bag = write_bag(tmp_path / "cameras", [*first, *later], storage)
    assert greys(bag, views={"side": SIDE}) == {WORDS: [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]}


def test_two_cameras_whose_clock_goes_back_keep_together(tmp_path):
    """Though one topic was written after the other."""
    entries = []
    for topic in (SIDE, EFFECTOR):
        entries += camera(topic, every(0.05, 6))
        entries += [
            (*entry[:2], entry[2] + 10**9, entry[3]) for entry in camera(topic, every(0.05, 6, start=0.1), first=6)
        ]
    found = greys(write_bag(tmp_path / "bag", entries))[WORDS]
    assert found == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]


def test_a_picture_that_comes_late_or_twice_is_left_out(tmp_path, capsys):
    stamps = [0, 0.05, 0.1, 0.1, 0.2, 0.15, 0.25, 0.3]
    entries = [(*entry[:2], number * 10**7, entry[3]) for number, entry in enumerate(camera(SIDE, stamps))]
    [found] = side_alone(entries, tmp_path)[WORDS]
    assert found == [0, 1, 2, 2, 4, 6, 7]


def test_stamps_may_be_those_of_recording(tmp_path):
    entries = camera(SIDE, every(0.05, 4)) + camera(EFFECTOR, every(0.05, 4, start=100), delay=-100)
    bag = write_bag(tmp_path / "bag", entries)
    [task] = find_sources([bag], options())
    with pytest.raises(
        ValueError, match=r"never overlap: side has pictures from 0.00 to 0.15 s and effector .* --stamps"
    ):
        task.names()
    assert greys(bag, stamps="receive") == {WORDS: [[0, 1, 2]]}


def test_a_camera_without_stamps_is_read_by_when_its_pictures_were_recorded(tmp_path):
    entries = [
        (*entry[:3], image(None, grey_picture(number))) for number, entry in enumerate(camera(SIDE, every(0.05, 4)))
    ]
    assert side_alone(entries, tmp_path) == {WORDS: [[0, 1, 2, 3]]}


def test_words_that_change_begin_another_episode_of_another_task(tmp_path):
    pictures = camera(SIDE, every(0.05, 12))
    entries = by_time(pictures, [said("/task", 0.0, "a  b"), said("/task", 0.2, "a b"), said("/task", 0.3, "c")])
    found = side_alone(entries, tmp_path, words="", instruction_topic="/task")
    assert found == {"a b": [[0, 1, 2, 3, 4, 5]], "c": [[6, 7, 8, 9, 10, 11]]}


def test_what_came_before_anything_was_said_is_left_out_unless_the_topic_is_latched(tmp_path):
    entries = by_time(camera(SIDE, every(0.05, 8)), [said("/task", 0.2, "go")])
    late = {"words": "", "instruction_topic": "task", "views": {"side": SIDE}}
    assert greys(write_bag(tmp_path / "bag", entries), **late) == {"go": [[4, 5, 6, 7]]}
    latched = write_bag(tmp_path / "latched", entries, latched=("/task",))
    assert greys(latched, **late) == {"go": [[0, 1, 2, 3, 4, 5, 6, 7]]}


def test_the_nodes_own_topic_and_the_bag_s_metadata_say_what_the_robot_is_told(tmp_path):
    pictures = camera("/side/image_raw", every(0.05, 4))
    of_ours = write_bag(tmp_path / "ours", by_time([said("/robot/forecast_node/instruction", 0, "ours")], pictures))
    noted = write_bag(tmp_path / "noted", pictures, custom={"instruction": "noted"})
    found = greys(of_ours, noted, views={"side": None}, words="")
    assert set(found) == {"ours", "noted"}


def test_a_topic_may_mark_the_episodes(tmp_path):
    pictures = camera(SIDE, every(0.05, 20))
    marks = [switched("/rec", 0.2, True), switched("/rec", 0.5, False), switched("/rec", 0.75, True)]
    found = side_alone(by_time(pictures, marks), tmp_path, episodes_topic="/rec")
    assert found == {WORDS: [[4, 5, 6, 7, 8, 9], [15, 16, 17, 18, 19]]}
    each = [said("/next", 0.5, "x")]
    bag = write_bag(tmp_path / "next", by_time(pictures, each))
    assert greys(bag, views={"side": SIDE}, episodes_topic="next") == {WORDS: [list(range(10)), list(range(10, 20))]}


def test_folders_of_bags_and_parts_of_one(tmp_path):
    whole = write_bag(tmp_path / "all/day/one", camera(SIDE, every(0.05, 4)))
    write_bag(tmp_path / "all/two", camera(SIDE, every(0.05, 4), first=50))
    part = write_bag(tmp_path / "more/x", camera(SIDE, every(0.05, 4, start=0.2), first=4)) / "x.mcap"
    (whole / "one.mcap").rename(whole / "one_0.mcap")
    part.rename(whole / "one_1.mcap")
    (whole / "metadata.yaml").unlink()  # as while it is recorded
    assert greys(tmp_path / "all", views={"side": SIDE}) == {WORDS: [[0, 1, 2, 3, 4, 5, 6, 7], [50, 51, 52, 53]]}
    assert greys(whole / "one_1.mcap", views={"side": SIDE}) == {WORDS: [[4, 5, 6, 7]]}


@pytest.mark.parametrize("storage, compression", [
    (StoragePlugin.MCAP, None), (StoragePlugin.MCAP, CompressionMode.FILE), (StoragePlugin.SQLITE3, None),
    (StoragePlugin.SQLITE3, CompressionMode.FILE), (StoragePlugin.MCAP, CompressionMode.STORAGE),
])  # fmt: skip
def test_of_a_bag_that_is_cut_off_what_is_whole_is_used(tmp_path, storage, compression, capsys):
    entries = camera(SIDE, every(0.05, 200))
    for number, (_, _, _, message) in enumerate(entries):  # noise, or zstd would make one picture of all
        message.data[len(message.data) // 2 :] = np.random.default_rng(number).integers(0, 255, 24 * 64 * 3, np.uint8)
    bag = write_bag(tmp_path / "bag", entries, storage, compression)
    [file] = [each for each in bag.iterdir() if each.name != "metadata.yaml"]
    data = file.read_bytes()
    file.write_bytes(data[: int(0.8 * len(data))])
    [found] = greys(bag, views={"side": SIDE})[WORDS]
    assert 20 < len(found) < 200 and found == list(range(len(found)))
    assert file.name in (told := capsys.readouterr().err) or "before is used" in told
    (bag / "metadata.yaml").unlink()
    assert greys(bag, views={"side": SIDE}) == {WORDS: [found]}


def test_a_sqlite_bag_that_is_being_written_is_read_as_far_as_it_was_committed(tmp_path):
    bag = write_bag(tmp_path / "bag", camera(SIDE, every(0.05, 4)), StoragePlugin.SQLITE3)
    more = write_bag(tmp_path / "more", camera(SIDE, every(0.05, 4, start=0.2), first=4), StoragePlugin.SQLITE3)
    with sqlite3.connect(more / "more.db3") as source:
        rows = source.execute("SELECT topic_id, timestamp, data FROM messages").fetchall()
    source.close()
    writer = sqlite3.connect(bag / "bag.db3")
    writer.execute("PRAGMA journal_mode=WAL")
    writer.executemany("INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)", rows)
    writer.commit()
    writer.execute("INSERT INTO messages (topic_id, timestamp, data) VALUES (1, 0, x'00')")
    assert greys(bag, views={"side": SIDE}) == {WORDS: [[0, 1, 2, 3, 4, 5, 6, 7]]}
    writer.close()


@pytest.fixture(scope="module")
def some_bag(tmp_path_factory):
    entries = by_time(
        camera(SIDE, every(0.05, 20)), camera(EFFECTOR, every(0.05, 20)), [said("/task", 0, "x"), said("/b", 0, "y")]
    )
    depth = [(*entry[:3], image(0, grey_picture(1), "16UC1")) for entry in camera("/depth/image_raw", every(0.05, 2))]
    late = camera("/late/image_raw", every(0.05, 5, start=60))
    return write_bag(tmp_path_factory.mktemp("some") / "bag", [*entries, *depth, *late])


@pytest.mark.parametrize("given, expected", [
    (["--view", "side=/camera"], "--view side=/camera: {bag} has no such topic; it has /cam/image_raw (sensor_msgs/msg/Image), "),
    (["--view", "side"], "which topic is the view side? Give --view side=/TOPIC"),
    (["--view", "side=/task"], "it is of type std_msgs/msg/String, expected sensor_msgs/msg/Image or"),
    (["--view", f"side={SIDE}", "--view", f"top={SIDE}"], "that topic is another view already"),
    (["--view", "side=/depth/image_raw"], "encoding '16UC1' is not an image that the model can see"),
    (["--view", f"side={SIDE}", "--view", "late=/late/image_raw"], "its views never overlap: side has pictures from 0.00"),
    (["--view", f"side={SIDE}", "--instruction", ""], "no instruction in {bag}; give --instruction TEXT, as one would tell the robot what to do, or --instruction-topic, of /task, /b"),
    (["--view", f"side={SIDE}", "--instruction-topic", "/cam/image_raw"], "expected std_msgs/msg/String: /task (std_msgs/msg/String), /b"),
    (["--view", f"side={SIDE}", "--episodes-topic", "/rec"], "--episodes-topic /rec: {bag} has no such topic"),
    (["--view", f"side={SIDE}", "--stamps", "arrival"], "--stamps arrival: expected one of header, receive"),
    (["--view", f"side={SIDE}", "--max-age", "0"], "--max-age 0.0: expected seconds, above 0"),
    (["--view", f"side={SIDE}", "--max-age", "0.01"], "pictures of side (/cam/image_raw) come every 0.05 s, and may be at most 0.01 s old"),
    (["--view", f"side={SIDE}", "--fps", "20"], "--fps 20: a bag has a time for each picture"),
    (["--view", f"side={SIDE}", "--labeler", "exact"], "exact"),
])  # fmt: skip
@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(some_bag, tmp_path, capsys, given, expected, dry_run):
    words = [] if "--instruction" in given else ["--instruction", WORDS]
    assert main(["prepare", str(some_bag), "--out", str(tmp_path / "out"), *given, *words, *dry_run]) == 2
    told = capsys.readouterr().err
    assert expected.format(bag=some_bag) in told and len(told.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_options_of_bags_are_refused_where_there_are_none(tmp_path, capsys):
    (tmp_path / "task").mkdir()
    (tmp_path / "task/instruction.txt").write_text("go")
    told = ["prepare", str(tmp_path), "--out", str(tmp_path / "out"), "--labeler", "lucas_kanade", "--max-age", "1"]
    assert main(told) == 2
    assert "are for bags, and none was found" in capsys.readouterr().err


def test_of_several_bags_a_broken_one_is_named_and_the_others_are_shown(tmp_path, capsys):
    write_bag(tmp_path / "bags/a", camera(SIDE, every(0.05, 20)))
    write_bag(tmp_path / "bags/b", camera("/other/image_raw", every(0.05, 20)))
    (tmp_path / "bags/c.mcap").write_bytes(b"no bag")
    given = ["prepare", str(tmp_path / "bags"), "--out", str(tmp_path / "out"), "--instruction", WORDS]
    assert main([*given, "--view", f"side={SIDE}", "--dry-run"]) == 1
    told = capsys.readouterr()
    assert "c.mcap is no bag that can be read" in told.err and "/other/image_raw" in told.err
    assert "1 demos (1 train, 0 val)" in told.out


def test_a_dry_run_tells_rates_gaps_and_episodes_and_draws_them(tmp_path, capsys):
    import cv2

    stamps = [*every(0.05, 20), *every(0.05, 20, start=3)]
    bag = write_bag(tmp_path / "bag", by_time(camera(SIDE, stamps), [said("/tf", 0, "x")]))
    given = ["prepare", str(bag), "--out", str(tmp_path / "out"), "--instruction", WORDS, "--view", f"side={SIDE}"]
    assert main([*given, "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert (
        "side: /cam/image_raw (sensor_msgs/msg/Image): 40 pictures; 20 a second; gaps: 1, the longest 2.05 s from 0.95 s"
        in told
    )
    assert f"other topics: /tf ({STRING})" in told
    assert f"episode 1: from 3.00 s, 20 frames, pictures at most 0.000 s old: {WORDS}" in told
    sheet = tmp_path / "out_contact_sheet.png"
    assert str(sheet) in told
    drawn = cv2.imread(str(sheet))
    assert drawn.shape[1] > 8 * 128 and drawn.shape[0] > 2 * 128
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bag", "out_contact_sheet.png"]


def test_a_bag_becomes_shards_by_one_command(tmp_path):
    entries = by_time(camera(SIDE, every(0.05, 20)), camera(EFFECTOR, every(0.05, 20)))
    bag = write_bag(tmp_path / "bag", entries)
    views = ["--view", f"side={SIDE}", "--view", f"effector={EFFECTOR}"]
    given = ["prepare", str(bag), "--out", str(tmp_path / "out"), *views, "--instruction", WORDS, "--stride", "10"]
    assert main([*given, "--workers", "1"]) == 0
    dataset = ShardDataset(tmp_path / "out", "all")
    assert (dataset.info.labeler, dataset.info.dt, dataset.info.views) == ("lucas_kanade", 0.05, ("side", "effector"))
    assert sorted(zip(dataset.rows.start, dataset.rows.view, strict=True)) == [
        (0, "effector"), (0, "side"), (10, "effector"), (10, "side"),
    ]  # fmt: skip
    assert set(dataset.rows.instruction) == {WORDS}
