"""A VAE whose decoder alone is trained on: its latents, and so the denoisers trained on them, stay what they are."""

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import run, vae_config

from trajforecast_model.training.vae_stage import load_trained_vae

OF_THE_DECODER = ("from_latents.", "decoder_blocks.", "final_linear.")


@pytest.mark.parametrize("image_conditioned", [False, True])
def test_the_decoder_changes_and_nothing_else(image_conditioned, data, tmp_path):
    def config(out: str, **changes) -> dict:
        encoder = dict(kind="patch", source=None, patch_size=16, dim=64, depth=1, heads=1)
        config = vae_config(data, tmp_path / out, steps=2, image_encoder=encoder, **changes)
        if image_conditioned:
            config["vae"] |= dict(image_conditioned=True, image_grid=[8, 8], image_dim=64)
        return config

    first, second = tmp_path / "first" / "checkpoint", tmp_path / "second" / "checkpoint"
    assert run("vae", config("first"), tmp_path) == 0
    assert run("vae", config("second", keep_latents_of=str(first), equal_windows=True), tmp_path) == 0
    before, after = (load_file(folder / "vae.safetensors") for folder in (first, second))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith(OF_THE_DECODER) for name in changed)
    assert load_trained_vae(first)[0] == load_trained_vae(second)[0]
    if image_conditioned:
        name = "image_encoder.safetensors"
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_another_network_is_refused(data, barely_trained_vae, tmp_path, capsys):
    config = vae_config(data, tmp_path / "run", steps=2, keep_latents_of=str(barely_trained_vae))
    config["vae"]["depth"] = 1
    assert run("vae", config, tmp_path) == 2
    assert "keep_latents_of: the vae of" in capsys.readouterr().err
