"""Official TrajLoom files of every wrapping and of any size: all is read off the weights, and wrong files are named."""

import json
from pathlib import Path

import pytest
import torch
from official_trajloom import official_generator, official_vae, official_visibility, saved, statistics

from trajforecast_model import Forecaster
from trajforecast_model.benchmarks.formula_weights import trajloom_weights
from trajforecast_model.cli import main
from trajforecast_model.conversion.trajloom import OFFICIAL_STATISTICS, read_statistics
from trajforecast_model.networks.positions import sincos_1d, sincos_2d
from trajforecast_model.networks.trajloom.cells import CellGrid

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    return {
        "vae": saved(tmp_path / "vae.pt", official_vae()),
        "generator": saved(tmp_path / "generator.pt", official_generator()),
        "visibility": saved(tmp_path / "visibility.pt", official_visibility()),
        "latent-stats": statistics(tmp_path / "stats.json"),
        "out": tmp_path / "out",
    }


def convert(files: dict[str, Path]) -> int:
    return main(["convert", "trajloom", *(text for name, path in files.items() for text in (f"--{name}", str(path)))])


def refused(files: dict[str, Path], capsys, message: str) -> None:
    assert convert(files) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not files["out"].exists()


def test_the_layouts_here_are_the_official_ones():
    def shapes(name):
        return json.loads((DATA / f"trajloom_{name}.keys.json").read_text())

    assert official_vae(512, 16, 81, (96, 160), 32, 16, frequencies=32) == shapes("vae")
    assert official_generator(768, 16, 21, 15, 16, 16, 4096) == shapes("generator")
    assert official_visibility(64, 16) == shapes("visibility")


def test_sizes_are_read_off_the_weights(files):
    assert convert(files) == 0
    forecaster = Forecaster.from_pretrained(files["out"])
    config = forecaster.config
    assert (config.image_size, config.grid, config.history, config.num_frames) == ((64, 96), (4, 6), 9, 10)
    assert (config.vae.patch_size, config.vae.temporal_stride, config.vae.depth) == (16, 4, 2)
    assert config.latents.mean == (0.5,) * 8 and config.latents.std == (2.0,) * 8
    assert config.text_encoder.dim == 16 and config.visibility.dim == 16
    official = trajloom_weights(official_generator())
    assert torch.equal(forecaster.denoiser.blocks[1].modulation.weight, official["blocks.1.adaLN.1.weight"])
    assert torch.equal(
        forecaster.visibility_head.convolutions[2].bias, trajloom_weights(official_visibility())["temporal_net.4.bias"]
    )


@pytest.mark.parametrize(("frames", "steps", "stride"), [(9, 3, 4), (9, 5, 2), (24, 6, 4), (16, 6, 3), (9, 9, 1)])
def test_frames_between_latent_steps_are_told_by_both_networks(files, tmp_path, frames, steps, stride):
    saved(files["vae"], official_vae(frames=frames))
    saved(files["generator"], official_generator(steps=steps))
    assert convert(files) == 0
    forecaster = Forecaster.from_pretrained(files["out"])
    assert forecaster.config.generator.temporal_stride == forecaster.config.vae.temporal_stride == stride
    mean, _ = forecaster.vae.encode(torch.zeros(1, frames, 2, 4, 6))
    assert mean.shape == (1, steps, 24, 8) and forecaster.vae.decode(mean).shape == (1, frames, 2, 4, 6)


def wrapped(state: dict, wrapper: str) -> dict:
    if wrapper == "bare":
        return state
    if wrapper.endswith("."):
        return {wrapper + key: tensor for key, tensor in state.items()}
    beside = {
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": []},
        "step": 7,
        "cfg": {"vae": {}},
    }
    return {wrapper: state} | beside


@pytest.mark.parametrize(
    ("vae", "generator", "visibility"),
    [
        ("vae", "generator", "model"),
        ("vae", "model", "predictor"),
        ("state_dict", "state_dict", "state_dict"),
        ("model_state_dict", "model_state_dict", "model_state_dict"),
        ("bare", "bare", "bare"),
        ("module.", "module._orig_mod.", "_orig_mod.module."),
        ("_orig_mod.", "model.", "net."),
    ],
)
def test_every_wrapper_is_taken_off(files, vae, generator, visibility):
    for name, wrapper in {"vae": vae, "generator": generator, "visibility": visibility}.items():
        torch.save(wrapped(torch.load(files[name]), wrapper), files[name])
    assert convert(files) == 0
    assert Forecaster.from_pretrained(files["out"]).visibility_head is not None


def test_the_visibility_head_may_be_left_out_and_half_precision_comes_in(files):
    del files["visibility"]
    torch.save({"vae": {key: value.half() for key, value in torch.load(files["vae"]).items()}}, files["vae"])
    assert convert(files) == 0
    forecaster = Forecaster.from_pretrained(files["out"])
    assert forecaster.visibility_head is None and forecaster.vae.to_latents.weight.dtype == torch.float32


def test_the_official_statistics_are_those_of_past_and_future(files, capsys):
    official = json.loads(OFFICIAL_STATISTICS.read_text())["z_all"]
    assert read_statistics(OFFICIAL_STATISTICS) == (tuple(official["mean"]), tuple(official["std"]), None)
    saved(files["vae"], official_vae(channels=16))
    saved(files["generator"], official_generator(channels=16))
    saved(files["visibility"], official_visibility(channels=16))
    del files["latent-stats"]
    assert convert(files) == 0
    assert Forecaster.from_pretrained(files["out"]).config.latents.std == tuple(official["std"])


