"""The nine released models: what their files do not tell comes from their release, and no other's file passes for them."""

import functools
import json

import numpy as np
import pytest
import torch
from official_layout import official_denoiser, official_vae
from small_dinov2 import write_dinov2

from trajforecast_model import Forecaster
from trajforecast_model.benchmarks.formula_weights import formula_weights
from trajforecast_model.checkpoint import load_config
from trajforecast_model.cli import main
from trajforecast_model.conversion.whn_releases import RELEASES
from trajforecast_model.networks.positions import sincos_1d, sincos_2d
from trajforecast_model.tracks.grid import query_points

LIBERO = dict(size=(128, 128), sees=(128, 128), tokens=(9, 9), grid=(64, 64), frames=16, dt=0.05, width=384)
KUBRIC = dict(size=(256, 256), sees=(224, 224), tokens=(16, 16), grid=(32, 32), frames=24, dt=1 / 12)
PHYSION = dict(size=(256, 256), sees=(252, 252), tokens=(18, 18), grid=(32, 32), frames=30, dt=1 / 30, width=384)
PHYSICS = dict(size=(256, 464), sees=(252, 462), tokens=(18, 33), grid=(32, 58), frames=30, dt=1 / 30, width=384)
CITYSCAPES = dict(size=(224, 448), sees=(224, 448), tokens=(16, 32), grid=(56, 112), frames=30, dt=1 / 17)
EXPECTED = {
    "libero-atm": LIBERO,
    "libero-tramoe": LIBERO,
    "kubric-s": KUBRIC | {"width": 192},
    "kubric-b": KUBRIC | {"width": 384},
    "kubric-l": KUBRIC | {"width": 768},
    "physion": PHYSION,
    "physics101": PHYSICS,
    "cityscapes-b": CITYSCAPES | {"width": 384},
    "cityscapes-l": CITYSCAPES | {"width": 768},
}
OF_TRACKS = ("physion", "physics101", "cityscapes-b", "cityscapes-l")
SCALE = [0.5 + i for i in range(8)]


def with_tables(shapes: dict, grid, image_grid) -> dict:
    state = {key: torch.zeros(*shape) for key, shape in shapes.items()}
    state["pos_embed"] = sincos_2d(grid, shapes["pos_embed"][2])[None]
    state["frame_embed"] = sincos_2d(image_grid, shapes["frame_embed"][2])[None]
    state["temp_embed"] = sincos_1d(torch.arange(shapes["temp_embed"][1]), shapes["temp_embed"][2])[None]
    return state


