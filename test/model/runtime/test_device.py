"""Names of devices that this machine has not."""

import pytest
import torch

from trajforecast_model.runtime import device
from trajforecast_model.runtime.device import checked_device


@pytest.fixture
def one_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0"])
def test_a_device_that_is_there(one_gpu, name):
    assert checked_device(name) == torch.device(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cuda:7", "got cuda:7, but .* the last is cuda:0"),
        ("gpu", "got 'gpu', expected cpu, cuda"),
        ("mps", "got 'mps', expected cpu, cuda or cuda:N: the networks run on no other"),
        ("xpu:1", "got 'xpu:1', expected cpu, cuda"),
        ("meta", "got 'meta', expected cpu, cuda"),
        (torch.device("mps"), "got 'mps', expected cpu, cuda"),
        (None, "got None, expected cpu, cuda"),
    ],
)
def test_a_device_that_is_not(one_gpu, name, message):
    with pytest.raises(ValueError, match=message):
        checked_device(name)


def test_a_gpu_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="sees no GPU"):
        checked_device("cuda")


def test_a_number_format_that_the_processor_does_not_multiply_is_told(monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setattr(device, "_multiplies_bfloat16", lambda: False)
    assert "float32 is several times faster" in device.slow_in(torch.bfloat16, cpu)
    assert device.slow_in(torch.float32, cpu) is None
    assert device.slow_in(torch.bfloat16, torch.device("cuda")) is None
    monkeypatch.setattr(device, "_multiplies_bfloat16", lambda: True)
    assert device.slow_in(torch.bfloat16, cpu) is None
