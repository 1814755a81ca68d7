"""Data that a run could not use is refused before its first step."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from synthetic_shards import window, write_synthetic_data
from tiny_runs import denoiser_config, run

from trajforecast_model.data.shards import DatasetInfo, ShardDataset, check_windows, write_info, write_shard
from trajforecast_model.files.arrow_files import open_rows, write_rows
from trajforecast_model.training.batches import BatchShare
from trajforecast_model.training.checks import check_windows as check_for_training

SMALL = DatasetInfo(labeler="exact", stride=1, num_frames=4, grid=(8, 8), image_size=(32, 32), views=("side",))


def folder_of(folder: Path, *windows, info: DatasetInfo = SMALL) -> Path:
    """One shard a window, all in the training split."""
    write_info(folder, info)
    for number, one in enumerate(windows):
        write_shard(folder / "train" / f"discs__demo_{number:04d}.arrow", [one], info)
    return folder


def moving(number: int = 0, **changes):
    made = window(np.random.default_rng(number), number, "side", SMALL)
    motion = np.arange(SMALL.num_frames, dtype=np.float32)[:, None, None, None] * 4
    return replace(made, **({"tracks": made.tracks[:1] + motion} | changes))


def still(number: int = 0):
    one = moving(number)
    return replace(one, tracks=np.repeat(one.tracks[:1], SMALL.num_frames, axis=0))


def check(folder: Path, with_instructions: bool = True) -> None:
    check_for_training(ShardDataset(folder), "train", with_instructions)


@pytest.mark.parametrize("instruction", ["", "  \n"])
def test_windows_without_words_are_named_where_words_are_read(instruction, tmp_path):
    folder = folder_of(tmp_path, moving(0), moving(1, instruction=instruction))
    with pytest.raises(
        ValueError, match=r"1 of 2 windows of its train split have an empty instruction \(discs demo_1\)"
    ):
        check(folder)
    check(folder, with_instructions=False)


def test_an_empty_instruction_ends_a_denoisers_training_before_it_begins(barely_trained_vae, tmp_path, capsys):
    write_synthetic_data(tmp_path / "data", train=4, val=1)
    info = DatasetInfo(labeler="exact", stride=1)
    wordless = replace(window(np.random.default_rng(0), 9, "side", info), instruction="")
    write_shard(tmp_path / "data" / "val" / "discs__demo_0009.arrow", [wordless], info)
    config = denoiser_config(tmp_path / "data", tmp_path / "run", barely_trained_vae)
    assert run("denoiser", config, tmp_path) == 2
    assert "1 of 3 windows of its val split have an empty instruction" in capsys.readouterr().err
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_split_in_which_nothing_moves_is_refused_and_one_that_moves_somewhere_is_not(tmp_path):
    with pytest.raises(ValueError, match="nothing moves in any of 3 windows"):
        check(folder_of(tmp_path / "still", *map(still, range(3))))
    check(folder_of(tmp_path / "some", *map(still, range(3)), moving()))


def test_tracks_that_are_no_numbers_are_neither_written_nor_read(tmp_path):
    lost = moving()
    lost.tracks[2, 3, 3] = np.nan
    with pytest.raises(ValueError, match="demo_0 frame 0, view side: its tracks are not finite"):
        check_windows([lost], SMALL)
    folder = folder_of(tmp_path, moving())
    shard = folder / "train" / "discs__demo_0000.arrow"
    reader = open_rows(shard)
    row = reader.get_batch(0).to_pylist()[0]
    row["offsets"] = np.full(SMALL.num_frames * 8 * 8 * 2, np.nan, np.float16).tobytes()
    write_rows(shard, reader.schema, [pa.RecordBatch.from_pylist([row], schema=reader.schema)])
    open_rows.cache_clear()
    with pytest.raises(ValueError, match=r"demo_0000\.arrow: the tracks of row 0 are not finite"):
        check(folder)


@pytest.mark.parametrize(
    ("info", "message"),
    [
        (replace(SMALL, grid=(16, 16)), "row 0 is not of the shape that dataset.json tells"),
        (replace(SMALL, image_size=(64, 64)), "the image of row 0 has 32 x 32 pixels, dataset.json says 64 x 64"),
    ],
)
def test_shards_of_another_geometry_than_their_folders_are_named(info, message, tmp_path):
    folder = folder_of(tmp_path, moving())
    write_info(folder, info)
    with pytest.raises(ValueError, match=rf"demo_0000\.arrow: {message}"):
        check(folder)
    with pytest.raises(ValueError, match="expected"):
        check_windows([moving()], info)


def test_too_few_windows_for_a_batch_are_told_before_anything_is_read():
    with pytest.raises(ValueError, match="has 3 windows, fewer than one batch of 4"):
        BatchShare(4).check_enough(3)
