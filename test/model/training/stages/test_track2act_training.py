"""Track2Act's baseline through the same loop, checkpoints and protocol as the forecaster."""

import json

import pytest
import torch
from tiny_runs import logged, run, same_state, state

from trajforecast_model.cli import main


def track2act_config(data, out, steps: int = 8, **changes) -> dict:
    network = dict(dim=64, depth=2, heads=2, resnet_width=16, grid=[8, 8], text_dim=384, sampling_steps=3)
    return {
        "out": str(out),
        "data": {"folder": str(data), "workers": 0},
        "network": network,
        "text_encoder": dict(source="minilm", pooling="mean", dim=384),
        "optimisation": dict(steps=steps, batch_size=8, learning_rate=2e-3, warmup_steps=4, precision="float32"),
        "logging": dict(
            log_every=1, checkpoint_every=4, validate_every=1000, validation_windows=2, validation_samples=1
        ),
    } | changes


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("track2act")
    assert run("track2act", track2act_config(data, folder / "run", steps=60), folder) == 0
    return folder / "run"


def test_it_learns_to_see_the_noise_in_motions_too(data, tmp_path):
    config = track2act_config(data, tmp_path / "run", steps=60)
    config["network"] |= dict(motion_scale=4.0)
    assert run("track2act", config, tmp_path) == 0
    losses = logged(tmp_path / "run")
    assert losses[1] == pytest.approx(1.0, rel=0.05)
    assert sum(losses[step] for step in range(51, 61)) / 10 < 0.4


def test_it_learns_to_see_the_noise(trained):
    losses = logged(trained)
    assert losses[1] == pytest.approx(1.0, rel=0.05)  # sees nothing at first: the variance of the noise
    assert sum(losses[step] for step in range(51, 61)) / 10 < 0.4


def test_evaluate_samples_it_at_the_query_points(data, trained, tmp_path, capsys):
    reports = []
    for name in ("a", "b"):
        assert main(["evaluate", "--checkpoint", str(trained / "checkpoint"), "--data", str(data), "-k", "1", "3",
                     "--out", str(tmp_path / f"{name}.json")]) == 0  # fmt: skip
        reports.append(json.loads((tmp_path / f"{name}.json").read_text()))
    assert reports[0] == reports[1]
    assert reports[0]["convention"]["solver_steps"] == 3
    for row in reports[0]["views"].values():
        assert row["min"]["3"] < row["mean"]["3"] and row["mean_t"]["3"] < row["mean"]["3"]
        assert "all_moving_points" in row
    assert main(["evaluate", "--checkpoint", str(trained / "checkpoint"), "--data", str(data), "--steps", "0",
                 "--out", str(tmp_path / "c.json")]) == 2  # fmt: skip
    assert "steps: got 0" in capsys.readouterr().err


@pytest.mark.slow
def test_a_resumed_run_is_the_undisturbed_one(data, tmp_path):
    for name, counts in (("whole", (4,)), ("resumed", (2, 4))):
        for steps in counts:
            config = track2act_config(data, tmp_path / name, steps=steps)
            config["logging"] |= dict(checkpoint_every=2, validate_every=2)
            assert run("track2act", config, tmp_path) == 0
    assert same_state(state(tmp_path / "whole"), state(tmp_path / "resumed"))


@pytest.mark.parametrize("motion_scale", [None, 4.0])
def test_a_perfect_network_forecasts_the_truth(data, motion_scale):
    """The sampler, its normalisation and the reading at query points, apart from what is learned."""
    from trajforecast_model.baselines.checkpoint import BaselineConfig
    from trajforecast_model.baselines.ddpm import kept_variance
    from trajforecast_model.baselines.track_diffusion import TrackDiffusion, TrackDiffusionConfig
    from trajforecast_model.data.shards import ShardDataset
    from trajforecast_model.evaluation.forecasters.baselines import TrackDiffusionForecaster, fixed_points
    from trajforecast_model.evaluation.windows import moving_windows
    from trajforecast_model.files.config import from_dict
    from trajforecast_model.networks.text_encoder import BertTextEncoder, TextEncoderConfig
    from trajforecast_model.tracks.grid import normalise

    values = track2act_config(data, "unused")
    window = next(iter(moving_windows(ShardDataset(data, "val"), None, lambda: None)))
    # The finest grid, so that nothing is interpolated.
    config = from_dict(TrackDiffusionConfig, values["network"] | {"grid": [64, 64], "motion_scale": motion_scale})

    class Perfect(TrackDiffusion):
        def forward(self, tracks, level, condition):
            truth = torch.from_numpy(normalise(fixed_points(window.truth, (64, 64)), (128, 128)))
            truth = self.diffused(truth[None])[0]
            kept = kept_variance(level).view(-1, 1, 1, 1)
            return (tracks - kept.sqrt() * truth) / (1 - kept).sqrt()

    text_config = from_dict(TextEncoderConfig, values["text_encoder"])
    forecaster = TrackDiffusionForecaster(
        BaselineConfig("track2act", {}, text_config), Perfect(config).eval(), BertTextEncoder(text_config)
    )
    [forecast] = forecaster.forecast([window], k=2, steps=4, seeds=[0])
    assert abs(forecast.drawn - window.drawn_truth).max() < 0.05
    assert abs(forecast.moving - window.moving_truth).max() < 0.05


def test_a_grid_that_does_not_divide_the_datas_is_refused(data, tmp_path, capsys):
    config = track2act_config(data, tmp_path / "run")
    config["network"] |= dict(grid=[48, 48])
    assert run("track2act", config, tmp_path) == 2
    assert "not a multiple" in capsys.readouterr().err
