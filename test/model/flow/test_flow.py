import itertools

import numpy as np
import pytest
import torch

from trajforecast_model.flow.grids import time_grid
from trajforecast_model.flow.noise import sample_noise
from trajforecast_model.flow.path import flow_loss, interpolate, logit_normal_timesteps
from trajforecast_model.flow.solvers import check_solver, integrate


def test_path_runs_from_noise_to_data_and_keeps_the_first_frame():
    noise, data, first = torch.randn(3, 4, 2, 5, 5), torch.randn(3, 4, 2, 5, 5), torch.randn(3, 1, 2, 5, 5)
    x = interpolate(noise, data, first, torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(x[:, :1], first)
    torch.testing.assert_close(x[0, 1:], noise[0, 1:])
    torch.testing.assert_close(x[1, 1:], (noise[1, 1:] + data[1, 1:]) / 2)
    torch.testing.assert_close(x[2, 1:], data[2, 1:])


def test_loss_is_zero_for_the_true_velocity_whatever_the_first_frame_says():
    noise, data = torch.randn(2, 4, 2, 5, 5), torch.randn(2, 4, 2, 5, 5)
    velocity = data - noise
    velocity[:, 0] = 1e3
    assert flow_loss(velocity, noise, data) == 0
    assert flow_loss(velocity + 1, noise, data) == pytest.approx(1.0, rel=1e-5)
    assert flow_loss(velocity + 1, noise, data, torch.full((2, 1, 1, 5, 5), 3.0)) == pytest.approx(3.0, rel=1e-5)


def test_timesteps_are_logit_normal():
    t = logit_normal_timesteps(torch.randn(20_000, generator=torch.Generator().manual_seed(0)))
    logits = torch.log(t / (1 - t))
    assert abs(logits.mean()) < 0.03
    assert abs(logits.std() - 1) < 0.03


def exponential(x, t):
    """dx/dt = x * (1 + t) has the solution x0 * exp(t + t^2 / 2)."""
    return x * (1 + t)


def error_at_the_end(solver: str, steps: int) -> float:
    end = integrate(exponential, torch.tensor([1.0, -2.0], dtype=torch.float64), steps, solver)
    return (end / torch.tensor([1.0, -2.0]) - np.exp(1.5)).abs().max().item()


def test_dopri5_follows_an_ode_with_a_known_answer():
    assert error_at_the_end("dopri5", 1) < 1e-4


@pytest.mark.parametrize("grid", ["uniform", "shift2", "shift0.5"])
@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("heun", 2), ("ab2", 2)])
def test_the_error_falls_with_the_order_of_the_method(method, order, grid):
    errors = [error_at_the_end(f"{method}@{grid}", evaluations) for evaluations in (32, 64, 128)]
    for coarse, fine in itertools.pairwise(errors):
        assert np.log2(coarse / fine) == pytest.approx(order, abs=0.15)


def test_all_methods_are_the_same_for_one_evaluation_and_take_as_many_as_asked_for():
    for method in ("euler", "heun", "ab2"):
        assert error_at_the_end(method, 1) == error_at_the_end("euler", 1)
        for grid in ("uniform", "logit", "shift3"):
            solver = f"{method}@{grid}"
            for evaluations in range(1, 8):
                seen = []
                integrate(lambda x, t, seen=seen: (seen.append(t.item()), x)[1], torch.zeros(1), evaluations, solver)
                assert len(seen) == evaluations and seen == sorted(seen) and seen[0] == 0


def test_second_order_methods_are_exact_where_the_velocity_is_linear_in_time():
    for solver in ("heun", "heun@shift3", "ab2@shift2"):
        end = integrate(lambda x, t: 2 * t + torch.zeros_like(x), torch.zeros(1), 64, solver)
        # AB2 begins with an Euler step, whose error is the square of its length.
        assert end.item() == pytest.approx(1.0, abs=1e-6 if "heun" in solver else 1.1e-3)


def test_grids_run_from_noise_to_data():
    for name in ("uniform", "logit", "shift2", "shift0.25"):
        times = time_grid(name, 6)
        assert times[0] == 0 and times[-1] == 1 and (times.diff() > 0).all()
    assert time_grid("shift1", 6).tolist() == pytest.approx(time_grid("uniform", 6).tolist())
    # Stable Diffusion 3's formula, which counts noise from 1 down to 0.
    assert (1 - time_grid("shift3", 4)[1]).item() == pytest.approx(3 * 0.75 / (1 + 2 * 0.75))
    quartiles = np.quantile(1 / (1 + np.exp(-np.random.default_rng(0).standard_normal(200_000))), [0.25, 0.5, 0.75])
    assert time_grid("logit", 4)[1:4].tolist() == pytest.approx(quartiles.tolist(), abs=5e-3)


def test_euler_is_exact_on_a_straight_path_in_one_step_and_counts_its_evaluations():
    evaluations = []

    def velocity(x, t):
        evaluations.append(t.item())
        return torch.full_like(x, 2.0)

    assert integrate(velocity, torch.zeros(3), 1).tolist() == [2.0, 2.0, 2.0]
    evaluations.clear()
    integrate(velocity, torch.zeros(3), 9)
    assert evaluations == pytest.approx([i / 9 for i in range(9)])


@pytest.mark.parametrize("name", ["rk4", "", "Euler", "dopri5@shift2"])
def test_an_unknown_solver_is_refused(name):
    with pytest.raises(ValueError, match="euler, heun, ab2, dopri5"):
        integrate(exponential, torch.zeros(1), 1, name)
    with pytest.raises(ValueError, match="euler, heun, ab2, dopri5"):
        check_solver(name)


@pytest.mark.parametrize(
    "name", ["euler@", "ab2@quadratic", "ab2@shift", "ab2@shift0", "heun@shift-1", "heun@shiftnan"]
)
def test_an_unknown_time_grid_is_refused(name):
    with pytest.raises(ValueError, match="uniform, logit, shift<S>"):
        integrate(exponential, torch.zeros(1), 1, name)
    with pytest.raises(ValueError, match="uniform, logit, shift<S>"):
        check_solver(name)


def test_no_steps_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        integrate(lambda x, t: x, torch.zeros(1), 0)


def test_noise_of_a_sample_does_not_depend_on_how_many_are_drawn():
    one, eight = sample_noise(3, "side", 1, (2, 4)), sample_noise(3, "side", 8, (2, 4))
    assert torch.equal(one[0], eight[0])
    assert len({tuple(sample.flatten().tolist()) for sample in eight}) == 8
    assert not torch.equal(one, sample_noise(3, "effector", 1, (2, 4)))
    assert not torch.equal(one, sample_noise(4, "side", 1, (2, 4)))


def test_samples_come_in_pairs_of_opposite_noise():
    noise = sample_noise(3, "side", 5, (2, 4))
    assert torch.equal(noise[1], -noise[0]) and torch.equal(noise[3], -noise[2])
    assert noise[4].abs().sum() > 0 and not torch.equal(noise[2], noise[0])


def test_noise_that_was_written_over_comes_again_as_it_was():
    noise = sample_noise(5, "side", 2, (2, 4))
    before = noise.clone()
    noise.zero_()
    assert torch.equal(sample_noise(5, "side", 2, (2, 4)), before)
