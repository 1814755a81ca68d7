import itertools
import json
from types import SimpleNamespace

import pytest
import torch
from fake_gpu import FakeGPU

from trajforecast_model.benchmarks import sizes
from trajforecast_model.benchmarks.cost import Cost, Machine, cost_of_forecast, data_sheet_machines
from trajforecast_model.benchmarks.libero_models import libero_config, request_for, untrained_forecaster
from trajforecast_model.cli import main


def test_one_command_makes_the_table(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sizes, "WARM_UP_RUNS", 0)
    out = tmp_path / "sizes.json"
    arguments = ["--sizes", "S", "--evaluations", "2,1", "--depth", "1", "-k", "1", "--views", "1", "--batch", "1"]
    on_cpu = ["--runs", "1", "--device", "cpu", "--dtype", "float32"]
    assert main(["bench", "sizes", *arguments, *on_cpu, "--out", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [(row["size"], row["evaluations"]) for row in rows] == [("S", 2), ("S", 1)]
    for row in rows:
        assert 0 < row["p50"] <= row["p99"] and row["forecasts_per_second"] > 0
        assert row["peak_memory_bytes"] > 50e6  # PyTorch alone needs more
    assert rows[0]["floor_here"] > rows[1]["floor_here"] > rows[1]["floor_h200"] > 0
    assert "| S | 2 |" in capsys.readouterr().out


def test_figures_are_those_of_the_forecasts_alone(monkeypatch):
    """On a fake GPU and a fake clock: a forecast takes 0.1 to 0.5 s in turn and a megabyte, four together 0.8 s and four."""
    gpu, clock = FakeGPU(monkeypatch), SimpleNamespace(now=0.0)
    alone = itertools.cycle([0.3, 0.1, 0.5, 0.2, 0.4])

    def fake_forecast(forecaster, request, steps):
        images = len(request.noise)
        gpu.use(images * 10**6)
        clock.now += next(alone) if images == 1 else 0.8

    def fake_machine(device, dtype):
        gpu.use(2 * 2**30)
        return Machine("fake", 1e12, 1e12)

    forecaster = SimpleNamespace(device=torch.device("cuda"), dtype=torch.bfloat16)
    for name, fake in {
        "forecast": fake_forecast,
        "this_machine": fake_machine,
        "untrained_forecaster": lambda *_: forecaster,
        "cost_of_forecast": lambda *_: Cost(0, 1, 0, 1, 0),
        "time": SimpleNamespace(perf_counter=lambda: clock.now),
    }.items():
        monkeypatch.setattr(sizes, name, fake)
    rows = sizes.time_sizes(["S", "S"], [2, 1], views=1, k=1, runs=5, batch=4, depth=1)["rows"]
    assert len(rows) == 4
    for row in rows:
        assert row["p50"] == pytest.approx(0.3)
        assert row["p99"] == pytest.approx(0.496)
        assert row["forecasts_per_second"] == pytest.approx(4 / 0.8)
        assert row["peak_memory_bytes"] == 10**6


def test_compiled_networks_are_timed_and_cost_the_same(tmp_path, monkeypatch):
    config = libero_config("S", depth=1)
    cost = cost_of_forecast(untrained_forecaster(config, "cpu", "float32"), request_for(config, views=1, k=1))
    torch_compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **how: torch_compile(function, **how | {"backend": "eager"}))
    monkeypatch.setattr(sizes, "this_machine", lambda *_: Machine("fake", 1e12, 1e12))
    monkeypatch.setattr(sizes, "WARM_UP_RUNS", 0)
    out = tmp_path / "compiled.json"
    arguments = ["--sizes", "S", "--evaluations", "1", "--depth", "1", "-k", "1", "--views", "1", "--batch", "1"]
    options = ["--runs", "1", "--device", "cpu", "--dtype", "float32", "--compile", "--out", str(out)]
    assert main(["bench", "sizes", *arguments, *options]) == 0
    report = json.loads(out.read_text())
    assert report["compiled"] == "default"
    assert report["rows"][0]["floor_h200"] == data_sheet_machines()[0].floor(cost, steps=1)


def test_unknown_modes_of_the_compiler_are_refused(capsys, monkeypatch):
    monkeypatch.setattr(sizes, "untrained_forecaster", lambda *_: pytest.fail("was made"))
    assert main(["bench", "sizes", "--sizes", "S", "--depth", "1", "--compile", "fast", "--device", "cpu"]) == 2
    assert "mode 'fast', expected one of default, reduce-overhead" in capsys.readouterr().err


def test_unknown_sizes_are_refused_before_the_others_are_timed(capsys, monkeypatch):
    monkeypatch.setattr(sizes, "untrained_forecaster", lambda *_: pytest.fail("was made"))
    assert main(["bench", "sizes", "--sizes", "S,XL", "--device", "cpu"]) == 2
    assert "'XL'" in capsys.readouterr().err
