"""Training on small synthetic shards: it learns, its parts fit together, and it refuses what it cannot do."""

from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_shards import write_synthetic_data
from tiny_runs import denoiser_config, logged, run, vae_config

from trajforecast_model import Forecaster
from trajforecast_model.cli import main
from trajforecast_model.data.shards import DatasetInfo, ShardDataset
from trajforecast_model.files.config import load
from trajforecast_model.training.batches import BatchShare, EndlessBatchSampler, spread_evenly
from trajforecast_model.training.configs import OptimisationConfig, VAETrainConfig
from trajforecast_model.training.distributed import World
from trajforecast_model.training.noise import WindowNoise
from trajforecast_model.training.schedule import learning_rate_factor


@pytest.fixture(scope="module")
def trained_vae(data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("vae")
    assert run("vae", vae_config(data, folder / "run", steps=60), folder) == 0
    return folder / "run"


def test_vae_then_denoiser_gives_a_checkpoint_that_forecasts(data, trained_vae, tmp_path, capsys):
    config = denoiser_config(data, tmp_path / "run", trained_vae / "checkpoint", sampling_solver="ab2@shift2")
    assert run("denoiser", config, tmp_path) == 0
    forecaster = Forecaster.from_pretrained(tmp_path / "run" / "checkpoint")
    assert (forecaster.config.steps, forecaster.config.solver) == (3, "ab2@shift2")
    windows = ShardDataset(data, "val")
    forecast = forecaster.predict({"side": windows[0].image}, windows[0].instruction, k=2)
    assert forecast.tracks.shape == (1, 2, 16, 64, 64, 2)
    assert all(value != 1.0 for value in forecaster.config.latent_std)
    assert list((tmp_path / "run" / "tensorboard").iterdir())


def test_without_a_vae_the_denoiser_works_on_tracks(data, tmp_path):
    config = denoiser_config(data, tmp_path / "run", None, steps=2, draws_per_window=1)
    config["optimisation"] |= dict(batch_size=2)
    assert run("denoiser", config, tmp_path) == 0
    forecaster = Forecaster.from_pretrained(tmp_path / "run" / "checkpoint")
    assert forecaster.vae is None and forecaster.config.denoiser.track_encoding


@pytest.mark.parametrize("stage", ["vae", "denoiser"])
def test_compiled_networks_lose_the_same(stage, data, barely_trained_vae, tmp_path, monkeypatch):
    compiled, backend = [], torch.compile

    def traced(function, **options):
        compiled.append(function)
        return backend(function, **options | dict(backend="eager"))  # code generation is PyTorch's matter

    def losses(out: str, compile: bool) -> dict[int, float]:
        config = vae_config(data, tmp_path / out, steps=2)
        if stage == "denoiser":
            config = denoiser_config(data, tmp_path / out, barely_trained_vae, steps=2)
        config["optimisation"] |= dict(compile=compile)
        assert run(stage, config, tmp_path) == 0
        return logged(tmp_path / out)

    monkeypatch.setattr(torch, "compile", traced)
    plain = losses("plain", False)
    assert not compiled
    assert losses("compiled", True) == pytest.approx(plain, rel=1e-4)
    assert compiled


def test_an_image_conditioned_vae_hands_its_frozen_encoder_to_the_denoiser(data, tmp_path):
    encoder = dict(kind="patch", source=None, patch_size=16, dim=64, depth=1, heads=1)
    vae = vae_config(data, tmp_path / "vae", steps=2, image_encoder=encoder)
    vae["vae"] |= dict(image_conditioned=True, image_grid=[8, 8], image_dim=64)
    assert run("vae", vae, tmp_path) == 0
    denoiser = denoiser_config(data, tmp_path / "run", tmp_path / "vae" / "checkpoint", steps=2)
    assert run("denoiser", denoiser, tmp_path) == 0
    name = "image_encoder.safetensors"
    assert (tmp_path / "vae" / "checkpoint" / name).read_bytes() == (
        tmp_path / "run" / "checkpoint" / name
    ).read_bytes()


def test_a_denoiser_at_another_time_step_than_its_vae_is_refused(data, trained_vae, tmp_path, capsys):
    slow = tmp_path / "slow"
    write_synthetic_data(slow, info=DatasetInfo(labeler="exact", stride=1, dt=0.1))
    assert run("denoiser", denoiser_config(slow, tmp_path / "run", trained_vae), tmp_path) == 2
    error = capsys.readouterr().err
    assert "the data has dt 0.1 s, the VAE of" in error and "was trained at 0.05 s" in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_fine_tuning_starts_from_the_weights_of_a_checkpoint(data, trained_vae, tmp_path, capsys):
    # Both by the folders of their runs.
    assert run("denoiser", denoiser_config(data, tmp_path / "first", trained_vae), tmp_path) == 0
    start = tmp_path / "first" / "checkpoint"
    still = denoiser_config(data, tmp_path / "second", None, steps=1, start_from=str(tmp_path / "first"))
    still["denoiser"]["patch_size"] = 1
    still["optimisation"] |= dict(learning_rate=0.0, weight_decay=0.0)
    assert run("denoiser", still, tmp_path) == 0
    for name in ("config.json", "vae.safetensors", "denoiser.safetensors", "image_encoder.safetensors"):
        assert (start / name).read_bytes() == (tmp_path / "second" / "checkpoint" / name).read_bytes()

    capsys.readouterr()
    both = still | {"out": str(tmp_path / "third"), "vae": str(trained_vae / "checkpoint")}
    assert run("denoiser", both, tmp_path) == 2
    assert "brings its own VAE" in capsys.readouterr().err
    other = still | {"out": str(tmp_path / "third"), "denoiser": still["denoiser"] | {"depth": 3}}
    assert run("denoiser", other, tmp_path) == 2
    assert "not those of this config" in capsys.readouterr().err


@pytest.mark.slow
def test_vae_learns_what_moves(data, tmp_path, capsys):
    assert run("vae", vae_config(data, tmp_path / "run", steps=250), tmp_path) == 0
    from trajforecast_model.training.stages.vae import VAEStage, load_trained_vae

    stage = VAEStage(load(VAETrainConfig, tmp_path / "config.yaml"))
    _, model = load_trained_vae(tmp_path / "run" / "checkpoint")
    figures = stage.validate(model, World(torch.device("cpu")))
    assert figures["moving_points_px2"] < 0.25 * figures["nothing_moves_px2"]


@pytest.mark.slow
def test_a_denoiser_that_sees_one_batch_only_learns_it_by_heart(trained_vae, tmp_path):
    (tmp_path / "data").mkdir()
    write_synthetic_data(tmp_path / "data", train=4, val=1)
    config = denoiser_config(tmp_path / "data", tmp_path / "run", trained_vae / "checkpoint", steps=300)
    config["logging"] |= dict(checkpoint_every=300)
    config["optimisation"] |= dict(decay="cosine", ema_decay=0.9)
    assert config["optimisation"]["batch_size"] == 4 * 2, "demos x views: the batch is all there is"
    assert run("denoiser", config, tmp_path) == 0

    losses = logged(tmp_path / "run")
    learnt = np.mean([losses[step] for step in range(281, 301)])  # noise and flow time differ from step to step
    assert learnt < 0.05 * losses[1]


def test_what_cannot_be_trained_ends_with_code_2_and_a_reason(data, tmp_path, capsys):
    def refused(stage: str, config: dict, message: str) -> None:
        assert run(stage, config, tmp_path) == 2
        assert message in capsys.readouterr().err

    good = vae_config(data, tmp_path / "run", steps=2)
    refused("vae", good | {"moving_wait": 2.0}, "did you mean 'moving_weight'")
    refused("vae", good | {"moving_weight": "much"}, "expected float")
    refused("vae", good | {"data": {"folder": str(tmp_path / "nowhere")}}, "dataset.json")
    refused("vae", good | {"optimisation": good["optimisation"] | {"batch_size": 1000}}, "fewer than one batch")
    refused("vae", good | {"optimisation": good["optimisation"] | {"accumulate": 3}}, "make it a multiple of 3")
    refused("vae", good | {"logging": {"keep": 0}}, "logging.keep: got 0, expected at least 1")
    refused("vae", good | {"vae": good["vae"] | {"patch_size": 10}}, "not a multiple of patch_size")
    refused("vae", good | {"vae": good["vae"] | {"num_frames": 24}}, "vae.num_frames is 24, the data's is 16")
    for group, name, value in (
        ("optimisation", "steps", 0),
        ("optimisation", "learning_rate", -1.0),
        ("optimisation", "learning_rate", float("nan")),
        ("optimisation", "ema_decay", 5.0),
        ("logging", "validate_every", 0),
        ("logging", "validation_samples", 0),
    ):
        refused("vae", good | {group: good[group] | {name: value}}, f"{group}.{name}: got {value}")
    refused("vae", good | {"vae": good["vae"] | {"heads": 0}}, "heads: got 0, expected at least 1")
    refused("denoiser", denoiser_config(data, tmp_path / "d", None, sampling_steps=0), "sampling_steps: got 0")
    refused("denoiser", denoiser_config(data, tmp_path / "d", tmp_path / "no_vae"), "vae.json")
    refused("denoiser", denoiser_config(data, tmp_path / "d", None, sampling_solver="rk4"), "solver: got 'rk4'")
    assert main(["train", "vae", "--config", str(tmp_path / "missing.yaml")]) == 2

    assert run("vae", good, tmp_path) == 0
    capsys.readouterr()
    refused("vae", good | {"moving_weight": 2.0}, "run of another config")
    export = tmp_path / "run" / "checkpoint"
    before = {path.name: path.read_bytes() for path in export.iterdir()}
    refused("vae", good | {"out": str(export)}, "is a checkpoint, and a run would write over it")
    assert {path.name: path.read_bytes() for path in export.iterdir()} == before


def test_batches_are_a_permutation_each_epoch_and_resume_in_place():
    batches = iter(EndlessBatchSampler(10, BatchShare(3), seed=1))
    first = [next(batches) for _ in range(9)]
    for epoch in range(3):
        seen = [index for batch in first[3 * epoch : 3 * epoch + 3] for index in batch]
        assert len(set(seen)) == 9
    assert first[:3] != first[3:6]
    resumed = iter(EndlessBatchSampler(10, BatchShare(3), seed=1, start=5))
    assert [next(resumed) for _ in range(4)] == first[5:]


def test_micro_batches_of_all_ranks_make_up_the_batch_of_one():
    def first_steps(**share) -> list[list[int]]:
        share = BatchShare(12, **share)
        batches = iter(EndlessBatchSampler(30, share, seed=1, start=1))
        return [[next(batches) for _ in share.micro_batches] for _ in range(3)]

    whole = first_steps()
    ranks = [first_steps(accumulate=3, rank=rank, ranks=2) for rank in range(2)]
    for step in range(3):
        assert [len(part) for rank in ranks for part in rank[step]] == [2] * 6
        assert [index for rank in ranks for part in rank[step] for index in part] == whole[step][0]
    with pytest.raises(ValueError, match="make it a multiple of 8"):
        BatchShare(12, accumulate=4, ranks=2)


def test_noise_of_a_window_depends_on_its_position_in_the_batch_alone():
    def draw(positions: range, step: int = 5, seed: int = 0) -> list[torch.Tensor]:
        noise = WindowNoise(seed, step, positions, torch.device("cpu"))
        return [noise.normal(40, 50), noise.normal(3)]

    whole, part = draw(range(6)), draw(range(2, 4))
    for all_windows, some_windows in zip(whole, part, strict=True):
        assert torch.equal(all_windows[2:4], some_windows)
    first = whole[0]
    for other in (draw(range(6), step=6)[0], draw(range(6), seed=1)[0], first.roll(1, dims=0)):
        assert (first - other).abs().mean(dim=(1, 2)).min() > 1  # 1.13 between independent normals
    assert not torch.equal(first[:, 0, :3], whole[1])
    assert abs(first.mean()) < 0.03 and abs(first.std() - 1) < 0.03


def test_learning_rate_warms_up_and_decays():
    config = OptimisationConfig(steps=100, batch_size=1, warmup_steps=10, decay="cosine")
    factors = [learning_rate_factor(step, config) for step in range(100)]
    assert factors[0] == 0.1 and factors[9] == factors[10] == 1.0
    assert factors[10:] == sorted(factors[10:], reverse=True) and factors[-1] < 0.03
    constant = OptimisationConfig(steps=100, batch_size=1, warmup_steps=10)
    assert learning_rate_factor(99, constant) == 1.0


def test_spread_evenly_covers_the_ends():
    assert spread_evenly(100, 3) == [0, 49, 99]
    assert spread_evenly(2, 5) == [0, 1]


def test_a_denoiser_with_history_is_trained_on_from_one_without(data, barely_trained_vae, tmp_path):
    first = denoiser_config(data, tmp_path / "first", barely_trained_vae, steps=1)
    assert run("denoiser", first, tmp_path) == 0
    past = tmp_path / "past"
    write_synthetic_data(past, info=DatasetInfo(labeler="exact", stride=1, history_frames=4))
    start = str(tmp_path / "first")
    on_latents = {"vae": None, "start_from": start, "history": {"frames": 3}}
    second = denoiser_config(past, tmp_path / "second", barely_trained_vae, steps=2) | on_latents
    assert run("denoiser", second, tmp_path) == 0
    assert Forecaster.from_pretrained(tmp_path / "second").history_frames == 3
    then = {"start_from": str(tmp_path / "second"), "history": {"frames": 3, "last_motion": True}}
    third = denoiser_config(past, tmp_path / "third", barely_trained_vae, steps=4) | on_latents | then
    assert run("denoiser", third, tmp_path) == 0
    forecaster = Forecaster.from_pretrained(tmp_path / "third")
    image = np.zeros((128, 128, 3), np.uint8)
    still = {"side": np.zeros((3, 128, 128, 3), np.uint8)}  # in which nothing is found, and nothing moves
    told = forecaster.predict({"side": image}, "left", k=1, history=still)
    assert np.isfinite(told.tracks).all()
    without = denoiser_config(data, tmp_path / "fourth", barely_trained_vae, steps=2) | on_latents
    assert run("denoiser", without, tmp_path) == 2
