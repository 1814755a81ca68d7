"""Names of devices that this machine has not."""

import pytest
import torch

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
