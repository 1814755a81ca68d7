"""`trajforecast export onnx`: the networks of a checkpoint as ONNX files, for runtimes that are not PyTorch.

What is not a network stays with the caller, as in forecaster.py: resizing and standardising the image, the text
encoder, noise, the solver's steps and the change to pixels.

denoiser.onnx       x [V, S, T, C, h, w], t [V, 1], image_tokens [V, M, D], text [V, E], past_offsets [V, P, 2, H, W],
                    past_visible [V, P, H, W] -> velocity [V, S, T, C, h, w]
vae_decoder.onnx    latents [B, T', h * w, C] unscaled, image_tokens [V, M, D] -> tracks [B, T, 2, H, W] normalised
vae_encoder.onnx    tracks [B, T, 2, H, W] normalised, image_tokens [V, M, D] -> latent_mean [B, T', h * w, C]
image_encoder.onnx  images [V, 3, H, W] standardised -> image_tokens [V, M, D]

V views, S samples, P past frames (oldest first, normalised positions minus query points; visible 1 or 0); B is V in the encoder, V * S in the decoder. Inputs that a model does not have are left out: text
without a text encoder, image_tokens where the VAE does not look at the image. image_encoder.onnx is written where it is
trained with the model; a DINOv2 has exporters of its own.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from trajforecast_model.checkpoint import CONFIG_FILE, save_config
from trajforecast_model.files.atomic import new_folder
from trajforecast_model.forecaster import Forecaster
from trajforecast_model.networks.history_encoder import PastTracks

OPSET = 18
PACKAGES = ("onnx", "onnxscript")


def export_onnx(checkpoint: str | Path, out: Path, *, views: int = 2, k: int = 8) -> list[Path]:
    """Writes float32 ONNX files for `views` images and `k` samples of each, and config.json beside them.

    Shapes are fixed: runtimes plan memory and kernels for them.

    Raises:
        ValueError: where the packages of the extra `export` are missing, `out` holds something, or numbers are out of
            range.
    """
    missing = [package for package in PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        raise ValueError(f"exporting needs {' and '.join(missing)}: pip install -e '.[export]'")
    for name, value in (("views", views), ("k", k)):
        if value < 1:
            raise ValueError(f"{name}: got {value}, expected at least 1")
    with new_folder(out) as folder:
        forecaster = Forecaster.of_pictures(checkpoint)
        for name, (network, inputs, output) in _networks(forecaster, views, k).items():
            _export(network, inputs, output, folder / f"{name}.onnx")
        save_config(forecaster.config, folder)
    files = sorted(path for path in out.iterdir() if path.name != CONFIG_FILE)
    for file in files:
        print(f"wrote {file} ({file.stat().st_size / 1e6:.1f} MB)")
    return files


class _Network(nn.Module):
    """A function of the networks as the module that the exporter wants."""

    def __init__(self, networks: nn.Module, function: Callable[..., Tensor]):
        super().__init__()
        self.networks = networks
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


def _networks(forecaster: Forecaster, views: int, k: int) -> dict[str, tuple[nn.Module, dict[str, Tensor], str]]:
    """By file name: the network, example inputs by name, and its output's name."""
    config, denoiser, vae = forecaster.config.denoiser, forecaster.denoiser, forecaster.vae
    image_tokens = torch.randn(views, config.image_grid[0] * config.image_grid[1], config.image_dim)
    inputs = {
        "x": torch.randn(views, k, config.num_frames, config.channels, *config.grid),
        "t": torch.full((views, 1), 0.5),
        "image_tokens": image_tokens,
    }
    if config.text_dim is not None:
        inputs["text"] = torch.randn(views, config.text_dim)

    if config.history is not None:
        shape = (views, config.history.frames)
        inputs["past_offsets"] = torch.zeros(*shape, 2, *config.history.grid)
        inputs["past_visible"] = torch.ones(*shape, *config.history.grid)
        if config.history.last_motion:
            inputs["past_last_motion"] = torch.zeros(views, config.num_frames - 1, config.channels, *config.grid)

    def velocity(x: Tensor, t: Tensor, image_tokens: Tensor, *others: Tensor) -> Tensor:
        given = dict(zip([name for name in inputs if name not in ("x", "t", "image_tokens")], others, strict=True))
        past = None
        if "past_offsets" in given:
            past = PastTracks(given["past_offsets"], given["past_visible"], given.get("past_last_motion"))
        return denoiser.velocity(x, t, denoiser.image_context(image_tokens, given.get("text"), past))

    networks = {"denoiser": (_Network(denoiser, velocity), inputs, "velocity")}
    if vae is not None:
        shape = (views * k, vae.config.latent_frames, vae.config.latent_grid[0] * vae.config.latent_grid[1])
        image = {"image_tokens": image_tokens} if vae.config.image_conditioned else {}
        latents = {"latents": torch.randn(*shape, vae.config.latent_channels)} | image
        tracks = {"tracks": vae.static_tracks(views).clone()} | image
        networks["vae_decoder"] = (_Network(vae, vae.decode), latents, "tracks")
        networks["vae_encoder"] = (_Network(vae, lambda *inputs: vae.encode(*inputs)[0]), tracks, "latent_mean")
    if forecaster.config.image_encoder.kind == "patch":
        images = {"images": torch.randn(views, 3, *forecaster.config.image_encoder.input_size)}
        networks["image_encoder"] = (forecaster.image_encoder, images, "image_tokens")
    return networks


def _export(network: nn.Module, inputs: dict[str, Tensor], output: str, file: Path) -> None:
    program = torch.onnx.export(
        network.eval(),
        tuple(inputs.values()),
        input_names=list(inputs),
        output_names=[output],
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    program.save(str(file))
