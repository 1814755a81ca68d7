"""Training on kept latents of the frozen VAE: the same losses, without VAE and tracks in the step."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_dinov2 import dinov2_settings, write_dinov2
from tiny_runs import denoiser_config, logged, run, vae_config, write_config

from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.files.config import load
from trajforecast_model.networks.track_vae import TrackVAE
from trajforecast_model.training.batches import collate
from trajforecast_model.training.configs import DenoiserTrainConfig
from trajforecast_model.training.features.image_tokens import image_tokens
from trajforecast_model.training.noise import WindowNoise
from trajforecast_model.training.stages.denoiser import DenoiserStage

WINDOWS = 8 * 2  # demos x views of the training split


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory) -> Path:
    return write_dinov2(tmp_path_factory.mktemp("dinov2"), seed=0)


@pytest.fixture(scope="module")
def vae_that_looks_at_the_image(data, dinov2, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("looking_vae")
    config = vae_config(data, folder / "run", steps=1, image_encoder=dinov2_settings(dinov2))
    config["vae"] |= dict(image_conditioned=True, image_grid=[4, 4], image_dim=32)
    assert run("vae", config, folder) == 0
    return folder / "run" / "checkpoint"


@pytest.fixture
def encoded(monkeypatch) -> list[int]:
    """The sizes of the batches of tracks that the VAE is given."""
    sizes: list[int] = []
    encode = TrackVAE.encode

    def counting(vae, tracks, tokens=None):
        sizes.append(len(tracks))
        return encode(vae, tracks, tokens)

    monkeypatch.setattr(TrackVAE, "encode", counting)
    return sizes


def with_cache(data: Path, out: Path, vae: Path | None, cache: Path | None, **changes) -> dict:
    config = denoiser_config(data, out, vae, steps=3, moving_weight=4.0, **changes)
    config["data"]["latent_cache"] = None if cache is None else str(cache)
    return config


def test_losses_are_those_without_a_cache_and_the_vae_sees_a_window_once(data, barely_trained_vae, tmp_path, encoded):
    assert run("denoiser", with_cache(data, tmp_path / "without", barely_trained_vae, None), tmp_path) == 0
    assert sum(encoded) == 3 * 8
    encoded.clear()
    for out in ("first", "second"):
        assert (
            run("denoiser", with_cache(data, tmp_path / out, barely_trained_vae, tmp_path / "latents"), tmp_path) == 0
        )
    assert sum(encoded) == WINDOWS
    losses = [list(logged(tmp_path / out).values()) for out in ("without", "first", "second")]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)  # float16 rounding
    assert losses[1] != losses[0], "the kept latents were not read"
    assert losses[2] == losses[1]


def test_tracks_are_not_read(data, barely_trained_vae, tmp_path, monkeypatch):
    cache = tmp_path / "latents"
    assert run("denoiser", with_cache(data, tmp_path / "first", barely_trained_vae, cache), tmp_path) == 0
    read = []
    window = ShardDataset.__getitem__

    def noting(windows, index):
        read.append(window(windows, index))
        return read[-1]

    monkeypatch.setattr(ShardDataset, "__getitem__", noting)
    config = with_cache(data, tmp_path / "second", barely_trained_vae, cache)
    config["logging"]["validate_every"] = 1000
    assert run("denoiser", config, tmp_path) == 0
    assert sum(window.tracks is None for window in read) == 3 * 8
    assert sum(window.tracks is not None for window in read) == 1 + 4, "the rehearsed and the last validation's"


def test_latents_and_features_are_kept_beside_each_other(data, dinov2, vae_that_looks_at_the_image, tmp_path, encoded):
    vae, losses = vae_that_looks_at_the_image, []
    for name in ("without", "with"):
        kept = name == "with"
        config = with_cache(data, tmp_path / name, vae, tmp_path / "latents" if kept else None)
        config["data"]["feature_cache"] = str(tmp_path / "features") if kept else None
        assert run("denoiser", config, tmp_path) == 0
        losses.append(list(logged(tmp_path / name).values()))
    np.testing.assert_allclose(losses[1], losses[0], rtol=2e-3)
    assert sum(encoded) == 3 * 8 + WINDOWS


def test_the_posterior_has_the_known_frame_without_deviation(data, vae_that_looks_at_the_image, tmp_path):
    config = denoiser_config(data, tmp_path / "run", vae_that_looks_at_the_image)
    stage = DenoiserStage(load(DenoiserTrainConfig, write_config(config, tmp_path), []))
    windows = ShardDataset(data)
    batch = collate([windows[index] for index in (0, 5, 9)])
    tokens = image_tokens(batch, stage.image_encoder)
    posterior, space = stage.space.posterior(batch, tokens), stage.space
    assert not posterior[:, 1, :1].any() and (posterior[:, 1, 1:] > 0).all()
    first = space.first_frame(batch, tokens)
    torch.testing.assert_close(posterior[:, 0, :1], first)
    assert not torch.equal(first[0], first[1]), "this VAE looks at the image"
    torch.testing.assert_close(space.sample(batch, tokens, WindowNoise(0, 0, range(3), first.device))[:, :1], first)


def test_latents_of_another_vae_are_refused(data, barely_trained_vae, tmp_path, capsys):
    cache = tmp_path / "latents"
    assert run("denoiser", with_cache(data, tmp_path / "first", barely_trained_vae, cache), tmp_path) == 0
    other = vae_config(data, tmp_path / "vae", steps=2)
    assert run("vae", other, tmp_path) == 0
    capsys.readouterr()
    assert run("denoiser", with_cache(data, tmp_path / "second", tmp_path / "vae/checkpoint", cache), tmp_path) == 2
    error = capsys.readouterr().err
    assert all(
        part in error for part in (str(cache), "latents of another network", "vae_weights '", "data.latent_cache")
    )


def test_a_run_that_encodes_no_tracks_has_no_latents_to_keep(data, barely_trained_vae, tmp_path, capsys):
    cache = tmp_path / "latents"
    of_vae = vae_config(data, tmp_path / "vae", steps=1)
    of_vae["data"]["latent_cache"] = str(cache)
    for stage, config in (("vae", of_vae), ("denoiser", with_cache(data, tmp_path / "run", None, cache))):
        assert run(stage, config, tmp_path) == 2
        assert "encodes no tracks" in capsys.readouterr().err
    assert not cache.exists()
