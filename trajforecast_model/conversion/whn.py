"""`trajforecast convert whn`: official What-Happens-Next weights to a checkpoint folder of ours.

Sizes are read off the tensors. What the weights do not tell (encoders, latent scale, frame interval) takes LIBERO's
values from the paper, or those of a YAML file.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from trajforecast_model.checkpoint import ForecastConfig, save_config, save_weights
from trajforecast_model.conversion.whn_keys import denoiser_weights, vae_weights
from trajforecast_model.files.atomic import new_folder
from trajforecast_model.files.config import load
from trajforecast_model.files.torch_files import read_state_dict
from trajforecast_model.networks.denoiser import Denoiser, DenoiserConfig
from trajforecast_model.networks.image_encoder import ImageEncoderConfig
from trajforecast_model.networks.positions import sincos_2d
from trajforecast_model.networks.text_encoder import TextEncoderConfig
from trajforecast_model.networks.track_vae import TrackVAE, TrackVAEConfig

HEAD_DIM = 64  # of every published size
LIBERO_LATENT_STD = (1.2136, 2.0532, 1.9927, 1.3819, 2.1739, 1.0037, 0.4132, 0.6774)
_DINOV2 = {384: "facebook/dinov2-small", 768: "facebook/dinov2-base", 1024: "facebook/dinov2-large"}


@dataclass(frozen=True)
class WhnSettings:
    """What the weights do not tell; null is read off the weights or taken from the paper."""

    image_size: tuple[int, int] | None = None  # height, width; null: two pixels a query point
    encoder_input_size: tuple[int, int] | None = None  # height, width that DINOv2 sees; null: 14 pixels a token, or 128
    grid: tuple[int, int] | None = None  # rows, columns of query points
    image_grid: tuple[int, int] | None = None  # rows, columns of image tokens
    latent_std: tuple[float, ...] | None = None  # per channel
    dt: float = 0.05
    views: tuple[str, ...] = ("side", "effector")
    steps: int = 9
    heads: int | None = None
    image_encoder: str | None = None  # folder or hub id of DINOv2
    text_encoder: str = "bert-base-cased"  # folder or hub id


def convert_whn(denoiser_file: Path, vae_file: Path | None, out: Path, settings_file: Path | None = None) -> None:
    """Writes the checkpoint folder `out` from official .pt state dicts.

    Raises:
        ValueError: for files that are no such state dicts, or whose sizes do not fit together; where `out` holds something.
    """
    with new_folder(out) as folder:
        settings = WhnSettings() if settings_file is None else load(WhnSettings, settings_file)
        official_denoiser = read_state_dict(denoiser_file)
        official_vae = None if vae_file is None else read_state_dict(vae_file)
        config = infer_config(official_denoiser, official_vae, settings)

        denoiser = Denoiser(config.denoiser)
        _load(denoiser, denoiser_weights(official_denoiser), denoiser_file)
        if official_vae is not None:
            vae = TrackVAE(config.vae)
            _load(vae, vae_weights(official_vae), vae_file)
            save_weights(vae, folder / "vae.safetensors")
        save_weights(denoiser, folder / "denoiser.safetensors")
        save_config(config, folder)
    print(f"wrote {out}: denoiser {config.denoiser.depth} blocks of width {config.denoiser.dim}, grid {config.grid}")


def infer_config(denoiser: dict[str, Tensor], vae: dict[str, Tensor] | None, settings: WhnSettings) -> ForecastConfig:
    """Reads the sizes off the official state dicts."""
    embedding = _tensor(denoiser, "x_embedder.proj.weight", "denoiser")
    dim, _, patch_size, _ = embedding.shape
    channels = _tensor(denoiser, "final_layer.linear.bias", "denoiser").numel() // patch_size**2
    tokens = _tensor(denoiser, "pos_embed", "denoiser")
    latent_rows, latent_columns = _grid_of(tokens, _divided(settings, vae, patch_size), "grid")
    latent_grid = (latent_rows * patch_size, latent_columns * patch_size)
    num_frames = _tensor(denoiser, "temp_embed", "denoiser").shape[1]
    image_dim = _tensor(denoiser, "frame_proj.weight", "denoiser").shape[1]
    image_grid = _grid_of(_tensor(denoiser, "frame_embed", "denoiser"), settings.image_grid, "image_grid")
    text = denoiser.get("text_embeds_proj.fc1.weight")
    denoiser_config = DenoiserConfig(
        num_frames=num_frames,
        grid=latent_grid,
        channels=channels,
        patch_size=patch_size,
        dim=dim,
        depth=_depth(denoiser, "blocks"),
        heads=settings.heads or dim // HEAD_DIM,
        image_grid=image_grid,
        image_dim=image_dim,
        text_dim=None if text is None else text.shape[1],
        track_encoding="x_encoder.lff.w" in denoiser,
    )
    if vae is None:
        grid, vae_config = latent_grid, None
    else:
        vae_embedding = _tensor(vae, "x_embedder.proj.weight", "VAE")
        vae_patch = vae_embedding.shape[2]
        grid = (latent_grid[0] * vae_patch, latent_grid[1] * vae_patch)
        vae_dim = vae_embedding.shape[0]
        vae_config = TrackVAEConfig(
            num_frames=num_frames,
            grid=grid,
            image_size=settings.image_size or (2 * grid[0], 2 * grid[1]),
            patch_size=vae_patch,
            dim=vae_dim,
            depth=_depth(vae, "encoder_blocks"),
            heads=settings.heads or vae_dim // HEAD_DIM,
            latent_channels=_tensor(vae, "from_latents.weight", "VAE").shape[1],
            image_grid=image_grid,
            image_dim=_tensor(vae, "frame_proj.weight", "VAE").shape[1],
        )
    return ForecastConfig(
        denoiser=denoiser_config,
        vae=vae_config,
        image_encoder=_image_encoder(image_dim, image_grid, settings),
        text_encoder=None if text is None else TextEncoderConfig(source=settings.text_encoder, dim=text.shape[1]),
        latent_std=settings.latent_std or _latent_std(channels, vae is not None),
        image_size=settings.image_size or (2 * grid[0], 2 * grid[1]),
        grid=grid,
        num_frames=num_frames,
        dt=settings.dt,
        views=settings.views,
        steps=settings.steps,
    )


def _divided(settings: WhnSettings, vae: dict[str, Tensor] | None, patch_size: int) -> tuple[int, int] | None:
    """The settings' query grid in tokens of the denoiser."""
    if settings.grid is None:
        return None
    points_per_token = patch_size * (1 if vae is None else _tensor(vae, "x_embedder.proj.weight", "VAE").shape[2])
    return settings.grid[0] // points_per_token, settings.grid[1] // points_per_token


