"""The networks on a GPU against the official ones' outputs."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from goldens import TOLERANCE, denoiser_errors, sampling_errors, vae_errors, write_golden_checkpoint

from trajforecast_model.forecaster import Forecaster

ERRORS = [denoiser_errors, vae_errors, sampling_errors]


@pytest.fixture(scope="module")
def golden_checkpoint(gpu, tmp_path_factory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("whn")
    yield write_golden_checkpoint(folder)
    shutil.rmtree(folder)  # 0.8 GB


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def forecaster(request, golden_checkpoint, gpu) -> Forecaster:
    return Forecaster.from_pretrained(golden_checkpoint, device=gpu, dtype=request.param)


@pytest.mark.parametrize("errors", ERRORS)
def test_outputs_are_the_official_ones(forecaster, errors):
    """In bfloat16 to 5 %, in which a number has 8 bits and passes through a dozen blocks."""
    bound = TOLERANCE if forecaster.dtype == torch.float32 else 0.05
    # PyTorch rounds what goes into float32 convolutions to TF32, 10 bits, unless it is told not to.
    with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
        assert max(errors(forecaster).values()) < bound


@pytest.mark.parametrize("errors", ERRORS)
def test_as_pytorch_comes_they_are_within_a_five_hundredth(forecaster, errors):
    if forecaster.dtype != torch.float32:
        pytest.skip("of float32 alone")
    with torch.inference_mode():
        assert max(errors(forecaster).values()) < 2e-3
