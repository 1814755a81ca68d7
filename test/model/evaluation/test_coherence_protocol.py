"""`evaluate --protocol coherence`: the pairs, the seeds of their forecasts, the report."""

import json
from dataclasses import replace

import numpy as np
import pytest
from synthetic_shards import window

from trajforecast_model.cli import main
from trajforecast_model.data.shards import DatasetInfo, ShardDataset, write_info, write_shard
from trajforecast_model.evaluation.metrics.coherence import temporal_coherence
from trajforecast_model.evaluation.windows import stable_number
from trajforecast_model.forecaster import Forecaster
from trajforecast_model.tracks.motion import moving_points

STRIDE = 4


def write_demos(folder, stride: int = STRIDE, starts=(0, STRIDE, 2 * STRIDE), moving: bool = True):
    """Two demos of three consecutive windows and one after a gap."""
    info = DatasetInfo(labeler="exact", stride=stride)
    rng = np.random.default_rng(0)
    write_info(folder, info)
    for demo in range(2):
        windows = []
        for start in (*starts, starts[-1] + 3 * stride):
            for view in info.views:
                one = replace(window(rng, demo, view, info), start=start)
                windows.append(one if moving else replace(one, tracks=np.repeat(one.tracks[:1], info.num_frames, 0)))
        write_shard(folder / "val" / f"discs__demo_{demo:04d}.arrow", windows, info)
    return folder


def evaluate(checkpoint, data, out, *options) -> int:
    arguments = ["evaluate", "--protocol", "coherence", "--checkpoint", checkpoint, "--data", data, "--out", out]
    return main([*map(str, arguments), *map(str, options)])


def test_the_same_and_other_noise_are_measured_beside_the_truth(tiny_checkpoint, tmp_path, capsys):
    data = write_demos(tmp_path / "data")
    out, table = tmp_path / "r.json", tmp_path / "r.md"
    assert evaluate(tiny_checkpoint, data, out, "-k", 2, "--steps", 2, "--table", table) == 0
    report = json.loads(out.read_text())
    assert report["convention"]["seconds_between"] == pytest.approx(0.2) and report["convention"]["solver_steps"] == 2
    dataset, forecaster = ShardDataset(data, "val"), Forecaster.from_pretrained(tiny_checkpoint)
    expected: dict[str, list] = {"truth": [], "same_noise": [], "fresh_noise": []}
    side = {(w.demo, w.start): w for w in (dataset[i] for i in range(len(dataset))) if w.view == "side"}
    for (demo, start), one in side.items():
        other = side.get((demo, start + STRIDE))
        if other is None:
            continue
        moving = np.flatnonzero(moving_points(one.tracks))
        seed, new = stable_number(one, 0), stable_number(other, 0)
        first, same, fresh = (
            forecaster.predict_batch(w.image[None], [w.instruction], 2, 2, [s])[0]
            for w, s in ((one, seed), (other, seed), (other, new))
        )
        expected["truth"].append(temporal_coherence(one.tracks, other.tracks, moving, STRIDE, (128, 128)))
        for row, later in (("same_noise", same), ("fresh_noise", fresh)):
            apart = [temporal_coherence(a, b, moving, STRIDE, (128, 128)) for a, b in zip(first, later, strict=True)]
            expected[row].append(np.mean(apart))
    of_side = report["views"]["side"]
    assert of_side["n_pairs"] == 4 and len(expected["truth"]) == 4  # none over the gap
    for row, values in expected.items():
        assert of_side[row]["coherence"] == pytest.approx(np.mean(values), rel=1e-3)
    assert set(of_side["same_noise"]) == {"coherence", "mean_t", "min", "variance"}
    assert "| the same noise |" in table.read_text() and "the same noise" in capsys.readouterr().out


def test_a_number_of_pairs_is_of_each_view(tiny_checkpoint, tmp_path):
    out = tmp_path / "r.json"
    assert evaluate(tiny_checkpoint, write_demos(tmp_path / "data"), out, "-k", 1, "--max-windows", 1) == 0
    assert {view: row["n_pairs"] for view, row in json.loads(out.read_text())["views"].items()} == {
        "side": 1, "effector": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("of_data", "options", "message"),
    [
        ({"stride": 15, "starts": (0, 15)}, (), "prepare with a --stride of at most 14"),
        ({"moving": False}, (), "nothing moves in two consecutive windows"),
        ({}, ("-k", 0), "k: got 0"),
        ({}, ("--max-windows", 0), "max-windows: got 0"),
        ({}, ("--history", 0), "--history: the coherence protocol"),
        ({}, ("--plots", "p"), "--plots: the coherence protocol"),
    ],
)
def test_what_cannot_be_measured_is_refused(of_data, options, message, tiny_checkpoint, tmp_path, capsys):
    data = write_demos(tmp_path / "data", **of_data)
    assert evaluate(tiny_checkpoint, data, tmp_path / "r.json", *options) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("trajforecast evaluate: error: ") and message in error
    assert not (tmp_path / "r.json").exists()
