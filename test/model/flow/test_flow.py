import numpy as np
import pytest
import torch

from trajforecast_model.flow.noise import sample_noise
from trajforecast_model.flow.path import flow_loss, interpolate, logit_normal_timesteps
from trajforecast_model.flow.solvers import integrate


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


@pytest.mark.parametrize(("solver", "steps", "tolerance"), [("euler", 2000, 1e-3), ("dopri5", 1, 1e-4)])
def test_solvers_follow_an_ode_with_a_known_answer(solver, steps, tolerance):
    # dx/dt = x * cos(t) has the solution x0 * exp(sin(t)).
    x = integrate(lambda x, t: x * torch.cos(t), torch.tensor([1.0, -2.0]), steps, solver)
    torch.testing.assert_close(x, torch.tensor([1.0, -2.0]) * np.exp(np.sin(1.0)), rtol=tolerance, atol=0)


def test_euler_is_exact_on_a_straight_path_in_one_step_and_counts_its_evaluations():
    evaluations = []

    def velocity(x, t):
        evaluations.append(t.item())
        return torch.full_like(x, 2.0)

    assert integrate(velocity, torch.zeros(3), 1).tolist() == [2.0, 2.0, 2.0]
    evaluations.clear()
    integrate(velocity, torch.zeros(3), 9)
    assert evaluations == pytest.approx([i / 9 for i in range(9)])


def test_unknown_solver_and_no_steps_are_refused():
    with pytest.raises(ValueError, match="euler, dopri5"):
        integrate(lambda x, t: x, torch.zeros(1), 1, "heun")
    with pytest.raises(ValueError, match="at least 1"):
        integrate(lambda x, t: x, torch.zeros(1), 0)


def test_noise_of_a_sample_does_not_depend_on_how_many_are_drawn():
    one, eight = sample_noise(3, "side", 1, (2, 4)), sample_noise(3, "side", 8, (2, 4))
    assert torch.equal(one[0], eight[0])
    assert len({tuple(sample.flatten().tolist()) for sample in eight}) == 8
    assert not torch.equal(one, sample_noise(3, "effector", 1, (2, 4)))
    assert not torch.equal(one, sample_noise(4, "side", 1, (2, 4)))
