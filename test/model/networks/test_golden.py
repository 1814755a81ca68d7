"""Our networks reproduce the official ones' outputs under formula weights, through the converter's own path."""

import json
import shutil
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from golden_inputs import normal, relative_error
from goldens import DATA, TOLERANCE, denoiser_errors, sampling_errors, vae_errors, write_golden_checkpoint

from trajforecast_model.benchmarks.formula_weights import formula_weights
from trajforecast_model.conversion.whn import convert_whn
from trajforecast_model.forecaster import Forecaster

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def forecaster(tmp_path_factory) -> Iterator[Forecaster]:
    folder = tmp_path_factory.mktemp("whn")
    yield Forecaster.from_pretrained(write_golden_checkpoint(folder))
    shutil.rmtree(folder)  # 0.8 GB


@pytest.mark.parametrize("errors", [denoiser_errors, vae_errors, sampling_errors])
def test_outputs_are_the_official_ones(forecaster, errors):
    with torch.inference_mode():
        assert max(errors(forecaster).values()) < TOLERANCE


def test_denoiser_of_tracks(tmp_path):
    """Physion's, from a file as it is published."""
    shapes = json.loads((DATA / "whn_raw_physion.keys.json").read_text())
    weights = {f"module._orig_mod.{key}": value for key, value in formula_weights(shapes).items()}
    torch.save({"model_state_dict": weights, "optimizer_state_dict": {}, "epoch": 42}, tmp_path / "ckpt_epoch=42.pth")
    convert_whn(tmp_path / "ckpt_epoch=42.pth", None, tmp_path / "checkpoint", release="physion")
    golden = np.load(DATA / "whn_raw_physion.npz")
    denoiser = Forecaster.from_pretrained(tmp_path / "checkpoint").denoiser
    y = denoiser(normal(700, [1, 30, 2, 32, 32]), torch.tensor([0.37]), normal(701, [1, 324, 1024]))
    assert relative_error(y, golden["y"]) < TOLERANCE
    shutil.rmtree(tmp_path)  # 0.4 GB
