"""The official What-Happens-Next networks, run from a folder where the user placed their source, for comparison only.

https://github.com/gboduljak/what-happens-next, folder src/track-generator. Nothing of it is part of this project. Its
sampling is followed call by call, without its dependencies on data loaders, video writers and loggers.
"""

import contextlib
import importlib
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from trajforecast_model.benchmarks.formula_weights import is_fixed
from trajforecast_model.benchmarks.libero_models import Request, official_formula_weights
from trajforecast_model.checkpoint import ForecastConfig
from trajforecast_model.runtime.device import checked_device


class OfficialForecaster:
    """Both networks under formula weights, and the sampling of their LIBERO benchmark."""

    def __init__(self, source: Path, config: ForecastConfig, device: str, dtype: torch.dtype):
        self.config = config
        self.device, self.dtype = checked_device(device), dtype
        self.denoiser, self.vae = _build(source, config)
        self.denoiser_weights, self.vae_weights = map(official_formula_weights, (self.denoiser, self.vae))
        for network, weights in ((self.denoiser, self.denoiser_weights), (self.vae, self.vae_weights)):
            # The fixed tables stay as the network computed them.
            network.load_state_dict({k: v for k, v in weights.items() if not is_fixed(k)}, strict=False)
            # Weights in the precision of the run: kinder than casting them at every use, which autocast does otherwise.
            network.to(self.device, dtype).eval().requires_grad_(False)
        self.gamma = 1 / torch.tensor(config.latent_std, device=self.device).view(-1, 1, 1)
        anchors = torch.arange(config.grid[0], device=self.device) + 0.5
        centres = torch.stack(torch.meshgrid(anchors, anchors, indexing="xy")) * 2 / config.grid[0] - 1
        self.static_tracks = centres.expand(config.num_frames, -1, -1, -1)  # [T, 2, H, W] normalised

    @torch.inference_mode()
    def forecast(self, request: Request, steps: int) -> np.ndarray:
        """Tracks [V, k, T, H, W, 2] in pixels: view after view, the samples of a view as one batch."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            tracks = [
                self._view(tokens, text, noise, steps)
                for tokens, text, noise in zip(*request.to(self.device, torch.float32), strict=True)
            ]
        return np.stack(tracks)

    def _view(self, image_tokens: Tensor, text: Tensor, noise: Tensor, steps: int) -> np.ndarray:
        from torchdiffeq import odeint

        k = len(noise)
        features, text = (x.expand(k, *x.shape).contiguous() for x in (image_tokens, text))
        static = self.static_tracks.expand(k, -1, -1, -1, -1)
        grid = self.config.denoiser.grid
        mean = self.vae.encode(static, features).loc  # [k, T, h * w, C]
        first = (mean.float().unflatten(2, grid).movedim(-1, 2) * self.gamma)[:, :1]
        mask = torch.ones_like(torch.cat([first, noise], dim=1))
        mask[:, 0] = 0

        def velocity(t: Tensor, x: Tensor) -> Tensor:
            x[:, 0] = first[:, 0]
            return mask * self.denoiser(x, t * torch.ones(k, device=x.device), features, text)

        start = torch.cat([first, noise], dim=1)
        times = torch.linspace(0, 1, steps + 1, device=self.device)
        latents = odeint(velocity, start, times, method="euler")[-1]
        latents[:, 0] = first[:, 0]
        tracks = self.vae.decode((latents / self.gamma).flatten(3).transpose(2, 3), features)  # [k, T, 2, H, W]
        height, width = self.config.image_size
        pixels = (tracks.float().movedim(2, -1) + 1) / 2 * torch.tensor([width, height], device=tracks.device)
        return pixels.cpu().numpy()


def _build(source: Path, config: ForecastConfig) -> tuple[nn.Module, nn.Module]:
    denoiser, vae = config.denoiser, config.vae
    image_tokens = denoiser.image_grid[0] * denoiser.image_grid[1]
    with _importable(source):
        latte, latte_vae = (importlib.import_module(name) for name in ("nn_latte", "nn_latte_vae"))
        # The VAE's blocks import timm when they are built.
        return (
            latte.Latte(
                input_size=denoiser.grid[0], patch_size=1, in_channels=denoiser.channels, hidden_size=denoiser.dim,
                depth=denoiser.depth, num_heads=denoiser.heads, num_frames=denoiser.num_frames, learn_sigma=False,
                frame_features_dim=denoiser.image_dim, text_embed_dim=denoiser.text_dim, num_frame_tokens=image_tokens,
            ),
            latte_vae.LatteVAE(
                input_size=vae.grid[0], patch_size=vae.patch_size, in_channels=2, latent_channels=vae.latent_channels,
                hidden_size=vae.dim, encoder_depth=vae.depth, decoder_depth=vae.depth, num_heads=vae.heads,
                num_frames=vae.num_frames, learn_sigma=False, frame_features_dim=vae.image_dim,
                num_frame_tokens=image_tokens,
            ),
        )  # fmt: skip


@contextlib.contextmanager
def _importable(source: Path) -> Iterator[None]:
    """The official modules by their names, and the two classes of timm that they use, which would bring torchvision."""
    folder = next((f for f in (source, source / "src" / "track-generator") if (f / "nn_latte.py").is_file()), None)
    if folder is None:
        raise ValueError(
            f"{source} has no nn_latte.py: clone https://github.com/gboduljak/what-happens-next and give its folder"
        )
    names = ("timm", "timm.models", "timm.models.vision_transformer")
    before = {name: sys.modules.get(name) for name in names}
    for name in names:
        sys.modules[name] = types.ModuleType(name)
    sys.modules[names[-1]].PatchEmbed, sys.modules[names[-1]].Mlp = _PatchEmbed, _Mlp
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


class _PatchEmbed(nn.Module):
    def __init__(self, img_size: int, patch_size: int, in_chans: int, embed_dim: int, bias: bool = True):
        super().__init__()
        self.patch_size = (patch_size, patch_size)
        self.num_patches = (img_size // patch_size) ** 2
        self.proj = nn.Conv2d(in_chans, embed_dim, patch_size, patch_size, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class _Mlp(nn.Module):
    def __init__(self, in_features, hidden_features=None, out_features=None, act_layer=nn.GELU, drop=0.0):
        super().__init__()
        self.fc1 = nn.Linear(in_features, hidden_features or in_features)
        self.act = act_layer()
        self.fc2 = nn.Linear(hidden_features or in_features, out_features or in_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))
