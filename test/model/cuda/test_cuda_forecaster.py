"""Forecasts on a GPU: those of the CPU, by seed, compiled and as graphs, several models at once, and memory."""

import gc

import numpy as np
import pytest
import torch

from trajforecast_model import Forecaster
from trajforecast_model.cli import main

K, STEPS = 2, 3


def images() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {view: generator.integers(0, 256, (128, 128, 3), dtype=np.uint8) for view in ("side", "effector")}


def tracks(forecaster: Forecaster, seed: int = 0, k: int = K, solver: str = "euler") -> np.ndarray:
    return forecaster.predict(images(), k=k, steps=STEPS, seed=seed, solver=solver).tracks


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """Mean distance as a share of the mean motion of b."""
    return float(np.abs(a - b).mean() / np.abs(b - b[:, :, :1]).mean())


@pytest.fixture(scope="module")
def on_the_cpu(checkpoint) -> np.ndarray:
    return tracks(Forecaster.from_pretrained(checkpoint))


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 0.01), ("bfloat16", 0.1)])
def test_a_forecast_is_that_of_the_cpu(device, checkpoint, on_the_cpu, dtype, bound):
    assert difference(tracks(Forecaster.from_pretrained(checkpoint, device, dtype)), on_the_cpu) < bound


def test_seeds_decide(device, checkpoint):
    forecaster = Forecaster.from_pretrained(checkpoint, device)
    first = tracks(forecaster, seed=1)
    assert difference(tracks(forecaster, seed=1), first) < 1e-4
    assert difference(tracks(forecaster, seed=1, k=1), first[:, :1]) < 0.01
    assert difference(tracks(forecaster, seed=2), first) > 0.01


def test_two_forecasters_on_one_device_do_not_mix(device, checkpoint):
    alone = tracks(Forecaster.from_pretrained(checkpoint, device))
    one, other = (Forecaster.from_pretrained(checkpoint, device, dtype) for dtype in ("float32", "bfloat16"))
    for _ in range(2):
        assert difference(tracks(one), alone) < 1e-4
        assert difference(tracks(other), alone) < 0.1


def test_compiled_networks_forecast_the_same(device, checkpoint, on_the_cpu):
    forecaster = Forecaster.from_pretrained(checkpoint, device)
    forecaster.compile(backend="inductor" if device == "cuda" else "eager")
    assert difference(tracks(forecaster), on_the_cpu) < 0.01


@pytest.mark.parametrize("mode", ["graphs", "reduce-overhead"])
def test_networks_replayed_as_cuda_graphs_forecast_the_same(gpu, checkpoint, on_the_cpu, mode):
    forecaster = Forecaster.from_pretrained(checkpoint, gpu)
    expected = tracks(forecaster, seed=3, solver="ab2")  # its steps need the last velocity, too
    forecaster.compile(mode)
    for _ in range(3):  # recorded, and replayed
        assert difference(tracks(forecaster), on_the_cpu) < 0.01
        assert difference(tracks(forecaster, seed=3, solver="ab2"), expected) < 0.01


def test_memory_is_given_back(gpu, checkpoint):
    held = []
    for _ in range(3):
        forecaster = Forecaster.from_pretrained(checkpoint, gpu)
        tracks(forecaster)
        forecaster.release()
        del forecaster
        gc.collect()
        held.append(torch.cuda.memory_allocated())
    assert abs(held[2] - held[1]) < 2**20  # the first left what libraries keep: cuBLAS, 32 MB


def test_running_out_of_memory_is_told_in_one_line(gpu, checkpoint, capsys):
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 64 * 2**20) / total)
    try:
        arguments = ["--checkpoint", str(checkpoint), "--device", gpu, "-k", "256", "--views", "2", "--runs", "1"]
        assert main(["bench", *arguments]) == 2
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("trajforecast bench: error: out of memory (") and "-k" in error
