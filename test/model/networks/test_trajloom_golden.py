"""TrajLoom's networks reproduce the official ones' outputs under formula weights, through the converter's own path."""

import shutil
from collections.abc import Iterator

import pytest
import torch
from trajloom_goldens import (
    generator_errors,
    sampling_errors,
    vae_errors,
    visibility_errors,
    write_trajloom_checkpoint,
)

from trajforecast_model.forecaster import Forecaster
from trajforecast_model.trajloom.forecaster import TrajloomForecaster

pytestmark = pytest.mark.slow

TOLERANCE = 2e-5  # with the tanh GELU the errors are 7e-5 and more


@pytest.fixture(scope="module")
def forecaster(tmp_path_factory) -> Iterator[TrajloomForecaster]:
    folder = tmp_path_factory.mktemp("trajloom")
    yield Forecaster.from_pretrained(write_trajloom_checkpoint(folder))
    shutil.rmtree(folder)


@pytest.mark.parametrize("errors", [vae_errors, generator_errors, visibility_errors, sampling_errors])
def test_outputs_are_the_official_ones(forecaster, errors):
    with torch.inference_mode():
        assert max(errors(forecaster).values()) < TOLERANCE