@pytest.mark.parametrize(
    "content",
    [
        {"mean": [1.0] * 8, "std": [2.0] * 8},
        {"z_fut": {"mean": [0.0] * 8, "std": [9.0] * 8}, "z_all": {"mean": [1.0] * 8, "std": [2.0] * 8}},
        {"meta": {}, "z_all": {"mean": 0.1, "std": 3.0, "per_channel": {"mean": [1.0] * 8, "std": [2.0] * 8}}},
    ],
)
def test_statistics_in_the_official_files_layout(files, content):
    files["latent-stats"].write_text(json.dumps(content))
    assert convert(files) == 0
    latents = Forecaster.from_pretrained(files["out"]).config.latents
    assert latents.mean == (1.0,) * 8 and latents.std == (2.0,) * 8


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "latent statistics have 16 channels, the VAE 8: they are of another VAE"),
        ({"mean": [0.0] * 4, "std": [1.0] * 4}, "latent statistics have 4 channels, the VAE 8"),
        ({"mean": [0.0] * 8, "std": [1.0] * 7}, "8 means and 7 standard deviations"),
        ({"mean": [0.0] * 8, "std": [0.0] * 8}, "standard deviations above 0"),
        ({"mean": [float("nan")] * 8, "std": [1.0] * 8}, "expected finite means"),
        ({"z_fut": {"mean": [0.0] * 8, "std": [1.0] * 8}}, "it has 'z_fut'"),
        ({"mean": 0.0, "std": 1.0}, "expected mean and std of each channel"),
        ({"meta": {"stored_scaled_latents_present": True}, "z_all": {}}, "were normalised already"),
        (
            {"mean": [0.0] * 8, "std": [1.0] * 8, "vae": "0123456789abcdef"},
            "are of another VAE (encoder 0123456789abcdef)",
        ),
        ([1.0], "expected a JSON object"),
    ],
)
def test_statistics_of_another_vae_are_refused(files, capsys, content, message):
    if content is None:
        del files["latent-stats"]
    else:
        files["latent-stats"].write_text(json.dumps(content))
    refused(files, capsys, message)


def test_a_checkpoint_tells_whose_latents_its_statistics_are_of(files, tmp_path, capsys):
    assert convert(files) == 0
    files |= {"latent-stats": files["out"] / "config.json", "out": tmp_path / "again"}
    assert convert(files) == 0  # the same VAE
    saved(files["vae"], official_vae(), **{"to_latents.weight": torch.randn(16, 64)})
    refused(files | {"out": tmp_path / "third"}, capsys, "the latent statistics are of another VAE")


def test_a_checkpoint_whose_vae_was_exchanged_is_refused(files, tmp_path):
    assert convert(files) == 0
    saved(files["vae"], official_vae(), **{"encoder_blocks.1.mlp.fc1.weight": torch.randn(256, 64)})
    other = tmp_path / "other"
    assert convert(files | {"out": other}) == 0
    (files["out"] / "vae.safetensors").write_bytes((other / "vae.safetensors").read_bytes())
    with pytest.raises(ValueError, match=r"latent statistics are of another VAE than vae\.safetensors"):
        Forecaster.from_pretrained(files["out"])


@pytest.mark.parametrize(
    ("vae", "generator", "visibility", "message"),
    [
        ({"channels": 4}, {}, {}, "the VAE has 4 channels, the generator 8: it is of another VAE"),
        ({"size": (64, 64)}, {}, {}, "the VAE has 16 cells, the generator 24"),
        ({"frames": 2}, {"steps": 21}, {}, "2 frames and the generator 21 latent steps"),
        ({}, {}, {"channels": 4}, "the visibility head takes 4 channels, the VAE has 8"),
    ],
)
def test_networks_of_different_models_are_refused(files, capsys, vae, generator, visibility, message):
    saved(files["vae"], official_vae(**vae))
    saved(files["generator"], official_generator(**generator))
    saved(files["visibility"], official_visibility(**visibility))
    if vae.get("channels"):
        statistics(files["latent-stats"], vae["channels"])
    refused(files, capsys, message)


def test_other_files_are_refused(files, tmp_path, capsys):
    refused(files | {"vae": files["generator"]}, capsys, "is no official VAE of TrajLoom")
    refused(files | {"generator": files["vae"]}, capsys, "is no official generator of TrajLoom")
    refused(files | {"visibility": files["generator"]}, capsys, "is no official visibility predictor of TrajLoom")
    refused(files | {"vae": tmp_path / "none.pt"}, capsys, "does not exist")
    refused(files | {"latent-stats": tmp_path / "none.json"}, capsys, "do not exist")
    shapes = official_generator()
    del shapes["blocks.1.xattn.kv.bias"]
    refused(files | {"generator": saved(tmp_path / "g.pt", shapes)}, capsys, "blocks.1.cross_attention.kv.bias")
    more = saved(tmp_path / "v.pt", official_vae(), extra=torch.zeros(2))
    refused(files | {"vae": more}, capsys, "key 'extra' is not one of TrajLoom's official track VAE")


def test_the_fixed_tables_have_to_be_the_official_ones(files, capsys):
    tables = {
        "pos_embed": sincos_2d((4, 6), 64)[None],
        "temp_embed_in": sincos_1d(torch.arange(9), 64)[None],
        "offset_anchor_grid": CellGrid((64, 96), 16).anchors()[None, None],
    }
    for name, table in tables.items():
        saved(files["vae"], official_vae(), **(tables | {name: table + 0.1}))
        refused(files, capsys, f"the VAE's {name} is not the official table")
    saved(files["vae"], official_vae(), **tables)
    assert convert(files) == 0
