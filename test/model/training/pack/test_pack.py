"""`trajforecast pack`: what goes in comes out small, trains through the ordinary loop, and damage is named."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from synthetic_shards import write_synthetic_data
from tiny_runs import denoiser_config, logged, run

from trajforecast_model.checkpoint import SHIPPED
from trajforecast_model.cli import main
from trajforecast_model.data import rounded
from trajforecast_model.data.shards import DatasetInfo, ShardDataset
from trajforecast_model.files.config import load as load_config
from trajforecast_model.files.config import to_dict
from trajforecast_model.networks.text_encoder import KeptTextEncoder, TextEncoderConfig
from trajforecast_model.training.configs import DenoiserTrainConfig
from trajforecast_model.training.pack.parts import unpack

KEPT = dict(kind="kept", pooling="mean", dim=384)
PART_SIZE = 2_900_000  # the VAE, and little beside it


@pytest.fixture(scope="module")
def packed(data, barely_trained_vae, tmp_path_factory):
    """Parts of the discs, with a VAE's latents."""
    out = tmp_path_factory.mktemp("packed") / "pack"
    options = ["--part-size", str(PART_SIZE), "--vae", str(barely_trained_vae), "--held-out", "2"]
    assert main(["pack", str(data), "--out", str(out), *options]) == 0
    return out


@pytest.fixture
def unpacked(packed, tmp_path):
    folder = tmp_path / "unpacked"
    assert unpack(sorted(packed.iterdir()), folder) == []
    return folder


def test_no_part_is_larger_than_asked_for_and_all_windows_are_there(packed, unpacked, data):
    parts = sorted(packed.iterdir())
    number = len(parts)
    assert [part.name for part in parts] == [f"part_{n:02d}_of_{number:02d}.tar" for n in range(1, number + 1)]
    assert number > 1 and all(part.stat().st_size <= PART_SIZE for part in parts)
    before, after = ShardDataset(data, "train"), ShardDataset(unpacked, "train", tracks=False)
    for name in ("task", "demo", "start", "view", "instruction"):
        assert (getattr(before.rows, name) == getattr(after.rows, name)).all()
    assert np.abs(before[3].image.astype(int) - after[3].image).mean() < 15  # JPEG of coloured noise
    held_out = ShardDataset(unpacked, "val")
    assert len(held_out) == 4
    np.testing.assert_array_equal(held_out[1].tracks, ShardDataset(data, "val")[1].tracks)


def test_training_on_an_unpacked_pack_has_the_losses_of_training_on_the_data(
    unpacked, data, barely_trained_vae, tmp_path
):
    """But for JPEG and float16: the latents, the noise and the texts are the same."""

    def losses(name: str, folder, vae, latents, texts: dict) -> dict[int, float]:
        config = denoiser_config(folder, tmp_path / name, vae, steps=3, text_encoder=texts)
        config["data"]["latent_cache"] = str(latents)
        assert run("denoiser", config, tmp_path / name) == 0
        return logged(tmp_path / name)

    ordinary = losses(
        "ordinary", data, barely_trained_vae, tmp_path / "latents", dict(source="minilm", pooling="mean", dim=384)
    )
    texts = KEPT | {"source": str(unpacked / "texts.safetensors")}
    assert losses("packed", unpacked, unpacked / "vae", unpacked / "latents", texts) == pytest.approx(
        ordinary, rel=0.02
    )


def test_a_checkpoint_with_history_is_trained_on_from_a_pack(tmp_path):
    info = DatasetInfo(labeler="exact", stride=1, history_frames=16)
    data = tmp_path / "data"
    write_synthetic_data(data, train=2, val=1, info=info)
    options = ["--part-size", "10M", "--vae", "libero_object_history", "--history-step", "0.25"]
    assert main(["pack", str(data), "--out", str(tmp_path / "pack"), *options]) == 0
    unpack(list((tmp_path / "pack").iterdir()), tmp_path / "unpacked")
    before, after = (ShardDataset(folder, "train", tracks=False)[1] for folder in (data, tmp_path / "unpacked"))
    assert np.abs(after.history_tracks - before.history_tracks).max() <= 0.125
    np.testing.assert_array_equal(after.history_visibility, before.history_visibility)

    config = to_dict(load_config(DenoiserTrainConfig, Path("config/train/libero_object_history_gpu.yaml"), []))
    config |= {"out": str(tmp_path / "run"), "start_from": str(SHIPPED / "libero_object_history")}
    config["data"] = {
        "folder": str(tmp_path / "unpacked"), "workers": 0, "latent_cache": str(tmp_path / "unpacked" / "latents")
    }  # fmt: skip
    config["text_encoder"] = KEPT | {"source": str(tmp_path / "unpacked" / "texts.safetensors")}
    config["optimisation"] |= {"steps": 1, "batch_size": 2, "precision": "float32"}
    config["logging"] |= {"validation_windows": 1, "validation_samples": 1}
    assert run("denoiser", config, tmp_path) == 0
    assert logged(tmp_path / "run")[1] < 10


def test_rounded_positions_come_back_within_half_a_step_and_too_far_ones_are_cut():
    offsets = np.random.default_rng(0).normal(0, 50, (5, 4, 3, 2)).astype(np.float32)
    back = rounded.decoded(rounded.encoded(offsets, 0.25), offsets.shape, 0.25)
    assert np.abs(back - offsets).max() <= 0.125 and back.dtype == np.float32
    far = rounded.decoded(rounded.encoded(np.full((2, 1, 1, 2), 1e6), 0.25), (2, 1, 1, 2), 0.25)
    assert (far == 32767 * 0.25).all()
    with pytest.raises(ValueError):
        rounded.decoded(b"1234", offsets.shape, 0.25)


