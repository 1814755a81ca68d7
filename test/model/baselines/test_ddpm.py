"""The noise schedule and its sampler, against data whose best denoiser is known."""

import pytest
import torch

from trajforecast_model.baselines.ddpm import LEVELS, add_noise, kept_variance, sample


def test_schedule_goes_from_almost_clean_to_almost_noise():
    kept = kept_variance(torch.arange(LEVELS))
    assert kept[0] == pytest.approx(1 - 1e-4) and 0 < kept[-1] < 1e-4
    assert (kept.diff() < 0).all()
    data, noise = torch.ones(2, 3), torch.zeros(2, 3)
    assert torch.equal(add_noise(data, noise, torch.tensor([5, 900]))[:, 0], kept[[5, 900]].sqrt())
    assert torch.equal(add_noise(noise, data, torch.tensor([5, 900]))[:, 0], (1 - kept[[5, 900]]).sqrt())


@pytest.mark.parametrize(("steps", "first_level"), [(1, LEVELS - 1), (7, LEVELS - 1), (LEVELS, LEVELS - 1), (7, 600)])
def test_a_single_possible_outcome_is_what_comes_out(steps, first_level):
    outcome = torch.tensor([0.3, -0.7])

    def noise_in(x, level):
        kept = kept_variance(level).view(-1, 1)
        return (x - kept.sqrt() * outcome) / (1 - kept).sqrt()

    samples = sample(noise_in, torch.randn(3, 2), lambda step: torch.randn(3, 2), steps, 2.0, first_level)
    torch.testing.assert_close(samples, outcome.expand(3, 2), rtol=0, atol=2e-3)


def test_samples_of_a_normal_distribution_have_its_width():
    width, mean = 0.4, 0.5

    def noise_in(x, level):
        kept = kept_variance(level).view(-1, 1)
        return (1 - kept).sqrt() * (x - kept.sqrt() * mean) / (kept * width**2 + 1 - kept)

    samples = sample(noise_in, torch.randn(4000, 1), lambda step: torch.randn(4000, 1), 200, largest=2.0)
    assert samples.mean().item() == pytest.approx(mean, abs=0.03)
    assert samples.std().item() == pytest.approx(width, rel=0.08)


def test_numbers_of_steps_that_make_no_sense_are_refused():
    for steps in (0, LEVELS + 1):
        with pytest.raises(ValueError, match="expected 1 to 1000"):
            sample(lambda x, level: x, torch.zeros(1, 1), lambda step: torch.zeros(1, 1), steps, largest=2.0)
