"""Training on small synthetic shards: it learns, resumes bit for bit after a kill, and refuses what it cannot do."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from synthetic_shards import write_synthetic_data

from trajforecast_model import Forecaster
from trajforecast_model.cli import main
from trajforecast_model.config import load
from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.training.batches import EndlessBatchSampler, spread_evenly
from trajforecast_model.training.configs import DenoiserTrainConfig, OptimisationConfig, VAETrainConfig
from trajforecast_model.training.loop import STATE_FILE
from trajforecast_model.training.schedule import learning_rate_factor

CONFIGS = Path(__file__).parents[3] / "config" / "train"
QUIET = dict(log_every=1, checkpoint_every=4, validate_every=1000, validation_windows=4, validation_samples=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("discs")
    write_synthetic_data(folder)
    return folder


def vae_config(data: Path, out: Path, steps: int = 8, **changes) -> dict:
    return {
        "out": str(out),
        "data": {"folder": str(data), "workers": 0},
        "vae": dict(
            patch_size=16,
            temporal_stride=15,
            dim=64,
            depth=2,
            heads=1,
            latent_channels=8,
            image_conditioned=False,
            fourier_features=False,
            offset_scale=8.0,
        ),
        "optimisation": dict(steps=steps, batch_size=8, learning_rate=2e-3, warmup_steps=4, precision="float32"),
        "logging": QUIET,
        "moving_weight": 8.0,
    } | changes


def denoiser_config(data: Path, out: Path, vae: Path | None, steps: int = 8, **changes) -> dict:
    return {
        "out": str(out),
        "vae": None if vae is None else str(vae),
        "data": {"folder": str(data), "workers": 0},
        "denoiser": dict(dim=64, depth=2, heads=1, patch_size=1 if vae else 16, aligned_image=True),
        "image_encoder": dict(kind="patch", source=None, patch_size=16, dim=64, depth=1, heads=1),
        "text_encoder": dict(source="minilm", pooling="mean", dim=384),
        "optimisation": dict(steps=steps, batch_size=8, learning_rate=2e-3, warmup_steps=4, precision="float32"),
        "logging": QUIET,
        "draws_per_window": 2,
        "sampling_steps": 3,
    } | changes


def run(stage: str, config: dict, folder: Path) -> int:
    path = folder / f"{stage}.yaml"
    path.write_text(yaml.safe_dump(config))
    return main(["train", stage, "--config", str(path)])


def state(out: Path) -> dict:
    return torch.load(out / STATE_FILE, weights_only=True)


def same_state(a: dict, b: dict) -> bool:
    return a["step"] == b["step"] and all(
        torch.equal(a[part][name], b[part][name]) for part in ("model", "average") for name in a[part]
    )


@pytest.fixture(scope="module")
def trained_vae(data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("vae")
    assert run("vae", vae_config(data, folder / "run", steps=60), folder) == 0
    return folder / "run"


def test_vae_then_denoiser_gives_a_checkpoint_that_forecasts(data, trained_vae, tmp_path, capsys):
    assert run("denoiser", denoiser_config(data, tmp_path / "run", trained_vae / "checkpoint"), tmp_path) == 0
    forecaster = Forecaster.from_pretrained(tmp_path / "run" / "checkpoint")
    windows = ShardDataset(data, "val")
    forecast = forecaster.predict({"side": windows[0].image}, windows[0].instruction, k=2)
    assert forecast.tracks.shape == (1, 2, 16, 64, 64, 2)
    assert all(value != 1.0 for value in forecaster.config.latent_std)
    assert list((tmp_path / "run" / "tensorboard").iterdir())


def test_without_a_vae_the_denoiser_works_on_tracks(data, tmp_path):
    assert run("denoiser", denoiser_config(data, tmp_path / "run", None, steps=2), tmp_path) == 0
    forecaster = Forecaster.from_pretrained(tmp_path / "run" / "checkpoint")
    assert forecaster.vae is None and forecaster.config.denoiser.track_encoding


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


def test_fine_tuning_starts_from_the_weights_of_a_checkpoint(data, trained_vae, tmp_path, capsys):
    assert run("denoiser", denoiser_config(data, tmp_path / "first", trained_vae / "checkpoint"), tmp_path) == 0
    start = tmp_path / "first" / "checkpoint"
    still = denoiser_config(data, tmp_path / "second", None, steps=1, start_from=str(start))
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
    from trajforecast_model.training.vae_stage import VAEStage, load_trained_vae

    stage = VAEStage(load(VAETrainConfig, tmp_path / "vae.yaml"))
    _, model = load_trained_vae(tmp_path / "run" / "checkpoint")
    figures = stage.validate(model)
    assert figures["moving_points_px2"] < 0.25 * figures["nothing_moves_px2"]


@pytest.mark.parametrize("stage", ["vae", "denoiser"])
def test_a_run_in_two_parts_equals_one_in_a_go(stage, data, trained_vae, tmp_path):
    def config(out: str) -> dict:
        if stage == "vae":
            return vae_config(data, tmp_path / out)
        return denoiser_config(data, tmp_path / out, trained_vae / "checkpoint")

    assert run(stage, config("whole"), tmp_path) == 0
    # A process that is killed for good right after its first checkpoint, in the middle of the run.
    script = (
        "import os, signal, sys\n"
        "from trajforecast_model.training import loop\n"
        "save = loop._save\n"
        "def save_and_die(*arguments):\n"
        "    save(*arguments)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "loop._save = save_and_die\n"
        "from trajforecast_model.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    path = tmp_path / "killed.yaml"
    path.write_text(yaml.safe_dump(config("parts")))
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    killed = subprocess.run(
        [sys.executable, "-c", script, "train", stage, "--config", str(path)], env=environment, capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL
    assert state(tmp_path / "parts")["step"] == 4
    assert run(stage, config("parts"), tmp_path) == 0
    assert same_state(state(tmp_path / "parts"), state(tmp_path / "whole"))


def test_a_kill_while_the_state_is_written_leaves_the_last_one(data, tmp_path, monkeypatch):
    assert run("vae", vae_config(data, tmp_path / "run", steps=4), tmp_path) == 0
    before = (tmp_path / "run" / STATE_FILE).read_bytes()

    def full_disk(content, path):
        Path(path).write_bytes(before[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    config = vae_config(data, tmp_path / "run", steps=4)
    config["logging"] = QUIET | {"checkpoint_every": 1}
    from trajforecast_model.training.loop import _save

    class Empty:
        def state_dict(self):
            return {}

    average = type("Average", (), {"model": Empty()})
    with pytest.raises(OSError, match="No space left"):
        _save(tmp_path / "run" / STATE_FILE, "f", 5, Empty(), average, Empty())
    assert (tmp_path / "run" / STATE_FILE).read_bytes() == before
    assert not list((tmp_path / "run").glob(".*.tmp"))


def test_what_cannot_be_trained_ends_with_code_2_and_a_reason(data, tmp_path, capsys):
    def refused(stage: str, config: dict, message: str) -> None:
        assert run(stage, config, tmp_path) == 2
        assert message in capsys.readouterr().err

    good = vae_config(data, tmp_path / "run", steps=2)
    refused("vae", good | {"moving_wait": 2.0}, "did you mean 'moving_weight'")
    refused("vae", good | {"moving_weight": "much"}, "expected float")
    refused("vae", good | {"data": {"folder": str(tmp_path / "nowhere")}}, "dataset.json")
    refused("vae", good | {"optimisation": good["optimisation"] | {"batch_size": 1000}}, "fewer than one batch")
    refused("vae", good | {"vae": good["vae"] | {"patch_size": 10}}, "not a multiple of patch_size")
    refused("denoiser", denoiser_config(data, tmp_path / "d", tmp_path / "no_vae"), "vae.json")
    assert main(["train", "vae", "--config", str(tmp_path / "missing.yaml")]) == 2

    assert run("vae", good, tmp_path) == 0
    capsys.readouterr()
    refused("vae", good | {"moving_weight": 2.0}, "run of another config")


def test_every_shipped_config_is_readable():
    paths = sorted(CONFIGS.glob("*.yaml"))
    assert paths
    for path in paths:
        load(VAETrainConfig if "vae" in path.stem.split("_") else DenoiserTrainConfig, path)


def test_batches_are_a_permutation_each_epoch_and_resume_in_place():
    batches = iter(EndlessBatchSampler(10, 3, seed=1))
    first = [next(batches) for _ in range(9)]
    for epoch in range(3):
        seen = [index for batch in first[3 * epoch : 3 * epoch + 3] for index in batch]
        assert len(set(seen)) == 9
    assert first[:3] != first[3:6]
    resumed = iter(EndlessBatchSampler(10, 3, seed=1, start=5))
    assert [next(resumed) for _ in range(4)] == first[5:]


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
