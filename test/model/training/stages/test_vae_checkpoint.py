"""A VAE's checkpoint that is damaged: the file is named, and what to do."""

import pytest

from trajforecast_model.training.stages.vae import load_trained_vae


@pytest.mark.parametrize(
    "content, words",
    [
        ("", r"is damaged .*train the VAE again"),
        ('{"vae": {"dimm": 8}}', r"unknown key 'vae\.dimm'; did you mean 'dim'"),
    ],
    ids=["truncated", "unknown key"],
)
def test_the_damaged_config_is_named(tmp_path, content, words):
    (tmp_path / "vae.json").write_text(content)
    with pytest.raises(ValueError, match=rf"{tmp_path}/vae\.json.*{words}"):
        load_trained_vae(tmp_path)


@pytest.mark.parametrize("deviation", ["0.0", "NaN", "Infinity"])
def test_a_deviation_that_latents_cannot_be_divided_by_is_named(tmp_path, deviation):
    (tmp_path / "vae.json").write_text(f'{{"vae": {{}}, "latent_std": [1.0, {deviation}], "image_encoder": null}}')
    with pytest.raises(ValueError, match=rf"{tmp_path}/vae\.json: latent_std is .*expected numbers above 0"):
        load_trained_vae(tmp_path)
