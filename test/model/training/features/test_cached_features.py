"""Training on kept features of a frozen image encoder: the same losses, without the encoder in the step."""

import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from small_dinov2 import dinov2_settings, write_dinov2
from synthetic_shards import write_synthetic_data
from test_ranks import train_on_two_ranks
from test_resume import run_until_killed
from tiny_runs import denoiser_config, logged, run, vae_config

from trajforecast_model.data.shards import DatasetInfo
from trajforecast_model.networks.image_encoder import Dinov2ImageEncoder
from trajforecast_model.training.batches import Batch

INFO = DatasetInfo(labeler="exact", stride=1, num_frames=4, grid=(16, 16))
IMAGES = 8 * 2  # demos x views of the training split


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Few points: there is no VAE here to make fewer latents of them."""
    folder = tmp_path_factory.mktemp("few_points")
    write_synthetic_data(folder, info=INFO)
    return folder


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory) -> Path:
    return write_dinov2(tmp_path_factory.mktemp("dinov2"), seed=0)


def with_dinov2(data: Path, out: Path, source: Path, cache: Path | None = None, steps: int = 3) -> dict:
    config = denoiser_config(data, out, None, steps, image_encoder=dinov2_settings(source), text_encoder=None)
    config["denoiser"]["patch_size"] = 4
    config["data"]["feature_cache"] = None if cache is None else str(cache)
    return config


@pytest.fixture
def encoded(monkeypatch) -> list[int]:
    """The sizes of the batches that DINOv2 is given."""
    sizes: list[int] = []
    forward = Dinov2ImageEncoder.forward

    def counting(encoder, images):
        sizes.append(len(images))
        return forward(encoder, images)

    monkeypatch.setattr(Dinov2ImageEncoder, "forward", counting)
    return sizes


def test_losses_are_those_without_a_cache_and_the_encoder_sees_an_image_once(data, dinov2, tmp_path, encoded):
    assert run("denoiser", with_dinov2(data, tmp_path / "without", dinov2), tmp_path) == 0
    without, validation = sum(encoded), sum(encoded) - 3 * 8
    assert validation > 0
    encoded.clear()
    for out in ("first", "second"):
        assert run("denoiser", with_dinov2(data, tmp_path / out, dinov2, tmp_path / "features"), tmp_path) == 0
    assert sum(encoded) == IMAGES + 2 * validation < 2 * without
    losses = [list(logged(tmp_path / out).values()) for out in ("without", "first", "second")]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)  # float16 rounding
    assert losses[1] != losses[0], "the kept features were not read"
    assert losses[2] == losses[1]


def test_a_vae_that_looks_at_the_image_and_its_denoiser_share_kept_features(data, dinov2, tmp_path, encoded):
    def config(out: str, cache: str | None) -> dict:
        config = vae_config(data, tmp_path / out, steps=2, image_encoder=dinov2_settings(dinov2))
        config["vae"] |= dict(image_conditioned=True, image_grid=[4, 4], image_dim=32, num_frames=4, grid=[16, 16])
        config["vae"] |= dict(patch_size=4, temporal_stride=3)
        config["data"]["feature_cache"] = cache
        return config

    features = tmp_path / "features"
    assert run("vae", config("without", None), tmp_path) == 0
    without = sum(encoded)
    encoded.clear()
    assert run("vae", config("with", str(features)), tmp_path) == 0
    assert sum(encoded) == without - 2 * 8 + IMAGES
    losses = [list(logged(tmp_path / out).values()) for out in ("without", "with")]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)

    encoded.clear()
    denoiser = with_dinov2(data, tmp_path / "run", dinov2, features, steps=1)
    denoiser["denoiser"]["patch_size"] = 1
    assert run("denoiser", denoiser | {"vae": str(tmp_path / "with" / "checkpoint")}, tmp_path) == 0
    assert 0 < sum(encoded) < IMAGES, "validation alone"


@pytest.mark.slow
def test_a_run_killed_while_it_fills_the_cache_goes_on_there(data, dinov2, tmp_path, encoded):
    config = with_dinov2(data, tmp_path / "run", dinov2, tmp_path / "features", steps=1)
    killed = run_until_killed("denoiser", config, tmp_path, "write features", 6)  # the second row of the third demo
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list((tmp_path / "features" / "train").glob("*.arrow"))) == 2
    assert len(list((tmp_path / "features" / "train").glob(".*.tmp"))) == 1
    assert run("denoiser", config, tmp_path) == 0
    assert encoded[:6] == [2] * 6, "six demos were left"


@pytest.mark.slow
def test_two_ranks_share_the_filling(data, dinov2, tmp_path):
    def config(name: str) -> dict:
        return with_dinov2(data, tmp_path / name, dinov2, tmp_path / f"{name}_features", steps=2)

    assert run("denoiser", config("one"), tmp_path) == 0
    result = train_on_two_ranks("denoiser", config("two"), tmp_path)
    assert result.returncode == 0, result.stderr
    files = [sorted((tmp_path / f"{name}_features").rglob("*.arrow")) for name in ("one", "two")]
    assert [path.name for path in files[1]] == [path.name for path in files[0]]
    assert len(files[0]) == IMAGES / 2, "a file a demo"
    assert logged(tmp_path / "two") == pytest.approx(logged(tmp_path / "one"), rel=1e-4)


def test_a_cache_of_other_weights_or_other_data_is_refused(data, dinov2, tmp_path, capsys):
    cache = tmp_path / "features"
    assert run("denoiser", with_dinov2(data, tmp_path / "first", dinov2, cache, steps=1), tmp_path) == 0
    copied = write_dinov2(tmp_path / "copy", seed=0)
    assert run("denoiser", with_dinov2(data, tmp_path / "second", copied, cache, steps=1), tmp_path) == 0

    def refused(config: dict, *messages: str) -> None:
        capsys.readouterr()
        assert run("denoiser", config, tmp_path) == 2
        error = capsys.readouterr().err
        assert all(message in error for message in (str(cache), "data.feature_cache", *messages))

    other = write_dinov2(tmp_path / "other", seed=1)
    refused(with_dinov2(data, tmp_path / "third", other, cache), "another network", "weights '")
    resized = with_dinov2(data, tmp_path / "third", dinov2, cache)
    resized["image_encoder"]["input_size"] = [70, 70]
    refused(resized, "input_size [56, 56] there, [70, 70] here")
    write_synthetic_data(tmp_path / "data", train=8, val=3, info=INFO)
    for shard in (tmp_path / "data" / "train").iterdir():  # the same demos, other images
        shard.write_bytes((tmp_path / "data" / "val" / "discs__demo_0010.arrow").read_bytes())
    refused(with_dinov2(tmp_path / "data", tmp_path / "third", dinov2, cache), "other data", "shard '")


def test_an_encoder_that_is_trained_has_no_features_to_keep(data, tmp_path, capsys):
    trained = denoiser_config(data, tmp_path / "run", None, steps=1, text_encoder=None)
    trained["denoiser"]["patch_size"] = 4
    trained["data"]["feature_cache"] = str(tmp_path / "features")
    assert run("denoiser", trained, tmp_path) == 2
    assert "this run trains its image encoder" in capsys.readouterr().err
    blind = vae_config(data, tmp_path / "run", steps=1)
    blind["vae"] |= dict(num_frames=4, grid=[16, 16], patch_size=4, temporal_stride=3)
    blind["data"]["feature_cache"] = str(tmp_path / "features")
    assert run("vae", blind, tmp_path) == 2
    assert "this run has no image encoder" in capsys.readouterr().err
    assert not (tmp_path / "features").exists()


def test_the_loader_can_pin_a_batch(monkeypatch):
    """Which needs a GPU; without `pin_memory` the loader would pass it on as it is, unpinned, and say nothing."""
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or tensor.clone())
    batch = Batch(torch.zeros(2, 8, 8, 3), torch.zeros(2, 4, 3, 3, 2), ["a", "b"], torch.zeros(2, 5, 6))
    result = batch.pin_memory()
    tensors = (batch.images, batch.tracks, batch.image_tokens)
    assert {id(tensor) for tensor in pinned} == {id(tensor) for tensor in tensors}
    assert result.instructions == batch.instructions and result.tracks is not batch.tracks
