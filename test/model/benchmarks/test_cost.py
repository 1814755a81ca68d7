"""The count of a forecast's arithmetic against the same count by hand."""

import pytest

from trajforecast_model.benchmarks.cost import Machine, cost_of_forecast
from trajforecast_model.benchmarks.libero_models import libero_config, request_for, untrained_forecaster
from trajforecast_model.cli import main

DIM, TOKENS, FRAMES, IMAGE_TOKENS, CHANNELS = 192, 256, 16, 81, 8
VIEWS, SAMPLES = 2, 3


@pytest.fixture(scope="module")
def cost():
    config = libero_config("S", depth=2)
    return cost_of_forecast(untrained_forecaster(config, "cpu", "bfloat16"), request_for(config, VIEWS, SAMPLES))


def test_flops_of_a_step(cost):
    tokens = VIEWS * SAMPLES * FRAMES * TOKENS
    linear = 2 * 14 * DIM**2  # q, k, v, proj; q, proj; two of four times the width
    attention = 4 * DIM * (TOKENS + FRAMES + 2 * IMAGE_TOKENS)
    ends = 2 * 2 * CHANNELS * DIM  # into tokens and out again
    assert cost.step_flops == pytest.approx(tokens * (2 * linear + attention + ends), rel=1e-3)  # conditioning apart


def test_every_step_counts_once(cost):
    assert cost.flops(9) - cost.flops(8) == cost.step_flops
    assert cost.bytes(9) - cost.bytes(8) == cost.step_bytes == pytest.approx(2 * 2_800_000, rel=0.2)


def test_the_floor_is_the_slower_of_arithmetic_and_traffic(cost):
    arithmetic, traffic = cost.flops(9) / 1e12, cost.bytes(9) / 1e9
    assert Machine("", 1e12, 1e30).floor(cost, 9) == pytest.approx(arithmetic)
    assert Machine("", 1e30, 1e9).floor(cost, 9) == pytest.approx(traffic)


def test_twice_the_samples_are_twice_the_steps_work():
    config = libero_config("S", depth=2)
    forecaster = untrained_forecaster(config, "cpu", "float32")
    one, two = (cost_of_forecast(forecaster, request_for(config, 1, k)) for k in (4, 8))
    assert two.step_flops == pytest.approx(2 * one.step_flops, rel=0.01)
    assert two.encode_flops == one.encode_flops  # images and their known frame are shared


def test_scaling_counts_without_running(capsys, tmp_path):
    assert main(["bench", "scaling", "--size", "S", "--depth", "2", "--out", str(tmp_path / "scaling.json")]) == 0
    printed = capsys.readouterr().out
    assert "| k 16 |" in printed and "32 points" in printed
