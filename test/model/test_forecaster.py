import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from trajforecast_model import Forecaster
from trajforecast_model.checkpoint import checkpoint_folder
from trajforecast_model.evaluation.forecasters.models import load_point_forecaster
from trajforecast_model.tracks.grid import query_points, rescale

INSTRUCTION = "pick up the milk and place it in the basket"


@pytest.fixture(scope="module")
def forecaster(tiny_checkpoint):
    return Forecaster.from_pretrained(tiny_checkpoint)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_shapes_and_what_the_fields_mean(forecaster):
    forecast = forecaster.predict({"side": picture(128, 128), "effector": picture(128, 128, 1)}, INSTRUCTION, k=3)
    assert forecast.views == ("side", "effector")
    assert forecast.tracks.shape == (2, 3, 16, 64, 64, 2) and forecast.tracks.dtype == np.float32
    np.testing.assert_allclose(forecast.mean_track, forecast.tracks.mean(1), atol=1e-4)
    assert forecast.medoid.shape == (2,) and forecast.spread.shape == (2, 16, 64, 64)
    assert (forecast.tracks[:, :, 0] == query_points((64, 64), (128, 128))).all()
    assert forecast.spread[:, 1:].min() > 0  # different noise, different futures


@pytest.mark.parametrize("size", [(128, 128), (480, 640), (720, 1280), (1, 1), (37, 501)])
def test_tracks_are_in_pixels_of_the_given_image(forecaster, size):
    forecast = forecaster.predict({"side": picture(*size)}, INSTRUCTION, k=1)
    expected = rescale(query_points((64, 64), (128, 128)), (128, 128), size)
    np.testing.assert_allclose(forecast.tracks[0, 0, 0], expected, rtol=1e-6)


def test_a_larger_picture_of_the_same_scene_gives_the_same_forecast_scaled(forecaster):
    small = picture(128, 128)
    large = small.repeat(4, axis=0).repeat(6, axis=1)  # averaging it back gives exactly the small one
    tracks_small = forecaster.predict({"side": small}, INSTRUCTION, k=2).tracks
    tracks_large = forecaster.predict({"side": large}, INSTRUCTION, k=2).tracks
    np.testing.assert_allclose(tracks_large, tracks_small * [6, 4], rtol=1e-4, atol=1e-2)


def test_views_may_differ_in_size_and_do_not_depend_on_each_other(forecaster):
    side, effector = picture(480, 640), picture(128, 128, 1)
    both = forecaster.predict({"side": side, "effector": effector}, INSTRUCTION, k=2, seed=5)
    alone = forecaster.predict({"effector": effector}, INSTRUCTION, k=2, seed=5)
    np.testing.assert_allclose(both.tracks[1], alone.tracks[0], atol=1e-3)


def test_first_samples_of_a_larger_k_are_those_of_a_smaller_one(forecaster):
    image = {"side": picture(128, 128)}
    eight = forecaster.predict(image, INSTRUCTION, k=8, seed=2).tracks
    one = forecaster.predict(image, INSTRUCTION, k=1, seed=2).tracks
    np.testing.assert_allclose(eight[:, :1], one, atol=1e-3)


