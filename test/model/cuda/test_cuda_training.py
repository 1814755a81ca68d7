"""Training on a GPU: steps of both stages under bfloat16 autocast, by torchrun, and a checkpoint for a CPU."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from stand_in import write_stand_in
from synthetic_shards import write_synthetic_data
from tiny_runs import denoiser_config, logged, run, state, vae_config, write_config

from trajforecast_model import Forecaster
from trajforecast_model.benchmarks.libero_models import libero_config
from trajforecast_model.benchmarks.training_programs import prepare_ours, prepare_recorded
from trajforecast_model.benchmarks.training_step import compare_training
from trajforecast_model.data.shards import DatasetInfo, ShardDataset
from trajforecast_model.tracks.history import History
from trajforecast_model.training.stages.vae import load_trained_vae

# A command line that says by which of PyTorch's classes gradients are shared, where, and through what.
ONE_RANK = """
import sys

import torch.distributed as dist

from trajforecast_model.cli import main
from trajforecast_model.training import gradients


class Told(gradients.DistributedDataParallel):
    def __init__(self, module, **settings):
        super().__init__(module, **settings)
        tell("ddp", next(module.parameters()).device)


def told_shard(root, world, compress):
    shard(root, world, compress)
    tell("fsdp", next(root.parameters()).to_local().device)


def tell(how, device):
    print(how, "on", device.type, "by", dist.group.WORLD._get_backend(device).name())


shard = gradients.shard
gradients.DistributedDataParallel, gradients.shard = Told, told_shard
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def vae_run(device, discs, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("vae") / "run"
    config = vae_config(discs, out, steps=8)
    config["optimisation"] |= dict(precision="bfloat16", batch_size=4)
    assert run("vae", config, out.parent) == 0
    return out


def small_denoiser(discs: Path, out: Path, vae: Path, steps: int) -> dict:
    config = denoiser_config(discs, out, vae / "checkpoint", steps, text_encoder=None)
    config["optimisation"] |= dict(precision="bfloat16", batch_size=4)
    return config


def test_the_vae_learns_under_autocast_and_its_weights_stay_float32(device, vae_run):
    losses = list(logged(vae_run).values())
    assert np.isfinite(losses).all() and np.mean(losses[-2:]) < np.mean(losses[:2])
    weights = state(vae_run)["model"].values()
    assert all(weight.dtype == torch.float32 for weight in weights)
    load_trained_vae(vae_run / "checkpoint")


def test_a_denoiser_trained_here_forecasts_on_a_cpu_and_goes_on_here(device, discs, vae_run, tmp_path):
    out = tmp_path / "run"
    assert run("denoiser", small_denoiser(discs, out, vae_run, steps=2), tmp_path) == 0
    assert run("denoiser", small_denoiser(discs, out, vae_run, steps=4), tmp_path) == 0
    losses = logged(out)
    assert list(losses) == [1, 2, 3, 4] and np.isfinite(list(losses.values())).all()
    pictures = {"side": np.zeros((128, 128, 3), np.uint8)}
    here, there = (
        Forecaster.from_pretrained(out / "checkpoint", place).predict(pictures, k=2) for place in (device, "cpu")
    )
    np.testing.assert_allclose(here.tracks, there.tracks, atol=0.1)


def test_a_past_is_trained_on_and_forecast_from(device, vae_run, tmp_path):
    info = write_synthetic_data(tmp_path / "data", info=DatasetInfo(labeler="exact", stride=1, history_frames=4))
    config = small_denoiser(tmp_path / "data", tmp_path / "run", vae_run, steps=2)
    config["history"] = dict(frames=4, last_motion=True, drift=0.003, swapped=0.5)
    assert run("denoiser", config, tmp_path) == 0
    assert np.isfinite(list(logged(tmp_path / "run").values())).all()
    window = ShardDataset(tmp_path / "data", "val", history=True)[0]
    past = {window.view: History(window.history_tracks[None], window.history_visibility[None])}
    here, there = (
        Forecaster.from_pretrained(tmp_path / "run" / "checkpoint", place).predict(
            {window.view: window.image}, k=2, history_tracks=past
        )
        for place in (device, "cpu")
    )
    assert here.tracks.shape[2:] == (info.num_frames, *info.grid, 2)
    np.testing.assert_allclose(here.tracks, there.tracks, atol=0.1)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_torchrun_trains_on_one_rank_through_its_backend(device, discs, tmp_path, parallel):
    """NCCL on a GPU, gloo on a CPU: the very calls that several ranks make."""
    script = tmp_path / "one_rank.py"
    script.write_text(ONE_RANK)
    config = vae_config(discs, tmp_path / "run", steps=2)
    config["optimisation"]["parallel"] = parallel
    path = write_config(config, tmp_path)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1", str(script)]
    command += ["train", "vae", "--config", str(path)]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{parallel} on {device} by {'nccl' if device == 'cuda' else 'gloo'}\n" in done.stdout
    load_trained_vae(tmp_path / "run" / "checkpoint")


@pytest.mark.parametrize(("precision", "bound"), [("float32", 1e-3), ("bfloat16", 0.02)])
def test_a_step_recorded_as_a_cuda_graph_trains_the_same(gpu, tmp_path, precision, bound):
    write_stand_in(tmp_path)
    config = libero_config("S", depth=2, grid=(16, 16))
    plain, recorded = (
        [step() for _ in range(4)]
        for step in (prepare(tmp_path, config, 2, gpu, precision) for prepare in (prepare_ours, prepare_recorded))
    )
    assert len({round(loss, 6) for loss in plain}) == 4  # each step has noise and weights of its own
    assert recorded == pytest.approx(plain, rel=bound)


def test_training_steps_are_timed_with_and_without_graphs(gpu, tmp_path):
    write_stand_in(tmp_path)
    report = compare_training(tmp_path, size="S", depth=1, batch=2, runs=3, grid=(16, 16), device=gpu)
    for name in ("official", "ours", "graphs"):
        assert 0 < report["seconds"][name]["p50"] <= report["seconds"][name]["p99"]
        assert report["memory_bytes"][name]["peak"] > report["memory_bytes"][name]["added_by_the_run"] > 0
    assert report["official_over_graphs"]["median"] > 0
    assert report["loss"]["graphs"] == pytest.approx(report["loss"]["ours"], rel=0.02)
