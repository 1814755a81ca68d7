import json
from types import SimpleNamespace

import pytest
import torch
from fake_gpu import FakeGPU

from trajforecast_model.benchmarks import forecast_time
from trajforecast_model.benchmarks.cost import Machine
from trajforecast_model.cli import main


def test_reports_time_memory_and_floor(tiny_checkpoint, tmp_path, capsys):
    out = tmp_path / "bench.json"
    arguments = ["bench", "--checkpoint", str(tiny_checkpoint), "-k", "2", "--steps", "3", "--runs", "3"]
    assert main([*arguments, "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    assert (report["k"], report["solver_steps"], report["views"], report["runs"]) == (2, 3, 2, 3)
    assert 0 < report["seconds"]["p50"] <= report["seconds"]["p99"]
    assert report["peak_process_memory_bytes"] > 50e6  # PyTorch alone needs more
    here, *data_sheets = report["floor"]["machines"]
    assert report["floor"]["flops"] > 0 and here["seconds"] > max(machine["seconds"] for machine in data_sheets) > 0
    printed = capsys.readouterr().out
    assert "median" in printed and "at least" in printed


def test_memory_on_a_gpu_is_that_of_a_forecast(monkeypatch):
    """On a fake GPU: of a megabyte, where measuring the machine takes two gigabytes afterwards."""
    gpu = FakeGPU(monkeypatch)
    config = SimpleNamespace(views=("side",), image_size=(8, 8), steps=1)
    forecaster = SimpleNamespace(
        config=config, device=torch.device("cuda"), model_id="fake", predict=lambda *_, **__: gpu.use(10**6)
    )

    def fake_floors(*_):
        gpu.use(2 * 2**30)
        return {"flops": 1, "bytes": 1, "machines": [vars(Machine("fake", 1e12, 1e12)) | {"seconds": 1.0}]}

    monkeypatch.setattr(forecast_time.Forecaster, "from_pretrained", lambda *_, **__: forecaster)
    monkeypatch.setattr(forecast_time, "floors", fake_floors)
    monkeypatch.setattr(forecast_time, "request_for", lambda *_: None)
    report = forecast_time.bench("anything", k=1, num_views=1, runs=1, device="cuda")
    assert report["peak_gpu_memory_bytes"] == 10**6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--runs", "0"], "runs: got 0"), (["--views", "3"], "views: got 3"), (["-k", "0"], "k: got 0")],
)
def test_bad_numbers_are_refused(tiny_checkpoint, capsys, arguments, message):
    assert main(["bench", "--checkpoint", str(tiny_checkpoint), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_nothing_to_time_is_refused(capsys):
    assert main(["bench"]) == 2
    assert "--checkpoint" in capsys.readouterr().err
