"""`trajforecast temperature`: found where coverage is what is wanted, stored in a copy, and taken by every forecast."""

import json

import numpy as np
import pytest
from synthetic_shards import write_synthetic_data

from trajforecast_model import Forecaster
from trajforecast_model.checkpoint import load_config
from trajforecast_model.cli import main
from trajforecast_model.evaluation.temperature import LEAST, MOST, Trial, search


def trial(coverage_at):
    return lambda temperature: Trial(temperature, coverage_at(temperature), 0.78, {})


@pytest.mark.parametrize("needed", [0.7, 1.0, 1.37, 2.5])
def test_it_is_found_within_the_range(needed):
    found = search(trial(lambda temperature: float(np.clip(0.78 + 0.2 * np.log(temperature / needed), 0, 1))))
    assert found == pytest.approx(needed, rel=0.03)


def test_what_cannot_be_reached_ends_at_the_nearer_end():
    assert search(trial(lambda _: 0.3)) == pytest.approx(MOST, rel=0.02)
    assert search(trial(lambda _: 0.99)) == pytest.approx(LEAST, rel=0.02)


def test_samples_differ_in_proportion_to_it(tiny_checkpoint):
    image = {"side": np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)}
    forecaster = Forecaster.from_pretrained(tiny_checkpoint)
    spreads = []
    for forecaster.temperature in (0.5, 1.0, 2.0):
        spreads.append(forecaster.predict(image, "push", k=4).tracks.std(axis=1).mean())
    assert spreads[0] < spreads[1] < spreads[2]


def test_the_copy_has_it_and_forecasts_with_it(tiny_checkpoint, tmp_path, capsys):
    data = tmp_path / "data"
    write_synthetic_data(data, train=1, val=1)
    arguments = [
        "temperature",
        "--checkpoint",
        str(tiny_checkpoint),
        "--data",
        str(data),
        "--max-windows",
        "1",
        "-k",
        "2",
    ]
    assert main([*arguments, "--out", str(tmp_path / "copy")]) == 0
    assert "temperature 1.000: truth between the samples" in capsys.readouterr().out
    config = load_config(tmp_path / "copy")
    assert LEAST <= config.temperature <= MOST
    assert Forecaster.from_pretrained(tmp_path / "copy").temperature == config.temperature
    names = {file.name for file in tiny_checkpoint.iterdir()}
    assert {file.name for file in (tmp_path / "copy").iterdir()} == names
    for name in names - {"config.json"}:
        assert (tmp_path / "copy" / name).read_bytes() == (tiny_checkpoint / name).read_bytes()

    assert main([*arguments, "--out", str(tmp_path / "copy")]) == 2
    assert main([*arguments[:-1], "1", "--out", str(tmp_path / "other")]) == 2
    assert "two or more samples" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_a_temperature_out_of_range_is_refused(tiny_checkpoint, tmp_path):
    config = json.loads((tiny_checkpoint / "config.json").read_text()) | {"temperature": 0.0}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"temperature: got 0\.0"):
        load_config(tmp_path)