def test_seed_decides(forecaster):
    image = {"side": picture(128, 128)}
    first, again, other = (forecaster.predict(image, INSTRUCTION, k=1, seed=seed).tracks for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_instruction_and_image_matter(forecaster):
    image = {"side": picture(128, 128)}
    base = forecaster.predict(image, INSTRUCTION, k=1).tracks
    assert np.abs(base - forecaster.predict(image, "open the drawer", k=1).tracks).max() > 1e-4
    assert np.abs(base - forecaster.predict({"side": picture(128, 128, 9)}, INSTRUCTION, k=1).tracks).max() > 1e-4


def test_batch_of_moments_equals_one_at_a_time(forecaster):
    images = np.stack([picture(128, 128, seed) for seed in range(3)])
    instructions = [INSTRUCTION, "open the drawer", INSTRUCTION]
    together = forecaster.predict_batch(images, instructions, 2, None, [4, 5, 6])
    for i in range(3):
        alone = forecaster.predict_batch(images[i : i + 1], instructions[i : i + 1], 2, None, [4 + i])
        np.testing.assert_allclose(together[i], alone[0], atol=1e-3)


def test_bfloat16_stays_near_float32(forecaster, tiny_checkpoint):
    image = {"side": picture(128, 128)}
    rough = Forecaster.from_pretrained(tiny_checkpoint, dtype="bfloat16").predict(image, INSTRUCTION, k=2)
    exact = forecaster.predict(image, INSTRUCTION, k=2)
    motion = np.abs(exact.tracks - exact.tracks[:, :, :1]).mean()
    assert np.abs(rough.tracks - exact.tracks).mean() < 0.1 * motion


def test_compiled_networks_forecast_the_same(forecaster, tiny_checkpoint):
    images = {"side": picture(128, 128), "effector": picture(128, 128, 1)}
    compiled = Forecaster.from_pretrained(tiny_checkpoint)
    compiled.compile(backend="eager")  # traces as for any backend; code generation is PyTorch's matter
    tracks = compiled.predict(images, INSTRUCTION, k=2).tracks
    np.testing.assert_allclose(tracks, forecaster.predict(images, INSTRUCTION, k=2).tracks, atol=1e-3)


class WritesOverItsLastOutput:
    """As a CUDA graph does."""

    def __init__(self, function, **_):
        self._function, self._output = function, None

    def __call__(self, *inputs):
        output = self._function(*inputs)
        self._output = output.clone() if self._output is None else self._output.copy_(output)
        return self._output


def test_outputs_of_cuda_graphs_are_kept(forecaster, tiny_checkpoint, monkeypatch):
    monkeypatch.setattr(torch, "compile", WritesOverItsLastOutput)
    graphs = Forecaster.from_pretrained(tiny_checkpoint)
    graphs.compile("reduce-overhead")
    image = {"side": picture(128, 128)}
    settings = dict(k=1, steps=3, solver="ab2")  # its steps need the last velocity, too
    expected = forecaster.predict(image, INSTRUCTION, **settings).tracks
    np.testing.assert_allclose(graphs.predict(image, INSTRUCTION, **settings).tracks, expected, atol=1e-3)
    with pytest.raises(ValueError, match="mode 'fast', expected one of default"):
        graphs.compile("fast")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(k=0), "k: got 0"),
        (dict(steps=0), "steps: got 0"),
        (dict(steps=2.5), "steps: got 2.5"),
        (dict(seed=-1), "seed: got -1"),
        (dict(seed=None), "seed: got None, expected a whole number"),
        (dict(seed=1.5), "seed: got 1.5"),
        (dict(seed="0"), "seed: got '0'"),
        (dict(k=None), "k: got None"),
        (
            dict(images=[picture(8, 8)]),
            "images: got a list, expected a dict of one image a view, such as {'side': image}",
        ),
        (dict(images=picture(8, 8)), "images: got a ndarray, expected a dict"),
        (dict(images=None), "images: got a NoneType, expected a dict"),
        (dict(images={"side": [picture(8, 8)]}), "image 'side': expected a numpy array .* got list"),
        (dict(instruction=""), "instruction"),
        (dict(instruction="  "), "instruction"),
        (dict(instruction=None), "instruction"),
        (dict(images={}), "no image"),
        (dict(images={"wrist": picture(8, 8)}), "'wrist' is unknown.*side, effector"),
        (dict(images={"side": picture(8, 8)[:, :, :2]}), "uint8 \\[8, 8, 2\\]"),
        (dict(images={"side": picture(8, 8).astype(np.float32)}), "float32"),
        (dict(images={"side": picture(8, 8)[:0]}), "empty"),
        (dict(images={"side": [[1]]}), "list"),
        (dict(solver="rk4"), "euler, heun, ab2, dopri5"),
        (dict(solver="ab2@cubic"), "uniform, logit, shift<S>"),
    ],
)
def test_what_cannot_be_forecast_is_refused_with_a_reason(forecaster, changes, message):
    arguments = dict(images={"side": picture(16, 16)}, instruction=INSTRUCTION, k=1) | changes
    with pytest.raises(ValueError, match=message):
        forecaster.predict(**arguments)


