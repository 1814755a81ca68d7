"""TrajLoom's stages on tiny networks: each learns, and what it leaves forecasts behind the door."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_shards import DIRECTIONS, write_synthetic_data
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_runs import QUIET, logged, run, same_state, state
from tiny_trajloom import FRAMES, INFO, generator_config, vae_config, visibility_config, write_discs

from trajforecast_model import Forecaster
from trajforecast_model.images import resize_images
from trajforecast_model.training.trajloom.trained_vae import load_trained_vae


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_discs(tmp_path_factory.mktemp("discs"))


@pytest.fixture(scope="module")
def vae(data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("vae")
    assert run("trajloom_vae", vae_config(data, folder / "run"), folder) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def generator(data, vae, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("generator")
    assert run("trajloom", generator_config(data, folder / "run", vae), folder) == 0
    return folder / "run"


def fell(out: Path, tag: str, to: float) -> bool:
    losses = [value for _, value in sorted(logged(out, tag).items())]
    return np.mean(losses[-8:]) < to * np.mean(losses[:4])


def past(forecaster, direction: str) -> np.ndarray:
    way = np.arange(1 - FRAMES, 1)[:, None, None, None] * np.array(DIRECTIONS[direction])
    return (forecaster.query_points((128, 128)) + way).astype(np.float32)


def test_the_vae_learns_and_tells_how_its_latents_are_normalised(vae):
    assert fell(vae, "train/reconstruction", to=0.5)
    assert {"train/kl", "train/temporal", "train/spatial"} <= logged_tags(vae)
    trained, network = load_trained_vae(str(vae))
    assert (trained.vae.num_frames, trained.dt) == (FRAMES, INFO.dt) and trained.vae == network.config
    assert all(std > 0 for std in trained.latents.std) and any(abs(mean) > 1e-4 for mean in trained.latents.mean)


def test_terms_and_anchors_can_be_left_out(data, tmp_path):
    config = vae_config(data, tmp_path / "run", steps=1, temporal_weight=0.0, spatial_weight=0.0, points="any")
    config["vae"]["anchored"] = False
    assert run("trajloom_vae", config, tmp_path) == 0
    assert not {"train/temporal", "train/spatial"} & logged_tags(tmp_path / "run")


def test_the_generator_learns_and_is_opened_like_a_converted_one(generator):
    assert fell(generator, "train/flow", to=0.5)
    forecaster = Forecaster.from_pretrained(generator)
    tracks = past(forecaster, "push the disc right")
    forecast = forecaster.predict_from_history({"side": tracks}, image_sizes={"side": (128, 128)}, k=2)
    assert forecast.tracks.shape == (1, 2, FRAMES + 1, 8, 8, 2) and forecast.dt == INFO.dt
    assert forecast.visibility is None
    # The data's points are centres of their own cells: pixel 4 of 16.
    np.testing.assert_allclose(forecaster.query_points((128, 128))[0, 0], [4.5, 4.5])


def test_a_stopped_run_goes_on_as_if_nothing_had_happened(data, vae, tmp_path):
    logging = {"logging": QUIET | {"checkpoint_every": 2, "validate_every": 2}}
    whole = generator_config(data, tmp_path / "whole", vae, steps=4, **logging)
    assert run("trajloom", whole, tmp_path) == 0
    parts = generator_config(data, tmp_path / "parts", vae, steps=2, **logging)
    assert run("trajloom", parts, tmp_path) == 0
    parts["optimisation"]["steps"] = 4
    assert run("trajloom", parts, tmp_path) == 0
    assert same_state(state(tmp_path / "whole"), state(tmp_path / "parts"))


def test_on_policy_training_goes_on_from_a_generator(data, generator, tmp_path):
    tuned = generator_config(
        data, tmp_path / "run", None, steps=12, on_policy={"steps": 2, "samples": 4, "weight": 1.0}
    )
    assert run("trajloom", tuned | {"start_from": str(generator)}, tmp_path) == 0
    of_terms = {f"train/on_policy_{name}" for name in ("forward", "backward", "endpoint")}
    assert of_terms <= logged_tags(tmp_path / "run")
    assert all(np.isfinite(list(logged(tmp_path / "run", tag).values())).all() for tag in of_terms)
    Forecaster.from_pretrained(tmp_path / "run")


def test_everything_about_the_past_can_be_left_out_and_captions_taken_in(data, vae, tmp_path):
    text = dict(source="minilm", pooling="mean", dim=384)
    config = generator_config(data, tmp_path / "run", vae, steps=1, text_encoder=text, anchor_noise=None)
    config |= {"history_visibility": False, "tube_noise": 0.0, "text_dropped": 0.5}
    config["generator"] |= {"fusion": False}
    assert run("trajloom", config, tmp_path) == 0
    forecaster = Forecaster.from_pretrained(tmp_path / "run")
    tracks = {"side": past(forecaster, "push the disc down")}
    forecaster.predict_from_history(tracks, instruction="push the disc down", k=1)
    assert forecaster.config.anchor_noise is None and not forecaster.config.generator.fusion


PICTURE = {"kind": "patch", "source": None, "input_size": [32, 32], "patch_size": 8, "dim": 16, "depth": 1, "heads": 2}


@pytest.fixture(scope="module")
def looking(data, vae, tmp_path_factory) -> Path:
    """A generator that looks at the picture and reads the instruction beside the past."""
    folder = tmp_path_factory.mktemp("looking")
    text = dict(source="minilm", pooling="mean", dim=384)
    config = generator_config(data, folder / "run", vae, steps=16, text_encoder=text, image_encoder=PICTURE)
    assert run("trajloom", config, folder) == 0
    return folder / "run"


def test_a_generator_may_look_at_the_picture_too(looking):
    forecaster = Forecaster.from_pretrained(looking)
    tracks = {"side": past(forecaster, "push the disc right")}
    black = np.zeros((128, 128, 3), np.uint8)
    one, other = (
        forecaster.predict_from_history(tracks, images={"side": image}, instruction="push the disc right", k=1).tracks
        for image in (black, black + 255)
    )
    assert not np.array_equal(one, other)
    film = np.repeat(black[None], FRAMES, axis=0)
    same = forecaster.predict_from_history(tracks, videos={"side": film}, instruction="push the disc right", k=1)
    assert np.array_equal(same.tracks, one)
    large = np.random.default_rng(0).integers(0, 255, (256, 384, 3), dtype=np.uint8)
    shown = resize_images([large], (128, 128))[0]  # as training data's pictures come to be
    whole = {"side": tracks["side"] * [3, 2]}, {"side": large}
    same, large = (
        forecaster.predict_from_history(past, images=seen, instruction="push the disc right", k=1).tracks
        for past, seen in ((tracks, {"side": shown}), whole)
    )
    np.testing.assert_allclose(large, same * np.float32([3, 2]), atol=1e-3)
    with pytest.raises(ValueError, match=r"no picture of view 'side'.*give it as images"):
        forecaster.predict_from_history(tracks, k=1)
    with pytest.raises(ValueError, match="image 'side': expected RGB uint8"):
        forecaster.predict_from_history(tracks, images={"side": black[0]}, k=1)


def test_the_picture_goes_on_into_on_policy_training_and_beside_the_head(data, looking, tmp_path):
    text = dict(source="minilm", pooling="mean", dim=384)
    tuned = generator_config(
        data, tmp_path / "tuned", None, steps=2, text_encoder=text, on_policy={"steps": 2, "samples": 2},
        image_encoder=PICTURE,
    )  # fmt: skip
    assert run("trajloom", tuned | {"start_from": str(looking)}, tmp_path) == 0
    assert run("trajloom_visibility", visibility_config(data, tmp_path / "run", tmp_path / "tuned"), tmp_path) == 0
    forecaster = Forecaster.from_pretrained(tmp_path / "run")
    film = np.random.default_rng(0).integers(0, 255, (FRAMES, 128, 128, 3), dtype=np.uint8)
    forecast = forecaster.predict({"side": film[-1]}, "push the disc right", k=1, history={"side": film[:-1]})
    assert forecast.visibility is not None
    forecaster.warm_up(["side"], k=1)


def test_another_image_encoder_than_the_start_s_is_refused(data, looking, tmp_path, capsys):
    text = dict(source="minilm", pooling="mean", dim=384)
    config = generator_config(
        data, tmp_path / "run", None, steps=2, text_encoder=text, image_encoder=PICTURE | {"depth": 2}
    )
    assert run("trajloom", config | {"start_from": str(looking)}, tmp_path) == 2
    assert "start_from: the image encoder of" in capsys.readouterr().err


def test_the_head_learns_what_will_be_seen_and_is_in_the_checkpoint(data, generator, tmp_path):
    assert run("trajloom_visibility", visibility_config(data, tmp_path / "run", generator), tmp_path) == 0
    assert fell(tmp_path / "run", "train/loss", to=0.8)
    forecaster = Forecaster.from_pretrained(tmp_path / "run")
    tracks = {"side": past(forecaster, "push the disc right")}
    forecast = forecaster.predict_from_history(tracks, image_sizes={"side": (128, 128)}, k=2)
    assert forecast.visibility.shape == forecast.tracks.shape[:-1]


def test_data_that_does_not_reach_as_far_is_refused_and_told_what_to_do(vae, tmp_path, capsys):
    short = write_discs(tmp_path / "short", replace(INFO, history_frames=2))
    assert run("trajloom", generator_config(short, tmp_path / "run", vae), tmp_path) == 2
    assert f"--history {FRAMES - 1} --frames {FRAMES + 1}" in capsys.readouterr().err


def test_points_that_are_not_a_number_a_cell_are_refused(tmp_path, capsys):
    write_synthetic_data(tmp_path / "data", train=2, val=1, info=replace(INFO, grid=(4, 4)))
    assert run("trajloom_vae", vae_config(tmp_path / "data", tmp_path / "run"), tmp_path) == 2
    assert "4 x 4 points, the VAE 8 x 8 cells" in capsys.readouterr().err


def test_an_unknown_key_and_two_beginnings_are_refused(data, vae, tmp_path, capsys):
    config = generator_config(data, tmp_path / "run", vae)
    assert run("trajloom", config | {"tube_nois": 0.1}, tmp_path) == 2
    assert "tube_noise" in capsys.readouterr().err
    assert run("trajloom", config | {"start_from": str(vae)}, tmp_path) == 2
    assert "either vae" in capsys.readouterr().err


def logged_tags(out: Path) -> set[str]:
    return set(EventAccumulator(str(out / "tensorboard")).Reload().Tags()["scalars"])
