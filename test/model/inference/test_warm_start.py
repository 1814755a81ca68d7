"""Forecasts that go on from an earlier one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_model import randomise, tiny_config

from trajforecast_model import Forecast, Forecaster, WarmStart
from trajforecast_model.flow.solvers import SOLVERS, integrate
from trajforecast_model.inference.sampling import Sampler
from trajforecast_model.inference.warm_start import tracks_to_begin_with
from trajforecast_model.networks.denoiser import Denoiser
from trajforecast_model.networks.track_vae import TrackVAE
from trajforecast_model.tracks.grid import denormalise, query_points
from trajforecast_model.tracks.moving_on import moved_on

PICTURE = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def forecaster(tiny_checkpoint):
    return Forecaster.from_pretrained(tiny_checkpoint)


@pytest.fixture(scope="module")
def earlier(forecaster):
    return forecaster.predict({"side": PICTURE, "effector": PICTURE}, "push", k=3, seed=1)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_solver_that_begins_later_goes_on_from_there(solver):
    reached = integrate(lambda x, t: 3 * t**2 * torch.ones_like(x), torch.zeros(2), 40, solver, begin=0.5)
    torch.testing.assert_close(reached, torch.full((2,), 1 - 0.5**3), atol=0.04, rtol=0)


def test_the_beginning_lies_between_noise_and_the_tracks_latents():
    config = tiny_config(text=False)
    torch.manual_seed(0)
    sampler = Sampler(
        config, Denoiser(config.denoiser), randomise(TrackVAE(config.vae)), torch.device("cpu"), torch.float32
    )
    tracks = torch.rand(1, 2, 16, 2, 64, 64) * 2 - 1
    noise = sampler.noise(2, [0], ["side"])
    nearly_noise = sampler.mixed_in(noise, tracks, 1e-6, torch.zeros(1, 64, 64))
    torch.testing.assert_close(nearly_noise, noise, atol=1e-3, rtol=0)
    data = sampler.mixed_in(noise, tracks, 1 - 1e-6, torch.zeros(1, 64, 64))
    mean, _ = sampler.vae.encode(tracks[0], None)
    expected = mean.unflatten(2, config.denoiser.grid).movedim(-1, 2)[None, :, 1:]
    torch.testing.assert_close(data, expected, atol=1e-3, rtol=1e-3)


def test_the_earlier_samples_are_moved_on_in_pixels_of_the_model(forecaster):
    config = forecaster.config
    tracks = (query_points((64, 64), (128, 128)) + np.arange(16)[:, None, None, None] * np.array([2, 1])).astype(
        np.float32
    )
    large = {"side": np.stack([tracks, tracks + 0]) * np.float32([5, 3])}
    moved = tracks_to_begin_with(large, 2.0, {"side": (384, 640)}, 1, config)
    assert moved.shape == (1, 1, 16, 2, 64, 64)
    in_pixels = denormalise(moved[0, 0].movedim(1, -1).numpy(), (128, 128))
    np.testing.assert_allclose(in_pixels, moved_on(tracks[None], 2.0, (128, 128))[0], atol=1e-3)


def test_the_nearer_to_the_earlier_forecast_it_begins_the_nearer_it_stays():
    trained = Forecaster.from_pretrained("libero_object_tiny")
    panning = query_points((64, 64), (128, 128)) + np.arange(16)[:, None, None, None] * np.float32([2, 1])
    earlier = Forecast(("side",), panning[None, None].astype(np.float32), None, steps=1, seed=1, dt=0.05)
    goal = moved_on(earlier.tracks[0], 2.0, (128, 128))
    apart = []
    for start in (None, WarmStart(earlier, 0.1, 0.3), WarmStart(earlier, 0.1, 0.9)):
        tracks = trained.predict({"side": PICTURE}, "pick up the milk", k=1, steps=2, seed=2, warm_start=start).tracks
        apart.append(np.abs(tracks[0] - goal).mean())
    assert apart[0] > apart[1] > apart[2]


def test_it_is_repeatable_and_fewer_samples_are_the_first(forecaster, earlier):
    images = {"effector": PICTURE, "side": PICTURE[::-1].copy()}
    first, again, fewer = (
        forecaster.predict(images, "push", k=k, seed=2, warm_start=WarmStart(earlier, 0.1)) for k in (3, 3, 2)
    )
    assert np.array_equal(first.tracks, again.tracks)
    np.testing.assert_allclose(first.tracks[:, :2], fewer.tracks, atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, {"seed": 1}, "has the seed 1 too"),
        ({}, {"k": 4}, "expected 4 samples or more"),
        ({"seconds": 0.0}, {}, "got 0.0 seconds"),
        ({"seconds": -0.1}, {}, "got -0.1 seconds"),
        ({"seconds": 0.75}, {}, "less than the 0.75 s"),
        ({"seconds": float("nan")}, {}, "got nan seconds"),
        ({"flow_time": 0.0}, {}, "a flow time of 0.0"),
        ({"flow_time": 1}, {}, "a flow time of 1,"),
        ({"forecast": "one_view"}, {}, "has the views side, not effector"),
        ({"forecast": "other_grid"}, {}, "of [16, 64, 64, 2]"),
    ],
)
def test_what_cannot_be_gone_on_from_is_refused(forecaster, earlier, changes, options, message):
    others = {
        "one_view": replace(earlier, views=("side",), tracks=earlier.tracks[:1]),
        "other_grid": replace(earlier, tracks=earlier.tracks[..., ::2, ::2, :]),
    }
    changes = {name: others.get(value, value) if name == "forecast" else value for name, value in changes.items()}
    start = replace(WarmStart(earlier, 0.1), **changes)
    with pytest.raises(ValueError, match="warm_start: ") as refused:
        forecaster.predict(
            {"side": PICTURE, "effector": PICTURE}, "push", **({"k": 3, "seed": 2} | options), warm_start=start
        )
    assert message in str(refused.value)