def official_state(name: str, image_grid=None) -> tuple[dict, dict | None]:
    """Denoiser and VAE of a release, of one block, with their tables of positions and zeros as weights."""
    expected = EXPECTED[name]
    image_grid = image_grid or expected["tokens"]
    image = (image_grid[0] * image_grid[1], 384 if name.startswith("kubric") else 1024)
    rows, columns = expected["grid"]
    points = 4 if name.startswith(("libero", "cityscapes")) else 2  # a side of a token
    grid = (rows // points, columns // points)
    sizes = (expected["width"], 1, expected["frames"], grid[0] * grid[1])
    if name in OF_TRACKS:
        return with_tables(official_denoiser(*sizes, 2, points, *image, tracks=True), grid, image_grid), None
    text = 768 if name.startswith("libero") else None
    denoiser = with_tables(official_denoiser(*sizes, 8, 1, *image, text), grid, image_grid)
    return denoiser, with_tables(official_vae(384, 1, *sizes[2:], 8, points, *image), grid, image_grid)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The arguments that name a release's files, which are as its training saves them."""
    folder = tmp_path_factory.mktemp("official")

    @functools.cache
    def arguments(name: str) -> tuple:
        states = {"--denoiser": official_state(name)[0], "--vae": official_state(name)[1]}
        named = []
        for option, state in states.items():
            if state is not None:
                path = folder / f"{name}{option}.pth"
                prefixed = {f"module.{key}": value for key, value in state.items()}
                torch.save({"model_state_dict": prefixed, "optimizer_state_dict": {}, "step": 1}, path)
                named += [option, path]
        return tuple(named)

    return arguments


def convert(*arguments) -> int:
    return main(["convert", "whn", *map(str, arguments)])


def yaml(tmp_path, **values):
    (tmp_path / "told.yaml").write_text(json.dumps(values))
    return ("--config", tmp_path / "told.yaml")


@pytest.mark.parametrize("name", EXPECTED)
def test_a_release_s_config_is_whole(files, tmp_path, name):
    told = yaml(tmp_path, latent_std=SCALE) if name.startswith("kubric") else ()
    assert convert(*files(name), "--release", name, *told, "--out", tmp_path / "out") == 0
    config, expected = load_config(tmp_path / "out"), EXPECTED[name]
    assert config.image_size == expected["size"] and config.grid == expected["grid"]
    assert config.num_frames == config.denoiser.num_frames == expected["frames"]
    encoder = config.image_encoder
    assert encoder.input_size == expected["sees"] and encoder.grid == config.denoiser.image_grid == expected["tokens"]
    assert encoder.source == f"facebook/dinov2-{'small' if name.startswith('kubric') else 'large'}"
    assert config.dt == pytest.approx(expected["dt"]) and config.steps == 9 and config.solver == "euler"
    assert config.views == (("side", "effector") if name.startswith("libero") else ("camera",))
    assert config.denoiser.dim == 64 * config.denoiser.heads == expected["width"]
    assert (config.text_encoder is None) == (not name.startswith("libero"))
    if name in OF_TRACKS:
        assert config.vae is None and config.denoiser.track_encoding and config.latent_std == (1.0, 1.0)
    else:
        assert config.vae.image_size == expected["size"] and config.vae.grid == expected["grid"]
        assert config.vae.patch_size == (4 if name.startswith("libero") else 2)
        assert config.latent_std == (tuple(SCALE) if name.startswith("kubric") else RELEASES[name].latent_std)


def test_the_latent_scales_of_the_two_libero_releases_differ(files, tmp_path, capsys):
    for name, first in (("libero-atm", 1.213627), ("libero-tramoe", 1.2902071)):
        assert convert(*files("libero-atm"), "--release", name, "--out", tmp_path / name) == 0
        assert load_config(tmp_path / name).latent_std[0] == first
    capsys.readouterr()
    assert convert(*files("libero-atm"), "--out", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "taken as libero-atm, the latent scale too" in said and "--release libero-tramoe" in said
    assert load_config(tmp_path / "out") == load_config(tmp_path / "libero-atm")


def test_kubric_s_latent_scale_is_asked_for(files, tmp_path, capsys):
    assert convert(*files("kubric-s"), "--release", "kubric-s", "--out", tmp_path / "out") == 2
    assert "give latent_std, the standard deviation of each of the 8 channels, in a --config" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["kubric-s", "kubric-b", *OF_TRACKS])
def test_without_a_release_no_size_is_guessed_and_the_fitting_release_is_named(files, tmp_path, capsys, name):
    assert convert(*files(name), "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert f"sizes of {name}: choose it by --release" in error and "image_size" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "claimed", "difference"),
    [
        ("physion", "kubric-b", "frames: 30 in the files, 24 in the release"),
        ("kubric-s", "kubric-b", "width: 192 in the files, 384 in the release"),
        ("physics101", "physion", "tokens a frame: 464 in the files, 256 in the release"),
        ("cityscapes-l", "cityscapes-b", "they have the sizes of cityscapes-l"),
        ("libero-atm", "kubric-b", "width of the text: 768 in the files, none in the release"),
        ("kubric-s", "libero-tramoe", "width of the text: none in the files, 768 in the release"),
        ("kubric-s", "physion", "channels (2 are tracks, 8 the VAE's latents): 8 in the files, 2 in the release"),
    ],
)
def test_a_file_of_another_release_is_refused_with_the_difference(files, tmp_path, capsys, name, claimed, difference):
    assert convert(*files(name), "--release", claimed, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert f"the files are not of release {claimed}" in error and difference in error
    assert not (tmp_path / "out").exists()


def test_a_misspelt_release_is_refused_before_the_files_are_read(tmp_path, capsys):
    assert convert("--denoiser", tmp_path / "none.pt", "--release", "kubrik-b", "--out", tmp_path / "out") == 2
    assert "did you mean kubric-b?" in capsys.readouterr().err


def test_a_latent_denoiser_without_its_vae_is_refused(files, tmp_path, capsys):
    assert convert(*files("kubric-s")[:2], "--release", "kubric-s", "--out", tmp_path / "out") == 2
    assert "give its VAE by --vae" in capsys.readouterr().err


def test_of_cityscapes_the_moving_average_is_taken_and_said(tmp_path, capsys):
    state = official_state("cityscapes-b")[0]
    model = {f"module._orig_mod.{key}": value for key, value in state.items()}
    average = state | {"final_layer.linear.bias": torch.ones(32)}
    torch.save(
        {"model_state_dict": model, "ema_state_dict": average, "wandb": {"run": {"id": "a"}}}, tmp_path / "c.pth"
    )
    arguments = ("--denoiser", tmp_path / "c.pth", "--release", "cityscapes-b")
    for option, said, bias in (
        ((), "the moving average in entry 'ema_state_dict'", 1),
        (
            ("--weights", "model"),
            "the model in entry 'model_state_dict', keys without their prefix 'module._orig_mod.'",
            0,
        ),
    ):
        out = tmp_path / f"out{bias}"
        assert convert(*arguments, *option, "--out", out) == 0
        assert said in capsys.readouterr().out
        assert (Forecaster.from_pretrained(out).denoiser.final_linear.bias == bias).all()


def test_positions_of_image_tokens_stay_those_that_the_network_was_trained_with(tmp_path, capsys):
    """The published configs of Cityscapes name 16 columns and 32 rows of image tokens, which are 16 rows of 32."""
    torch.save(official_state("cityscapes-b", image_grid=(32, 16))[0], tmp_path / "c.pth")
    files = ("--denoiser", tmp_path / "c.pth", "--release", "cityscapes-b")
    assert convert(*files, "--out", tmp_path / "out") == 0
    assert "image tokens are 16 x 32, and their positions those of 32 x 16" in capsys.readouterr().out
    forecaster = Forecaster.from_pretrained(tmp_path / "out")
    assert forecaster.config.image_encoder.input_size == (224, 448)
    torch.testing.assert_close(forecaster.denoiser.image_positions, sincos_2d((32, 16), 384))


def test_pictures_of_any_size_are_forecast_in_their_own_pixels(tmp_path):
    shapes = {key: list(value.shape) for key, value in official_state("physics101")[0].items()}
    torch.save(formula_weights(shapes), tmp_path / "d.pt")  # with tables of zeros: the release tells the grids
    told = yaml(tmp_path, image_encoder=str(write_dinov2(tmp_path / "dinov2", seed=0, width=1024)))
    files = ("--denoiser", tmp_path / "d.pt", "--release", "physics101", *told)
    assert convert(*files, "--out", tmp_path / "out") == 0
    forecaster = Forecaster.from_pretrained(tmp_path / "out")
    small = np.random.default_rng(0).integers(0, 256, (256, 464, 3), dtype=np.uint8)
    large = small.repeat(2, axis=0).repeat(3, axis=1)  # averaging it back gives exactly the small one
    tokens = forecaster.encode_images([small, large])
    assert tokens.shape == (2, 18 * 33, 1024) and torch.equal(tokens[0], tokens[1])
    tracks = forecaster.predict({"camera": large}, k=1, steps=1).tracks
    assert tracks.shape == (1, 1, 30, 32, 58, 2)
    np.testing.assert_allclose(tracks[0, 0, 0], query_points((32, 58), (256, 464)) * [3, 2], atol=1e-2)
    assert np.abs(tracks[0, 0, 1:] - tracks[0, 0, :1]).max() > 1