def test_a_shipped_checkpoint_is_found_by_its_name_unless_a_folder_here_has_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = checkpoint_folder("libero_object_tiny", allow_download=False)
    assert shipped.is_absolute() and (shipped / "config.json").is_file()

    Path("libero_object_tiny").mkdir()
    assert not checkpoint_folder("libero_object_tiny", allow_download=False).is_absolute()


def write_run(folder: Path, checkpoint: Path) -> Path:
    """As a training leaves it: the settings, the newest checkpoint within what it goes on from, and a link to it."""
    step = folder / "checkpoints" / "step_00000004"
    shutil.copytree(checkpoint, step / "export")
    (step / "state.pt").write_bytes(b"")
    (folder / "config.json").write_text(json.dumps({"out": str(folder)}))
    (folder / "checkpoint").symlink_to(Path("checkpoints") / step.name / "export")
    return folder


def test_a_run_s_folder_stands_for_its_newest_checkpoint(tiny_checkpoint, tmp_path):
    run = write_run(tmp_path / "runs" / "x", tiny_checkpoint)
    for folder in (run, run / "checkpoint", run / "checkpoints" / "step_00000004"):
        assert Forecaster.from_pretrained(folder).config == Forecaster.from_pretrained(tiny_checkpoint).config
        assert load_point_forecaster(folder, "cpu", "float32").model_id
    assert Forecaster.from_pretrained(run).model_id == "x/checkpoint"

    (run / "checkpoint").unlink()
    for folder in (run, run / "checkpoints" / ".."):
        with pytest.raises(ValueError, match="is a training run that has no checkpoint yet"):
            Forecaster.from_pretrained(folder)
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "vae.json").write_text("{}")
    with pytest.raises(ValueError, match="is a track VAE alone, which forecasts nothing"):
        Forecaster.from_pretrained(tmp_path / "vae")


def test_damaged_checkpoints_are_named(tiny_checkpoint, tmp_path):
    with pytest.raises(ValueError, match=r"does not exist; give a folder, .*\(.*libero_object_tiny, .*hub id"):
        Forecaster.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"no config.json"):
        Forecaster.from_pretrained(tmp_path)

    def broken(name: str):
        folder = tmp_path / name
        shutil.copytree(tiny_checkpoint, folder)
        return folder

    folder = broken("truncated")
    weights = folder / "denoiser.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"denoiser.safetensors is not a readable"):
        Forecaster.from_pretrained(folder)

    folder = broken("missing")
    (folder / "vae.safetensors").unlink()
    with pytest.raises(ValueError, match=r"vae.safetensors does not exist"):
        Forecaster.from_pretrained(folder)

    folder = broken("unknown_key")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"nun_frames": 3}))
    with pytest.raises(ValueError, match="did you mean 'num_frames'"):
        Forecaster.from_pretrained(folder)

    folder = broken("unknown_solver")
    (folder / "config.json").write_text(json.dumps(config | {"solver": "rk4"}))
    with pytest.raises(ValueError, match=r"config.json: solver: got 'rk4'"):
        Forecaster.from_pretrained(folder)

    folder = broken("other_shape")
    config["denoiser"]["dim"] = 128
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="does not fit"):
        Forecaster.from_pretrained(folder)

    folder = broken("not_json")
    (folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match="not readable JSON"):
        Forecaster.from_pretrained(folder)


def test_weights_with_nan_do_not_become_a_forecast(tiny_checkpoint):
    forecaster = Forecaster.from_pretrained(tiny_checkpoint)
    with torch.no_grad():
        forecaster.denoiser.final_linear.bias[0] = float("nan")
    with pytest.raises(ValueError, match="not finite"):
        forecaster.predict({"side": picture(16, 16)}, INSTRUCTION, k=1)
