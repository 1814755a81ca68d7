"""Our networks reproduce the official ones' outputs under formula weights, through the converter's own path."""

import shutil
from collections.abc import Iterator

import pytest
import torch
from goldens import TOLERANCE, denoiser_errors, sampling_errors, vae_errors, write_golden_checkpoint

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
