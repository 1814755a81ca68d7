"""What is read off official weights, whosever they are."""

from pathlib import Path

import pytest
import torch
from torch import nn

from trajforecast_model.conversion.official_weights import depth_of, filled, is_same_table, tensor_of


def test_a_network_holds_the_very_tensors_of_the_file():
    weights = {"weight": torch.randn(3, 2), "bias": torch.randn(3)}
    network = filled(lambda: nn.Linear(2, 3), weights, Path("a.pt"))
    assert network.weight.data_ptr() == weights["weight"].data_ptr()


def test_what_does_not_fit_is_said_in_one_line():
    many = {f"blocks.{i}.weight": torch.zeros(1) for i in range(40)}
    with pytest.raises(ValueError, match=r"a\.pt does not fit the official layout: .*blocks\.0\.weight") as refused:
        filled(lambda: nn.Linear(2, 3), many, Path("a.pt"))
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 400
    with pytest.raises(ValueError, match="the VAE file has no tensor 'w': it is no official VAE of somebody"):
        tensor_of({}, "w", "VAE", "VAE of somebody")


def test_blocks_are_counted_and_tables_known_in_half_precision():
    assert (
        depth_of({"blocks.0.w": 0, "blocks.11.w": 0, "other.30.w": 0}, "blocks") == 12 and depth_of({}, "blocks") == 0
    )
    table = torch.linspace(-1, 1, 6).view(2, 3)
    assert is_same_table(table.half()[None], table) and not is_same_table(table + 0.1, table)
