"""Weights in ATM's layout give ATM's outputs.

The reference was computed by ATM's own code (MIT) with the weights of `official_weights`, dropout off, nothing masked;
its convolution to patches was that of timm.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from trajforecast_model.baselines.checkpoint import load_baseline
from trajforecast_model.cli import main
from trajforecast_model.conversion.atm import convert_atm
from trajforecast_model.networks.image_encoder import signed_pixels
from trajforecast_model.networks.positions import sincos_2d

DATA = Path(__file__).parents[2] / "data"


def official_weights() -> dict[str, torch.Tensor]:
    weights = {}
    for key, shape in json.loads((DATA / "atm_track_transformer.keys.json").read_text()).items():
        drawn = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape).astype(np.float32)
        value = torch.from_numpy(drawn * np.float32(0.05))
        weights[key] = torch.zeros(shape) if key.endswith("beta") else 1 + value if key.endswith("gamma") else value
    weights["img_embed"] = sincos_2d((8, 8), 384)[None]
    return weights


def test_converted_weights_reproduce_the_official_network(tmp_path):
    torch.save(official_weights(), tmp_path / "model_best.ckpt")
    assert (
        main(["convert", "atm", "--checkpoint", str(tmp_path / "model_best.ckpt"), "--out", str(tmp_path / "c")]) == 0
    )
    config, network = load_baseline(tmp_path / "c")
    assert (network.config.depth, network.config.heads, network.config.image_patch) == (8, 8, 16)
    assert config.text_encoder.source == "bert-base-cased"
    images = torch.from_numpy(np.random.default_rng(600).integers(0, 256, (1, 128, 128, 3), dtype=np.uint8))
    points = torch.from_numpy(np.random.default_rng(601).random((1, 32, 2), dtype=np.float32))
    text = torch.from_numpy(np.random.default_rng(602).standard_normal((1, 768)).astype(np.float32))
    with torch.inference_mode():
        output = network(signed_pixels(images), points, text)
    golden = np.load(DATA / "atm_track_transformer.npz")
    for ours, theirs in ((output.tracks, golden["tracks"]), (output.patches[:, ::8], golden["patches"])):
        assert np.abs(ours.numpy() - theirs).max() < 1e-4 * np.abs(theirs).max()


def test_weights_are_found_however_they_were_saved(tmp_path, capsys):
    weights = official_weights()
    average = weights | {"mask_token": weights["mask_token"] + 1}

    def mask_token(content: dict, *options: str) -> torch.Tensor:
        torch.save(content, tmp_path / "file.ckpt")
        out = tmp_path / str(len(list(tmp_path.iterdir())))
        assert main(["convert", "atm", "--checkpoint", str(tmp_path / "file.ckpt"), *options, "--out", str(out)]) == 0
        return load_baseline(out)[1].mask_token

    training = {"optimizer_state_dict": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": []}, "epoch": 3}
    prefixed = {f"_orig_mod.module.{key}": value for key, value in weights.items()}
    expected = weights["mask_token"].flatten()
    assert torch.equal(mask_token({"model_state_dict": prefixed} | training), expected)
    assert "in entry 'model_state_dict', keys without their prefix '_orig_mod.module.'" in capsys.readouterr().out
    both = {"state_dict": prefixed, "ema_state_dict": average} | training
    assert torch.equal(mask_token(both), expected + 1)
    assert torch.equal(mask_token(both, "--weights", "model"), expected)


def test_other_state_dicts_are_refused(tmp_path):
    def refused(weights: dict, message: str) -> None:
        torch.save(weights, tmp_path / "other.ckpt")
        with pytest.raises(ValueError, match=message):
            convert_atm(tmp_path / "other.ckpt", tmp_path / "out")

    weights = official_weights()
    refused({"a": torch.zeros(1)}, "no tensor 'track_proj_encoder.conv.weight'")
    refused({key: value for key, value in weights.items() if ".3.0.to_q" not in key}, "does not fit ATM's layout")
    refused(weights | {"img_embed": torch.zeros(1, 64, 384)}, "another table of image positions")
    refused(
        weights | {"transformer.layers.0.1.gate.w_gating": torch.zeros(1)},
        "unknown tensor 'transformer.layers.0.1.gate.w_gating'",
    )
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="exists; give --out a new folder"):
        convert_atm(tmp_path / "other.ckpt", tmp_path)
