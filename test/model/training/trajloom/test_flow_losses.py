"""The generator's losses against numbers worked out by hand."""

import pytest
import torch

from trajforecast_model.training.trajloom.flow_losses import (
    FlowTimesConfig,
    OnPolicyConfig,
    flow_times,
    noisy_latents,
    on_policy_loss,
    on_policy_targets,
    on_policy_times,
    squared_error,
    token_weights,
    weighted,
)
from trajforecast_model.trajloom.sampling import anchored_source


def test_a_fifth_of_the_flow_times_is_uniform_near_the_source_and_the_others_logit_normal():
    normal = torch.tensor([[-0.9, 0.0, 2.0], [-0.8, 0.0, 0.0], [3.0, 0.0, 30.0], [-9.0, -9.0, 0.0]])
    # ndtr(-0.9) = 0.184 < 0.2 < ndtr(-0.8) = 0.212
    assert flow_times(normal, FlowTimesConfig()).tolist() == pytest.approx([0.05, 0.5, 1 - 1e-5, 1e-5])
    assert flow_times(normal[:1], FlowTimesConfig(early=0.0)).item() == pytest.approx(
        torch.sigmoid(normal[0, 2]).item()
    )


def test_the_source_is_anchored_in_its_first_latent_step():
    noise, history = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    source = anchored_source(noise, history, 0.1)
    torch.testing.assert_close(source[:, 0], history[:, -1] + 0.1 * noise[:, 0])
    torch.testing.assert_close(source[:, 1:], noise[:, 1:])


def test_the_state_lies_on_the_line_and_off_it_by_the_tube():
    source, data = torch.zeros(2, 1, 1, 1), torch.full((2, 1, 1, 1), 4.0)
    state = noisy_latents(source, data, torch.tensor([0.25, 1.0]), torch.full_like(source, 0.5))
    assert state.flatten().tolist() == [1.5, 4.5]


def test_hidden_tokens_count_a_hundredth_over_the_sum_of_weights():
    weight = token_weights(torch.tensor([[[True, False]]]), hidden=0.01)
    velocity = torch.tensor([[[[1.0, 3.0], [10.0, 0.0]]]])  # mean over channels: 5, 50
    loss = squared_error(velocity, torch.zeros_like(velocity), weight / weight.mean())
    assert loss.item() == pytest.approx((5 + 0.01 * 50) / 1.01)


def test_solver_times_are_even_in_their_logits():
    times = on_policy_times(8)
    assert len(times) == 9 and times[4].item() == pytest.approx(0.5)
    assert times[0].item() == pytest.approx(1e-5) and times[-1].item() == pytest.approx(1 - 1e-5)
    steps = torch.logit(times.double()).diff()
    torch.testing.assert_close(steps, steps.mean().expand(8), atol=0.03, rtol=0)


def test_denominators_of_the_targets_are_a_thousandth_at_least():
    z, source, data = torch.tensor([1.0]), torch.tensor([0.5]), torch.tensor([3.0])
    for t, ahead, back in [(0.5, 2 / 0.5, 0.5 / 0.5), (1e-5, 2 / (1 - 1e-5), 0.5 / 1e-3), (1 - 1e-5, 2 / 1e-3, 0.5)]:
        forward, backward = on_policy_targets(z, source, data, torch.tensor(t))
        assert (forward.item(), backward.item()) == pytest.approx((ahead, back), rel=1e-4)


def test_a_straight_flow_to_the_data_is_right_ahead_and_keeps_its_ends():
    source, data = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    terms = on_policy_loss(lambda z, t: data - source, source, data, torch.ones(2, 3, 4), OnPolicyConfig(steps=4))
    assert terms["endpoint"].item() == pytest.approx(0, abs=1e-9)
    # The last state but one is 3e-3 from the end: no denominator is cut short there.
    assert terms["forward"].item() == pytest.approx(0, abs=1e-5)


def test_on_policy_terms_of_a_constant_wrong_velocity():
    """One token, velocity 2 where 1 is right; two steps, at 1e-5 and one half."""
    source, data, config = torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1), OnPolicyConfig(steps=2)
    terms = on_policy_loss(lambda z, t: torch.full_like(z, 2.0), source, data, torch.ones(1, 1, 1), config)
    # At the source: ahead 1, back 0 / 1e-3. At one half z = 1: ahead 0 / 0.5, back 1 / 0.5.
    assert terms["forward"].item() == pytest.approx((1 + 4) / 2, rel=1e-3)
    assert terms["backward"].item() == pytest.approx((4 + 0) / 2, rel=1e-3)
    assert terms["endpoint"].item() == pytest.approx(0, abs=1e-6)
    expected = 0.1 * (terms["forward"] + 0.5 * terms["backward"])
    assert weighted(terms, config).item() == pytest.approx(expected.item())


def test_endpoints_are_compared_with_those_of_the_step_before_and_no_gradient_goes_through_it():
    source, data, config = torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), OnPolicyConfig(steps=2)
    velocities = [torch.full((1, 1, 1, 1), value, requires_grad=True) for value in (2.0, 4.0)]
    given = iter(velocities)
    terms = on_policy_loss(lambda z, t: next(given), source, data, torch.zeros(1, 1, 1), config)
    # First: ends 0 and 2. Then z = 1 at one half: ends 1 - 2 and 1 + 2. Hidden tokens count here, too.
    assert terms["forward"].item() == 0 == terms["backward"].item()
    assert terms["endpoint"].item() == pytest.approx(1 + 1, rel=1e-3)
    terms["endpoint"].backward()
    assert velocities[0].grad is None and velocities[1].grad.item() == pytest.approx(2, rel=1e-3)
