"""`bench training`, with a stand-in for the official networks."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from on_device_alone import OnDeviceAlone
from stand_in import write_stand_in
from synthetic_shards import write_synthetic_data

from trajforecast_model.benchmarks import cost, training_step
from trajforecast_model.benchmarks.libero_models import libero_config, request_for, untrained_forecaster
from trajforecast_model.benchmarks.training_programs import (
    cost_of_training_step,
    noise_shapes,
    training_loss,
)
from trajforecast_model.checkpoint import ForecastConfig
from trajforecast_model.cli import main
from trajforecast_model.networks.denoiser import Denoiser
from trajforecast_model.networks.track_vae import TrackVAE


def test_both_steps_and_the_loader_are_timed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(training_step, "LOADER_BATCHES", 2)
    write_stand_in(tmp_path)
    write_synthetic_data(tmp_path / "data", train=2, val=1)
    out = tmp_path / "report.json"
    arguments = ["--size", "S", "--depth", "1", "--batch", "1", "--runs", "1", "--data", str(tmp_path / "data")]
    arguments += ["--dtype", "float32"]  # many CPUs have no bfloat16
    assert main(["bench", "training", str(tmp_path), *arguments, "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    assert (report["size"], report["depth"], report["batch"], report["runs"]) == ("S", 1, 1, 1)
    ratio, rates = report["official_over_ours"], report["samples_per_second"]
    assert 0 < ratio["min"] <= ratio["median"] <= ratio["max"]
    assert all(rates[name]["min"] > 0 for name in ("official", "ours"))
    assert all(report["memory_bytes"][name]["peak"] > 50e6 for name in ("official", "ours"))  # PyTorch alone needs more
    assert all(0 < report["seconds"][name]["p50"] <= report["seconds"][name]["p99"] for name in ("official", "ours"))
    assert 0 < report["floor"]["machines"][0]["seconds"] < report["seconds"]["ours"]["p50"]
    assert 1 < report["loss"]["ours"] < 20
    loader = report["loader"]
    assert loader["over_our_step"] == loader["samples_per_second"] / rates["ours"]["median"]
    printed = capsys.readouterr().out
    assert "official / ours" in printed and "loader alone" in printed and "one training step is" in printed

    figures = [report[figure]["graphs"] for figure in ("seconds", "samples_per_second", "memory_bytes", "loss")]
    assert [*figures, report["official_over_graphs"]] == [None] * 5
    assert "| ours, CUDA graphs | | |" in printed and printed.count("CUDA graphs need a GPU") == 1


def test_percentiles_are_of_the_steps_that_count(tmp_path, monkeypatch):
    seconds = [float(second) for second in range(1, 101)]
    timed = {"official": [2 * second for second in seconds], "ours": seconds}
    monkeypatch.setattr(
        training_step, "interleaved", lambda programs, runs: ([p() for p in programs.values()], (timed, timed))[1]
    )
    monkeypatch.setattr(training_step, "peak_memory_of", lambda *_, device: {"peak": 2_500_000_000})
    monkeypatch.setattr(cost, "this_machine", lambda *_: cost.Machine("here", 1e9, 1e30))
    monkeypatch.setattr(training_step, "PROGRAMS", {name: lambda *_: lambda: 1.5 for name in training_step.PROGRAMS})
    report = training_step.compare_training(tmp_path, size="S", depth=1, grid=(16, 16), batch=4, runs=100)
    assert report["seconds"]["ours"] == {"p50": 50.5, "p99": np.percentile(seconds, 99)}
    assert report["official_over_ours"]["median"] == 2
    floor = 1e3 * report["floor"]["flops"] / 1e9
    assert f"| ours | 50500.0 | 99010.0 | {floor:.1f} |" in "\n".join(training_step._table(report))


@pytest.fixture(scope="module")
def config():
    return libero_config("S", depth=2, grid=(16, 16))


def networks(config: ForecastConfig) -> tuple[Denoiser, TrackVAE]:
    with torch.device("meta"):
        return Denoiser(config.denoiser), TrackVAE(config.vae)


def test_forward_and_backward_stay_on_the_device(config):
    meta = torch.device("meta")
    denoiser, vae = networks(config)
    loss = training_loss(denoiser, vae.to(meta).requires_grad_(False), 2, meta, config)
    normals = [torch.empty(2, *shape, device=meta) for shape in noise_shapes(config)]
    loss(*normals).backward()  # what is brought once is brought by a warm-up
    with OnDeviceAlone():
        loss(*normals).backward()


def test_what_is_trained_costs_three_forwards_and_its_weights_are_met_twelve_times(config):
    deeper = replace(config, denoiser=replace(config.denoiser, depth=4))
    (flops, traffic), (more, _) = (cost_of_training_step(c, batch=4) for c in (config, deeper))
    before, after = (
        cost.cost_of_forecast(untrained_forecaster(c, "cpu", "float32"), request_for(c, 4, 1)) for c in (config, deeper)
    )
    of_two_blocks = after.step_flops - before.step_flops + after.encode_flops - before.encode_flops
    assert more - flops == pytest.approx(3 * of_two_blocks, rel=0.02)
    trained, frozen = (sum(p.numel() for p in network.parameters()) for network in networks(config))
    assert traffic == 48 * trained + 4 * frozen
