"""Shards: what is written is what is read, in any order, and damage is named."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from synthetic_shards import window, write_synthetic_data

from trajforecast_model.data import shards
from trajforecast_model.data.shards import DatasetInfo, ShardDataset, read_info, write_info, write_shard
from trajforecast_model.data.windows import frames_between

INFO = DatasetInfo(labeler="exact", stride=3)


def random_windows(count: int) -> list:
    rng = np.random.default_rng(3)
    windows = []
    for number in range(count):
        made = window(rng, number, INFO.views[number % 2], INFO)
        offsets = rng.normal(scale=20, size=made.tracks.shape).astype(np.float16).astype(np.float32)
        offsets[0] = 0
        visibility = rng.random(made.visibility.shape) < 0.7
        windows.append(
            replace(
                made, tracks=made.tracks[:1] + offsets, visibility=visibility, start=number, num_real_frames=16 - number
            )
        )
    return windows


@pytest.fixture
def folder(tmp_path):
    write_info(tmp_path, INFO)
    (tmp_path / "train").mkdir()
    (tmp_path / "val").mkdir()
    return tmp_path


def test_windows_come_back_as_they_were_written(folder):
    written = random_windows(5)
    write_shard(folder / "train" / "discs__demo_0000.arrow", written, INFO)
    dataset = ShardDataset(folder, "train")
    assert len(dataset) == 5
    for index in (3, 0, 4, 1, 2):  # any order
        read = dataset[index]
        for name in ("task", "demo", "start", "view", "instruction", "num_real_frames"):
            assert getattr(read, name) == getattr(written[index], name)
        np.testing.assert_array_equal(read.image, written[index].image)
        np.testing.assert_array_equal(read.visibility, written[index].visibility)
        np.testing.assert_allclose(read.tracks, written[index].tracks, atol=1e-4)
        assert read.tracks.dtype == np.float32 and read.visibility.dtype == bool


def test_half_precision_costs_less_than_a_sixteenth_of_a_pixel_within_the_image(folder):
    made = random_windows(1)[0]
    motion = np.linspace(-128, 128, made.tracks.size).reshape(made.tracks.shape).astype(np.float32)
    exact = replace(made, tracks=made.tracks[:1] + motion)
    write_shard(folder / "train" / "a__demo_0000.arrow", [exact], INFO)
    assert np.abs(ShardDataset(folder, "train")[0].tracks - exact.tracks).max() < 1 / 16


def test_points_thrown_far_out_stay_finite(folder):
    made = random_windows(1)[0]
    far = made.tracks.copy()
    far[5, 0, 0] = [1e9, -1e9]
    write_shard(folder / "train" / "a__demo_0000.arrow", [replace(made, tracks=far)], INFO)
    read = ShardDataset(folder, "train")[0]
    assert np.isfinite(read.tracks).all() and read.tracks[5, 0, 0, 0] > 10_000


def test_splits_and_views_are_selected(tmp_path):
    write_synthetic_data(tmp_path, train=4, val=2)
    assert {name: len(ShardDataset(tmp_path, name)) for name in ("train", "val", "all")} == {
        "train": 8,
        "val": 4,
        "all": 12,
    }
    side = ShardDataset(tmp_path, "all", views=("side",))
    assert len(side) == 6 and set(side.rows.view) == {"side"} and side[5].view == "side"


def test_a_demo_too_short_for_a_window_is_passed_over(tmp_path):
    write_synthetic_data(tmp_path, train=2, val=1)
    write_shard(tmp_path / "train" / "a_demo_0000.arrow", [], read_info(tmp_path))
    dataset = ShardDataset(tmp_path)
    assert len(dataset) == 4 and len(dataset.shards) == 2
    assert {dataset.place(index)[0] for index in range(4)} == set(dataset.shards)


def test_rows_describe_the_windows_in_their_order(tmp_path):
    write_synthetic_data(tmp_path, train=3, val=1)
    dataset = ShardDataset(tmp_path, "all")
    for index in range(len(dataset)):
        read = dataset[index]
        for name in ("task", "demo", "start", "view", "instruction", "num_real_frames"):
            assert getattr(dataset.rows, name)[index] == getattr(read, name)


def test_a_data_loader_process_can_be_given_the_dataset(tmp_path):
    write_synthetic_data(tmp_path, train=2, val=1)
    dataset = ShardDataset(tmp_path)
    before = dataset[1]
    again = pickle.loads(pickle.dumps(dataset))[1]
    np.testing.assert_array_equal(before.tracks, again.tracks)


def test_conventions_survive_the_disk(tmp_path):
    info = DatasetInfo(labeler="exact", stride=7, grid=(32, 16), image_size=(96, 64), views=("side",))
    write_info(tmp_path, info)
    assert read_info(tmp_path) == info


@pytest.mark.parametrize("reason", ["absent", "empty"])
def test_a_folder_that_is_not_prepared_data_is_named(tmp_path, reason):
    folder = tmp_path / "somewhere"
    if reason == "empty":
        folder.mkdir()
    with pytest.raises(ValueError, match=r"somewhere.*trajforecast prepare"):
        ShardDataset(folder)


def test_an_empty_split_is_named(tmp_path):
    write_synthetic_data(tmp_path, train=1, val=0)
    with pytest.raises(ValueError, match="val split"):
        ShardDataset(tmp_path, "val")


def test_data_of_a_later_format_is_refused(tmp_path):
    write_info(tmp_path, replace(INFO, format_version=99))
    with pytest.raises(ValueError, match="version 99"):
        read_info(tmp_path)


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"labeler": "exact"}', '{"labeler": "exact", "stride": 1, "grit": [4, 4]}']
)
def test_a_broken_description_is_named(tmp_path, content):
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(ValueError, match=r"dataset\.json"):
        read_info(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_shard_is_named(tmp_path, share):
    write_synthetic_data(tmp_path, train=2, val=0)
    broken = tmp_path / "train" / "discs__demo_0001.arrow"
    whole = broken.read_bytes()
    broken.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ValueError, match=r"discs__demo_0001\.arrow is damaged"):
        ShardDataset(tmp_path, "train")


def test_damage_within_a_shard_is_named(tmp_path):
    write_synthetic_data(tmp_path, train=1, val=0)
    shard = tmp_path / "train" / "discs__demo_0000.arrow"
    whole = bytearray(shard.read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 2000] = np.random.default_rng(4).bytes(2000)
    shard.write_bytes(whole)
    with pytest.raises(ValueError, match=r"discs__demo_0000\.arrow is damaged"):
        list(map(ShardDataset(tmp_path, "train").__getitem__, range(2)))


def test_a_write_that_fails_leaves_nothing_behind(folder, monkeypatch):
    """A full disk, at the second row."""
    rows_written = []

    def row_until_the_disk_is_full(*row):
        if rows_written:
            raise OSError(28, "No space left on device")
        rows_written.append(row)
        return real_row(*row)

    real_row = shards._row
    monkeypatch.setattr(shards, "_row", row_until_the_disk_is_full)
    with pytest.raises(OSError, match="No space left"):
        write_shard(folder / "train" / "a__demo_0000.arrow", random_windows(3), INFO)
    assert list((folder / "train").iterdir()) == []


def test_a_history_comes_back_as_it_was_written(folder):
    info = replace(INFO, history_frames=5)
    write_info(folder, info)
    made = window(np.random.default_rng(0), 0, "side", info)
    seen = np.random.default_rng(1).random(made.history_visibility.shape) < 0.5
    write_shard(folder / "train" / "a__demo_0000.arrow", [replace(made, history_visibility=seen)], info)
    read = ShardDataset(folder, "train")[0]
    np.testing.assert_array_equal(read.history_tracks, made.history_tracks)
    np.testing.assert_array_equal(read.history_visibility, seen)
    assert read_info(folder).history_frames == 5


@pytest.mark.parametrize("damage", [{"history_tracks": None}, {"history_tracks": np.zeros((4, 64, 64, 2), np.float32)}])
def test_windows_whose_history_is_not_of_this_shape_are_refused(folder, damage):
    info = replace(INFO, history_frames=5)
    made = window(np.random.default_rng(0), 0, "side", info)
    with pytest.raises(ValueError, match="expected a history of tracks"):
        write_shard(folder / "train" / "a__demo_0000.arrow", [replace(made, **damage)], info)


def test_a_history_that_is_not_finite_is_refused(folder):
    info = replace(INFO, history_frames=5)
    made = window(np.random.default_rng(0), 0, "side", info)
    with pytest.raises(ValueError, match="history are not finite"):
        write_shard(folder / "a.arrow", [replace(made, history_tracks=made.history_tracks * np.nan)], info)


def test_a_folder_of_before_there_was_history_is_read_as_it_was(folder):
    write_shard(folder / "train" / "a__demo_0000.arrow", random_windows(1), INFO)
    path = folder / shards.INFO_FILE
    told = json.loads(path.read_text())
    for name in ("history_frames", "history_pictures", "anchor", "frame_size"):
        told.pop(name, None)
    path.write_text(json.dumps(told))
    assert read_info(folder) == INFO
    read = ShardDataset(folder, "train")[0]
    assert read.history_tracks is None and read.history_images is None


PICTURED = DatasetInfo(
    labeler="exact", stride=3, image_size=(16, 32), grid=(4, 8), history_frames=5, history_pictures=True
)


def picture(frame: int, view: str) -> np.ndarray:
    return np.full((*PICTURED.image_size, 3), 10 * frame + 5 * (view == "effector") + 20, np.uint8)


def with_pictures(stride: int) -> list:
    info, made = replace(PICTURED, stride=stride), []
    for start in range(0, 10, stride):
        for view in info.views:
            between = frames_between(start, start - stride if start else None, info.history_frames)
            pictures = tuple(picture(frame, view) for frame in between)
            one = window(np.random.default_rng(0), 0, view, info)
            made.append(replace(one, start=start, image=picture(start, view), pictures_between=pictures))
    return made


@pytest.mark.parametrize("stride", [1, 3, 7])
@pytest.mark.parametrize("views", [None, ("effector",)])
def test_pictures_of_the_past_are_stored_once_and_gathered(folder, stride, views):
    write_info(folder, replace(PICTURED, stride=stride))
    written = with_pictures(stride)
    assert sum(len(one.pictures_between) for one in written) <= 2 * 9
    for demo in range(2):  # the second one's past does not reach into the first one
        named = [replace(one, demo=f"demo_{demo}") for one in written]
        write_shard(folder / "train" / f"a__demo_000{demo}.arrow", named, replace(PICTURED, stride=stride))
    dataset = ShardDataset(folder, "train", views=views)
    for index in range(len(dataset)):
        one = dataset[index]
        assert one.history_images.shape == (5, 16, 32, 3)
        for frame, shown in zip(range(one.start - 5, one.start), one.history_images, strict=True):
            expected = picture(frame, one.view) if frame >= 0 else np.zeros_like(shown)
            np.testing.assert_allclose(shown, expected, atol=1)


def test_windows_without_their_pictures_of_the_past_are_refused(folder):
    made = with_pictures(3)[:1]
    for pictures in (None, (np.zeros((4, 4, 3), np.uint8),)):
        with pytest.raises(ValueError, match="expected pictures between the windows"):
            write_shard(folder / "a.arrow", [replace(made[0], pictures_between=pictures)], PICTURED)
