"""Official layouts of other sizes than the goldens': everything is read off the weights, and wrong files are named."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from official_layout import official_denoiser, official_vae

from trajforecast_model import Forecaster
from trajforecast_model.benchmarks.formula_weights import formula_weights
from trajforecast_model.cli import main
from trajforecast_model.conversion import whn as whn_checkpoint
from trajforecast_model.networks.positions import sincos_2d


def save(path, shapes, grid=None, wrapped=None):
    state = formula_weights(shapes)
    if grid is not None:
        state["pos_embed"] = sincos_2d(grid, shapes["pos_embed"][2])[None]
    torch.save({wrapped: state, "epoch": 3} if wrapped else state, path)
    return path


def settings(tmp_path, **values):
    path = tmp_path / "settings.yaml"
    path.write_text(json.dumps(values))  # which is YAML
    return path


def convert(*arguments) -> int:
    return main(["convert", "whn", *map(str, arguments)])


def test_the_layouts_here_are_the_official_ones():
    folder = Path(__file__).parents[2] / "data"
    denoiser = json.loads((folder / "whn_denoiser_b_libero.keys.json").read_text())
    assert official_denoiser(384, 12, 16, 256, 8, 1, 81, 1024, 768) == denoiser
    vae = json.loads((folder / "whn_vae_libero.keys.json").read_text())
    assert official_vae(384, 12, 16, 256, 8, 4, 81, 1024) == vae


def test_rectangular_grid_without_vae_is_read_off_the_position_table(tmp_path):
    shapes = official_denoiser(128, 2, 30, 16 * 29, 2, 2, 64, 384, tracks=True)
    save(tmp_path / "d.pt", shapes, grid=(16, 29))
    files = ("--denoiser", tmp_path / "d.pt", "--config", settings(tmp_path, image_size=[128, 232]))
    assert convert(*files, "--out", tmp_path / "out") == 0
    config = Forecaster.from_pretrained(tmp_path / "out").config
    assert (config.grid, config.num_frames, config.vae, config.text_encoder) == ((32, 58), 30, None, None)
    assert config.image_size == (128, 232) and config.image_encoder.source == "facebook/dinov2-small"


def test_another_size_with_vae_keeps_every_weight(tmp_path):
    save(tmp_path / "d.pt", official_denoiser(192, 3, 24, 64, 8, 1, 256, 384), wrapped="model")
    save(tmp_path / "v.pt", official_vae(128, 2, 24, 64, 8, 4, 256, 384))
    files = ("--denoiser", tmp_path / "d.pt", "--vae", tmp_path / "v.pt")
    told = settings(tmp_path, image_size=[64, 64], latent_std=[1.0] * 8)
    assert convert(*files, "--config", told, "--out", tmp_path / "out") == 0
    forecaster = Forecaster.from_pretrained(tmp_path / "out")
    assert forecaster.config.grid == (32, 32) and forecaster.config.denoiser.heads == 3
    official = formula_weights(official_denoiser(192, 3, 24, 64, 8, 1, 256, 384))
    assert torch.equal(forecaster.denoiser.blocks[2].modulation.weight, official["blocks.2.adaLN_modulation.1.weight"])
    latents = forecaster.sample_latents(torch.randn(1, 256, 384), None, torch.randn(1, 2, 23, 8, 8, 8), steps=1)
    assert latents.shape == (1, 2, 24, 8, 8, 8)
    assert torch.equal(latents[:, 0, :1], latents[:, 1, :1])  # every sample starts from the known first frame


def test_settings_tell_what_the_weights_do_not(tmp_path):
    save(tmp_path / "d.pt", official_denoiser(128, 1, 16, 64, 4, 1, 81, 1024))
    save(tmp_path / "v.pt", official_vae(128, 1, 16, 64, 4, 4, 81, 1024))
    weights = ("--denoiser", tmp_path / "d.pt", "--vae", tmp_path / "v.pt")
    files = (*weights, "--out", tmp_path / "out")
    assert convert(*files) == 2  # 4 channels: nobody knows their scale
    (tmp_path / "s.yaml").write_text("latent_std: [1.0, 2.0, 3.0, 4.0]\n")
    assert convert(*files, "--config", tmp_path / "s.yaml") == 2  # nor what pictures their tracks were made on
    (tmp_path / "s.yaml").write_text("latent_std: [1.0, 2.0, 3.0, 4.0]\nimage_size: [256, 256]\ndt: 0.1\n")
    assert convert(*files, "--config", tmp_path / "s.yaml") == 0
    config = Forecaster.from_pretrained(tmp_path / "out").config
    assert config.latent_std == (1.0, 2.0, 3.0, 4.0) and config.image_size == (256, 256) and config.dt == 0.1
    (tmp_path / "s.yaml").write_text("latent_sdt: [1.0]\n")
    assert convert(*weights, "--out", tmp_path / "other", "--config", tmp_path / "s.yaml") == 2
    assert not (tmp_path / "other").exists()


def test_the_folder_has_its_name_only_when_it_is_whole(tmp_path, monkeypatch, capsys):
    """Weights of one model never come to lie beside the config or the VAE of another."""
    save(tmp_path / "d.pt", official_denoiser(128, 1, 30, 16 * 29, 2, 2, 64, 384, tracks=True), grid=(16, 29))
    files = ("--denoiser", tmp_path / "d.pt", "--config", settings(tmp_path, image_size=[256, 464]))
    files = (*files, "--out", tmp_path / "out")

    def killed(config, folder):
        assert list(folder.iterdir()), "the weights are there already"
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(whn_checkpoint, "save_config", killed)
        assert convert(*files) == 130
    assert {path.name for path in tmp_path.iterdir()} == {"d.pt", "settings.yaml"}
    assert convert(*files) == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert before.keys() == {"config.json", "denoiser.safetensors"}
    assert convert(*files) == 2
    assert "out exists; give --out a new folder" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


class Evil:
    def __reduce__(self):
        return (pytest.fail, ("something pickled was run",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"", "not a file of plain tensors"),
        (b"not a checkpoint", "not a file of plain tensors"),
        (pickle.dumps(Evil()), "not a file of plain tensors"),
    ],
)
def test_wrong_files_are_named_and_never_run(tmp_path, capsys, content, message):
    path = tmp_path / "d.pt"
    if content is not None:
        path.write_bytes(content)
    assert convert("--denoiser", path, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert message in error and str(path) in error
    assert not (tmp_path / "out").exists()


def test_denoisers_and_vaes_that_do_not_belong_together_are_refused(tmp_path, capsys):
    def refused(message, denoiser, vae=None):
        arguments = ["--denoiser", denoiser, *(["--vae", vae] if vae else []), "--config", told]
        assert convert(*arguments, "--out", tmp_path / "out") == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
        assert not (tmp_path / "out").exists()

    told = settings(tmp_path, image_size=[64, 64], latent_std=[1.0] * 8)
    latent = save(tmp_path / "latent.pt", official_denoiser(128, 1, 24, 64, 8, 1, 256, 384))
    tracks = save(tmp_path / "tracks.pt", official_denoiser(128, 1, 24, 64, 2, 2, 256, 384, tracks=True))
    vae = save(tmp_path / "vae.pt", official_vae(128, 1, 24, 64, 8, 4, 256, 384))
    longer = save(tmp_path / "longer.pt", official_vae(128, 1, 30, 64, 8, 4, 256, 384))
    refused("works on latents of 8 channels; give its VAE by --vae", latent)
    refused("works on tracks themselves and has no VAE; leave --vae out", tracks, vae)
    refused("the VAE is of another model: frames: 30 in the VAE, 24 in the denoiser", latent, longer)
    refused("'to_latents.weight' is not one of the official denoiser", vae, vae)
    refused("is not one of the official VAE; is this the right file?", latent, latent)


@pytest.mark.parametrize("table", ["pos_embed", "frame_embed", "temp_embed"])
def test_a_table_of_positions_that_is_not_the_official_one_is_refused(tmp_path, capsys, table):
    state = formula_weights(official_denoiser(128, 1, 24, 64, 2, 2, 256, 384, tracks=True))
    state[table] = torch.randn_like(state[table])
    torch.save(state, tmp_path / "d.pt")
    files = ("--denoiser", tmp_path / "d.pt", "--config", settings(tmp_path, image_size=[64, 64]))
    assert convert(*files, "--out", tmp_path / "out") == 2
    assert "position" in capsys.readouterr().err


def test_other_networks_are_refused(tmp_path, capsys):
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pt")
    assert convert("--denoiser", tmp_path / "other.pt", "--out", tmp_path / "out") == 2
    assert "no official What-Happens-Next denoiser" in capsys.readouterr().err
    shapes = official_denoiser(128, 1, 16, 64, 8, 1, 81, 1024)
    del shapes["blocks.0.attn.q.weight"]
    save(tmp_path / "partial.pt", shapes)
    assert convert("--denoiser", tmp_path / "partial.pt", "--out", tmp_path / "out") == 2
    assert "blocks.0.attention.q.weight" in capsys.readouterr().err