def test_kept_texts_are_those_of_the_encoder_and_others_are_refused(unpacked):
    kept = KeptTextEncoder(TextEncoderConfig(**KEPT, source=str(unpacked / "texts.safetensors")))
    assert kept.instructions == ["push the disc down", "push the disc right"]
    embeddings = kept(["push the disc right", "push the disc down", "push the disc right"])
    assert (
        embeddings.shape == (3, 384) and not embeddings[0].equal(embeddings[1]) and embeddings[0].equal(embeddings[2])
    )
    assert math.isfinite(embeddings.sum())
    with pytest.raises(ValueError, match=r"'dance' is not among the 2 that were kept.*minilm"):
        kept(["dance"])


def test_a_part_that_is_missing_is_named_and_may_come_later(packed, tmp_path):
    first, *others = sorted(packed.iterdir())
    assert unpack([first], tmp_path / "data") == [part.name for part in others]
    assert len(ShardDataset(tmp_path / "data", "val")) == 4
    assert unpack([first, *others], tmp_path / "data") == []
    assert len(ShardDataset(tmp_path / "data", "train", tracks=False)) == 16


def test_damaged_parts_are_named(packed, tmp_path):
    first = min(packed.iterdir())
    for name, data in {
        "cut": first.read_bytes()[: first.stat().st_size // 2],
        "flipped": first.read_bytes()[:100_000] + bytes(1000) + first.read_bytes()[101_000:],
        "empty": b"",
    }.items():
        damaged = tmp_path / name / first.name
        damaged.parent.mkdir()
        damaged.write_bytes(data)
        with pytest.raises(ValueError, match=rf"{name}/part_01_of_\d+.tar is damaged"):
            unpack([damaged], tmp_path / f"{name}_data")
        assert not list((tmp_path / f"{name}_data").glob("unpacked/*"))


def test_the_shipped_vae_is_the_default_and_parts_of_two_packs_are_not_mixed(packed, data, tmp_path, capsys):
    other = tmp_path / "other"
    assert main(["pack", str(data), "--out", str(other), "--part-size", "10M", "--every", "2", "--held-out", "1"]) == 0
    printed = capsys.readouterr().out
    assert "16 windows of" in printed and "in 1 parts" in printed and "a part has room for" in printed
    assert unpack(list(other.iterdir()), tmp_path / "data") == []
    assert json.loads((tmp_path / "data" / "vae" / "vae.json").read_text())["vae"]["latent_channels"] == 32
    assert len(ShardDataset(tmp_path / "data", "val")) == 2
    with pytest.raises(ValueError, match="is of another pack"):
        unpack([min(packed.iterdir())], tmp_path / "data")


def test_tracks_of_packed_windows_are_asked_for_in_vain(unpacked):
    with pytest.raises(ValueError, match=r"discs__demo_0000.arrow has no tracks: it comes from a pack"):
        ShardDataset(unpacked, "train")[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--part-size", "1k"], "part-size: "),
        (["--every", "0"], "every: got 0, expected at least 1"),
        (["--held-out", "0"], "held-out: got 0"),
        (["--jpeg-quality", "101"], "jpeg-quality: got 101, expected 1 to 100"),
        (["--vae", "nowhere"], "'nowhere' does not exist"),
        (["--device", "cuda:7"], "device: "),
        (["--config", "nowhere.yaml"], "nowhere.yaml does not exist"),
    ],
)
def test_what_cannot_be_packed_is_refused_in_one_line(data, tmp_path, capsys, options, message):
    assert main(["pack", str(data), "--out", str(tmp_path / "pack"), *options]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("trajforecast pack: error: ") and message in error
    assert not list(tmp_path.iterdir())


def test_folders_that_are_no_data_or_are_there_already_are_refused(data, tmp_path, capsys):
    assert main(["pack", str(tmp_path), "--out", str(tmp_path / "pack")]) == 2
    assert "not a folder written by `trajforecast prepare`" in capsys.readouterr().err
    (tmp_path / "full").mkdir()
    shutil.copy(data / "dataset.json", tmp_path / "full")
    assert main(["pack", str(data), "--out", str(tmp_path / "full")]) == 2
    assert "full exists; give --out a new folder" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["60 M", "-1", "0", "lots", "1.5M"])
def test_part_sizes_that_are_none_are_refused(data, tmp_path, capsys, size):
    with pytest.raises(SystemExit) as ended:
        main(["pack", str(data), "--out", str(tmp_path / "pack"), f"--part-size={size}"])
    assert ended.value.code == 2 and "expected a number of bytes like 60M" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"history_frames": 4, "history_pictures": True}, "a pack does not carry"),
        ({"history_frames": 4, "anchor": "first"}, "takes windows of --anchor present"),
    ],
)
def test_pictures_of_the_past_and_grids_of_the_past_are_refused(data, tmp_path, capsys, changes, message):
    copied = shutil.copytree(data, tmp_path / "data")
    told = json.loads((copied / "dataset.json").read_text())
    (copied / "dataset.json").write_text(json.dumps(told | changes))
    assert main(["pack", str(copied), "--out", str(tmp_path / "pack")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "pack").exists()
