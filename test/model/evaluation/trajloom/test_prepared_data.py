"""`evaluate --protocol trajloom` of checkpoints and of forecasts without a network, on prepared data."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_shards import window, write_synthetic_data
from tiny_model import write_tiny_checkpoint

from trajforecast_model.cli import main
from trajforecast_model.data.shards import DatasetInfo, ShardDataset, write_shard
from trajforecast_model.evaluation.metrics import div_curl_energy, flow_tv, fvmd, vepe
from trajforecast_model.evaluation.trajloom.benchmark import evaluate_checkpoint
from trajforecast_model.evaluation.trajloom.reconstruction import reconstructed
from trajforecast_model.forecaster import Forecaster

INFO = DatasetInfo(labeler="exact", stride=1, views=("side",), history_frames=3)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Three demos, and one more whose window runs over its end."""
    folder = tmp_path_factory.mktemp("data")
    write_synthetic_data(folder, train=0, val=3, info=INFO)
    windows = [window(np.random.default_rng(3), 3, view, INFO) for view in INFO.views]
    cut = [replace(one, num_real_frames=9) for one in windows]
    write_shard(folder / "val" / "discs__demo_0003.arrow", cut, INFO)
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("without_text") / "tiny"
    write_tiny_checkpoint(folder, text=False)
    return folder


@pytest.fixture(scope="module")
def report(checkpoint, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "r.json"
    command = ["evaluate", "--protocol", "trajloom", "--checkpoint", str(checkpoint), "--data", str(data)]
    assert main([*command, "--steps", "1", "--out", str(out), "--table", str(out.with_suffix(".md"))]) == 0
    return json.loads(out.read_text()), out.with_suffix(".md").read_text()


def test_every_row_is_there_and_the_papers_tables_below(report, checkpoint):
    values, table = report
    for part in values["views"].values():
        assert part["n_clips"] == 3  # the whole ones
        assert list(part["rows"]) == [
            "true tracks",
            checkpoint.name,
            "the true tracks through its VAE",
            "nothing moves",
            "constant velocity",
            "constant velocity decaying by 0.93 a step",
            "last motion repeated",
        ]
        # The discs move steadily.
        still, steady = (part["rows"][name]["visible"] for name in ("nothing moves", "constant velocity"))
        assert (
            still["flow_tv"]
            == 0
            < steady["flow_tv"]
            == pytest.approx(part["rows"]["true tracks"]["visible"]["flow_tv"])
        )
        assert steady["vepe"] == pytest.approx(0, abs=1e-2) and still["vepe"] > 0.1
        assert abs(steady["fvmd"]["combined"]) < still["fvmd"]["combined"]
    assert "| constant velocity |" in table and "| table 1, WHN L | 8999 |" in table


def test_figures_are_those_of_the_metrics(report, data):
    values, _ = report
    windows = [w for w in ShardDataset(data, "val") if w.view == "side" and w.num_real_frames == 16]
    truth = np.stack([window.tracks for window in windows])
    visible = np.stack([window.visibility for window in windows])
    still = np.repeat(truth[:, :1], 16, axis=1)
    row = values["views"]["side"]["rows"]["nothing moves"]["visible"]
    assert row["fvmd_long"]["combined"] == pytest.approx(fvmd(still, truth, visible).combined, rel=1e-5)
    assert row["vepe"] == row["vepe_first_24"] == pytest.approx(vepe(still, truth, visible))
    row = values["views"]["side"]["rows"]["true tracks"]["visible"]
    for metric in (flow_tv, div_curl_energy):
        expected = np.mean([metric(tracks, 2.0, seen) for tracks, seen in zip(truth, visible, strict=True)])
        assert row[metric.__name__] == pytest.approx(expected)


def test_the_reconstruction_is_what_the_vae_makes_of_the_truth(checkpoint, data):
    forecaster = Forecaster.from_pretrained(checkpoint)
    windows = [ShardDataset(data, "val")[index] for index in range(2)]
    again = reconstructed(forecaster, windows)
    assert again.shape == (2, 16, 64, 64, 2) and np.isfinite(again).all()
    assert (again[0] != again[1]).any()  # of each window its own tracks


def test_an_extrapolation_by_its_name_and_a_limit_of_windows(data, tmp_path):
    report = evaluate_checkpoint("constant_velocity", data, tmp_path / "r.json", max_windows=2, history=0)
    rows = report["views"]["side"]["rows"]
    assert report["views"]["side"]["n_clips"] == 2
    assert rows["constant_velocity"] == rows["nothing moves"] != rows["constant velocity"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "checkpoint: none given"),
        (["--checkpoint", "nothing_moves", "--spacing", "2"], "prepared data tells it"),
        (["--checkpoint", "nothing_moves", "--plots", "x"], "draws no figures"),
        (["--checkpoint", "nothing_moves", "-k", "1", "8"], "one sample of each clip"),
        (["--checkpoint", "nothing_moves", "--history", "1"], "looks at no past"),
        (["--checkpoint", "constant_velocity", "--history", "4"], "history: got 4"),
        (["--checkpoint", "constant_velocity", "--max-windows", "0"], "max-windows: got 0"),
        (["--checkpoint", "constant_velocity", "--clip-frames", "2"], "clip-frames: got 2"),
        (["--checkpoint", "constant_velocity", "--split", "train"], "train"),
    ],
)
def test_errors_of_use(data, tmp_path, capsys, options, message):
    command = ["evaluate", "--protocol", "trajloom", "--data", str(data), "--out", str(tmp_path / "r.json")]
    assert main([*command, *options]) == 2
    assert message in capsys.readouterr().err