def _grid_of(table: Tensor, given: tuple[int, int] | None, name: str) -> tuple[int, int]:
    """Rows and columns of a fixed position table [1, L, D]: the factors of L whose sine-cosine table it is."""
    length, dim = table.shape[1:]
    if given is not None:
        if given[0] * given[1] != length:
            raise ValueError(f"{name} {given} has {given[0] * given[1]} tokens, the weights have {length}")
        return given
    shapes = [(rows, length // rows) for rows in range(1, length + 1) if length % rows == 0]
    for shape in shapes:
        if torch.allclose(table[0].float(), sincos_2d(shape, dim), atol=1e-4):
            return shape
    side = round(length**0.5)
    if side * side != length:
        raise ValueError(f"{length} tokens are no square and the position table names no grid: give {name} by --config")
    return side, side


def _image_encoder(dim: int, grid: tuple[int, int], settings: WhnSettings) -> ImageEncoderConfig:
    source = settings.image_encoder or _DINOV2.get(dim)
    if source is None:
        raise ValueError(f"no DINOv2 has tokens of width {dim}; give image_encoder by --config")
    # LIBERO's 128 pixels are no multiple of 14: DINOv2 drops the rest and gives 9 x 9 tokens.
    native = (128, 128) if grid == (9, 9) else (14 * grid[0], 14 * grid[1])
    return ImageEncoderConfig(source=source, dim=dim, input_size=settings.encoder_input_size or native)


def _latent_std(channels: int, has_vae: bool) -> tuple[float, ...]:
    if not has_vae:
        return (1.0,) * channels
    if channels != len(LIBERO_LATENT_STD):
        raise ValueError(f"the latents have {channels} channels: give their latent_std by --config")
    return LIBERO_LATENT_STD


def _depth(state: dict[str, Tensor], prefix: str) -> int:
    return 1 + max((int(key.split(".")[1]) for key in state if key.startswith(f"{prefix}.")), default=-1)


def _tensor(state: dict[str, Tensor], key: str, network: str) -> Tensor:
    if key not in state:
        raise ValueError(f"the {network} file has no tensor {key!r}: it is no official What-Happens-Next {network}")
    return state[key]


def _load(module: torch.nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit the official layout: {error}") from error
