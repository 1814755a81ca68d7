"""Exported networks give what PyTorch gives, run by ONNX Runtime."""

import numpy as np
import pytest
import torch

from trajforecast_model.cli import main
from trajforecast_model.forecaster import Forecaster

VIEWS, SAMPLES = 2, 3


def test_existing_output_and_bad_numbers_are_refused(tiny_checkpoint, tmp_path, capsys):
    pytest.importorskip("onnxscript")
    arguments = ["export", "onnx", "--checkpoint", str(tiny_checkpoint)]
    (tmp_path / "kept").write_text("")
    assert main([*arguments, "--out", str(tmp_path)]) == 2
    assert "exists" in capsys.readouterr().err
    assert main([*arguments, "--out", str(tmp_path / "new"), "-k", "0"]) == 2
    assert "k: got 0" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_exported_networks_equal_ours(tiny_checkpoint, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    folder = tmp_path / "onnx"
    arguments = ["--checkpoint", str(tiny_checkpoint), "--views", str(VIEWS), "-k", str(SAMPLES)]
    assert main(["export", "onnx", *arguments, "--out", str(folder)]) == 0

    def run(name: str, **inputs: torch.Tensor) -> torch.Tensor:
        session = runtime.InferenceSession(folder / f"{name}.onnx", providers=["CPUExecutionProvider"])
        return torch.from_numpy(session.run(None, {key: value.numpy() for key, value in inputs.items()})[0])

    forecaster = Forecaster.from_pretrained(tiny_checkpoint)
    denoiser, vae = forecaster.denoiser, forecaster.vae
    torch.manual_seed(0)
    images = torch.randn(VIEWS, 3, 128, 128)
    text = torch.randn(VIEWS, denoiser.config.text_dim)
    x = torch.randn(VIEWS, SAMPLES, denoiser.config.num_frames, denoiser.config.channels, *denoiser.config.grid)
    t = torch.rand(VIEWS, 1)
    tracks = vae.static_tracks(VIEWS) + 0.1 * torch.randn(VIEWS, 16, 2, 64, 64)
    latents = torch.randn(VIEWS * SAMPLES, vae.config.latent_frames, 16, vae.config.latent_channels)
    with torch.inference_mode():
        tokens = forecaster.image_encoder(images)
        velocity = denoiser.velocity(x, t, denoiser.image_context(tokens, text))
        pairs = {
            "image_encoder": (run("image_encoder", images=images), tokens),
            "denoiser": (run("denoiser", x=x, t=t, image_tokens=tokens, text=text), velocity),
            "vae_encoder": (run("vae_encoder", tracks=tracks), vae.encode(tracks)[0]),
            "vae_decoder": (run("vae_decoder", latents=latents), vae.decode(latents)),
        }
    assert {file.stem for file in folder.glob("*.onnx")} == set(pairs)
    for name, (exported, ours) in pairs.items():
        difference = (exported - ours).norm() / ours.norm()
        assert np.isfinite(difference) and difference < 1e-4, name
